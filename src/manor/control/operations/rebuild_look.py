"""What a rebuild of the catalog looks at: every database of the lost catalog, and what the registries say of it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.engines.driver import FoundDatabase, IsolatedColumn, ServerDriver
from manor.control.engines.releases import Prepared
from manor.control.migrate.model import Migration
from manor.control.operations.fleet import Fleet, FleetSource, load_fleet
from manor.control.operations.release_sources import ReleaseSources
from manor.control.registry.model import TenantGroup
from manor.control.rollout.provision import isolated_columns
from manor.control.rollout.rebuild_plan import Declaration, FoundTenant, role_of
from manor.control.rollout.retry import retrying
from manor.control.steps import Failure
from manor.control.templates.model import bind_cell
from manor.errors import Code, EngineError, ManorError

LOOK_SECONDS = 60.0
"""For one database: a transaction that was left prepared may hold a lock on its tables."""

Looks = Mapping[str, Mapping[str, FoundDatabase]]
"""By server, what databases it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the registries say."""

    tenants: Mapping[str, Declaration]
    """By tenant id."""
    migrations: tuple[Migration, ...]
    """All that stand in one of their folders."""

    def isolation_of(self, template: str) -> tuple[IsolatedColumn, ...]:
        """The isolated columns of any tenant of a template: whose they are does not count."""
        found = (d.isolation for d in self.tenants.values() if d.target.template == template)
        return next(found, ())

    def knows(self, template: str) -> bool:
        """Whether any declared tenant is of that template."""
        return any(d.target.template == template for d in self.tenants.values())


async def look_at_servers(servers: Mapping[str, ServerDriver]) -> Looks:
    """Every database of every server. Raises ``UnreachableError``: half a look would bring half a catalog back."""
    names = list(servers)
    return dict(zip(names, await asyncio.gather(*(servers[name].databases() for name in names)), strict=True))


def read_declared(sources: Sequence[FleetSource], tenants: Iterable[FoundTenant]) -> Declared:
    """What the registries say of ``tenants``; of two that declare one, the first counts. Raises ``InvalidInput``."""
    fleets = [_with_found(source, tenants) for source in sources]
    declared: dict[str, Declaration] = {}
    migrations: dict[tuple[str, str], Migration] = {}
    for fleet in fleets:
        for one in _declarations(fleet):
            declared.setdefault(str(one.target.tenant), one)
        migrations |= {(m.version, m.checksum): m for m in _migrations(fleet)}
    return Declared(tenants=declared, migrations=tuple(migrations.values()))


def _with_found(source: FleetSource, tenants: Iterable[FoundTenant]) -> Fleet:
    """The registry's fleet with those of ``tenants`` that would be in one of its groups and that it does not list: whom
    ``tenant create`` made stood in the catalog alone."""
    fleet = load_fleet(source)
    groups = fleet.registry.database_groups
    further: dict[str, dict[str, str]] = {}
    for tenant in (found.tenant for found in tenants):
        ours = tenant.customer_code == fleet.registry.customer_info.customer_code
        if ours and str(tenant) not in fleet.declared and isinstance(groups.get(tenant.group), TenantGroup):
            further.setdefault(tenant.group, {})[tenant.id] = tenant.id
    return load_fleet(replace(source, further=further)) if further else fleet


def _declarations(fleet: Fleet) -> list[Declaration]:
    return [
        Declaration(
            target=target,
            source=fleet.source.shown_as,
            base=fleet.templates[target.recipe].digest,
            isolation=isolated_columns(fleet.templates[target.recipe], target.variables),
            config=bind_cell(dict(fleet.templates[target.recipe].config), target.variables),
        )
        for target in fleet.targets
    ]


def _migrations(fleet: Fleet) -> list[Migration]:
    source = fleet.source
    sources = ReleaseSources.of(source.project, source.shown_as, source.registry.parent, fleet.registry)
    chains = sources.chains((source.shown_as, template.name) for template in fleet.templates.values())
    return [migration for chain in chains.values() for migration in chain.migrations]


async def look_into(
    servers: Mapping[str, ServerDriver], tenants: Sequence[FoundTenant], declared: Declared, *, parallel: int
) -> list[FoundTenant]:
    """Every tenant's database from inside, and who may enter it; what cannot be looked at is that tenant's failure."""
    doors = dict(zip(servers, await asyncio.gather(*(s.entrants() for s in servers.values())), strict=True))
    slots = {name: asyncio.Semaphore(parallel) for name in servers}

    async def one(found: FoundTenant) -> FoundTenant:
        found = replace(found, roles=doors[found.server].get(found.database, ()))
        declaration = declared.tenants.get(str(found.tenant))
        try:
            async with slots[found.server], asyncio.timeout(LOOK_SECONDS):
                isolation = declaration.isolation if declaration else ()
                return await retrying(lambda: _look(servers[found.server], found, isolation), attempts=2)
        except TimeoutError:
            message = f"database {found.database} did not answer within {LOOK_SECONDS:g} s"
            hint = "does a session, or a prepared transaction, hold a lock on its tables?"
            return replace(found, failure=Failure.of(EngineError(message, hint=hint, code=Code.TIMEOUT)))
        except ManorError as error:
            return replace(found, failure=Failure.of(error))

    return list(await asyncio.gather(*map(one, tenants)))


async def _look(server: ServerDriver, found: FoundTenant, isolation: Sequence[IsolatedColumn]) -> FoundTenant:
    seen = await server.releases.look(found.database, isolation)
    role = role_of(found)
    return replace(
        found,
        history=seen.history,
        fingerprint=seen.fingerprint,
        isolated=seen.isolated or not isolation,
        token=await server.releases.token(found.database),
        suspended=role in await server.roles() and not await server.entries.may_log_in(role),
    )


async def look_at_prepared(servers: Mapping[str, ServerDriver], catalog: str) -> dict[str, list[Prepared]]:
    """By server, transactions of the catalog's releases that wait for their second phase."""
    ask = functools.partial(_prepared, catalog)
    return dict(zip(servers, await asyncio.gather(*map(ask, servers.values())), strict=True))


async def _prepared(catalog: str, server: ServerDriver) -> list[Prepared]:
    return await server.releases.prepared(f"manor:{catalog}:")
