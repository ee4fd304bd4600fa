"""A transaction that holds the locks of the items it is about.

The locks are advisory ones on a digest of tenant, table and key, so that an item that does not exist can be locked as well;
they are taken in one order, so nobody waits in a circle. Every way to write takes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from manor.data.documents.postgres.connections import ANSWERED, Connection, Connections
from manor.data.documents.postgres.faults import translated
from manor.data.documents.relational.keys import Place
from manor.errors import ManorError


def lock_of(tenant: str, name: str, place: Place) -> int:
    """64 bits for an item; two with the same wait for each other without need."""
    parts = (tenant.encode(), name.encode(), *place)
    joined = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big", signed=True)


@asynccontextmanager
async def transaction(
    connections: Connections, tenant: str, locks: Iterable[int] = (), *, writes: bool = True
) -> AsyncIterator[Connection]:
    """Begin, lock, do the block, commit. Until the commit is sent, a lost connection means that nothing is written."""
    connection = await connections.take()
    committing = ended = False
    try:
        await connection.execute(_begin(tenant if connections.row_security else None, locks))
        yield connection
        committing = writes
        await connection.execute("COMMIT")
        ended = True
    except ANSWERED as error:
        ended = await _is_rolled_back(connection)
        if isinstance(error, ManorError):
            raise
        raise translated(error, sent=committing) from error
    except Exception as error:
        raise translated(error, sent=committing) from error
    finally:  # also where the caller was cancelled, with a statement of any kind under way
        if ended:
            connections.give(connection)
        else:
            connections.end(connection)


def reading(connections: Connections, tenant: str) -> AbstractAsyncContextManager[Connection]:
    """A connection for statements that read."""
    if connections.row_security:
        return transaction(connections, tenant, writes=False)
    return connections.one()


def _begin(tenant: str | None, locks: Iterable[int]) -> str:
    """One message for all of it. The numbers are ours; the tenant has no character that a literal could not hold."""
    told = "" if tenant is None else f"SELECT set_config('manor.tenant', '{_quoted(tenant)}', true);"
    taken = "".join(f"SELECT pg_advisory_xact_lock({lock});" for lock in sorted(set(locks)))
    return f"BEGIN ISOLATION LEVEL READ COMMITTED;{told}{taken}"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


async def _is_rolled_back(connection: Connection) -> bool:
    """Whether the server said so."""
    with suppress(Exception):
        await connection.execute("ROLLBACK")
        return True
    return False
