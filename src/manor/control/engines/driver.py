"""The engine port: what Manor asks of one database server.

To add an engine, implement ``ServerDriver``, translate the vendor's exceptions into ``EngineError``/``UnreachableError`` in one
place (``transient=True`` only where trying again can help), quote every identifier with the vendor's library, and run
``manor.testing.engines.ServerDriverSuite`` against a real server. Drivers decide nothing: which database to make, whose
it is and whether to try again is decided above. Every method is safe to repeat unless its docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from manor.control.templates.model import BoundDataset, Schema

if TYPE_CHECKING:
    from manor.control.engines.bases import BaseDriver
    from manor.control.engines.dumps import DumpDriver
    from manor.control.engines.entries import EntryDriver
    from manor.control.engines.releases import ReleaseDriver
    from manor.control.engines.restores import RestoreDriver
    from manor.control.engines.swaps import SwapDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server is and what our login may do there."""

    engine: str
    version: str
    version_number: int
    user: str
    superuser: bool
    can_create_databases: bool
    can_create_roles: bool
    encrypted: bool
    max_connections: int
    used_connections: int
    max_prepared_transactions: int
    data_directory: str | None
    pooler: str | None
    """What seems to stand between us and the server (pgbouncer and the like), or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What Manor writes on a database it made (a comment in PostgreSQL): whose it is, whatever the catalog says."""

    catalog: str
    """Id of the catalog that owns it."""
    kind: str
    """``tenant``, ``golden``, ``warm``, ``building``, ``kept`` (a tenant's former database), or ``erasing``."""
    tenant: str = ""
    template: str = ""
    digest: str = ""
    """Digest of the golden database it was cloned from (or is)."""
    operation: str = ""
    closed: str = ""
    """``operation:token`` of the run that closed it for a swap; empty while it is open."""
    rights: str = ""
    """The rights on it that this run took away, as the engine writes them down; opening gives them back. Empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDatabase:
    """One database as the server shows it."""

    name: str
    owner: str
    marker: Marker | None
    broken: bool = False
    """PostgreSQL: ``datconnlimit = -2``, a DROP that was interrupted; only dropping it again helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedColumn:
    """A column that holds one tenant's value and no other."""

    table: str
    column: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSpec:
    """What a golden database is built from. The values in ``isolation`` do not count: the driver puts placeholders there."""

    database: str
    building: str
    """Provisional name; renamed to ``database`` last."""
    schema: Schema
    rows: tuple[BoundDataset, ...]
    isolation: tuple[IsolatedColumn, ...]
    marker: Marker
    numbers_taken: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By (table, column): the highest number that tenants' rows will bring along; sequences stand behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What differs in one tenant's database."""

    schema: Schema
    isolation: tuple[IsolatedColumn, ...] = ()
    rows: tuple[BoundDataset, ...] = ()
    varying: frozenset[tuple[str, str]] = frozenset()
    """(table, column) pairs whose values the golden database could not foresee: their sequences are moved here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A tenant's own role."""

    role: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The last step of a database: from its provisional to its final name, and open to its role."""

    building: str
    database: str
    marker: Marker
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFacts:
    """One tenant database seen through its own role, and from outside."""

    fingerprint: str
    isolation_ok: bool
    """The isolated columns hold this tenant's values."""
    bytes: int
    connections: int
    reaches_other: bool
    """The isolation probe got into the other tenant's database: the worst finding there is."""
    probed: str | None
    """The database that the probe tried, or None where there was no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFault:
    """What a tenant's role may that it must not, or may not that it must."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayFolder:
    """Files on the server that belong to no database: lost space, nobody's data."""

    path: str
    """Relative to the server's data directory."""
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFolders:
    """Where a server's files are, on this machine and readable."""

    data: Path
    logs: Path | None
    """Of its own log files; None where it writes none, or inside ``data``."""
    archive: Path | None
    """Of its archived WAL, where that is known."""
    compressed_images: bool
    """Whether page images in its WAL are compressed."""


class ServerDriver(Protocol):
    """One database server, entered with an administrator's login (CREATEDB and CREATEROLE suffice)."""

    name: str
    engine: str

    @property
    def releases(self) -> ReleaseDriver:
        """The same server as releases see it."""
        ...

    @property
    def swaps(self) -> SwapDriver:
        """The same server as swaps see it."""
        ...

    @property
    def entries(self) -> EntryDriver:
        """The same server's doors."""
        ...

    @property
    def bases(self) -> BaseDriver:
        """The same server as base backups see it."""
        ...

    @property
    def restores(self) -> RestoreDriver:
        """The same server as restores see it."""
        ...

    @property
    def dumps(self) -> DumpDriver:
        """The same server as backups see it."""
        ...

    @property
    def address(self) -> str:
        """The administrator's URL without its password, for records and messages."""
        ...

    def limit(self, sessions: int) -> None:
        """Hold at most so many connections from now on (2 at least); only while none is in use."""
        ...

    async def facts(self) -> ServerFacts:
        """Look at the server. Raises ``UnreachableError`` (does not answer) or ``EngineError`` with code ``denied``."""
        ...

    async def databases(self) -> Mapping[str, FoundDatabase]:
        """Every database of the server by name."""
        ...

    async def roles(self) -> frozenset[str]:
        """Names of all roles."""
        ...

    async def entrants(self) -> Mapping[str, tuple[str, ...]]:
        """By database, the tenants' roles that may connect to it by a grant of their own."""
        ...

    async def stray_folders(self) -> list[StrayFolder] | None:
        """What crashes of the server left on its disk; None where this login may not look there."""
        ...

    async def folders(self) -> ServerFolders | None:
        """Where its files are; None where they are on another machine, or this login or account may not look."""
        ...

    async def end_sessions(self, operation: str) -> int:
        """End the sessions that a dead operation left behind and wait until they are gone; returns how many there were."""
        ...

    async def prepare(self) -> None:
        """Make what all tenants of the server share (the group role that grants are given to). Safe to repeat."""
        ...

    async def build_golden(self, spec: GoldenSpec) -> str:
        """Build, verify and name a golden database; returns its fingerprint. Nothing or the finished database is left."""
        ...

    async def clone(self, golden: str, database: str) -> None:
        """Copy ``golden`` to the new name ``database``, which nobody may enter before ``restrict``. Not repeatable: drop a
        half-made one first."""
        ...

    async def create_roles(self, logins: Sequence[Login]) -> None:
        """Make the tenants' roles with their passwords; one that was made so before gets the password. All or none. Raises
        ``EngineError`` with code ``conflict`` for a role that somebody else made."""
        ...

    async def restrict(self, databases: Mapping[str, Marker]) -> None:
        """Shut PUBLIC out of each copy, write its marker, and only then open it to those who may. All or none."""
        ...

    async def fill(self, database: str, fill: Fill) -> None:
        """Set the isolation values and load the rows, in one transaction. Not repeatable: it would load twice."""
        ...

    async def publish(self, names: Sequence[Publication]) -> None:
        """Give finished databases their final names and markers, and let their roles in. All or none, in one transaction."""
        ...

    async def set_password(self, login: Login, database: str) -> None:
        """Change the password of a role; one that is gone, or shut out of its own ``database``, is made whole. Raises as
        ``create_roles`` does."""
        ...

    async def role_faults(self, roles: Mapping[str, str], *, closed: Collection[str] = ()) -> Mapping[str, RoleFault]:
        """What is wrong with tenants' roles, by role. ``roles``: the database of each; ``closed``: those that are not to log in
        (suspended tenants). One query for all of them."""
        ...

    async def drop_database(self, database: str) -> None:
        """End its sessions and drop it; no error where it does not exist."""
        ...

    async def drop_role(self, role: str) -> None:
        """Drop a tenant's role that owns nothing; no error where there is none that Manor made."""
        ...

    async def fingerprint(self, database: str, isolation: Sequence[IsolatedColumn]) -> tuple[str, bool]:
        """(fingerprint, isolation values are right). Hex SHA-256 over tables, columns, constraints, indexes, views, triggers,
        functions, types, extensions, grants and owners; without OIDs, database names and Manor's own tables. The given columns'
        values are replaced by a placeholder, so that tenants of one template have one fingerprint."""
        ...

    async def describe(self, database: str, isolation: Sequence[IsolatedColumn]) -> list[str]:
        """What ``fingerprint`` hashes, one sorted line per object, so that a difference can be told in words."""
        ...

    def explain_drift(self, expected: Sequence[str], found: Sequence[str]) -> list[str]:
        """What ``describe`` found beyond, less than or other than expected, in words. No I/O."""
        ...

    async def check(
        self, database: str, login: Login, isolation: Sequence[IsolatedColumn], *, other: str | None
    ) -> HealthFacts:
        """Connect as the tenant's role, look at its database, and try to enter ``other``."""
        ...

    def url(self, database: str, login: Login) -> str:
        """The connection URL of one tenant, password inside: for the catalog (encrypted) and for ``tenant url``."""
        ...

    async def checkpoint(self) -> None:
        """Force a checkpoint where the login may; otherwise do nothing."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
