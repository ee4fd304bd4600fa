"""Loads what a tenant held beside its live database, and proves that it is what was asked for. Nothing of the tenant's changes.

The new database bears the name and the marker of one that is being built, so that a death leaves nothing: what recovers swaps
drops it. A failure drops it at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import IsolatedColumn, Marker, ServerDriver
from manor.control.engines.dumps import DumpForm, MissingRole, Photograph, differences
from manor.control.rollout.backups.known_schemas import KnownSchemas, known_schemas
from manor.control.rollout.release.swap import green_name
from manor.control.rollout.retry import ATTEMPTS, retrying
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, ManorError, RefusedError

_SHOWN = 5
_MISSING_ROLES = 10
"""So many roles are replaced before a dump is given up: each costs another try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a tenant's content comes from: a backup's file, a side instance."""

    described: str
    """For people."""
    form: DumpForm
    chunks: Callable[[], AsyncIterator[bytes]]
    """The dump in plain. Raises where it is not whole or not the one that was written."""
    expected: Photograph | None
    """What must come out; None: nobody wrote that down, and it must be a schema that tenants of the template have had."""
    tenant: str
    """Full id of the tenant that it was made of."""
    database: str
    golden: str = ""
    """Digest of the golden that it equals; empty: not known."""
    isolation: tuple[IsolatedColumn, ...] | None = None
    """What its isolated columns hold; None: the values of the tenant that it is loaded for."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """By the role that it names, the one that gets what belonged to it."""
    require_intact: Callable[[], Awaitable[None]] | None = None
    """Raises where it is not what was written; asked where it could not be loaded, to tell the cause from what it led to."""
    told: str = ""
    """What the report must say of where it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A database beside a tenant's live one, proved."""

    database: str
    photograph: Photograph
    golden: str
    """Digest of the golden that it equals, or equalled before its schema was changed by hand, as far as that is known."""


async def load_beside(
    runtime: Runtime, record: DatabaseRecord, source: Source, *, purpose: str, scratch: bool = False
) -> Loaded:
    """Load ``source`` for the tenant of ``record``. ``purpose``: for the log, such as ``restore`` or ``drill``. ``scratch``: it
    will never take the tenant's place, and gets nothing but its proof.

    Raises ``ManorError`` and leaves nothing: ``corrupt`` where something else came out than was written down, ``refused`` for a
    schema that no tenant of the template has had, else what keeps the dump from being loaded.
    """
    server = runtime.servers[record.server]
    tenant = str(record.tenant)
    name = green_name(runtime.catalog.id, tenant, f"{runtime.operation}:{runtime.new_token()}")
    marker = Marker(
        catalog=runtime.catalog.id,
        kind="building",
        tenant=tenant,
        template=record.template,
        digest=source.golden,
        operation=runtime.operation,
    )
    async with dropped_on_failure(server, name):
        await retrying(server.prepare, attempts=ATTEMPTS)
        await server.dumps.create_empty(name, like=record.database, marker=marker)
        await _load(server, name, source)
        runtime.telemetry.emit("target.loaded", runtime.operation, tenant, purpose=purpose, database=name)
        loaded = await _proved(server, name, record, source, await known_schemas(runtime, record, source.golden))
        if not scratch:
            await server.restrict({name: replace(marker, digest=loaded.golden)})
            await server.restores.furnish(name, like=record.database)
        runtime.telemetry.emit("target.verified", runtime.operation, tenant, purpose=purpose, database=name)
    return loaded


async def _load(server: ServerDriver, database: str, source: Source) -> None:
    """A role that the dump names and the server does not have is replaced by our own login: goldens grant the rights."""
    roles = dict(source.roles)
    for _ in range(_MISSING_ROLES):
        try:
            await server.dumps.load(database, source.chunks(), form=source.form, roles=roles)
            return
        except MissingRole as error:
            roles[error.role] = ""
        except ManorError as error:
            if source.require_intact is not None and error.code in (Code.BAD_INPUT, Code.NOT_FOUND):
                await source.require_intact()
            raise
    raise EngineError(f"{source.described} names more than {_MISSING_ROLES} roles that server {server.name} does not have")


@contextlib.asynccontextmanager
async def dropped_on_failure(server: ServerDriver, database: str) -> AsyncIterator[None]:
    """Drop a database where the block does not come to its end; cancellation too. What cannot be dropped now is found by its
    name later."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ManorError):
            await server.drop_database(database)
        raise


async def _proved(server: ServerDriver, database: str, record: DatabaseRecord, source: Source, known: KnownSchemas) -> Loaded:
    """The database as it was written down; or, where it is another tenant's, as this one's."""
    own = recorded_isolation(record.config)
    isolation = own if source.isolation is None else source.isolation
    found = await _photograph(server, database, isolation, known.fingerprints(source))
    if source.expected is not None:
        proved = await _is_as_written(server, database, isolation, source, found, known)
        # Of the same golden, built on a server whose login has another name; or with rights of another role.
        expected = replace(source.expected, fingerprint=found.fingerprint) if proved else source.expected
        _refuse_otherwise(source, expected, found)
        golden = source.golden or known.golden_of(found) or known.golden_of_changed(found)
    else:
        golden = known.golden_of(found)
        _refuse_unknown(source, record, found, golden)
    if set(isolation) != set(own):
        found = await _handed_over(server, database, found, isolation, own)
    return Loaded(database=database, photograph=found, golden=golden)


async def _photograph(
    server: ServerDriver, database: str, isolation: Sequence[IsolatedColumn], fingerprints: AbstractSet[str]
) -> Photograph:
    """A dump without rights, or of a server where roles had other names, gets the rights that goldens grant."""
    found = await server.dumps.photograph(database, isolation)
    if found.fingerprint in fingerprints:
        return found
    await server.restores.regrant(database)
    return await server.dumps.photograph(database, isolation)


async def _is_as_written(
    server: ServerDriver,
    database: str,
    isolation: Sequence[IsolatedColumn],
    source: Source,
    found: Photograph,
    known: KnownSchemas,
) -> bool:
    """Whether the schema is the one that was written down, but for the names of roles."""
    fingerprints = known.fingerprints(source)
    if found.fingerprint in fingerprints or not source.roles:
        return found.fingerprint in fingerprints
    back = {ours: theirs for theirs, ours in source.roles.items()}
    return await server.restores.fingerprint_as(database, isolation, back) in fingerprints


def _refuse_otherwise(source: Source, expected: Photograph, found: Photograph) -> None:
    problems = differences(expected, found)
    if problems:
        raise EngineError(
            f"what came out of {source.described} is not what was written down: {_listed(problems)}",
            hint="nothing was changed; take another backup",
            code=Code.CORRUPT,
        )


def _refuse_unknown(source: Source, record: DatabaseRecord, found: Photograph, golden: str) -> None:
    if golden and found.isolated:
        return
    others = f", or it holds another tenant's value where {record.tenant}'s should be" if not found.isolated else ""
    raise RefusedError(
        f"what came out of {source.described} has a schema that no tenant of template {record.template} has had{others}",
        hint="nothing was changed; is it a dump of another tenant or template, or of a database that was changed by hand?",
    )


async def _handed_over(
    server: ServerDriver,
    database: str,
    found: Photograph,
    before: Sequence[IsolatedColumn],
    after: Sequence[IsolatedColumn],
) -> Photograph:
    columns, others = ({(c.table, c.column) for c in some} for some in (before, after))
    if columns != others:
        named = ", ".join(".".join(pair) for pair in sorted(columns ^ others))
        raise RefusedError(
            f"the isolated columns of the two tenants are not the same ({named})",
            hint="restore into a tenant of the same template and release",
        )
    await server.restores.hand_over(database, before, after)
    handed = await server.dumps.photograph(database, after)
    problems = differences(replace(found, isolated=True), handed)
    if problems:
        raise EngineError(
            f"database {database}: handing it over changed more than its isolated columns: {_listed(problems)}",
            hint="nothing was changed for the tenant",
            code=Code.DRIFT,
        )
    return handed


def _listed(problems: Sequence[str]) -> str:
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more
