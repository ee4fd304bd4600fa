"""What is written: read, decide, store, under the locks of the items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]

from manor.data.documents.driver import Delete, Put, Query, Returns, Transaction, Write
from manor.data.documents.faults import TokenReused
from manor.data.documents.postgres.codec import FORM, KEYS
from manor.data.documents.postgres.connections import Connection, Connections
from manor.data.documents.postgres.reading import check_table, get_many, missing, named
from manor.data.documents.postgres.transacting import lock_of, transaction
from manor.data.documents.relational.keys import Entry, Place
from manor.data.documents.relational.paging import matches
from manor.data.documents.tables import Table
from manor.data.documents.values import Item
from manor.data.documents.writing import outcome, outcomes

_LOCKED = "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock($1))"
_PUT_ONE = f"""{_LOCKED}
INSERT INTO documents_items (tenant, name, pk, sk, odd, body)
SELECT $2::text, $3::text, $4::bytea, $5::bytea, $6::boolean, $7::jsonb FROM locked
ON CONFLICT (tenant, name, pk, sk) DO UPDATE SET odd = excluded.odd, body = excluded.body"""  # noqa: S608 - a constant
_DELETE_ONE = f"""{_LOCKED}
DELETE FROM documents_items USING locked WHERE tenant = $2 AND name = $3 AND pk = $4 AND sk = $5"""  # noqa: S608 - a constant
_PUT_MANY = """\
INSERT INTO documents_items (tenant, name, pk, sk, odd, body)
SELECT $1, name, pk, sk, odd, body::jsonb
FROM unnest($2::text[], $3::bytea[], $4::bytea[], $5::boolean[], $6::text[]) new (name, pk, sk, odd, body)
ON CONFLICT (tenant, name, pk, sk) DO UPDATE SET odd = excluded.odd, body = excluded.body"""
_DELETE_MANY = """\
DELETE FROM documents_items i USING unnest($2::text[], $3::bytea[], $4::bytea[]) gone (name, pk, sk)
WHERE i.tenant = $1 AND i.name = gone.name AND i.pk = gone.pk AND i.sk = gone.sk"""
_ENTER = """\
INSERT INTO documents_entries
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[]) new
ON CONFLICT DO NOTHING"""
_LEAVE = """\
DELETE FROM documents_entries e
USING unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
  gone (name, index_name, pk, sk, item_pk, item_sk)
WHERE e.tenant = $1 AND e.name = gone.name AND e.index_name = gone.index_name AND e.pk = gone.pk AND e.sk = gone.sk
AND e.item_pk = gone.item_pk AND e.item_sk = gone.item_sk"""
_DONE = "SELECT fingerprint FROM documents_tokens WHERE tenant = $1 AND token = $2 AND done_at > now() - interval '10 minutes'"
_FORGET = "DELETE FROM documents_tokens WHERE tenant = $1 AND done_at <= now() - interval '10 minutes'"
_REMEMBER = "INSERT INTO documents_tokens VALUES ($1, $2, $3, now())"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one item. ``before`` matters where the table has indexes."""

    table: Table
    place: Place
    before: Item | None
    after: Item | None


# Items


async def write(connections: Connections, tenant: str, one: Write) -> Item | None:
    """One write: a single statement where nothing depends on the item as it was."""
    if _is_blind(one) and not connections.row_security:
        await _write_blindly(connections, tenant, one)
        return None
    table, place = one.table, KEYS.place(one.table.keys, one.key)
    async with transaction(connections, tenant, [lock_of(tenant, table.name, place)]) as connection:
        (before,) = await get_many(connection, tenant, [table], [place])
        result = outcome(one, before)
        await store(connection, tenant, [Change(table, place, before, result.item)])
    return result.returned


def _is_blind(one: Write) -> bool:
    return isinstance(one, Put | Delete) and not (one.condition or one.table.indexes) and one.returns is Returns.NONE


async def _write_blindly(connections: Connections, tenant: str, one: Write) -> None:
    place = KEYS.place(one.table.keys, one.key)
    here = (lock_of(tenant, one.table.name, place), tenant, named(one.table.name), *place)
    async with connections.one(sent=True) as connection:
        try:
            if isinstance(one, Put):
                encoded = FORM.encode(one.item)
                await connection.execute(_PUT_ONE, *here, encoded.odd, encoded.text)
            elif await connection.execute(_DELETE_ONE, *here) == "DELETE 0":
                await check_table(connection, tenant, one.table)
        except asyncpg.ForeignKeyViolationError as error:
            raise missing(one.table) from error


async def batch(connections: Connections, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> None:
    """Writes without conditions, in one transaction."""
    places = [KEYS.place(table.keys, one.key) for one in writes]
    async with transaction(connections, tenant, [lock_of(tenant, table.name, place) for place in places]) as connection:
        befores: list[Item | None] = [None] * len(writes)
        if table.indexes:
            befores = await get_many(connection, tenant, [table] * len(writes), places)
        else:
            await check_table(connection, tenant, table)
        afters = [one.item if isinstance(one, Put) else None for one in writes]
        await store(connection, tenant, [Change(table, *rest) for rest in zip(places, befores, afters, strict=True)])


async def transact(connections: Connections, tenant: str, given: Transaction) -> None:
    """All of them or none, once for each token."""
    tables = [one.table for one in given.operations]
    places = [KEYS.place(one.table.keys, one.key) for one in given.operations]
    locks = [lock_of(tenant, table.name, place) for table, place in zip(tables, places, strict=True)]
    async with transaction(connections, tenant, [*locks, lock_of(tenant, "", (given.token.encode(), b""))]) as connection:
        if await _is_done(connection, tenant, given):
            return
        befores = await get_many(connection, tenant, tables, places)
        results = outcomes(given.operations, befores)
        rows = zip(tables, places, befores, results, strict=True)
        changes = [Change(table, at, old, new.item) for table, at, old, new in rows if new.item is not old]
        await store(connection, tenant, changes)
        await connection.execute(_FORGET, tenant)
        await connection.execute(_REMEMBER, tenant, given.token, given.fingerprint)


async def expire(connections: Connections, tenant: str, query: Query, items: Sequence[Item]) -> int:
    """Remove those of the items for which the query's filter still holds; how many."""
    table = query.table
    places = [KEYS.place(table.keys, item) for item in items]
    async with transaction(connections, tenant, [lock_of(tenant, table.name, place) for place in places]) as connection:
        befores = await get_many(connection, tenant, [table] * len(places), places)
        rows = zip(places, befores, strict=True)
        changes = [Change(table, place, before, None) for place, before in rows if before and matches(query, before)]
        await store(connection, tenant, changes)
    return len(changes)


async def _is_done(connection: Connection, tenant: str, given: Transaction) -> bool:
    fingerprint = await connection.fetchval(_DONE, tenant, given.token)
    if fingerprint is not None and fingerprint != given.fingerprint:
        raise TokenReused("the token of this transaction was used for another one")
    return fingerprint is not None


# Storing


async def store(connection: Connection, tenant: str, changes: Sequence[Change]) -> None:
    """Put and remove items of distinct keys, and their places in indexes: at most four statements."""
    puts = [(*_here(one), FORM.encode(one.after)) for one in changes if one.after is not None]
    if puts:
        columns = [[row[column] for row in puts] for column in range(3)]
        odd, texts = [row[3].odd for row in puts], [row[3].text for row in puts]
        await connection.execute(_PUT_MANY, tenant, *columns, odd, texts)
    gone = [_here(one) for one in changes if one.after is None]
    if gone:
        await connection.execute(_DELETE_MANY, tenant, *([row[column] for row in gone] for column in range(3)))
    await enter(connection, tenant, changes)


async def enter(connection: Connection, tenant: str, changes: Sequence[Change]) -> None:
    """Bring the indexes up to the changes."""
    moves = [(one, KEYS.entries(one.table, one.before), KEYS.entries(one.table, one.after)) for one in changes]
    await _index(connection, _LEAVE, tenant, [(one, old - new) for one, old, new in moves])
    await _index(connection, _ENTER, tenant, [(one, new - old) for one, old, new in moves])


def _here(one: Change) -> tuple[str, bytes, bytes]:
    return named(one.table.name), *one.place


async def _index(connection: Connection, statement: str, tenant: str, moves: Sequence[tuple[Change, set[Entry]]]) -> None:
    rows = [
        (named(one.table.name), named(name), pk, sk, *one.place) for one, entries in moves for name, pk, sk in sorted(entries)
    ]
    if rows:
        await connection.execute(statement, tenant, *map(list, zip(*rows, strict=True)))
