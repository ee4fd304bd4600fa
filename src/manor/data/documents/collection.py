"""The portable type: one tenant's documents, on whatever driver. Checks, defaults, retries and paging live here, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from manor.data.documents import batches, paging
from manor.data.documents.binding import TenantBinding
from manor.data.documents.driver import Expiring, Update, Write
from manor.data.documents.explaining import Explanation, explanation
from manor.data.documents.faults import ExpressionError
from manor.data.documents.pages import Page
from manor.data.documents.query.change import is_idempotent
from manor.data.documents.query.expression import UpdateExpression
from manor.data.documents.query.project import project
from manor.data.documents.requests import Asked, delete_request, projection_request, put_request, query_request, update_request
from manor.data.documents.tables import Table, check_key
from manor.data.documents.transaction_requests import transaction_request
from manor.data.documents.values import Item, type_of
from manor.errors import InputError, RefusedError

T = TypeVar("T")


class DatabaseInterface(TenantBinding):
    """The documents of one tenant. Made by ``manor.data.connect``; used as ``async with connect(…) as db``.

    Keys and items are dicts; values are str, int, Decimal, bool, None, bytes, list, dict and non-empty sets of str, numbers or
    bytes (``docs/reference/documents.md``). Expressions are DynamoDB's. What is passed in is never changed or kept, what comes
    back is the caller's. Every method raises ``TenantMissing`` for a store without a tenant, ``TableMissing``, ``InputError``
    of some kind for what cannot be asked (before anything is sent), ``Throttled`` and ``UnreachableError`` after the last
    attempt, and ``OutcomeUnknown`` where a write may or may not have happened.
    """

    # Single items

    async def get_item(
        self,
        table_name: str,
        key: Mapping[str, Any],
        consistent_read: bool = False,
        *,
        projection_expression: str | None = None,
        expression_names: Mapping[str, str] | None = None,
    ) -> Item | None:
        """The item of this key, or None."""
        tenant, table = self.tenant_id, self.table(table_name)
        checked = check_key(table, key)
        projection = projection_request(projection_expression, expression_names)
        here = table.ttl_attribute is not None
        sent = None if here else projection
        item = await self._call(
            lambda: self.driver.get(tenant, table, checked, consistent=consistent_read, projection=sent), repeatable=True
        )
        if item is None or not here:
            return item
        if self._is_expired(table, item):
            return None
        return project(projection.node.paths, item) if projection else item

    async def put_item(
        self,
        table_name: str,
        item: Mapping[str, Any],
        condition_expression: str | None = None,
        *,
        expression_values: Mapping[str, Any] | None = None,
        expression_names: Mapping[str, str] | None = None,
        return_values: str = "NONE",
    ) -> Item | None:
        """Store the item, replacing the one of the same key. Answers with that one for ``ALL_OLD``, else with None.

        Raises ``ConditionFailed`` with the item that was there.
        """
        tenant, table = self.tenant_id, self.table(table_name)
        return await self._write(
            tenant, put_request(table, item, condition_expression, expression_values, expression_names, return_values)
        )

    async def update_item(
        self,
        table_name: str,
        key: Mapping[str, Any],
        update_expression: str | None,
        expression_values: Mapping[str, Any] | None = None,
        condition_expression: str | None = None,
        *,
        expression_names: Mapping[str, str] | None = None,
        return_values: str = "ALL_NEW",
    ) -> Item:
        """Change the item, making it if it is not there. Answers with the item as it is now, or what ``return_values`` says
        (``NONE``, ``ALL_OLD``, ``ALL_NEW``, ``UPDATED_OLD``, ``UPDATED_NEW``); ``{}`` where that is nothing.

        Raises ``ConditionFailed`` with the item that was there, ``UpdateRefused`` where the update cannot be applied to it.
        """
        tenant, table = self.tenant_id, self.table(table_name)
        write = update_request(
            table, key, update_expression, condition_expression, expression_values, expression_names, return_values
        )
        return await self._write(tenant, write) or {}

    async def delete_item(
        self,
        table_name: str,
        key: Mapping[str, Any],
        condition_expression: str | None = None,
        *,
        expression_values: Mapping[str, Any] | None = None,
        expression_names: Mapping[str, str] | None = None,
        return_values: str = "NONE",
    ) -> Item | None:
        """Remove the item; one that is not there is not missed. Answers as ``put_item`` does. Raises ``ConditionFailed``."""
        tenant, table = self.tenant_id, self.table(table_name)
        return await self._write(
            tenant, delete_request(table, key, condition_expression, expression_values, expression_names, return_values)
        )

    async def _write(self, tenant: str, write: Write) -> Item | None:
        return await self._call(lambda: self.driver.write(tenant, write), repeatable=is_repeatable(write))

    # Pages

    async def query(
        self,
        table_name: str,
        key_condition: str,
        expression_values: Mapping[str, Any] | None = None,
        index_name: str | None = None,
        limit: int | None = None,
        scan_forward: bool = True,
        projection_expression: str | None = None,
        *,
        filter_expression: str | None = None,
        expression_names: Mapping[str, str] | None = None,
        consistent_read: bool = False,
        cursor: str | None = None,
        examine: int | None = None,
    ) -> Page:
        """Items of one partition in the order of the sort key, backwards unless ``scan_forward``.

        ``limit`` counts items that are returned, after the filter: a page has that many unless the partition ends. Without it a
        page has at most 1000, and ``page.cursor`` goes on. ``examine`` bounds the items that are read, whatever matches.
        """
        if key_condition is None:
            raise ExpressionError("key_condition is a str, not NoneType", hint="scan() reads without one")
        asked = Asked(
            filter_expression=filter_expression,
            expression_values=expression_values,
            expression_names=expression_names,
            projection_expression=projection_expression,
            limit=limit,
            examine=examine,
            consistent_read=consistent_read,
        )
        return await self._page(table_name, asked, key_condition, index_name, scan_forward, cursor)

    async def scan(
        self,
        table_name: str,
        filter_expression: str | None = None,
        expression_values: Mapping[str, Any] | None = None,
        limit: int | None = None,
        projection_expression: str | None = None,
        *,
        expression_names: Mapping[str, str] | None = None,
        index_name: str | None = None,
        consistent_read: bool = False,
        cursor: str | None = None,
        examine: int | None = None,
        allow_scan: bool = False,
    ) -> Page:
        """Items of the whole table, in no particular order; see ``query``.

        Reads everything there is, so it must be allowed: here, by the table (``allow_scans``) or for the store
        (``connect(…, allow_scans=True)``). Raises ``RefusedError`` otherwise.
        """
        self._check_scan(table_name, allow_scan)
        asked = Asked(
            filter_expression=filter_expression,
            expression_values=expression_values,
            expression_names=expression_names,
            projection_expression=projection_expression,
            limit=limit,
            examine=examine,
            consistent_read=consistent_read,
        )
        return await self._page(table_name, asked, None, index_name, True, cursor)

    def query_all(self, table_name: str, key_condition: str, *args: Any, **parameters: Any) -> AsyncIterator[Item]:
        """All items of ``query`` with these parameters, page by page; ``limit`` is the size of a page."""
        return paging.every_item(partial(self.query, table_name, key_condition, *args, **parameters))

    def scan_all(self, table_name: str, *args: Any, **parameters: Any) -> AsyncIterator[Item]:
        """All items of ``scan`` with these parameters, page by page; ``limit`` is the size of a page."""
        return paging.every_item(partial(self.scan, table_name, *args, **parameters))

    async def explain(
        self,
        table_name: str,
        key_condition: str | None = None,
        expression_values: Mapping[str, Any] | None = None,
        index_name: str | None = None,
        *,
        filter_expression: str | None = None,
        expression_names: Mapping[str, str] | None = None,
        projection_expression: str | None = None,
        scan_forward: bool = True,
    ) -> Explanation:
        """What ``query`` (or ``scan``, without a key condition) would send, what it would read, and why.

        Nothing is read, and a scan need not be allowed.
        """
        tenant, table = self.tenant_id, self.table(table_name)
        asked = Asked(
            filter_expression=filter_expression,
            expression_values=expression_values,
            expression_names=expression_names,
            projection_expression=projection_expression,
        )
        query = query_request(
            table, asked, key_condition=key_condition, index_name=index_name, forward=scan_forward, now=self.options.now()
        )
        statement = await self._call(lambda: self.driver.explain(tenant, query), repeatable=True)
        return explanation(self.driver.name, query, statement)

    async def _page(
        self,
        table_name: str,
        asked: Asked,
        key_condition: str | None,
        index_name: str | None,
        forward: bool,
        cursor: str | None,
    ) -> Page:
        tenant, table = self.tenant_id, self.table(table_name)
        query = query_request(
            table, asked, key_condition=key_condition, index_name=index_name, forward=forward, now=self.options.now()
        )
        query = paging.continued(self.options.cursor_key, tenant, query, cursor)
        found = await paging.filled(
            query,
            lambda part: self._call(lambda: self.driver.query(tenant, part), repeatable=True),
            fill=asked.limit is not None,
        )
        return paging.page_of(self.options.cursor_key, tenant, replace(query, start=None), found)

    def _check_scan(self, table_name: str, allowed: bool) -> None:
        if not (allowed or self.options.allow_scans or self.table(table_name).allow_scans):
            raise RefusedError(
                f"a scan reads every item of table {table_name}",
                hint="query() an index instead; or allow it: allow_scan=True here, allow_scans=True of table or connect()",
            )

    # Batches and transactions

    async def batch_write(
        self, table_name: str, items: Sequence[Mapping[str, Any]] = (), *, deletes: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Store all items and remove all keys, any number of them, without conditions, and not as one: half of it can be seen.

        Raises ``InputError`` for two of one key, before anything is sent; ``BatchIncomplete`` with the keys that are left.
        """
        tenant, table = self.tenant_id, self.table(table_name)
        writes = batches.writes_of(table, items, deletes)
        await batches.write_all(self.driver, self._call, self.options.retries, tenant, table, writes)

    async def batch_get(
        self,
        table_name: str,
        keys: Sequence[Mapping[str, Any]],
        *,
        consistent_read: bool = False,
        projection_expression: str | None = None,
        expression_names: Mapping[str, str] | None = None,
    ) -> list[Item]:
        """The items of these keys that there are, in the order of the keys, any number of them.

        Raises ``InputError`` for a key that stands twice, ``BatchIncomplete`` with the keys that are left.
        """
        tenant, table = self.tenant_id, self.table(table_name)
        checked = batches.keys_of(table, keys)
        projection = projection_request(projection_expression, expression_names)
        items = await batches.get_all(
            self.driver, self._call, self.options.retries, tenant, table, checked, consistent=consistent_read
        )
        alive = [item for item in items if not self._is_expired(table, item)]
        return [project(projection.node.paths, item) for item in alive] if projection else alive

    async def transaction_write(self, transactions: Sequence[Mapping[str, Any]], *, token: str | None = None) -> None:
        """Do all of at most 100 operations, or none. Each is a dict with ``type`` (``Put``, ``Update``, ``Delete`` or
        ``ConditionCheck``), ``table``, ``item`` or ``key``, and ``update_expression``, ``condition_expression``,
        ``expression_values``, ``expression_names`` where they apply.

        ``token`` makes it safe to send again within ten minutes, from any process; without one this call makes its own. Raises
        ``TransactionCancelled`` with a reason for each operation, ``TokenReused``.
        """
        tenant = self.tenant_id
        if not transactions:
            return
        request = transaction_request(self.table, transactions, self.options.make_token() if token is None else token)
        allowed = self.driver.limits.transaction_items
        if len(request.operations) > allowed:
            raise InputError(f"a transaction has {len(request.operations)} operations, {allowed} are allowed")
        await self._call(lambda: self.driver.transact(tenant, request), repeatable=True)

    # Expiry

    async def expire(self, table_name: str) -> int:
        """Remove expired items where the backend does not do that by itself; how many. Reads never show them in any case."""
        tenant, table = self.tenant_id, self.table(table_name)
        driver = self.driver
        if table.ttl_attribute is None or not isinstance(driver, Expiring):
            return 0
        return await self._call(lambda: driver.expire(tenant, table, self.options.now()), repeatable=True)

    def _is_expired(self, table: Table, item: Item) -> bool:
        if table.ttl_attribute is None:
            return False
        moment = item.get(table.ttl_attribute)
        return moment is not None and type_of(moment) == "N" and bool(moment <= self.options.now())


def is_repeatable(write: Write) -> bool:
    """Whether the write, done twice, leaves and answers what it does once."""
    if write.condition is not None or write.returns not in {"NONE", "ALL_NEW"}:
        return False
    return not isinstance(write, Update) or write.update is None or write.update.compiled(_is_idempotent)


def _is_idempotent(expression: UpdateExpression) -> bool:
    return is_idempotent(expression.node)
