"""Logical backups of a fleet against ``pg_dump`` run by ``xargs``, and restore drills against bare ``pg_restore``."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.ground import Ground, open_ground
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Stopwatch, Verdict, alternate, ratios, sample_rows
from manor.control.operations.backup import BackupRequest, backup
from manor.control.operations.release_draft import Selection
from manor.wiring import open_runtime, open_vault

TENANTS = 200
PARALLEL = 4
TARGET = 0.90
METHOD = f"""\
{TENANTS} tenants of the blueprint's standard plan. *xargs*: the names of all their databases, one on a line, through
`xargs -P {PARALLEL} -I@ pg_dump -Fc -f DIR/@.dump @`, with the bundled pg_dump over the same socket; nothing is counted,
compared, checksummed or recorded. *Manor*: the whole command through the library: opening servers and catalog, selection, a
photograph of each tenant (history, fingerprint, the rows of every table) in the very snapshot that its dump is made of, pg_dump
streamed into the store, digests, fsync, manifest, catalog, audit, anchor, closing; {PARALLEL} tenants at once. Both write
custom-format dumps into the same file system. The ratio is xargs' time / Manor's time of one round."""


def run(settings: Settings) -> Result:
    """Two ways, alternating; one unmeasured round first."""
    with open_ground(settings, standard=TENANTS, enterprise=0) as ground:
        asyncio.run(ground.deploy())
        databases = [target.database for target in ground.fleet().targets if target.kind == "tenant_group"]
        legs = {"xargs": lambda: _xargs(ground, databases), "Manor": lambda: _manor(ground)}
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(5))
    share = ratios(samples["xargs"], samples["Manor"])
    verdict = Verdict(
        what=f"logical backup of {len(databases)} tenants against pg_dump by xargs",
        target=f"≥ {TARGET:.2f}",
        measured=share.show(),
        reached=share.middle >= TARGET,
    )
    return Result(
        title="Logical backups against pg_dump by xargs",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=len(databases)),
        verdicts=[verdict],
    )


def _xargs(ground: Ground, databases: list[str]) -> Sample:
    dump = ground.server.client_binary("pg_dump")
    with _folder() as folder:
        watch = Stopwatch(ground.postmaster)
        subprocess.run(
            ["xargs", "-P", str(PARALLEL), "-I@", str(dump), "-Fc", "-f", f"{folder}/@.dump", "@"],  # noqa: S607 - the shell's own
            input="\n".join(databases),
            text=True,
            check=True,
            env={**os.environ, **ground.server.client_environment()},
        )
        return watch.read()


def _manor(ground: Ground) -> Sample:
    with _folder() as folder:

        async def work() -> None:
            vault = open_vault(ground.workplace, str(folder), encrypt=False)
            async with open_runtime(replace(ground.workplace, sessions=PARALLEL * 2)) as runtime:
                request = BackupRequest(selection=Selection(group="saas_standard_tenants"), parallel=PARALLEL)
                report = await backup(runtime, ground.workplace.project.folder, vault, request)
            if report.exit_code:
                raise RuntimeError(f"the backup that was measured failed: {report.summary} {report.problems}")

        watch = Stopwatch(ground.postmaster)
        asyncio.run(work())
        return watch.read()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="manor-bench-dumps-") as name:
        yield Path(name)
