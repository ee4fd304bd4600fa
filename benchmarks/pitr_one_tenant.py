"""One tenant back at a moment: Manor's whole command against the same steps typed into a shell, and as neighbours grow.

Assumes the embedded server, run as root (the shell's steps change the account).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.ground import Ground, open_ground
from benchmarks.measure import (
    SAMPLE_HEADER,
    Result,
    Sample,
    Settings,
    Spread,
    Stopwatch,
    Verdict,
    alternate,
    ratios,
    sample_rows,
)
from manor.control.backup.recover import Target
from manor.control.engines.embedded.settings import ADMIN
from manor.control.operations.backup_base import backup_base
from manor.control.operations.restore import Manner
from manor.control.operations.restore_to import restore_to
from manor.control.rollout.bases.take import BaseOrder
from manor.settings import EMBEDDED
from manor.wiring import base_place, open_runtime

SCRIPT = Path(__file__).with_name("pitr_bare.sh")
TARGET_RATIO = 2.0
METHOD = """\
A fleet of the saas blueprint on the embedded server and one base backup of it, stored by Manor (compressed, per database) and,
for the shell, unpacked by pg_basebackup. Timed: one tenant goes back to the moment at which the round begins. Manor: the whole
command as the library does it, from opening the runtime to closing it: heartbeat and archive, side instance, photograph, dump,
load beside, comparison, switch, journal and audit. The shell: the same steps without any check, with the same databases laid
out (benchmarks/pitr_bare.sh); "whole" lays out every database. After each round the former database is put back, untimed."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fleet with a base backup, and the tenant that goes back."""

    ground: Ground
    work: Path
    tenant: str
    database: str
    databases: int
    needed: tuple[str, ...]

    @property
    def base(self) -> Path:
        return self.work / "base"


def run(settings: Settings) -> Result:
    """Median ratio to the shell with 20 tenants, and the growth from 20 to 200."""
    rounds = settings.rounds_or(5)
    rows, verdicts, medians = [], [], {}
    for tenants in (20, 200):
        with _case(settings, tenants) as case:
            print(f"  {case.databases} databases", flush=True)
            legs = {
                "Manor": lambda case=case: _manor(case),
                "shell": lambda case=case: _shell(case, case.needed),
                "shell, whole": lambda case=case: _shell(case, ("all",)),
            }
            samples = alternate(legs, rounds)
        label = f"{case.databases} databases"
        rows += [[f"{label}: {row[0]}", *row[1:]] for row in sample_rows(samples)]
        medians[tenants] = Spread.of([sample.seconds for sample in samples["Manor"]]).middle
        if tenants == 20:
            verdicts.append(_ratio(samples["Manor"], samples["shell"]))
    verdicts.append(
        Verdict(
            what="one tenant back at a moment, 200 tenants against 20",
            target="≤ 2.0 times",
            measured=f"{medians[200] / medians[20]:.2f} times",
            reached=medians[200] <= 2.0 * medians[20],
        )
    )
    return Result(title="One tenant back at a moment", method=METHOD, header=SAMPLE_HEADER, rows=rows, verdicts=verdicts)


def _ratio(manor: list[Sample], shell: list[Sample]) -> Verdict:
    found = ratios(manor, shell)
    return Verdict(
        what="one tenant back at a moment, 20 tenants, against the shell",
        target=f"≤ {TARGET_RATIO:.1f} times",
        measured=f"{found.show()} times",
        reached=found.middle <= TARGET_RATIO,
    )


@contextmanager
def _case(settings: Settings, tenants: int) -> Iterator[Case]:
    with (
        open_ground(settings, standard=tenants, enterprise=10) as ground,
        tempfile.TemporaryDirectory(prefix="manor-bench-") as name,
    ):
        work = Path(name)
        work.chmod(0o755)
        asyncio.run(ground.deploy())
        asyncio.run(_take_base(ground))
        target = next(t for t in ground.fleet().targets if t.group == "saas_standard_tenants")
        _bare_base(ground, work / "base")
        with psycopg.connect(ground.url) as connection:
            found = connection.execute(
                "SELECT oid, datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database"
            ).fetchall()
        needed = [
            str(oid) for oid, name, comment in found if oid < 16384 or name == target.database or '"kind":"golden"' in comment
        ]
        yield Case(
            ground=ground,
            work=work,
            tenant=str(target.tenant),
            database=target.database,
            databases=len(found),
            needed=tuple(needed),
        )


async def _take_base(ground: Ground) -> None:
    async with open_runtime(ground.workplace) as runtime:
        await backup_base(runtime, base_place(ground.workplace), BaseOrder(server=EMBEDDED))


def _bare_base(ground: Ground, folder: Path) -> None:
    program = ground.server.client_binary("pg_basebackup")
    command = [program, "-D", folder, "-X", "none", "-c", "fast", "--no-manifest"]
    subprocess.run(command, env=ground.server.client_environment(), check=True, capture_output=True)


def _manor(case: Case) -> Sample:
    async def work() -> None:
        async with open_runtime(case.ground.workplace) as runtime:
            target = Target(time=dt.datetime.now(dt.UTC))
            report = await restore_to(runtime, base_place(case.ground.workplace), case.tenant, target, Manner(grace_seconds=0))
        if report.exit_code:
            raise RuntimeError(f"the restore that was measured failed: {report.outcomes[0].detail}")

    watch = Stopwatch(case.ground.postmaster)
    asyncio.run(work())
    return watch.read()


def _shell(case: Case, oids: tuple[str, ...]) -> Sample:
    status = case.ground.server.status()
    account = pwd.getpwuid(status.data_directory.stat().st_uid).pw_name
    program = case.ground.server.client_binary("psql")
    command = [
        SCRIPT,
        program.parent,
        status.socket_directory,
        ADMIN,
        case.base,
        case.ground.server.archive_folder,
        case.work,
        account,
        case.database,
        *oids,
    ]
    watch = Stopwatch(case.ground.postmaster)
    subprocess.run([os.fspath(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    sample = watch.read()
    _put_back(case)
    return sample


def _put_back(case: Case) -> None:
    """The former database again, with the marker and the rights that Manor knows."""
    with psycopg.connect(case.ground.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(case.database)))
        connection.execute(sql.SQL("ALTER DATABASE bare_former RENAME TO {}").format(sql.Identifier(case.database)))
    shutil.rmtree(case.work / "side", ignore_errors=True)
