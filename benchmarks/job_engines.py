"""A rolling release carried out by a worker through PgQueuer, against the same release in the command itself."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.ground import PARALLEL
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Verdict, alternate, ratios, sample_rows
from benchmarks.release_ground import EVERYONE, ReleaseGround, open_release_ground
from manor.control.operations.migrate import MigrateRequest

TENANTS = 1000
TARGETS = {5: 1.5, 100: 1.1}
"""Greatest ratio by milliseconds that a migration takes."""
METHOD = f"""\
A release is one statement, `SELECT pg_sleep(…)`; {PARALLEL} tenants at once. *Inline*: the whole command through the library,
as in the other benchmarks. *PgQueuer*: the same with the job engine pgqueuer and one `manor worker` in a process of its own,
started before; both share the catalog's server with the tenants and the machine's processors with it. Both ways release the
same tenants in turn. The ratio is PgQueuer's time / inline's time of one round."""


def run(settings: Settings) -> Result:
    """Two engines and two lengths of migrations, alternating; one unmeasured round first."""
    with open_release_ground(settings, TENANTS) as fleet, worker(fleet):
        releases = Releases(fleet)
        legs = {
            f"{engine}, {milliseconds} ms": lambda e=engine, m=milliseconds: releases.next(e, m)
            for milliseconds in TARGETS
            for engine in ("inline", "pgqueuer")
        }
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(5))
        count = len(fleet.databases)
    verdicts = [verdict(samples, milliseconds, most, count) for milliseconds, most in TARGETS.items()]
    rows = sample_rows(samples, count=count)
    return Result(title="Job engines", method=METHOD, header=SAMPLE_HEADER, rows=rows, verdicts=verdicts)


def verdict(samples: dict[str, list[Sample]], milliseconds: int, most: float, count: int) -> Verdict:
    """For migrations of one length."""
    share = ratios(samples[f"pgqueuer, {milliseconds} ms"], samples[f"inline, {milliseconds} ms"])
    return Verdict(
        what=f"a release of {milliseconds} ms to {count} tenants through PgQueuer against inline",
        target=f"≤ {most:.1f}",
        measured=share.show(),
        reached=share.middle <= most,
    )


class Releases:
    """One release after the other, by either engine."""

    def __init__(self, fleet: ReleaseGround) -> None:
        self._fleets = {engine: _with_engine(fleet, engine) for engine in ("inline", "pgqueuer")}
        self._number = 0

    def next(self, engine: str, milliseconds: int) -> Sample:
        """To every numbered tenant."""
        self._number += 1
        fleet = self._fleets[engine]
        fleet.migrations.mkdir(exist_ok=True)
        path = fleet.migrations / f"{20260000 + self._number}_sleep_{self._number}.sql"
        path.write_text(f"-- migrate:up\nSELECT pg_sleep({milliseconds / 1000});\n", encoding="utf-8")
        return fleet.time(MigrateRequest(selection=EVERYONE, strategy="rolling", parallel=PARALLEL))[0]


def _with_engine(fleet: ReleaseGround, engine: str) -> ReleaseGround:
    workplace = replace(fleet.ground.workplace, engine=engine)
    return ReleaseGround(ground=replace(fleet.ground, workplace=workplace), databases=fleet.databases)


@contextlib.contextmanager
def worker(fleet: ReleaseGround) -> Iterator[None]:
    """One ``manor worker``, ready before anything is measured."""
    command = [sys.executable, "-m", "manor.cli.main", "--environment", "customer_a", "worker"]
    folder = fleet.ground.workplace.project.folder
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "ready" in process.stderr.readline()
        try:
            yield
        finally:
            process.terminate()
            process.stderr.read()
