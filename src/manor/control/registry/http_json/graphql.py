"""Tenants behind a GraphQL API: the user's query, whose list is a Relay connection.

``errors`` in an answer are errors whatever its status and whatever ``data`` there is beside them: part of a list is no list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from manor.api_shapes import GraphqlSource
from manor.control.registry.http_json.answers import Rejected
from manor.control.registry.http_json.client import ApiClient, Patience, Request
from manor.control.registry.http_json.expressions import Expression, expression_of
from manor.control.registry.http_json.paged import PagedProvider, record_list, settings_of, whole_number
from manor.control.registry.http_json.paging import ByFollowing, Page, Step, counts_the_page
from manor.control.registry.http_json.records import Records
from manor.control.registry.http_json.walk import Walk
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import Code, InputError, ManorError, Place, UnreachableError
from manor.telemetry import Telemetry

LARGEST_QUERY_BYTES = 256 * 1024
_PASSING = frozenset({"THROTTLED", "RATE_LIMITED", "TIMEOUT", "SERVICE_UNAVAILABLE", "INTERNAL_SERVER_ERROR"})
"""``extensions.code`` of errors that another try may change."""
_NOT_PART_OF_IT = re.compile(r'"""(?:.|\n)*?"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*')
_WRITES = re.compile(r"(?:^|\})\s*(mutation|subscription)\b")
_SHOWN_CHARACTERS = 200


class GraphQLTenantProvider(PagedProvider):
    """A GraphQL API over HTTP POST. Settings: ``manor.api_shapes.GraphqlSource``."""

    rows_have_numbers = False

    def __init__(
        self,
        config: GraphqlSource,
        *,
        source: str = "graphql",
        folder: Path = Path(),
        telemetry: Telemetry | None = None,
        patience: Patience | None = None,
    ) -> None:
        """``source`` is its name for messages, ``folder`` what paths are relative to. Reads the queries, asks nothing yet.

        Raises ``InputError`` for a setting or a query that cannot be used, ``RefusedError`` for a secret in the clear.
        """
        super().__init__(config, ApiClient(config, folder=folder, patience=patience), source=source, telemetry=telemetry)
        self._config = config
        self._pager = ByFollowing(size=config.size, looks_back=False, named="connection")
        self._query = read_query(folder, config.query_file)
        self._tenant_query = read_query(folder, config.tenant_query_file) if config.tenant_query_file is not None else None
        self._connection = Expression(config.connection, "connection")
        self._total = expression_of(config.total, "total")
        self._tenant = Expression(config.tenant, "tenant")
        self._settings = expression_of(config.config, "config")
        self._records = Records(config.fields, found_by="connection")
        self._variables = {name: _json_value(value) for name, value in config.variables.items()}

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """By its own query, or looked for in the list."""
        if self._tenant_query is None:
            return await self._looked_for(tenant_id)
        record = await self._record(self._tenant_query, tenant_id)
        info = self._records.tenant(record, self._client.base_url)
        if info.tenant_id != tenant_id:
            raise self._unknown(tenant_id)
        return info

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """Out of the tenant's record."""
        if self._settings is None:
            await self.get_tenant(tenant_id)
            return {}
        self._check_id(tenant_id)
        record = await (self._record(self._tenant_query, tenant_id) if self._tenant_query else self._raw(tenant_id))
        if self._records.id_of(record) != tenant_id:
            raise self._unknown(tenant_id)
        return settings_of(self._settings.find(record), self._client.base_url, "config")

    async def _record(self, query: str, tenant_id: str) -> Any:
        self._check_id(tenant_id)
        data = await self._data(query, {self._config.tenant_variable: tenant_id})
        record = self._tenant.find(data)
        if record is None:
            raise self._unknown(tenant_id)
        return record

    async def _raw(self, tenant_id: str) -> Any:
        """The record of one tenant out of the list, which is walked for it."""
        step: Step | None = self._pager.begin(0)
        seen: set[int | str | None] = set()
        while step is not None and step.position not in seen:
            seen.add(step.position)
            page = await self._page(step, {})
            found = next((item for item in page.items if self._records.id_of(item) == tenant_id), None)
            if found is not None:
                return found
            step = self._pager.after(step, page, 0)
        raise self._unknown(tenant_id)

    def _walk(self, parameters: Mapping[str, str]) -> Walk:
        async def fetch(step: Step) -> Page:
            return await self._page(step, parameters)

        return Walk(fetch, self._pager, self._records, self._client.base_url)

    async def _page(self, step: Step, parameters: Mapping[str, str]) -> Page:
        cursor = {} if step.position is None else {self._config.cursor_variable: step.position}
        variables = {**self._variables, **parameters, self._config.size_variable: step.size, **cursor}
        return self._read(self._connection.find(await self._data(self._query, variables)))

    def _read(self, connection: Any) -> Page:
        url = self._client.base_url
        info = connection.get("pageInfo") if isinstance(connection, Mapping) else None
        more = info.get("hasNextPage") if isinstance(info, Mapping) else None
        if not isinstance(info, Mapping) or not isinstance(more, bool):
            raise ManorError(
                f"{url} answers without a Relay connection with pageInfo {{ hasNextPage endCursor }}",
                code=Code.CORRUPT,
                hint="is connection right, and does the query ask for pageInfo?",
            )
        cursor = info.get("endCursor")
        total = None if self._total is None else whole_number(self._total.find(connection), url, "total")
        following = cursor if isinstance(cursor, str) and cursor else None
        return Page(items=_nodes(connection, url), total=total, more=more, following=following, following_told=True)

    async def _told_count(self) -> int | None:
        if self._total is None:
            return None
        page = await self._page(self._pager.begin(0), {})
        return None if counts_the_page(page) else page.total

    async def _data(self, query: str, variables: Mapping[str, Any]) -> Any:
        body = {"query": query, "variables": dict(variables)}
        answer = await self._client.ask(Request(path=self._client.base_url, json=body, check=self._error))
        data = answer.value.get("data") if isinstance(answer.value, Mapping) else None
        if not isinstance(data, Mapping):
            raise ManorError(
                f"{self._client.base_url} answers without data", code=Code.CORRUPT, hint="is it a GraphQL endpoint?"
            )
        return data

    def _error(self, value: Any) -> ManorError | None:
        return error_of(value, self._client.base_url)


def open_graphql(
    config: GraphqlSource, *, source: str = "graphql", folder: Path = Path(), telemetry: Telemetry | None = None
) -> GraphQLTenantProvider:
    """The source that ``config`` describes; it is asked nothing before its first method. Close it with ``aclose``.

    Raises ``InputError``, ``RefusedError`` for settings or queries that cannot be used.
    """
    return GraphQLTenantProvider(config, source=source, folder=folder, telemetry=telemetry)


def read_query(folder: Path, name: str) -> str:
    """The text of a query. Raises ``InputError`` with its place where it cannot be read, or would write."""
    try:
        body = (folder / name).read_bytes()
        text = body.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the query: {error.strerror}", place=Place(name)) from None
    except UnicodeDecodeError as error:
        raise InputError(f"the query is not UTF-8 (byte {error.start})", place=Place(name), hint="save it as UTF-8") from None
    plain = _NOT_PART_OF_IT.sub(" ", text)
    if len(body) > LARGEST_QUERY_BYTES or not plain.strip():
        raise InputError("the query is too large or empty", place=Place(name))
    written = _WRITES.search(plain)
    if written is not None:
        raise InputError(f"the file holds a {written[1]}; a source is only read", place=Place(name), hint="write a query")
    return text


def error_of(value: Any, url: str) -> ManorError | None:
    """The error that an answer of GraphQL tells, transient where another try may change it; None where there is none."""
    errors = value.get("errors") if isinstance(value, Mapping) else None
    if not errors:
        return None
    first = errors[0] if isinstance(errors, list) and isinstance(errors[0], Mapping) else {}
    extensions = first.get("extensions")
    code = extensions.get("code") if isinstance(extensions, Mapping) else None
    said = " ".join(str(first.get("message", "without a message")).split())[:_SHOWN_CHARACTERS]
    message = f"{url} answers with an error: {said}" + (f" ({code})" if isinstance(code, str) else "")
    if code == "UNAUTHENTICATED":
        return Rejected(message, hint="check auth_token or auth, and that it has not expired")
    if code == "FORBIDDEN":
        return ManorError(message, code=Code.DENIED, hint="whoever runs the API must let this login read tenants")
    if code in _PASSING:
        return UnreachableError(message, transient=True)
    return InputError(message, hint="check the query and its variables")


def _nodes(connection: Mapping[str, Any], url: str) -> Any:
    nodes = record_list(connection["nodes"], url, "connection") if "nodes" in connection else None
    if nodes is not None and "edges" not in connection:
        return nodes
    edges = record_list(connection.get("edges"), url, "connection")
    if nodes is not None and len(nodes) != len(edges):
        raise ManorError(
            f"{url} answers with {len(nodes)} nodes beside {len(edges)} edges",
            code=Code.CORRUPT,
            hint="whoever runs the API can tell; ask for one of the two only",
        )
    return nodes if nodes is not None else [edge.get("node") if isinstance(edge, Mapping) else edge for edge in edges]


def _json_value(value: Any) -> Any:
    """YAML's numbers are exact; JSON's are whole or fractions."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    return [_json_value(item) for item in value] if isinstance(value, list) else value
