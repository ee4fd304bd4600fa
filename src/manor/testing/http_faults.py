"""An HTTP proxy between a client and a server, for tests: what becomes of each request is decided by a function.

A handler gets the request and ``forward``, and answers: with what ``forward(request)`` brought, with an ``Answer`` of its own,
with None to close the connection without a word, or by raising ``Reset`` to break it. It may forward twice, or another body.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import aiohttp

_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "host", "date", "server"}


class Reset(Exception):
    """Break the connection: the client sees "connection reset by peer"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the client sent. ``number`` counts the requests of the proxy from 1; names of headers are in lower case."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """``PutItem``, for protocols that have it in a header."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def with_json(self, body: Any) -> Request:
        """The same request with another body. Its signature is not made anew; emulators do not look."""
        return replace(self, body=json.dumps(body).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the client gets."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/x-amz-json-1.0"})

    @classmethod
    def failure(cls, name: str, status: int = 400, **more: Any) -> Answer:
        """An error as AWS tells it in JSON."""
        body = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "as the test wants it", **more}
        return cls(status=status, body=json.dumps(body).encode())

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def with_json(self, body: Any) -> Answer:
        """The same answer with another body."""
        headers = {name: value for name, value in self.headers.items() if name != "x-amz-crc32"}
        return replace(self, body=json.dumps(body).encode(), headers=headers)


Forward: TypeAlias = Callable[[Request], Awaitable[Answer]]
Handler: TypeAlias = Callable[[Request, Forward], Awaitable[Answer | None]]


async def passing(request: Request, forward: Forward) -> Answer:
    """No fault at all."""
    return await forward(request)


class FaultyProxy:
    """Listens on a port of the loopback; ``handler`` may be changed at any time. ``requests`` and ``forwarded`` are what came
    in, and what the server behind it got (with its answers)."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.handler: Handler = passing
        self.requests: list[Request] = []
        self.forwarded: list[tuple[Request, Answer]] = []
        self.port = 0

    def operations(self) -> list[str]:
        """The operations that came in, in order."""
        return [request.operation for request in self.requests]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FaultyProxy]:
        """Until the end of the block."""
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._tasks: set[asyncio.Task[Any]] = set()
            try:
                yield self
            finally:
                server.close()
                for task in list(self._tasks):
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in a task
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._answer(reader, writer):
                    pass
        except Reset:
            _break(writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await self._read(reader)
        self.requests.append(request)
        answer = await self.handler(request, self._forward)
        if answer is None:
            return False
        headers = {**answer.headers, "content-length": str(len(answer.body))}
        lines = [f"HTTP/1.1 {answer.status} Answer", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + answer.body)
        await writer.drain()
        return True

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(number=len(self.requests) + 1, method=method, path=path, headers=headers, body=body)

    async def _forward(self, request: Request) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        sent = self._session.request(request.method, self.upstream + request.path, headers=headers, data=request.body)
        async with sent as response:
            kept = {name.lower(): value for name, value in response.headers.items() if name.lower() not in _HOP}
            answer = Answer(status=response.status, body=await response.read(), headers=kept)
        self.forwarded.append((request, answer))
        return answer


def _break(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    endpoint: socket.socket = writer.get_extra_info("socket")
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
