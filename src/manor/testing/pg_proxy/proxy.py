"""The proxy itself: a thread with an event loop of its own, for tests in any colour and for their child processes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from manor.testing.pg_proxy.address import Address
from manor.testing.pg_proxy.faults import Fault, Matches
from manor.testing.pg_proxy.recorder import WAIT_SECONDS, Injection, Recorder
from manor.testing.pg_proxy.relay import Relay, Side
from manor.testing.pg_proxy.wire import Message

_BACKLOG = 1024
"""libpq does not try again where a Unix socket's queue is full."""


class PgProxy:
    """Stands between clients and the PostgreSQL server at ``upstream_url``, and breaks what it is told to.

    ``with PgProxy(server_url) as proxy`` starts it; ``proxy.url`` is the server's URL through it. Whoever connects is, to the
    server, this process: with peer authentication they are all its user, so only this user may pass (the socket's folder is
    private; over TCP there is no such door). A server that cannot be reached looks like one that closes at once.

    ``listen``: ``unix`` (a folder below ``/tmp``, same port as the server's) or ``tcp`` (loopback, a free port).
    Leaving the block closes every connection and raises what went wrong inside the proxy, such as in a fault's ``matches``.
    Raises ``InputError`` for a URL that names no single server.
    """

    def __init__(self, upstream_url: str, *, listen: Literal["unix", "tcp"] = "unix") -> None:
        self._upstream_url = upstream_url
        self._upstream = Address.of(upstream_url)
        self._listen = listen
        self._recorder = Recorder(self._in_loop)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._address: concurrent.futures.Future[Address] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="pg_proxy", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._accepted = 0

    @property
    def url(self) -> str:
        """The upstream's URL with the proxy's address. Needs a proxy that was started."""
        return self.through(self._upstream_url)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message seen, oldest first; those of faults included."""
        return self._recorder.messages

    def through(self, url: str) -> str:
        """Another URL of the same server, such as a tenant's, with the proxy's address."""
        return self._address.result(timeout=WAIT_SECONDS).put_into(url)

    def inject(self, fault: Fault) -> Injection:
        """Arm a fault. Of several that are due for one message the one armed first strikes; the others count it too."""
        return self._recorder.arm(fault)

    def clear(self) -> None:
        """Forget the messages and disarm the faults; connections stay as they are, and what is held stays held."""
        self._recorder.clear()

    def wait_for(self, matches: Matches, *, times: int = 1, seconds: float = WAIT_SECONDS) -> Message:
        """Wait until that many messages seen match; the last of them. Raises ``TimeoutError``."""
        return self._recorder.wait_for(matches, times, seconds)

    def cut_all(self) -> None:
        """Close every connection that is open now, both sides. Returns before that is done."""
        self._in_loop(self._abort_connections)

    def start(self) -> Self:
        """Begin to listen. Raises ``OSError``. Once only."""
        self._thread.start()
        self._address.result(timeout=WAIT_SECONDS)
        return self

    def close(self) -> None:
        """Close every connection and stop listening. Safe to repeat. Raises what failed inside the proxy."""
        self._in_loop(self._stopping.set)
        if self._thread.ident is not None:
            self._thread.join()
        self._recorder.raise_failure()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _in_loop(self, work: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed: there is nothing left to do it to
                self._loop.call_soon_threadsafe(work)

    def _run(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="manor-proxy-", dir="/tmp"))  # a socket's path must be short
        try:
            asyncio.run(self._serve(folder))
        except OSError as error:
            self._address.set_exception(error)
        finally:
            shutil.rmtree(folder)

    async def _serve(self, folder: Path) -> None:
        self._loop = asyncio.get_running_loop()
        if self._listen == "unix":
            address = Address(host=str(folder), port=self._upstream.port)
            server = await asyncio.start_unix_server(self._accept, address.socket, backlog=_BACKLOG)
        else:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=_BACKLOG)
            address = Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        self._address.set_result(address)
        await self._stopping.wait()
        server.close()
        self._abort_connections()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    def _abort_connections(self) -> None:
        for connection in self._connections:
            connection.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted += 1
        client = Side(reader=reader, writer=writer)
        connection = asyncio.create_task(self._connect(self._accepted, client))
        self._connections.add(connection)
        connection.add_done_callback(functools.partial(self._ended, writer.transport))

    async def _connect(self, number: int, client: Side) -> None:
        try:
            reader, writer = await self._upstream.connect()
            await Relay(number, self._recorder, client=client, server=Side(reader=reader, writer=writer)).run()
        except OSError:
            pass  # only connecting raises it: the client sees a server that is not there
        finally:
            await client.abort()

    def _ended(self, transport: asyncio.WriteTransport, connection: asyncio.Task[None]) -> None:
        transport.abort()  # a task that is cancelled before its first step cleans up nothing
        self._connections.discard(connection)
