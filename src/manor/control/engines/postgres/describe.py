"""Asks a database what it is made of, and sends several statements in one message.

It takes one round trip, or two, and works on PostgreSQL 14 to 18 for any role. Names and constants are printed under settings
of its own (search path, time zone, date style), which it puts back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres.fingerprint import Description, description_of
from manor.control.engines.postgres.fingerprint_facts import Rows, facts_of, first_message, second_message

Connection = psycopg.AsyncConnection[Any]


async def describe(connection: Connection, isolation: Sequence[IsolatedColumn], *, before: str = "") -> Description:
    """Look at the database that ``connection`` is in; a transaction that it is in goes on. Raises psycopg's errors.

    ``before``: statements that are sent in front, in the same message.
    """
    inside = connection.info.transaction_status == pq.TransactionStatus.INTRANS
    found = await ask(connection, first_message(before, in_transaction=inside))
    more = second_message(found, in_transaction=inside)
    then = await ask(connection, more) if more else []
    return description_of(facts_of(found, then), isolation)


async def ask(connection: Connection, message: bytes) -> list[Rows]:
    """Send statements in one message; the rows of each that returned some."""
    cursor = await connection.execute(message)
    found = []
    more: bool | None = True
    while more:
        if cursor.pgresult is not None and cursor.pgresult.nfields:  # ``description`` would be made anew for each
            found.append(await cursor.fetchall())
        more = cursor.nextset()
    return found
