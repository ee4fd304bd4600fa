"""Documents in a SQLite file: one thread that writes, one that reads, nothing on the event loop.

``sqlite:///documents.db`` is a file in the working folder, ``sqlite:////var/lib/documents.db`` an absolute path. Options:
``synchronous=full`` (the default) or ``normal``, ``busy_seconds=5``.
"""

# ruff: noqa: ARG002 - every read is consistent

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from manor.data.documents.capabilities import capabilities
from manor.data.documents.driver import Delete, Got, Limits, Put, Query, Slice, Statement, Transaction, Write
from manor.data.documents.query.expression import ProjectionExpression
from manor.data.documents.relational.declared import Compared
from manor.data.documents.relational.explaining import told
from manor.data.documents.sqlite import making, reading, writing
from manor.data.documents.sqlite.making import FileOptions
from manor.data.documents.sqlite.worker import Worker
from manor.data.documents.tables import Table
from manor.data.documents.values import Item
from manor.errors import InputError


class SQLiteDriver:
    """See ``driver.Driver``. ``clock`` (seconds since 1970) says when tokens are forgotten."""

    name = "sqlite"
    capabilities = capabilities()
    limits = Limits()

    def __init__(self, options: FileOptions, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._writer = Worker(options.path, making.connector(options, writes=True), begin="BEGIN IMMEDIATE")
        self._reader = Worker(options.path, making.connector(options, writes=False), begin="BEGIN")
        self._compared = Compared(self._kept_keys)

    async def open(self) -> None:
        """Open the file, and make it where it is not there; the reader comes second and finds it complete."""
        for worker in (self._writer, self._reader):
            worker.start()
            await worker.do(lambda _connection: None)

    async def close(self) -> None:
        """Finish what was asked; the last connection leaves the file without its log."""
        await self._reader.stop()
        await self._writer.stop()

    async def ensure_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Each in a transaction of its own."""
        for table in tables:
            await self._writer.do(making.ensure_table, tenant, table)

    async def _kept_keys(self, tenant: str, table: Table) -> str | None:
        return await self._reader.do(reading.kept_keys, tenant, table)

    async def drop_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Each in a transaction of its own."""
        for table in tables:
            self._compared.forget(tenant, table)
            await self._writer.do(making.drop_table, tenant, table)

    async def get(
        self, tenant: str, table: Table, key: Item, *, consistent: bool = False, projection: ProjectionExpression | None = None
    ) -> Item | None:
        """Sees every write that was answered before."""
        if self._compared.keys.get((tenant, table.name)) is not table.keys:
            await self._compared.look(tenant, table)
        return await self._reader.do(reading.get, tenant, table, key, projection)

    async def write(self, tenant: str, write: Write) -> Item | None:
        """Read, decide and store, in one transaction with whatever else waits to be written."""
        if self._compared.keys.get((tenant, write.table.name)) is not write.table.keys:
            await self._compared.look(tenant, write.table)
        return await self._writer.do(writing.write, tenant, write)

    async def query(self, tenant: str, query: Query) -> Slice:
        """One page."""
        if self._compared.keys.get((tenant, query.table.name)) is not query.table.keys:
            await self._compared.look(tenant, query.table)
        return await self._reader.do(reading.page, tenant, query)

    async def explain(self, tenant: str, query: Query) -> Statement:
        """The SQL, and what of the filter it cannot say."""
        chosen = reading.query_plan(query)
        text, _ = reading.statement(tenant, query, chosen)
        return told(query, chosen, text)

    async def batch_get(
        self,
        tenant: str,
        table: Table,
        keys: Sequence[Item],
        *,
        consistent: bool = False,
        projection: ProjectionExpression | None = None,
    ) -> Got:
        """All of them in one snapshot."""
        if self._compared.keys.get((tenant, table.name)) is not table.keys:
            await self._compared.look(tenant, table)
        return await self._reader.do(reading.batch_get, tenant, table, keys, projection)

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """All of them in one transaction."""
        if self._compared.keys.get((tenant, table.name)) is not table.keys:
            await self._compared.look(tenant, table)
        await self._writer.do(writing.batch, tenant, table, writes)
        return ()

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        """All decisions first, then all of them stored."""
        for one in transaction.operations:
            await self._compared.look(tenant, one.table)
        await self._writer.do(writing.transact, tenant, transaction, self.clock())

    async def expire(self, tenant: str, table: Table, now: int) -> int:
        """Remove what has expired."""
        if self._compared.keys.get((tenant, table.name)) is not table.keys:
            await self._compared.look(tenant, table)
        return await self._writer.do(writing.expire, tenant, table, now)


def open_driver(url: str, *, credentials: Mapping[str, str] | None = None) -> SQLiteDriver:
    """``sqlite:///file``. Raises ``InputError`` for a URL that names no file or has an unknown option."""
    if credentials:
        raise InputError("a SQLite file needs no credentials", hint="remove them")
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if not url.startswith("sqlite:///") or parts.fragment or not path or path == ":memory:" or "\0" in path:
        raise InputError(
            f"{url} names no file", hint="sqlite:///file.db, or sqlite:////folder/file.db; memory:// keeps nothing"
        )
    return SQLiteDriver(_file_options(path, dict(parse_qsl(parts.query, keep_blank_values=True))))


def _file_options(path: str, given: dict[str, str]) -> FileOptions:
    synchronous = given.pop("synchronous", "full").upper()
    if synchronous not in {"FULL", "NORMAL"}:
        raise InputError(f"synchronous is {synchronous.lower()!r}", hint="full or normal")
    try:
        busy = float(given.pop("busy_seconds", "5"))
        if not 0 <= busy < math.inf:
            raise ValueError(busy)
    except ValueError as error:
        raise InputError("busy_seconds is no number from 0", hint="such as busy_seconds=5") from error
    if given:
        raise InputError(f"a SQLite file has no option {', '.join(given)}", hint="synchronous and busy_seconds")
    return FileOptions(path=path, synchronous=synchronous, busy_seconds=busy)
