"""A release with nothing to do: answered by the catalog, and proved by a look into every database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg

from benchmarks.ground import PARALLEL, shared_out
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Spread, Verdict, alternate, ratios, sample_rows
from benchmarks.processes import launch
from benchmarks.release_ground import EVERYONE, GROUP, ReleaseGround, open_release_ground
from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.postgres.describe import describe
from manor.control.operations.migrate import MigrateRequest
from manor.control.rollout.verify import recorded_isolation

TENANTS = 1_000
TARGET_SECONDS = 1.0
TARGET = 0.80
FLOOR, VERIFIED = "connect floor", "verified"
SAME_QUERIES = "connect, history and fingerprint"
METHOD = f"""\
All tenants have seen one release. *Catalog answer*: `manor tenant migrate --all` as a process of its own, from its start to
its end; the same through the library. *Verified*: the whole command with `--verify --parallel {PARALLEL}` through the
library: every database is asked for its history and fingerprint. *Connect floor*: {PARALLEL} workers; for each database a
psycopg connection, `SELECT 1`, close. *{SAME_QUERIES.capitalize()}*: the same with the two queries of a verification instead
of the trivial one, nothing compared. The ratio is the floor's time / verified's time of one round."""


def run(settings: Settings) -> Result:
    """Alternating; one unmeasured round first."""
    with open_release_ground(settings, TENANTS) as fleet:
        fleet.release()
        records = asyncio.run(_records(fleet))
        legs = {
            "catalog answer, command": lambda: _command(fleet),
            "catalog answer, library": lambda: fleet.time(MigrateRequest(selection=EVERYONE))[0],
            FLOOR: lambda: _floor(fleet),
            SAME_QUERIES: lambda: _same_queries(fleet, records),
            VERIFIED: lambda: fleet.time(MigrateRequest(selection=EVERYONE, verify=True, parallel=PARALLEL))[0],
        }
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(5))
        count = len(fleet.databases)
    answer = Spread.of([sample.seconds for sample in samples["catalog answer, command"]])
    share = ratios(samples[FLOOR], samples[VERIFIED])
    verdicts = [
        Verdict(
            what=f"no-op release over {count} tenants, catalog answer",
            target=f"≤ {TARGET_SECONDS:.0f} s",
            measured=f"{answer.show()} s",
            reached=answer.middle <= TARGET_SECONDS,
        ),
        Verdict(
            what=f"no-op release over {count} tenants, each verified, against the connect floor",
            target=f"≥ {TARGET:.2f}",
            measured=share.show(),
            reached=share.middle >= TARGET,
        ),
    ]
    return Result(
        title="A release with nothing to do",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=count),
        verdicts=verdicts,
        remarks=[f"{SAME_QUERIES} / verified: {ratios(samples[SAME_QUERIES], samples[VERIFIED]).show()}"],
    )


def _command(fleet: ReleaseGround) -> Sample:
    manor = str(Path(sys.executable).with_name("manor"))
    folder = str(fleet.ground.workplace.project.folder)
    used, _ = launch([manor, "--project", folder, "--quiet", "tenant", "migrate", "--all"])
    return Sample(seconds=used.seconds)


def _floor(fleet: ReleaseGround) -> Sample:
    """Connect and ask the least, nothing else."""

    async def look(database: str) -> None:
        async with await psycopg.AsyncConnection.connect(fleet.url(database), autocommit=True) as connection:
            await (await connection.execute("SELECT 1")).fetchone()

    return fleet.timed(lambda: shared_out(fleet.databases, [look] * PARALLEL))


def _same_queries(fleet: ReleaseGround, records: Sequence[DatabaseRecord]) -> Sample:
    """Connect and ask what a verification asks, nothing else."""

    async def look(record: DatabaseRecord) -> None:
        isolation = recorded_isolation(record.config)
        async with await psycopg.AsyncConnection.connect(fleet.url(record.database), autocommit=True) as connection:
            await (await connection.execute("SELECT version, checksum FROM schema_migrations ORDER BY 1")).fetchall()
            await describe(connection, isolation)

    return fleet.timed(lambda: shared_out(records, [look] * PARALLEL))


async def _records(fleet: ReleaseGround) -> list[DatabaseRecord]:
    async with fleet.ground.runtime() as runtime:
        return await runtime.catalog.databases(state="ready", group=GROUP)
