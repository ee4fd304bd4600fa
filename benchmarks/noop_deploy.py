"""A second deploy, which changes nothing and proves it, against the floor: connect and fingerprint, per database."""

from __future__ import annotations

import asyncio

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.ground import PARALLEL, Ground, open_ground, shared_out
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Stopwatch, Verdict, alternate, ratios, sample_rows
from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.postgres.describe import describe
from manor.control.rollout.verify import recorded_isolation

TARGET = 0.80
METHOD = """\
153 databases were deployed before. *Floor*: 20 workers; for each database a psycopg connection, the product's fingerprint
query with its parameters, close; nothing is compared or written. *Deploy*: the whole command through the library, from
reading registry and templates to the anchored audit head. No checkpoint is counted: neither changes a tenant. The ratio is
floor time / deploy time of one round."""


def run(settings: Settings) -> Result:
    """Two ways, alternating; one unmeasured round first, so that both find warm caches."""
    with open_ground(settings) as ground:
        asyncio.run(ground.deploy())
        records = asyncio.run(_records(ground))
        legs = {
            "floor": lambda: asyncio.run(floor(ground, records)),
            "deploy": lambda: ground.timed(ground.deploy, checkpoint=False),
        }
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(9))
    share = ratios(samples["floor"], samples["deploy"])
    verdict = Verdict(
        what=f"no-op deploy of {len(records)} against the connect floor",
        target=f"≥ {TARGET:.2f}",
        measured=share.show(),
        reached=share.middle >= TARGET,
    )
    return Result(
        title="A deploy with nothing to do against the connect floor",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=len(records)),
        verdicts=[verdict],
    )


async def _records(ground: Ground) -> list[DatabaseRecord]:
    async with ground.runtime() as runtime:
        return await runtime.catalog.databases(state="ready")


async def floor(ground: Ground, records: list[DatabaseRecord]) -> Sample:
    """Connect and ask, nothing else."""

    async def look(record: DatabaseRecord) -> None:
        isolation = recorded_isolation(record.config)
        info = make_conninfo(ground.url, dbname=record.database)
        async with await psycopg.AsyncConnection.connect(info, autocommit=True) as connection:
            found = await describe(connection, isolation)
        assert (found.fingerprint, found.isolated) == (record.fingerprint, True)

    watch = Stopwatch(ground.postmaster)
    await shared_out(records, [look] * PARALLEL)
    return watch.read()
