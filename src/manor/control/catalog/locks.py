"""Locks between operations: session advisory locks of the catalog, each on a connection of its own.

The connection is the lock: when its process dies, the server frees it. Its application name is the operation's id, so that
whoever is refused learns whom to wait for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator

import psycopg
from psycopg import errors

from manor.control.catalog.link import Connection, connect, translated
from manor.control.catalog.queries import query
from manor.errors import ConflictError

# A holder whose machine vanished is noticed after about a minute instead of TCP's two hours.
_NOTICE_DEAD_PEERS = "SET tcp_keepalives_idle TO 30; SET tcp_keepalives_interval TO 10; SET tcp_keepalives_count TO 3"


class HeldLock:
    """A lock that is held, as far as its holder knows."""

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self._connection = connection

    async def confirm(self) -> None:
        """Raises ``ConflictError`` where the connection, and with it the lock, was lost: somebody else may hold it now."""
        try:
            await self._connection.execute("SELECT")
        except psycopg.OperationalError as error:
            raise ConflictError(
                f"the lock {self.name!r} was lost with its connection", hint="run the command again", transient=True
            ) from error


def lock_key(name: str) -> int:
    """The 64-bit key of a lock's name."""
    return int.from_bytes(hashlib.sha256(f"manor lock {name}".encode()).digest()[:8], "big", signed=True)


@contextlib.asynccontextmanager
async def hold(info: str, name: str, *, wait_seconds: float, holder: str) -> AsyncIterator[HeldLock]:
    """Hold the lock inside the block. ``holder``: id of the operation.

    Raises ``ConflictError`` that names the holder when it is not free within ``wait_seconds`` (0: ask once).
    """
    with translated():
        connection = await connect(info, application=holder)
    acquired = False
    try:
        with translated():
            await connection.execute(_NOTICE_DEAD_PEERS)
            acquired = await _acquire(connection, lock_key(name), wait_seconds)
            if not acquired:
                raise await _refusal(connection, name)
        yield HeldLock(name, connection)
    finally:
        # Unlocking first: the server frees the locks of a closed session only a moment later.
        with contextlib.suppress(psycopg.Error):
            if acquired:
                await connection.execute(query("unlock"), {"key": lock_key(name)})
        await connection.close()


async def _acquire(connection: Connection, key: int, wait_seconds: float) -> bool:
    if wait_seconds <= 0:
        row = await (await connection.execute(query("try_lock"), {"key": key})).fetchone()
        return bool(row and row[0])
    await connection.execute(query("limit_lock_wait"), {"limit": f"{max(1, round(wait_seconds * 1000))}ms"})
    try:
        await connection.execute(query("wait_for_lock"), {"key": key})
    except errors.LockNotAvailable:
        return False
    return True


async def _refusal(connection: Connection, name: str) -> ConflictError:
    key = lock_key(name) & 0xFFFF_FFFF_FFFF_FFFF
    parameters = {"high": key >> 32, "low": key & 0xFFFF_FFFF}
    row = await (await connection.execute(query("lock_holder"), parameters)).fetchone()
    if row is None:
        return ConflictError(f"{name!r} was locked until just now", hint="run the command again", transient=True)
    operation, verb, actor, since = row
    who = f"{verb} by {actor}, " if verb else ""
    when = f"since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "of another login"
    return ConflictError(
        f"{name!r} is locked by operation {operation or 'unknown'} ({who}{when})",
        hint="wait until it has finished, or stop it: its lock goes with its process",
        transient=True,
    )
