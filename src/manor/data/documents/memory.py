"""Documents in a dict: the meaning that every other driver is compared with. Everything happens between two awaits.

``memory://`` is a new, empty store; ``memory://name`` is the one of that name in this process, for as long as somebody has it.
"""

# ruff: noqa: ARG002 - a dict needs less than the port offers

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from manor.data.documents.capabilities import capabilities
from manor.data.documents.driver import Delete, Got, Keys, Limits, Put, Query, Slice, Statement, Transaction, Write, position_of
from manor.data.documents.faults import TableMissing, TokenReused
from manor.data.documents.query.evaluate import evaluate
from manor.data.documents.query.expression import ProjectionExpression
from manor.data.documents.query.project import project
from manor.data.documents.tables import Index, Table, hashable_key
from manor.data.documents.values import Item, copied, type_of
from manor.data.documents.writing import outcome, outcomes
from manor.errors import ConflictError, InputError

TOKEN_SECONDS = 600
_NAME = re.compile(r"[A-Za-z0-9_.-]*")
_KeyTuple = tuple[Any, ...]
_Rows = dict[_KeyTuple, Item]


class Memory:
    """The items of all tenants: (tenant, table name) → key → item."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], _Rows] = {}
        self.tables: dict[tuple[str, str], Table] = {}
        self.tokens: dict[tuple[str, str], tuple[float, str]] = {}


_NAMED: weakref.WeakValueDictionary[str, Memory] = weakref.WeakValueDictionary()


class MemoryDriver:
    """See ``driver.Driver``. ``clock`` (seconds, monotonic) says when tokens are forgotten."""

    name = "memory"
    capabilities = capabilities()
    limits = Limits()

    def __init__(self, memory: Memory | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.memory = memory or Memory()
        self.clock = clock

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def ensure_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Remember them."""
        for table in tables:
            there = self.memory.tables.get((tenant, table.name))
            if there is not None:
                _check_same(there, table)
            self.memory.tables[tenant, table.name] = table
            self.memory.rows.setdefault((tenant, table.name), {})

    async def drop_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Forget them."""
        for table in tables:
            self.memory.tables.pop((tenant, table.name), None)
            self.memory.rows.pop((tenant, table.name), None)

    def _rows(self, tenant: str, table: Table) -> _Rows:
        there = self.memory.tables.get((tenant, table.name))
        if there is None:
            raise TableMissing(f"table {table.name} does not exist", hint="await ensure_tables() makes it")
        if there.keys != table.keys:
            raise ConflictError(f"table {table.name} exists with other keys")
        return self.memory.rows[tenant, table.name]

    # Single items

    async def get(
        self, tenant: str, table: Table, key: Item, *, consistent: bool = False, projection: ProjectionExpression | None = None
    ) -> Item | None:
        """Always consistent."""
        found = self._rows(tenant, table).get(hashable_key(table, key))
        return None if found is None else _shown(found, projection)

    async def write(self, tenant: str, write: Write) -> Item | None:
        """Decide and store."""
        rows, key = self._rows(tenant, write.table), hashable_key(write.table, write.key)
        result = outcome(write, rows.get(key))
        _store(rows, key, result.item)
        return result.returned

    # Pages

    async def query(self, tenant: str, query: Query) -> Slice:
        """Everything that could match, sorted, from behind ``start``."""
        rows = self._rows(tenant, query.table).values()
        candidates = [item for item in rows if _belongs(item, query)]
        candidates.sort(key=lambda item: _place(query, item), reverse=not query.forward)
        if query.start is not None:
            candidates = _behind(query, query.start, candidates)
        return _page(query, candidates)

    async def explain(self, tenant: str, query: Query) -> Statement:
        """In words."""
        source = f"index {query.index.name}" if query.index else "the table"
        if query.keys is None:
            return Statement(text=f"every item of {source} of {query.table.name}")
        return Statement(
            text=f"items of {source} of {query.table.name} where {query.keys.expression.text}",
            parameters=tuple(f"{name}: {type_of(value)}" for name, value in query.values.items()),
        )

    # Batches and transactions

    async def batch_get(
        self,
        tenant: str,
        table: Table,
        keys: Sequence[Item],
        *,
        consistent: bool = False,
        projection: ProjectionExpression | None = None,
    ) -> Got:
        """One after the other."""
        rows = self._rows(tenant, table)
        found = [rows.get(hashable_key(table, key)) for key in keys]
        return Got(items=[_shown(item, projection) for item in found if item is not None])

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """One after the other."""
        rows = self._rows(tenant, table)
        for write in writes:
            _store(rows, hashable_key(table, write.key), write.item if isinstance(write, Put) else None)
        return ()

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        """All decisions first, then all of them stored."""
        if self._is_done(tenant, transaction):
            return
        rows = [self._rows(tenant, one.table) for one in transaction.operations]
        keys = [hashable_key(one.table, one.key) for one in transaction.operations]
        results = outcomes(transaction.operations, [table.get(key) for table, key in zip(rows, keys, strict=True)])
        for table, key, result in zip(rows, keys, results, strict=True):
            _store(table, key, result.item)
        self.memory.tokens[tenant, transaction.token] = (self.clock(), transaction.fingerprint)

    def _is_done(self, tenant: str, transaction: Transaction) -> bool:
        now, tokens = self.clock(), self.memory.tokens
        for name in [name for name, (since, _) in tokens.items() if since + TOKEN_SECONDS < now]:
            del tokens[name]
        done = tokens.get((tenant, transaction.token))
        if done is not None and done[1] != transaction.fingerprint:
            raise TokenReused("the token of this transaction was used for another one")
        return done is not None

    async def expire(self, tenant: str, table: Table, now: int) -> int:
        """Remove what has expired."""
        rows = self._rows(tenant, table)
        gone = [key for key, item in rows.items() if _expired(item.get(table.ttl_attribute or ""), now)]
        for key in gone:
            del rows[key]
        return len(gone)


def _check_same(there: Table, table: Table) -> None:
    if there.keys != table.keys:
        raise ConflictError(f"table {table.name} exists with other keys")
    keys = {index.name: index.keys for index in there.indexes}
    for index in table.indexes:
        if keys.get(index.name, index.keys) != index.keys:
            raise ConflictError(f"index {index.name} of table {table.name} exists with other keys")


def _expired(moment: Any, now: int) -> bool:
    return type_of(moment) == "N" and bool(moment <= now)


def _shown(item: Item, projection: ProjectionExpression | None) -> Item:
    return project(projection.node.paths, item) if projection else copied(item)


def _store(rows: _Rows, key: _KeyTuple, item: Item | None) -> None:
    if item is None:
        rows.pop(key, None)
    else:
        rows[key] = item


def _belongs(item: Item, query: Query) -> bool:
    """Whether the item is in the index at all, and in the range of keys."""
    source: Table | Index = query.index or query.table
    if query.index and not query.index.holds(item):
        return False
    return query.keys is None or _in_range(item, query.keys, source)


def _in_range(item: Item, keys: Keys, source: Table | Index) -> bool:
    if item[source.keys[0].name] != keys.partition:
        return False
    return keys.range is None or keys.range.holds(item[source.keys[1].name])


def _place(query: Query, item: Item) -> _KeyTuple:
    """Where the item stands in the order: keys of the index, then of the table."""
    names = [*(key.name for key in query.index.keys), *query.table.key_names] if query.index else query.table.key_names
    return tuple(item[name] for name in names)


def _behind(query: Query, start: Item, candidates: list[Item]) -> list[Item]:
    place = _place(query, start)
    if query.forward:
        return [item for item in candidates if _place(query, item) > place]
    return [item for item in candidates if _place(query, item) < place]


def _page(query: Query, candidates: list[Item]) -> Slice:
    found: list[Item] = []
    scanned = 0
    last: Item | None = None
    for item in candidates:
        if len(found) == query.limit or scanned == query.examine:
            return Slice(items=found, last=position_of(query, last) if last else query.start, scanned=scanned)
        scanned += 1
        last = item
        if query.filter is None or evaluate(query.filter.node, item, query.values):
            found.append(_shown(item, query.projection))
    return Slice(items=found, scanned=scanned)


def open_driver(url: str, *, credentials: Mapping[str, str] | None = None) -> MemoryDriver:
    """``memory://`` or ``memory://name``. Raises ``InputError``."""
    name = url.removeprefix("memory://")
    if credentials:
        raise InputError("a store in memory needs no credentials", hint="remove them")
    if not _NAME.fullmatch(name):
        raise InputError(f"{url} is no store in memory", hint="memory://, or memory://name: letters, digits, '_', '-' and '.'")
    if not name:
        return MemoryDriver()
    memory = _NAMED.get(name)
    if memory is None:
        memory = _NAMED[name] = Memory()
    return MemoryDriver(memory)
