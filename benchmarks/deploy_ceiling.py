"""Deploy of the reference registry against the raw ceiling: nothing but concurrent file copies of the same goldens."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.ground import PARALLEL, Ground, connections, golden_of, open_ground, shared_out
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Stopwatch, Verdict, alternate, ratios, sample_rows
from manor.control.rollout.provision import Golden
from manor.control.steps import Target

TARGET = 0.80
METHOD = """\
Every part starts after a CHECKPOINT and a sync, with the goldens there, and ends with a CHECKPOINT that is counted. *Ceiling*:
CREATE DATABASE … TEMPLATE … STRATEGY FILE_COPY of the same goldens in the same numbers over 20 psycopg connections that were
opened before the clock started; no rows, roles, names or records. *Deploy*: the whole command through the library: reading
registry and templates, opening servers and catalog, recovery, survey, plan, journal, intent, copies, roles, rows, renames,
catalog, audit, anchor, closing. The ratio is ceiling time / deploy time of one round.

*One server*: both ways in turn on the same server, everything dropped in between; this is what the target is about. *New
server*: a new server in a new folder for every measurement, and nothing is deleted before the end. The two differ, because
ext4 passes over inodes that were deleted within the last minutes one by one, before it finds a free one: copies after a large
drop take two to four times as long, while rows, roles and names cost what they always do."""


def run(settings: Settings) -> Result:
    """Two ways, alternating: on one server, and each on a server of its own."""
    with contextlib.ExitStack() as grounds:  # first: no other benchmark has deleted anything yet
        targets = grounds.enter_context(open_ground(settings)).fleet().targets
        legs = {
            "ceiling, new server": lambda: ceiling(grounds.enter_context(open_ground(settings)), targets),
            "deploy, new server": lambda: later_deploy(grounds.enter_context(open_ground(settings))),
        }
        new = alternate(legs, settings.rounds_or(4))
    with open_ground(settings) as ground:
        legs = {"ceiling": lambda: ceiling(ground, targets), "deploy": lambda: later_deploy(ground)}
        same = alternate(legs, settings.rounds_or(4))
    judged = ratios(*same.values())
    verdict = Verdict(
        what=f"deploy of {len(targets)} against the raw ceiling on one server",
        target=f"≥ {TARGET:.2f}",
        measured=judged.show(),
        reached=judged.middle >= TARGET,
    )
    return Result(
        title="Deploy against the raw ceiling",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(same | new, count=len(targets)),
        verdicts=[verdict],
        remarks=[f"ceiling / deploy, new servers: {ratios(*new.values()).show()}"],
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
