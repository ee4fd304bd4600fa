"""Restore drills against bare ``createdb``, ``pg_restore`` and ``dropdb`` at the same parallelism."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.ground import Ground, open_ground
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Stopwatch, Verdict, alternate, ratios, sample_rows
from manor.control.operations.backup import BackupRequest, backup
from manor.control.operations.backup_drill import DrillRequest, drill
from manor.control.operations.release_draft import Selection
from manor.wiring import open_runtime, open_vault

TENANTS = 20
PARALLEL = 4
TARGET = 0.80
STANDARD = Selection(group="saas_standard_tenants")
STEPS = 'createdb -T template0 "scratch_$1" && pg_restore --exit-on-error -d "scratch_$1" "$2" && dropdb "scratch_$1"'
METHOD = f"""\
{TENANTS} tenants of the blueprint's standard plan, each with one backup in custom format. *Bare*: for each dump, through
`xargs -P {PARALLEL}`, createdb, pg_restore and dropdb with the bundled programs; nothing is compared. *Manor*: the whole
command through the library: opening, choosing each tenant's newest backup, reading it with its digests, loading into a scratch
database, fingerprint and rows of every table compared with the manifest, dropping, catalog, audit, anchor; {PARALLEL} at
once. The ratio is bare's time / Manor's time of one round."""


def run(settings: Settings) -> Result:
    """Two ways, alternating; one unmeasured round first."""
    with (
        open_ground(settings, standard=TENANTS, enterprise=0) as ground,
        tempfile.TemporaryDirectory(prefix="manor-bench-dumps-") as folder,
    ):
        asyncio.run(ground.deploy())
        asyncio.run(_back_up(ground, folder))
        dumps = sorted(Path(folder).rglob("*.dump"))
        legs = {"bare pg_restore": lambda: _bare(ground, dumps), "drill": lambda: _drill(ground, folder)}
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(5))
    share = ratios(samples["bare pg_restore"], samples["drill"])
    verdict = Verdict(
        what=f"restore drill of {len(dumps)} tenants against bare pg_restore",
        target=f"≥ {TARGET:.2f}",
        measured=share.show(),
        reached=share.middle >= TARGET,
    )
    return Result(
        title="Restore drills against pg_restore",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=len(dumps)),
        verdicts=[verdict],
    )


async def _back_up(ground: Ground, folder: str) -> None:
    vault = open_vault(ground.workplace, folder, encrypt=False)
    async with open_runtime(replace(ground.workplace, sessions=PARALLEL * 2)) as runtime:
        report = await backup(runtime, ground.workplace.project.folder, vault, BackupRequest(selection=STANDARD))
    if report.exit_code:
        raise RuntimeError(f"no backups to drill: {report.summary}")


def _bare(ground: Ground, dumps: list[Path]) -> Sample:
    programs = ground.server.client_binary("pg_restore").parent
    variables = {**os.environ, **ground.server.client_environment(), "PATH": f"{programs}:{os.environ['PATH']}"}
    pairs = "".join(f"{number}\n{dump}\n" for number, dump in enumerate(dumps))
    watch = Stopwatch(ground.postmaster)
    command = ["xargs", "-P", str(PARALLEL), "-n", "2", "sh", "-c", STEPS, "sh"]
    subprocess.run(command, input=pairs, text=True, check=True, env=variables)
    return watch.read()


def _drill(ground: Ground, folder: str) -> Sample:
    async def work() -> None:
        vault = open_vault(ground.workplace, folder, encrypt=False)
        async with open_runtime(replace(ground.workplace, sessions=PARALLEL * 3)) as runtime:
            report = await drill(runtime, vault, DrillRequest(selection=STANDARD, parallel=PARALLEL))
        if report.exit_code:
            raise RuntimeError(f"the drill that was measured failed: {report.summary}")

    watch = Stopwatch(ground.postmaster)
    asyncio.run(work())
    return watch.read()
