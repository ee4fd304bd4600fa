"""What there is of one tenant: databases on all servers, backups, objects of the data plane, base backups that hold it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from manor.control.catalog.backups import BackupRecord
from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import FoundDatabase
from manor.control.rollout.backups.vault import FINAL_EXPORT, BackupVault
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, InputError, NotFoundError
from manor.storage.store import Store

OpenStore = Callable[[str], Store]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an erasure must know of its environment."""

    vault: BackupVault
    """Of the environment's backups."""
    open_store: OpenStore
    """A store by its location. Raises ``InputError``."""
    objects: tuple[str, ...] = ()
    """Locations of tenants' objects, with names of ``fill`` in braces."""
    stanzas: Mapping[str, str] = field(default_factory=dict)
    """By server, pgBackRest's stanza that backs it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What was found of one tenant."""

    databases: tuple[tuple[str, str], ...]
    """(server, database): its own, kept ones, clones and copies under way."""
    role_on: str
    """The server of its role; empty: the role is gone."""
    backups: tuple[BackupRecord, ...]
    objects: tuple[str, ...]
    """Locations, filled in."""

    def words(self, record: DatabaseRecord) -> list[str]:
        """For people, one line each."""
        lines = [f"database {name} on {server}" for server, name in self.databases]
        lines += [f"role {record.role} on {self.role_on}"] if self.role_on else []
        own = [one for one in self.backups if one.kind != FINAL_EXPORT]
        lines += [f"{len(own)} backup{'s' if len(own) != 1 else ''} ({sum(one.bytes for one in own)} bytes)"] if own else []
        lines += [f"all objects below {location}" for location in self.objects]
        return [*lines, "its entries in the catalog: connection URL, variables, display name, keys of its backups"]


async def look_around(runtime: Runtime, record: DatabaseRecord, around: Surroundings) -> Belongings:
    """Look. Raises ``EngineError`` (``conflict``) where the tenant's database bears another mark, ``NotFoundError`` for a
    server that is not among the deployments, and ``InputError`` for a location of objects that is not this tenant's alone."""
    if record.server not in runtime.servers:
        message = f"server {record.server}, which holds {record.database}, is not among the deployments"
        raise NotFoundError(message, hint="put it back into environ.yaml")
    others = [one for one in await runtime.catalog.databases() if one.tenant != record.tenant]
    databases: list[tuple[str, str]] = []
    for name, server in runtime.servers.items():
        found = await server.databases()
        databases += [(name, one) for one in _of_tenant(found, runtime.catalog.id, record, home=name == record.server)]
    has_role = record.role in await runtime.servers[record.server].roles()
    return Belongings(
        databases=tuple(databases),
        role_on=record.server if has_role else "",
        backups=tuple(await runtime.catalog.backups(tenant=str(record.tenant))),
        objects=object_locations(around.objects, record, others),
    )


def _of_tenant(found: Mapping[str, FoundDatabase], catalog: str, record: DatabaseRecord, *, home: bool) -> list[str]:
    """Names of a tenant's databases on one server: by their markers, and by names that only operations on it use."""
    tenant = str(record.tenant)
    part = f"_{catalog}_{hashlib.sha256(tenant.encode()).hexdigest()[:16]}_"
    ours = [
        name
        for name, one in found.items()
        if (one.marker is not None and one.marker.catalog == catalog and one.marker.tenant == tenant)
        or (name.startswith("manor_") and part in name)
    ]
    own = found.get(record.database) if home else None
    if own is not None and own.name not in ours:
        if own.broken:  # a DROP of ours that was cut short took the mark along
            return sorted([*ours, own.name])
        raise EngineError(
            f"database {own.name} does not bear the mark of tenant {tenant}: it is left alone, and nothing was erased",
            hint="was its comment changed, or is it another database?",
            code=Code.CONFLICT,
        )
    return sorted(ours)


def fill(template: str, record: DatabaseRecord) -> str:
    """A location of one tenant's objects. Raises ``InputError`` for an unknown name in braces, or none."""
    names = {
        "tenant_id": str(record.tenant),
        "customer_code": record.tenant.customer_code,
        "group": record.tenant.group,
        "id": record.tenant.id,
        "database": record.database,
    }
    try:
        filled = template.format_map(names)
    except (KeyError, IndexError, ValueError):
        hint = "known: " + ", ".join("{" + name + "}" for name in names)
        raise InputError(f"settings.erasure.storage: {template!r} cannot be filled in", hint=hint) from None
    if filled == template:
        raise InputError(f"settings.erasure.storage: {template!r} is the same for all tenants", hint="put {tenant_id} into it")
    return filled.rstrip("/")


def object_locations(templates: Sequence[str], record: DatabaseRecord, others: Sequence[DatabaseRecord]) -> tuple[str, ...]:
    """The locations of one tenant's objects. Raises ``InputError`` where one is, holds or lies in another tenant's. Pure."""
    found = []
    for template in templates:
        mine = fill(template, record)
        for other in others:
            theirs = fill(template, other)
            if f"{theirs}/".startswith(f"{mine}/") or f"{mine}/".startswith(f"{theirs}/"):
                message = f"{template!r} is {mine} for tenant {record.tenant}, and {theirs} for {other.tenant}"
                raise InputError(f"settings.erasure.storage: {message}", hint="{tenant_id} tells all tenants apart")
        found.append(mine)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A location as a store and a prefix in it."""

    store: Store
    prefix: str


def split(location: str, open_store: OpenStore) -> Split:
    """The store above a location's last part, and that part: a store removes only what is below a prefix."""
    head, query, options = location.partition("?")
    parent, _, last = head.rpartition("/")
    if not parent or not last:
        raise InputError(f"the location {location!r} has no part that could be one tenant's")
    return Split(store=open_store(f"{parent}{query}{options}"), prefix=last)
