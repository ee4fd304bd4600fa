"""The endpoint as an HTTP server on a loopback address. Signatures are not checked: whoever reaches it is its user.

A web page of another origin cannot use it: the headers that are needed make a browser ask first, and it is not answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
import secrets
import zlib
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from manor.data.opening import open_driver
from manor.errors import InputError, ManorError, UnreachableError
from manor.testing.dynamodb_endpoint.describing import Place
from manor.testing.dynamodb_endpoint.dispatch import Service
from manor.testing.dynamodb_endpoint.faults import WireError
from manor.testing.dynamodb_endpoint.store import Definitions, WireStore

TARGET = "DynamoDB_20120810."
CONTENT_TYPE = "application/x-amz-json-1.0"
EXPIRY_SECONDS = 60
REQUEST_BYTES = 17 * 1024 * 1024
_REGION = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/")


class DynamoDBEndpoint:
    """Serves the tables of one tenant of one store.

    ``async with DynamoDBEndpoint("memory://", tenant="demo") as endpoint`` has ``endpoint.url``. ``store`` is a URL of
    ``manor.data.connect``. ``port`` 0 is any free one. ``resettable`` lets ``POST /moto-api/reset`` drop every table that was
    made through it: for test suites that expect that. Raises ``InputError`` for a host that is not of this machine alone,
    ``UnreachableError`` where the port is taken.
    """

    def __init__(
        self, store: str, *, tenant: str, host: str = "127.0.0.1", port: int = 0, resettable: bool = False, **options: Any
    ) -> None:
        self.host = _loopback(host)
        self.port = port
        self.resettable = resettable
        self.definitions = Definitions(WireStore(open_driver(store, **options), tenant=tenant))
        self.service = Service(self.definitions)
        self._runner: web.AppRunner | None = None
        self._expiring: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """What clients call ``endpoint_url``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def open(self) -> Self:
        """Open the store and listen."""
        await self.definitions.store.open()
        try:
            await self.definitions.open()
            await self._listen()
            self._expiring = asyncio.create_task(self._expire())
        except BaseException:
            await self.close()
            raise
        return self

    async def _listen(self) -> None:
        app = web.Application(client_max_size=REQUEST_BYTES)
        app.router.add_post("/", self._answer)
        app.router.add_get("/", self._health)
        app.router.add_post("/moto-api/reset", self._reset)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        try:
            await site.start()
        except OSError as error:
            raise UnreachableError(f"{self.url} cannot be listened on: {error.strerror}", hint="another --port") from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening, and close the store."""
        if self._expiring is not None:
            self._expiring.cancel()
            await asyncio.wait([self._expiring])
        if self._runner is not None:
            await self._runner.cleanup()
        await self.definitions.store.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _expire(self) -> None:
        """Within a minute, where the service takes days. A store that is away for a while is asked again."""
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            with contextlib.suppress(ManorError):
                await self.definitions.expire()

    # Requests

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text=f"healthy: {request.host} ")

    async def _reset(self, _: web.Request) -> web.Response:
        if not self.resettable:
            raise web.HTTPNotFound
        await self.definitions.clear()
        return web.json_response({"status": "ok"})

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            operation, asked = await _read(request)
            answer = await self.service.answer(operation, asked, _place(request))
        except WireError as error:
            return _response(error.body(), error.status)
        return _response(answer, 200)


async def _read(request: web.Request) -> tuple[str, dict[str, Any]]:
    target = request.headers.get("X-Amz-Target", "")
    if not target.startswith(TARGET):
        raise WireError("UnknownOperationException", "")
    if "Authorization" not in request.headers:
        raise WireError("MissingAuthenticationTokenException", "Request is missing Authentication Token")
    try:
        asked = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError) as error:
        raise WireError("SerializationException", "the request is not JSON") from error
    if not isinstance(asked, dict):
        raise WireError("SerializationException", "the request is not a JSON object")
    return target.removeprefix(TARGET), asked


def _place(request: web.Request) -> Place:
    found = _REGION.search(request.headers.get("Authorization", ""))
    return Place(region=found[1]) if found else Place()


def _response(document: dict[str, Any], status: int) -> web.Response:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    headers = {"x-amzn-RequestId": secrets.token_hex(26).upper(), "x-amz-crc32": str(zlib.crc32(body))}
    return web.Response(body=body, status=status, content_type=CONTENT_TYPE, headers=headers)


def _loopback(host: str) -> str:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise InputError(f"{host!r} is no address", hint="127.0.0.1 or ::1") from error
    if not address.is_loopback:
        raise InputError(f"{host} can be reached from other machines, and nothing here asks who calls", hint="127.0.0.1 or ::1")
    return str(address)
