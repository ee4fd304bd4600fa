"""Deploy of the reference registry against the raw ceiling: nothing but concurrent file copies of the same goldens."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.ground import PARALLEL, Ground, connections, golden_of, open_ground, shared_out
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Stopwatch, Verdict, alternate, ratios, sample_rows
from manor.control.rollout.provision import Golden
from manor.control.steps import Target

TARGET = 0.80
METHOD = """\
One server, one run; every part starts from a wiped server, a CHECKPOINT and a sync, and ends with a CHECKPOINT that is
counted. *Ceiling*: CREATE DATABASE … TEMPLATE … STRATEGY FILE_COPY of the same goldens in the same numbers over 20 psycopg
connections that were opened before the clock started; no rows, roles, names or records. *Deploy*: the whole command through
the library: reading registry and templates, opening servers and catalog, recovery, survey, plan, journal, intent, copies,
roles, rows, renames, catalog, audit, anchor, closing. *First deploy* also makes the catalog and builds and verifies the
goldens, which the ceiling finds ready. The ratio is ceiling time / deploy time of one round."""


def run(settings: Settings) -> Result:
    """Three ways, alternating; the judged one is the first deploy if that reaches the target, else the later one."""
    with open_ground(settings) as ground:
        targets = ground.fleet().targets
        legs = {
            "ceiling": lambda: ceiling(ground, targets),
            "deploy": lambda: later_deploy(ground),
            "first deploy": lambda: first_deploy(ground),
        }
        samples = alternate(legs, settings.rounds_or(5))
    later = ratios(samples["ceiling"], samples["deploy"])
    first = ratios(samples["ceiling"], samples["first deploy"])
    headline = first if first.middle >= TARGET else later
    which = "catalog and goldens included" if headline is first else "goldens there"
    verdict = Verdict(
        what=f"deploy of {len(targets)} against the raw ceiling ({which})",
        target=f"≥ {TARGET:.2f}",
        measured=headline.show(),
        reached=headline.middle >= TARGET,
    )
    return Result(
        title="Deploy against the raw ceiling",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=len(targets)),
        verdicts=[verdict],
        remarks=[
            f"ceiling / deploy, goldens there: {later.show()}",
            f"ceiling / first deploy, catalog and goldens made in it: {first.show()}",
        ],
    )


def ceiling(ground: Ground, targets: tuple[Target, ...]) -> Sample:
    """Bare copies."""
    ground.wipe()
    goldens = asyncio.run(ground.stock())
    asyncio.run(ground.checkpoint())
    return asyncio.run(_copy_all(ground, targets, goldens))


async def _copy_all(ground: Ground, targets: tuple[Target, ...], goldens: dict[str, Golden]) -> Sample:
    async with connections(ground.url, PARALLEL) as opened:
        watch = Stopwatch(ground.postmaster)
        await shared_out(targets, [_copier(connection, goldens) for connection in opened])
        await opened[0].execute("CHECKPOINT")
        return watch.read()


def _copier(connection: psycopg.AsyncConnection[Any], goldens: dict[str, Golden]) -> Any:
    async def copy(target: Target) -> None:
        names = sql.Identifier(target.database), sql.Identifier(golden_of(goldens, target))
        await connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(*names))

    return copy


def later_deploy(ground: Ground) -> Sample:
    """The goldens are there, as they are for every deploy but the first."""
    ground.wipe()
    asyncio.run(ground.stock())
    asyncio.run(ground.checkpoint())
    return ground.timed(ground.deploy)


def first_deploy(ground: Ground) -> Sample:
    """Nothing is there but the server."""
    ground.wipe()
    return ground.timed(ground.deploy)
