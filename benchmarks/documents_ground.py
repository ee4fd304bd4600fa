"""What the benchmarks of documents share: items, a table, and many tasks that share a number of operations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from benchmarks.measure import Sample, Spread, Stopwatch, Verdict
from manor.data import connect
from manor.data.documents import DatabaseInterface, Table

THINGS = Table(name="things", partition_key="PK", sort_key="SK")
TENANT = "acme"
SEED = 1_000
HEADER = ("way", "operations/s (min / median / max)", "µs each, median")

Operation = Callable[[int], Awaitable[object]]


def item_of(number: int, version: int = 0) -> dict[str, Any]:
    """About 250 bytes of JSON."""
    return {
        "PK": f"user#{number % 100:03}",
        "SK": f"message#{number:06}",
        "title": f"message {number} of version {version}",
        "text": "The quick brown fox jumps over the lazy dog. " * 2,
        "tags": ["a", "b", "c"],
        "count": number,
        "read": False,
        "from": {"name": "somebody", "id": number},
    }


def key_of(number: int) -> dict[str, Any]:
    """Of ``item_of``."""
    item = item_of(number)
    return {"PK": item["PK"], "SK": item["SK"]}


def text_of(number: int, version: int = 0) -> str:
    """The item as a bare client would store it."""
    return json.dumps(item_of(number, version))


async def seeded(url: str, **options: Any) -> DatabaseInterface:
    """An open store with ``SEED`` items."""
    db = connect(url, tenant=TENANT, tables=[THINGS], **options)
    await db.open()
    await db.ensure_tables()
    await db.batch_write("things", [item_of(number) for number in range(SEED)])
    return db


async def timed(operation: Operation, *, count: int, tasks: int) -> Sample:
    """``count`` operations, by ``tasks`` tasks at once; each is given its number."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await operation(number)

    watch = Stopwatch()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return watch.read()


def rate_rows(samples: Mapping[str, Sequence[Sample]], counts: Mapping[str, int]) -> list[list[str]]:
    """Rows under ``HEADER``; ``counts`` are operations of a round."""
    rows = []
    for name, taken in samples.items():
        rates = Spread.of([counts[name] / sample.seconds for sample in taken])
        rows.append([name, rates.show(0), f"{1e6 / rates.middle:.1f}"])
    return rows


def at_least(what: str, measured: Spread, target: float) -> Verdict:
    """A ratio that must not be smaller."""
    return Verdict(what=what, target=f"≥ {target:.2f}", measured=measured.show(), reached=measured.middle >= target)
