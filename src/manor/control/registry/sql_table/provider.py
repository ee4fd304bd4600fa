"""The source itself. Each method is a read-only transaction in a thread; so is the walk, which reads through a cursor: it sees
one moment and holds one page.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from manor.control.registry.provider import PAGE, Filters, TenantRegistryProvider
from manor.control.registry.search.filters import check_page, lets_through, search_of_filters, search_of_query
from manor.control.registry.search.predicate import Search
from manor.control.registry.sql_table.batch import TableReader
from manor.control.registry.sql_table.columns import BoundFields, bind_fields
from manor.control.registry.sql_table.condition import Compiled, compile_condition, equal_text, in_order
from manor.control.registry.sql_table.engine import SqlPlace, open_engine, reading
from manor.control.registry.sql_table.faults import find_fault
from manor.control.registry.sql_table.settings_table import SettingsTable
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import Code, ConflictError, EngineError, InputError, NotFoundError, Place
from manor.scan import suggest

_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
CONFIG_TABLE = "tenant_configs"


_AT_ONCE = 500
"""Tenants that one statement asks for: databases bound the number of parameters."""


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class TableNames:
    """Which tables and columns hold what; a name may have its schema before it (``crm.tenants``)."""

    tenant_table: str = "tenants"
    config_table: str | None = None
    """None: ``tenant_configs`` where there is one."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """By field of ``TenantInfo``."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """By field: the value where the column is not there or NULL."""
    config_columns: Mapping[str, str] = field(default_factory=dict)
    """By role: ``tenant_id``, ``config``, ``key``, ``value``."""


def _begun(work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    """In a thread."""
    return asyncio.ensure_future(asyncio.to_thread(work, *arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reflected:
    """What the database turned out to have."""

    table: sa.Table
    fields: BoundFields
    reader: TableReader
    settings: SettingsTable | None


class DatabaseTenantProvider(TenantRegistryProvider):
    """Tenants in a table. Nothing is contacted before the first method is called.

    Raises ``InputError`` for a URL that cannot be used and ``UnsupportedError`` where its driver is not installed; its methods
    raise also ``InputError`` for tables and columns that are not there, and ``EngineError`` for what the database says.
    """

    def __init__(self, place: SqlPlace, names: TableNames | None = None) -> None:
        self.name = place.source
        self._names = names or TableNames()
        self._engine: Engine = open_engine(place)
        self._dialect = self._engine.dialect.name
        self._reflected: _Reflected | None = None

    def __repr__(self) -> str:
        return f"<source {self.name}: table {self._names.tenant_table}, {self._dialect}>"

    # The port

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """One page, in the order of ids."""
        check_page(offset, limit)
        search = search_of_filters(filters)
        return await asyncio.to_thread(self._page, search, offset, limit)

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """Raises ``NotFoundError``, and ``ConflictError`` where two rows have the id."""
        return await asyncio.to_thread(self._one, tenant_id)

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """Raises ``NotFoundError``, and ``InputError`` with a place where its settings are none."""
        return await asyncio.to_thread(self._settings, tenant_id)

    async def get_tenant_configs(self, tenant_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """In few statements instead of one for each tenant."""
        return await asyncio.to_thread(self._all_settings, tenant_ids)

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """In the order of ids. Raises ``InputError`` with the position of what is refused."""
        search = search_of_query(query)
        return await asyncio.to_thread(lambda: [info for page in self._pages(search) for info in page])

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """Counted by the database where it can tell."""
        search = search_of_filters(filters)
        return await asyncio.to_thread(self._count, search)

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        """In the order of ids, as they are at one moment."""
        pages = self._pages(search_of_filters(filters))
        # Asking for the next page meanwhile would be slower: two threads of Python wait for each other.
        asked = _begun(next, pages, None)
        try:
            while page := await asyncio.shield(asked):
                for info in page:
                    yield info
                asked = _begun(next, pages, None)
        finally:
            # A walk that is cancelled does not end its thread.
            await asyncio.wait([asked])
            await asyncio.to_thread(pages.close)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._engine.dispose)

    # In a thread

    def _pages(self, search: Search | None) -> Generator[list[TenantInfo]]:
        """Pages that are not empty."""
        with self._reading() as (connection, found):
            compiled = self._compiled(found, search)
            wanted = None if compiled.exact else search
            statement = self._select(found, compiled).order_by(*in_order(found.fields["tenant_id"], self._dialect))
            result = connection.execute(statement, execution_options={"yield_per": PAGE})
            previous = ""
            with contextlib.closing(result):
                for rows in result.partitions():
                    page = found.reader.tenants(rows)
                    previous = self._refuse_twice(previous, page)
                    if wanted is not None:
                        page = [info for info in page if lets_through(wanted, info)]
                    if page:
                        yield page

    def _page(self, search: Search | None, offset: int, limit: int) -> list[TenantInfo]:
        with self._reading() as (connection, found):
            compiled = self._compiled(found, search)
            if compiled.exact:
                order = in_order(found.fields["tenant_id"], self._dialect)
                statement = self._select(found, compiled).order_by(*order).offset(offset).limit(limit)
                return found.reader.tenants(connection.execute(statement).fetchall())
        with contextlib.closing(self._pages(search)) as pages:
            return list(islice((info for page in pages for info in page), offset, offset + limit))

    def _count(self, search: Search | None) -> int:
        with self._reading() as (connection, found):
            compiled = self._compiled(found, search)
            if compiled.exact:
                statement = sa.select(sa.func.count()).select_from(found.table).where(compiled.condition)
                return int(connection.execute(statement).scalar_one())
        return sum(len(page) for page in self._pages(search))

    def _one(self, tenant_id: str) -> TenantInfo:
        with self._reading() as (connection, found):
            rows = connection.execute(self._of_tenant(found, tenant_id)).fetchall()
            if len(rows) > 1:
                raise self._twice(tenant_id)
            if not rows:
                raise NotFoundError(f"source {self.name} has no tenant {tenant_id!r}")
            return found.reader.tenants(rows)[0]

    def _settings(self, tenant_id: str) -> Mapping[str, Any]:
        self._one(tenant_id)
        with self._reading() as (connection, found):
            if found.settings is None:
                return {}
            column = found.settings.tenant_id
            text = sa.cast(column, sa.Text())
            rows = connection.execute(sa.select(found.settings.table).where(text == tenant_id)).mappings().all()
            return found.settings.settings([dict(row) for row in rows if str(row[column.name]) == tenant_id], tenant_id)

    def _all_settings(self, tenant_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        with self._reading() as (connection, found):
            self._require(connection, found, tenant_ids)
            if found.settings is None:
                return {tenant_id: {} for tenant_id in tenant_ids}
            column = found.settings.tenant_id
            rows: dict[str, list[dict[str, Any]]] = {tenant_id: [] for tenant_id in tenant_ids}
            for part in _parts(list(rows)):
                statement = sa.select(found.settings.table).where(sa.cast(column, sa.Text()).in_(part))
                for row in connection.execute(statement).mappings():
                    rows.get(str(row[column.name]), []).append(dict(row))  # in another case: another tenant's
            return {tenant_id: found.settings.settings(own, tenant_id) for tenant_id, own in rows.items()}

    def _require(self, connection: Connection, found: _Reflected, tenant_ids: Sequence[str]) -> None:
        column = found.fields["tenant_id"].expression
        for part in _parts(tenant_ids):
            there = {str(row[0]) for row in connection.execute(sa.select(column).where(sa.cast(column, sa.Text()).in_(part)))}
            missing = next((tenant_id for tenant_id in part if tenant_id not in there), None)
            if missing is not None:
                raise NotFoundError(f"source {self.name} has no tenant {missing!r}")

    # Statements

    def _select(self, found: _Reflected, compiled: Compiled) -> sa.Select[Any]:
        columns = [bound.read.label(name) for name, bound in found.fields.items() if bound.read is not None]
        return sa.select(*columns).select_from(found.table).where(compiled.condition)

    def _of_tenant(self, found: _Reflected, tenant_id: str) -> sa.Select[Any]:
        bound = found.fields["tenant_id"]
        conditions = [equal_text(bound, tenant_id, self._dialect)]
        if bound.column is not None and isinstance(bound.column.type, sa.Integer) and _WHOLE_NUMBER.fullmatch(tenant_id):
            conditions.append(bound.column == int(tenant_id))  # there is an index for this one
        return self._select(found, Compiled(condition=sa.and_(*conditions), exact=True)).limit(2)

    def _compiled(self, found: _Reflected, search: Search | None) -> Compiled:
        return compile_condition(search, found.fields, self._dialect)

    def _refuse_twice(self, previous: str, page: Sequence[TenantInfo]) -> str:
        """They are in order, so that two of one id stand side by side. Returns the last one's id."""
        ids = [info.tenant_id for info in page]
        for one, next_one in zip((previous, *ids), ids, strict=False):
            if one == next_one:
                raise self._twice(one)
        return ids[-1]

    def _twice(self, tenant_id: str) -> ConflictError:
        message = f"source {self.name} has the tenant {tenant_id!r} twice"
        return ConflictError(message, hint=f"make tenant_id unique in {self._names.tenant_table}")

    # What there is

    @contextlib.contextmanager
    def _reading(self) -> Iterator[tuple[Connection, _Reflected]]:
        try:
            with reading(self._engine, self.name) as connection:
                if self._reflected is None:
                    self._reflected = self._reflect(connection)
                yield connection, self._reflected
        except EngineError as error:
            if error.code is Code.CORRUPT and self._reflected is not None:
                raise self._placed(error, self._reflected) from error
            raise

    def _placed(self, error: EngineError, found: _Reflected) -> EngineError:
        """The same with the field and the tenant, where they can be told."""
        with reading(self._engine, self.name) as connection:
            order = in_order(found.fields["tenant_id"], self._dialect)
            fault = find_fault(connection, found.table, found.fields, order)
        if fault is None:
            return error
        whose = "" if fault.tenant_id is None else f" of tenant {fault.tenant_id[:128]!r}"
        said = error.message.partition(": ")[2]
        column = found.table.c.get(self._names.columns.get(fault.field, fault.field))
        return EngineError(
            f"source {self.name}: {fault.field}{whose}: {said}",
            code=Code.CORRUPT,
            place=Place(f"{self.name}: table {self._names.tenant_table}"),
            hint=f"correct the column {fault.field if column is None else column.name} there, or read another one: columns",
        )

    def _reflect(self, connection: Connection) -> _Reflected:
        names = self._names
        table = self._table(connection, names.tenant_table)
        fields = bind_fields(table, names.columns, names.defaults, self._dialect, source=self.name)
        read = [name for name, bound in fields.items() if bound.read is not None]
        reader = TableReader(read, names.defaults, where=f"{self.name}: table {names.tenant_table}")
        return _Reflected(table=table, fields=fields, reader=reader, settings=self._settings_table(connection))

    def _settings_table(self, connection: Connection) -> SettingsTable | None:
        names = self._names
        if names.config_table is None and not sa.inspect(connection).has_table(CONFIG_TABLE):
            return None
        name = names.config_table or CONFIG_TABLE
        where = f"{self.name}: table {name}"
        found = SettingsTable(table=self._table(connection, name), names=names.config_columns, where=where)
        found.check()
        return found

    def _table(self, connection: Connection, name: str) -> sa.Table:
        schema, _, plain = name.rpartition(".")
        try:
            return sa.Table(plain, sa.MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
        except sa.exc.NoSuchTableError:
            inspector = sa.inspect(connection)
            known = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
            hint = suggest(plain, known) or "the name may have its schema before it: crm.tenants"
            raise InputError(f"source {self.name}: there is no table {name!r}", hint=hint) from None
