"""What is written, in the thread of the writer and inside its transaction: read, decide, store.

Every function makes all its decisions (and raises all its errors) before its first change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from manor.data.documents.driver import Delete, Put, Query, Returns, Transaction, Write
from manor.data.documents.faults import TokenReused
from manor.data.documents.relational.keys import Place
from manor.data.documents.relational.paging import expired
from manor.data.documents.sqlite.codec import FORM
from manor.data.documents.sqlite.reading import KEYS, check_table, current, page
from manor.data.documents.tables import Table
from manor.data.documents.values import Item
from manor.data.documents.writing import outcome, outcomes

TOKEN_SECONDS = 600
_PUT = (
    "INSERT INTO documents_items (tenant, name, pk, sk, odd, body) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET odd = excluded.odd, body = excluded.body"
)
_DELETE = "DELETE FROM documents_items WHERE tenant = ? AND name = ? AND pk = ? AND sk = ?"
_ENTER = "INSERT OR IGNORE INTO documents_entries VALUES (?, ?, ?, ?, ?, ?, ?)"
_LEAVE = (
    "DELETE FROM documents_entries WHERE tenant = ? AND name = ? AND index_name = ? AND pk = ? AND sk = ?"
    " AND item_pk = ? AND item_sk = ?"
)


# Items


def write(connection: sqlite3.Connection, tenant: str, one: Write) -> Item | None:
    """One write; reads the item only where something depends on it."""
    table = one.table
    place = KEYS.place(table.keys, one.key)
    if _is_blind(one):
        _store(connection, tenant, table, place, None, one.item if isinstance(one, Put) else None)
        return None
    before = current(connection, tenant, table, place)
    if before is None:
        check_table(connection, tenant, table)
    result = outcome(one, before)
    _store(connection, tenant, table, place, before, result.item)
    return result.returned


def _is_blind(one: Write) -> bool:
    return isinstance(one, Put | Delete) and not (one.condition or one.table.indexes) and one.returns is Returns.NONE


def batch(connection: sqlite3.Connection, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> None:
    """Writes without conditions."""
    for one in writes:
        place = KEYS.place(table.keys, one.key)
        before = current(connection, tenant, table, place) if table.indexes else None
        _store(connection, tenant, table, place, before, one.item if isinstance(one, Put) else None)


def transact(connection: sqlite3.Connection, tenant: str, transaction: Transaction, now: float) -> None:
    """All of them or none, once for each token."""
    if _is_done(connection, tenant, transaction, now):
        return
    for table in {one.table.name: one.table for one in transaction.operations}.values():
        check_table(connection, tenant, table)
    places = [KEYS.place(one.table.keys, one.key) for one in transaction.operations]
    befores = [current(connection, tenant, one.table, at) for one, at in zip(transaction.operations, places, strict=True)]
    results = outcomes(transaction.operations, befores)
    for one, place, before, result in zip(transaction.operations, places, befores, results, strict=True):
        if result.item is not before:
            _store(connection, tenant, one.table, place, before, result.item)
    connection.execute("DELETE FROM documents_tokens WHERE done_at < ?", (now - TOKEN_SECONDS,))
    row = (tenant, transaction.token, transaction.fingerprint, now)
    connection.execute("INSERT OR REPLACE INTO documents_tokens VALUES (?, ?, ?, ?)", row)


def _is_done(connection: sqlite3.Connection, tenant: str, transaction: Transaction, now: float) -> bool:
    found = "SELECT fingerprint FROM documents_tokens WHERE tenant = ? AND token = ? AND done_at >= ?"
    row = connection.execute(found, (tenant, transaction.token, now - TOKEN_SECONDS)).fetchone()
    if row is not None and row[0] != transaction.fingerprint:
        raise TokenReused("the token of this transaction was used for another one")
    return row is not None


def _store(
    connection: sqlite3.Connection, tenant: str, table: Table, place: Place, before: Item | None, after: Item | None
) -> None:
    """Put or remove an item, and its places in indexes. Raises ``TableMissing`` without a change, by the foreign key."""
    here = (tenant, table.name, *place)
    if after is None:
        if not connection.execute(_DELETE, here).rowcount:
            check_table(connection, tenant, table)
    else:
        encoded = FORM.encode(after)
        try:
            connection.execute(_PUT, (*here, encoded.odd, encoded.text))
        except sqlite3.IntegrityError:
            check_table(connection, tenant, table)
            raise
    if table.indexes:
        old, new = KEYS.entries(table, before), KEYS.entries(table, after)
        connection.executemany(_LEAVE, [(tenant, table.name, *entry, *place) for entry in old - new])
        connection.executemany(_ENTER, [(tenant, table.name, *entry, *place) for entry in new - old])


# Expiry


def expire(connection: sqlite3.Connection, tenant: str, table: Table, now: int) -> int:
    """Remove what has expired; how many."""
    query: Query | None = expired(table, now)
    count = 0
    while query is not None:
        found = page(connection, tenant, query)
        for item in found.items:
            _store(connection, tenant, table, KEYS.place(table.keys, item), item, None)
        count += len(found.items)
        query = None if found.last is None else replace(query, start=found.last)
    return count
