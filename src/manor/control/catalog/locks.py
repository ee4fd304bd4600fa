"""Locks between operations: session advisory locks of the catalog, each on a connection of its own.

The connection is the lock: when its process dies, the server frees it. Its application name is the operation's id, so that
whoever is refused learns whom to wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import psycopg
from psycopg import errors

from manor.control.catalog.link import Connection, connect, translated
from manor.control.catalog.queries import query
from manor.errors import ConflictError

FLEET_LOCK = "fleet"
"""Of operations that make databases: one at a time per catalog."""

# A holder whose machine vanished is noticed after about a minute instead of TCP's two hours.
_NOTICE_DEAD_PEERS = "SET tcp_keepalives_idle TO 30; SET tcp_keepalives_interval TO 10; SET tcp_keepalives_count TO 3"


class HeldLock:
    """A lock that is held, as far as its holder knows."""

    def __init__(self, name: str, connection: Connection, *, info: str, holder: str) -> None:
        self.name = name
        self._connection = connection
        self._info = info
        self._holder = holder
        self._turn = asyncio.Lock()

    async def confirm(self) -> None:
        """Raises ``ConflictError`` where the connection, and with it the lock, was lost: somebody else may hold it now."""
        try:
            await self._connection.execute("SELECT")
        except psycopg.OperationalError as error:
            raise ConflictError(
                f"the lock {self.name!r} was lost with its connection", hint="run the command again", transient=True
            ) from error

    async def regain(self) -> None:
        """Take the lock again where its connection was lost; does nothing where it was not.

        Raises ``ConflictError`` (not transient) that names the new holder, and ``UnreachableError``. Who regains a lock does
        not know what others did in between: ask the journal.
        """
        async with self._turn:
            try:
                await self.confirm()
            except ConflictError:
                with translated():
                    await self._reconnect()

    async def _reconnect(self) -> None:
        await self._connection.close()
        self._connection = await connect(self._info, application=self._holder)
        await self._connection.execute(_NOTICE_DEAD_PEERS)
        if not await _acquire(self._connection, lock_key(self.name), 0):
            refusal = await _refusal(self._connection, self.name)
            await self._connection.close()
            raise ConflictError(f"lost: {refusal.message}", hint=refusal.hint)

    async def release(self) -> None:
        """Unlock and end the session."""
        # Unlocking first: the server frees the locks of a closed session only a moment later.
        with contextlib.suppress(psycopg.Error):
            await self._connection.execute(query("unlock"), {"key": lock_key(self.name)})
        await self._connection.close()


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
    try:
        with translated():
            await connection.execute(_NOTICE_DEAD_PEERS)
            if not await _acquire(connection, lock_key(name), wait_seconds):
                raise await _refusal(connection, name)
    except BaseException:  # cancellation too: a session that waits for the lock would get it some day
        await connection.close()
        raise
    held = HeldLock(name, connection, info=info, holder=holder)
    try:
        yield held
    finally:
        await held.release()


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
