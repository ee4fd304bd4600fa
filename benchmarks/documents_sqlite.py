"""Documents in SQLite against bare SQLite: gets of many tasks, and puts in groups against puts one by one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.documents_ground import (
    HEADER,
    SEED,
    TENANT,
    Operation,
    at_least,
    item_of,
    key_of,
    rate_rows,
    seeded,
    text_of,
    timed,
)
from benchmarks.measure import Result, Sample, Settings, alternate, ratios
from manor.data.documents import DatabaseInterface

TASKS = 32
GET_TARGET, PUT_TARGET = 0.8, 1.5
FULL_SHARE = 20
"""Puts that wait for the disk are so many times fewer."""
_PUT = "INSERT INTO bare VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_GET = "SELECT body FROM bare WHERE tenant = ? AND pk = ? AND sk = ?"
METHOD = f"""\
{TASKS} tasks, items of about 250 bytes, WAL, all in one temporary folder. *Manor*: `get_item` and `put_item` of the store, all
checks included. *Executor*: the same row by its primary key through `run_in_executor` of one thread, and `json.loads`.
*Direct*: `json.dumps` and an autocommitted upsert on the event loop, which it blocks. FULL is `synchronous = FULL`, the default
of SQLite and of Manor: a write that was answered survives a loss of power; all without that word is with NORMAL. The ratio
is of operations per second of one round."""


def run(settings: Settings) -> Result:
    """Gets and puts, alternating."""
    count = 2_000 if settings.quick else 20_000
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        legs = Legs(Path(folder), runner, count)
        samples = alternate(legs.ways(), settings.rounds_or(7))
        legs.close()
    get = ratios(samples["get, executor"], samples["get, Manor"])
    put = ratios(samples["put, direct"], samples["put, Manor"])
    full = ratios(samples["put, direct, FULL"], samples["put, Manor, FULL"])
    return Result(
        title="Documents in SQLite",
        method=METHOD,
        header=HEADER,
        rows=rate_rows(samples, {name: count // FULL_SHARE if "FULL" in name else count for name in samples}),
        verdicts=[
            at_least(f"documents in SQLite: get of {TASKS} tasks against a one-thread executor", get, GET_TARGET),
            at_least(f"documents in SQLite: put of {TASKS} tasks against direct autocommit, both FULL", full, PUT_TARGET),
        ],
        remarks=[
            "with `synchronous = NORMAL` there is no wait for the disk that a group could share, and checking and copying an"
            f" item costs about what SQLite takes to store it: put against direct {put.show()}"
        ],
    )


class Legs:
    """The stores, Manor's and bare ones, and what is done with them."""

    def __init__(self, folder: Path, runner: asyncio.Runner, count: int) -> None:
        self._runner = runner
        self._count = count
        self._versions = iter(range(1, 10**9))
        self._manor = {
            kind: runner.run(seeded(f"sqlite:///{folder}/{kind}.db?synchronous={kind}")) for kind in ("normal", "full")
        }
        self._bare = {kind: Bare(folder / f"bare_{kind}.db", kind) for kind in ("normal", "full")}

    def ways(self) -> dict[str, Callable[[], Sample]]:
        """Legs by name."""
        normal = self._manor["normal"]
        return {
            "get, executor": lambda: self._timed(self._bare["normal"].get_in_thread),
            "get, Manor": lambda: self._timed(lambda number: normal.get_item("things", key_of(number % SEED))),
            "put, direct": lambda: self._puts(self._bare["normal"].put),
            "put, Manor": lambda: self._puts(putter(normal)),
            "put, direct, FULL": lambda: self._puts(self._bare["full"].put, FULL_SHARE),
            "put, Manor, FULL": lambda: self._puts(putter(self._manor["full"]), FULL_SHARE),
        }

    def _timed(self, operation: Operation, share: int = 1) -> Sample:
        return self._runner.run(timed(operation, count=self._count // share, tasks=TASKS))

    def _puts(self, put: Callable[[dict[str, Any]], Awaitable[object]], share: int = 1) -> Sample:
        """Other content each time: SQLite does not write a page that stays as it is."""
        version = next(self._versions)
        return self._timed(lambda number: put(item_of(number % SEED, version)), share)

    def close(self) -> None:
        """Everything."""
        for store in self._manor.values():
            self._runner.run(store.close())
        for bare in self._bare.values():
            bare.close()


def putter(store: DatabaseInterface) -> Callable[[dict[str, Any]], Awaitable[object]]:
    """Manor's way."""
    return lambda item: store.put_item("things", item)


class Bare:
    """One table with the same key, without Manor."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {synchronous}")
        self._connection.execute(
            "CREATE TABLE bare (tenant TEXT, pk TEXT, sk TEXT, body TEXT, PRIMARY KEY (tenant, pk, sk)) WITHOUT ROWID"
        )
        rows = [(TENANT, *key_of(number).values(), text_of(number)) for number in range(SEED)]
        self._connection.executemany(_PUT, rows)
        self._executor = ThreadPoolExecutor(1)

    async def get_in_thread(self, number: int) -> Any:
        """One executor's job."""
        key = key_of(number % SEED)
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._get, key["PK"], key["SK"])

    def _get(self, pk: str, sk: str) -> Any:
        (text,) = self._connection.execute(_GET, (TENANT, pk, sk)).fetchone()
        return json.loads(text)

    async def put(self, item: dict[str, Any]) -> None:
        """On the event loop."""
        self._connection.execute(_PUT, (TENANT, item["PK"], item["SK"], json.dumps(item)))

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown()
        self._connection.close()
