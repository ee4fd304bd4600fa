"""Documents in PostgreSQL against bare asyncpg connections."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from benchmarks.documents_ground import (
    HEADER,
    SEED,
    TENANT,
    at_least,
    item_of,
    key_of,
    rate_rows,
    seeded,
    text_of,
    timed,
)
from benchmarks.ground import open_ground
from benchmarks.measure import Result, Sample, Settings, alternate, ratios

TASKS = 8
GET_TARGET = 0.7
PUT_SHARE = 5
"""Puts that wait for the disk are so many times fewer."""
_GET = "SELECT body FROM bare WHERE tenant = $1 AND pk = $2 AND sk = $3"
_PUT = "INSERT INTO bare VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, pk, sk) DO UPDATE SET body = excluded.body"
METHOD = f"""\
{TASKS} tasks, items of about 250 bytes, the embedded server over its Unix socket. *Manor*: `get_item` and `put_item` of the
store with {TASKS} connections, all checks included. *Bare*: {TASKS} asyncpg connections that do the same by the same key
on a table of `jsonb`, with `json.loads` and `json.dumps`. The ratio is of operations per second of one round."""


def run(settings: Settings) -> Result:
    """Gets and puts, alternating; one unmeasured round first."""
    count = 1_000 if settings.quick else 10_000
    with open_ground(Settings(quick=True)) as ground, asyncio.Runner() as runner:
        manor = runner.run(seeded(ground.url, connections=TASKS))
        bare = Bare()
        runner.run(bare.open(ground.url))

        async def put(number: int) -> None:
            await manor.put_item("things", item_of(number % SEED, number))

        def leg(operation: Any, share: int = 1) -> Sample:
            return runner.run(timed(operation, count=count // share, tasks=TASKS))

        legs = {
            "get, bare": lambda: leg(bare.get),
            "get, Manor": lambda: leg(lambda number: manor.get_item("things", key_of(number % SEED))),
            "put, bare": lambda: leg(bare.put, PUT_SHARE),
            "put, Manor": lambda: leg(put, PUT_SHARE),
        }
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(7))
        runner.run(manor.close())
        runner.run(bare.close())
    get = ratios(samples["get, bare"], samples["get, Manor"])
    puts = ratios(samples["put, bare"], samples["put, Manor"])
    return Result(
        title="Documents in PostgreSQL",
        method=METHOD,
        header=HEADER,
        rows=rate_rows(samples, {name: count // (PUT_SHARE if "put" in name else 1) for name in samples}),
        verdicts=[at_least(f"documents in PostgreSQL: get of {TASKS} tasks against bare connections", get, GET_TARGET)],
        remarks=[f"put against bare connections: {puts.show()}"],
    )


class Bare:
    """A table with the same key, and a connection for each task."""

    def __init__(self) -> None:
        self._free: list[Any] = []

    async def open(self, url: str) -> None:
        """Connect, and fill it."""
        self._free = [await asyncpg.connect(url) for _ in range(TASKS)]
        await self._free[0].execute(
            "CREATE TABLE bare (tenant text, pk text, sk text, body jsonb, PRIMARY KEY (tenant, pk, sk))"
        )
        rows = [(TENANT, *key_of(number).values(), text_of(number)) for number in range(SEED)]
        await self._free[0].executemany(_PUT, rows)

    async def get(self, number: int) -> Any:
        """One item."""
        connection = self._free.pop()
        try:
            key = key_of(number % SEED)
            return json.loads(await connection.fetchval(_GET, TENANT, key["PK"], key["SK"]))
        finally:
            self._free.append(connection)

    async def put(self, number: int) -> None:
        """One item."""
        connection = self._free.pop()
        try:
            item = item_of(number % SEED, number)
            await connection.execute(_PUT, TENANT, item["PK"], item["SK"], json.dumps(item))
        finally:
            self._free.append(connection)

    async def close(self) -> None:
        """All of them."""
        for connection in self._free:
            await connection.close()
