"""The SDK's client, and the rule that a write is sent once.

azure-core takes a connection that broke after a request was sent for one that could not be made, and azure-cosmos then sends
the write again. So the transport here decides: a write of an item that nobody answered leaves the SDK as ``Unanswered``, which
none of its retries knows; one that certainly did not arrive, and all reads, are left to the SDK, which tries other regions.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientConnectorError, ClientSession, DummyCookieJar, TCPConnector
from azure.core.exceptions import ServiceRequestError, ServiceRequestTimeoutError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import CosmosClient

from manor.data.documents.closing import Requests, not_open
from manor.errors import InputError, UnsupportedError

ANSWERED_ELSEWHERE = frozenset({408, 500, 502, 503, 504})
"""Statuses of a write of which nobody knows whether it was done."""

PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")


class Unanswered(Exception):
    """A write was sent and no answer came. Not an ``AzureError``, so that the SDK does not send it again."""


class Refused(Exception):
    """The server asks to come again later: 429 for too much, 449 for a conflict. Nothing was done."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Transport(AioHttpTransport):  # type: ignore[misc]
    """aiohttp, without a second try for writes of items, and for as long as the store is open."""

    def __init__(self, session: ClientSession, requests: Requests) -> None:
        super().__init__(session=session)
        self._requests = requests

    async def send(self, request: Any, **options: Any) -> Any:
        """See ``AioHttpTransport.send``. Raises ``UnreachableError`` where the store is closed, and nothing is sent."""
        try:
            with self._requests:
                return await self._send(request, **options)
        except (asyncio.CancelledError, RuntimeError, ValueError) as error:
            if not self._requests.broke(error):
                raise
            raise (Unanswered() if _writes_items(request) else not_open("is closed")) from error

    async def _send(self, request: Any, **options: Any) -> Any:
        if not _writes_items(request):
            return await super().send(request, **options)
        try:
            response = await super().send(request, **options)
        except ServiceResponseError as error:
            raise Unanswered from error
        except ServiceRequestError as error:
            if isinstance(error, ServiceRequestTimeoutError) or isinstance(error.inner_exception, ClientConnectorError):
                raise
            raise Unanswered from error
        if response.status_code in ANSWERED_ELSEWHERE:
            raise Unanswered
        if response.status_code in {429, 449}:
            raise Refused(response.status_code)
        return response


def _writes_items(request: Any) -> bool:
    if request.method == "GET" or "/docs" not in request.url:
        return False
    return "x-ms-documentdb-isquery" not in request.headers and "x-ms-cosmos-is-query-plan-request" not in request.headers


def make_client(endpoint: str, credentials: Mapping[str, str] | None, requests: Requests, *, connections: int) -> CosmosClient:
    """A client that has contacted nobody; its requests are ``requests``. Raises ``InputError`` and ``UnsupportedError`` for
    credentials."""
    credential = _credential(credentials)
    # asked once: aiohttp would look for proxies and a .netrc at each request, which is a third of what a read costs
    proxied = any(os.environ.get(name) for name in PROXIES)
    session = ClientSession(connector=TCPConnector(limit=connections), cookie_jar=DummyCookieJar(), trust_env=proxied)
    return CosmosClient(endpoint, credential=credential, transport=Transport(session, requests))


def _credential(credentials: Mapping[str, str] | None) -> Any:
    """A key, or what azure-identity makes of an application's login or finds by itself."""
    given = dict(credentials or {})
    key = given.pop("key", None) or (None if credentials else os.environ.get("AZURE_COSMOS_KEY"))
    if key is not None and not given:
        return key
    names = {"tenant_id", "client_id", "client_secret"}
    if given and given.keys() != names:
        raise InputError(
            f"the credentials for Cosmos DB have {', '.join(sorted(credentials or {}))}",
            hint="either key, or tenant_id, client_id and client_secret of an application",
        )
    return _identity(given)


def _identity(login: dict[str, str]) -> Any:
    try:
        from azure.identity import aio as identity  # type: ignore[import-untyped]
    except ImportError as error:
        raise UnsupportedError(
            "no key for Cosmos DB was given, and azure-identity, which finds other credentials, is not installed",
            hint="credentials={'key': …}, the variable AZURE_COSMOS_KEY, or pip install azure-identity",
        ) from error
    return identity.ClientSecretCredential(**login) if login else identity.DefaultAzureCredential()
