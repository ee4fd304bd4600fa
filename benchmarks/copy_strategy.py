"""FILE_COPY against WAL_LOG, each with the checkpoint that it causes: the numbers behind docs/decisions/0006."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.ground import Ground, connections, open_ground, shared_out
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Stopwatch, alternate, ratios, sample_rows
from manor.control.engines.driver import Fill
from manor.control.engines.postgres.fill import fill_database
from manor.control.rollout.provision import isolated_columns
from manor.control.templates.model import bind_dataset

COPIES = 60
TEMPLATE = "tenant_type1"
PARALLEL = (1, 4, 20)
METHOD = f"""\
{COPIES} copies of the golden of the standard plan, over connections that were opened before, then a CHECKPOINT that is
counted. *In phases*: all copies first, then the product's isolation values and rows go into each. *Mixed*: each worker fills
its copy at once, so that the checkpoints, which every file copy asks for, find dirty pages."""


def run(settings: Settings) -> Result:
    """Strategies by parallelism, and phases against mixed, alternating."""
    copies = COPIES // 10 if settings.quick else COPIES
    with open_ground(settings) as ground:
        legs = {f"{name}, {parallel} at once": _leg(ground, copies, name, parallel) for parallel in PARALLEL for name in _NAMES}
        legs["FILE_COPY + fill in phases, 20 at once"] = lambda: asyncio.run(fill(ground, copies, mixed=False))
        legs["FILE_COPY + fill mixed, 20 at once"] = lambda: asyncio.run(fill(ground, copies, mixed=True))
        samples = alternate(legs, settings.rounds_or(3))
        volume = {name: asyncio.run(_wal_megabytes(ground, name)) for name in _NAMES}
    faster = [ratios(samples[f"WAL_LOG, {p} at once"], samples[f"FILE_COPY, {p} at once"]) for p in PARALLEL]
    mixed = ratios(samples["FILE_COPY + fill mixed, 20 at once"], samples["FILE_COPY + fill in phases, 20 at once"])
    return Result(
        title="Copy strategies",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=copies),
        remarks=[
            *(f"WAL_LOG / FILE_COPY, {p} at once: {spread.show()}" for p, spread in zip(PARALLEL, faster, strict=True)),
            f"mixed / in phases: {mixed.show()}",
            *(f"WAL written per copy with {name}: {spread:.2f} MB" for name, spread in volume.items()),
        ],
    )


_NAMES = ("FILE_COPY", "WAL_LOG")


def _leg(ground: Ground, copies: int, strategy: str, parallel: int) -> Any:
    return lambda: asyncio.run(copy(ground, copies, strategy, parallel))


async def copy(ground: Ground, copies: int, strategy: str, parallel: int) -> Sample:
    """Copies only."""
    golden = await _prepare(ground)
    async with connections(ground.url, parallel) as opened:
        watch = Stopwatch(ground.postmaster)
        await shared_out(range(copies), [_copier(connection, golden, strategy) for connection in opened])
        await opened[0].execute("CHECKPOINT")
        return watch.read()


async def fill(ground: Ground, copies: int, *, mixed: bool) -> Sample:
    """Copies, and the rows of each: all copies first, or each worker by itself."""
    golden = await _prepare(ground)
    async with connections(ground.url, 20) as opened:
        copiers = [_copier(connection, golden, "FILE_COPY") for connection in opened]
        filler = _filler(ground)
        watch = Stopwatch(ground.postmaster)
        if mixed:
            await shared_out(range(copies), [_then(copier, filler) for copier in copiers])
        else:
            await shared_out(range(copies), copiers)
            await shared_out(range(copies), [filler] * 20)
        await opened[0].execute("CHECKPOINT")
        return watch.read()


async def _prepare(ground: Ground) -> str:
    await asyncio.to_thread(ground.wipe)
    goldens = await ground.stock()
    await ground.checkpoint()
    return goldens[TEMPLATE].database


def _copier(connection: psycopg.AsyncConnection[Any], golden: str, strategy: str) -> Any:
    async def work(number: int) -> None:
        statement = f"CREATE DATABASE {{}} TEMPLATE {{}} STRATEGY {strategy}"
        await connection.execute(sql.SQL(statement).format(sql.Identifier(f"copy_{number}"), sql.Identifier(golden)))

    return work


def _filler(ground: Ground) -> Any:
    fleet = ground.fleet()
    template = fleet.templates[TEMPLATE]
    targets = [target for target in fleet.targets if target.template == TEMPLATE]

    async def work(number: int) -> None:
        variables = targets[number].variables
        rows = tuple(bind_dataset(dataset, variables) for dataset in template.tenant_rows)
        isolation = isolated_columns(template, variables)
        info = make_conninfo(ground.url, dbname=f"copy_{number}")
        async with await psycopg.AsyncConnection.connect(info, autocommit=True) as connection:
            await fill_database(connection, Fill(schema=template.schema, isolation=isolation, rows=rows))

    return work


def _then(first: Any, second: Any) -> Any:
    async def work(number: int) -> None:
        await first(number)
        await second(number)

    return work


async def _wal_megabytes(ground: Ground, strategy: str) -> float:
    golden = await _prepare(ground)
    async with connections(ground.url, 1) as (connection,):
        before = await _wal_position(connection)
        for number in range(3):
            await _copier(connection, golden, strategy)(number)
        return (await _wal_position(connection) - before) / 3 / 2**20


async def _wal_position(connection: psycopg.AsyncConnection[Any]) -> float:
    row = await (await connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")).fetchone()
    assert row is not None
    return float(row[0])
