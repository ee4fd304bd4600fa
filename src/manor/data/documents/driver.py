"""The port: what a backend must be able to do. ``DatabaseInterface`` is what everybody else uses.

A driver receives only what is checked already: admitted values (canonical, deep copies that it may keep), complete keys,
parsed expressions whose values are there and of possible types. It returns new objects that the caller may change.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from manor.data.documents import limits
from manor.data.documents.capabilities import Capability, Degree, Support
from manor.data.documents.query.expression import ConditionExpression, ProjectionExpression, UpdateExpression
from manor.data.documents.query.keys import KeyPlan, SortRange
from manor.data.documents.tables import Index, Table
from manor.data.documents.values import Item, Value
from manor.errors import UnsupportedError

Values: TypeAlias = Mapping[str, Value]
NO_VALUES: Values = {}


class Returns(enum.StrEnum):
    """What a write answers with. Put and delete know the first two; ``UPDATED_*`` are the paths that the update names."""

    NONE = "NONE"
    ALL_OLD = "ALL_OLD"
    ALL_NEW = "ALL_NEW"
    UPDATED_OLD = "UPDATED_OLD"
    UPDATED_NEW = "UPDATED_NEW"


# Writes. All have ``table``, ``key``, ``condition`` and ``values``; the condition is about the item as it is before.


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Store ``item``, replacing what was there."""

    table: Table
    key: Item
    item: Item
    condition: ConditionExpression | None = None
    values: Values = field(default_factory=dict)
    returns: Returns = Returns.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Change the item, or make one of its key alone and change that. ``update`` is None where only the key is wanted."""

    table: Table
    key: Item
    update: UpdateExpression | None
    condition: ConditionExpression | None = None
    values: Values = field(default_factory=dict)
    returns: Returns = Returns.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove the item; one that is not there is not missed, unless the condition says so."""

    table: Table
    key: Item
    condition: ConditionExpression | None = None
    values: Values = field(default_factory=dict)
    returns: Returns = Returns.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Only in transactions: nothing is written, but the condition must hold."""

    table: Table
    key: Item
    condition: ConditionExpression
    values: Values = field(default_factory=dict)


Write: TypeAlias = Put | Update | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """At most 100 operations on distinct items of one tenant, all or nothing. Equal tokens within ten minutes are one
    transaction; ``fingerprint`` tells whether the second is the same as the first (``TokenReused`` if not)."""

    operations: tuple[Put | Update | Delete | Check, ...]
    token: str
    fingerprint: str


# Reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The key condition: its values, and for those who compile its ``plan`` (names of values) and ``expression``."""

    expression: ConditionExpression
    plan: KeyPlan
    partition: Value
    range: SortRange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A page of a partition (``keys``) or of a whole table or index (``keys`` is None: a scan).

    - Order: with ``keys`` by the sort key of the table or index, then by the table's key; backwards unless ``forward``. A scan
      has any order that is stable while nothing is written.
    - ``filter`` holds for every item that is returned; ``limit`` counts items that are returned.
    - ``examine``: read at most so many items, matching or not; then ``scanned`` is exact.
    - ``start`` is the ``last`` of an earlier page: continue behind it (that item may be gone meanwhile).
    - ``values`` serves all expressions, also the key condition's.
    """

    table: Table
    index: Index | None = None
    keys: Keys | None = None
    filter: ConditionExpression | None = None
    values: Values = field(default_factory=dict)
    projection: ProjectionExpression | None = None
    limit: int = limits.PAGE_ITEMS
    examine: int | None = None
    forward: bool = True
    start: Item | None = None
    consistent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a query found: at most ``limit`` items, projected.

    ``last`` is None at the end; else the key attributes (of table and index: ``position_of``) of the item to continue behind:
    the last one returned, or the last one examined where ``examine`` or the backend ended the page. A slice may be short, even
    empty, and still have ``last``, and what follows may be empty too. ``scanned`` counts the items that were read, None where
    the backend does not say.
    """

    items: list[Item]
    last: Item | None = None
    scanned: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What a batch of keys found, in any order, and the keys that the server did not get to."""

    items: list[Item]
    unprocessed: Sequence[Item] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What would be sent: ``text`` in the backend's language, ``parameters`` as names and types, never values."""

    text: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call of the driver takes; the layer above splits longer batches and refuses longer transactions."""

    batch_write: int = limits.BATCH_WRITE
    batch_get: int = limits.BATCH_GET
    transaction_items: int = limits.TRANSACTION_ITEMS


class Driver(Protocol):
    """One kind of backend. The recipe for the next one:

    **Implement** the methods below. ``tenant`` comes first in each: it must be part of every key, statement and partition, and
    never of a returned item. There are three ways to do a write:

    - *decide in Python*: read the item under a lock, call ``writing.outcome(write, current)``, store what it says. It does
      conditions, updates, return values and all their errors. SQLite and PostgreSQL can do everything this way.
    - *compile*: ``write.condition.node`` and ``write.update.node`` are ``query.nodes``; values are ``write.values[ref.name]``.
      Memorise what you compile with ``expression.compiled(function)``, or ``compiled_for(key, …)`` where it depends on more.
      What you compile must agree with ``query.evaluate`` for missing attributes and mixed types; when in doubt, evaluate in
      Python with ``query.evaluate.evaluate(node, item, values)``.
    - *pass through*: ``expression.compiled(query.spell.spell)`` is the text for DynamoDB and its names; aliases of different
      kinds of expressions do not collide, and ``values`` keep their names.

    **Raise** errors of ``documents.faults`` and nothing else: ``ConditionFailed(item=…)`` with the item as it was,
    ``TransactionCancelled`` with a reason for each operation, ``WriteConflict`` and ``Throttled`` (transient: nothing was done,
    the layer above tries again), ``TableMissing``, ``UpdateRefused``, ``KeyRefused`` and ``ItemTooLarge`` for a new item that
    may not be, ``UnreachableError`` (transient) where *certainly* nothing was written or where a read failed,
    ``OutcomeUnknown`` where a write was sent and no answer came. Do not retry these yourself, and switch an SDK's own retries
    off for writes: the layer above retries what is transient, and what is safe to repeat after ``OutcomeUnknown``. A value that
    cannot be held exactly is ``ValueRefused``. Messages name table and key (``writing.shown_key``), never other values; the
    layer above adds the tenant.

    **Return** new objects in canonical form (``numbers.canonical``, sets as ``set``, binary as ``bytes``).

    **Never** block the event loop, and never hold a connection while waiting for anything but the server.

    **Prove it**: subclass ``manor.testing.documents.DocumentSuite`` with a fixture ``driver`` and ``LifeSuite`` with a fixture
    ``unopened``, declare ``capabilities``, and register the scheme in ``manor.data.opening.SCHEMES`` with a function
    ``open_driver(url: str, *, credentials: Mapping[str, str] | None, **options) -> Driver`` that contacts nobody.
    """

    name: str
    """The scheme: ``sqlite``."""
    capabilities: Mapping[Capability, Support]
    limits: Limits

    async def open(self) -> None:
        """Connect. Harmless where it is open; after ``close`` it opens again."""
        ...

    async def close(self) -> None:
        """Let go of everything; harmless where it is not open, called also after a failed ``open``.

        What is asked before ``open`` and after this raises ``UnreachableError`` (not transient); what is under way is finished,
        or ends as if the server had gone. Nobody but who cancels a task makes it end with ``CancelledError``.
        """
        ...

    async def ensure_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Make what is missing, indexes of tables that are there included (filled from their items); again is harmless.

        Raises ``ConflictError`` where a table exists with other keys.
        """
        ...

    async def drop_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Remove this tenant's items, and the tables where they are its own; what is not there is not missed."""
        ...

    async def get(
        self, tenant: str, table: Table, key: Item, *, consistent: bool = False, projection: ProjectionExpression | None = None
    ) -> Item | None:
        """One item, projected; None where there is none."""
        ...

    async def write(self, tenant: str, write: Write) -> Item | None:
        """Do one write atomically. The answer is what ``write.returns`` asks for: None for NONE, for an old item that was not
        there, and for UPDATED_* without any such attribute."""
        ...

    async def query(self, tenant: str, query: Query) -> Slice:
        """One page."""
        ...

    async def batch_get(
        self,
        tenant: str,
        table: Table,
        keys: Sequence[Item],
        *,
        consistent: bool = False,
        projection: ProjectionExpression | None = None,
    ) -> Got:
        """At most ``limits.batch_get`` distinct keys. With a projection the layer above has added the key's names to it."""
        ...

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """At most ``limits.batch_write`` writes of distinct items without conditions; the answer is those not done."""
        ...

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        """All of them or none. Raises ``TransactionCancelled``, ``TokenReused``, ``UnsupportedError`` where it cannot be atomic
        (before anything is sent), ``OutcomeUnknown``."""
        ...

    async def explain(self, tenant: str, query: Query) -> Statement:
        """What ``query`` would send. Nothing is read."""
        ...


@runtime_checkable
class Expiring(Protocol):
    """A backend that does not remove expired items by itself. Optional."""

    async def expire(self, tenant: str, table: Table, now: int) -> int:
        """Remove items whose ``table.ttl_attribute`` is a number of at most ``now`` (seconds since 1970); how many."""
        ...


def check_capabilities(table: Table, backend: str, table_of: Mapping[Capability, Support]) -> None:
    """Raise ``UnsupportedError`` for a table that the backend cannot keep: said when it is made, not when it is used."""
    wanted = [Capability.BINARY_KEYS] if any(key.type == "B" for key in table.all_keys()) else []
    wanted += [Capability.SECONDARY_INDEXES] if table.indexes else []
    for capability in wanted:
        if table_of[capability].degree is Degree.NONE:
            raise UnsupportedError(
                f"{backend} cannot keep table {table.name}: {capability} is not supported", hint=table_of[capability].reason
            )


def position_of(query: Query, item: Item) -> Item:
    """The ``last`` for a page that ends with ``item`` (unprojected): the keys of table and index."""
    position = {name: item[name] for name in query.table.key_names}
    if query.index:
        position.update((key.name, item[key.name]) for key in query.index.keys)
    return position
