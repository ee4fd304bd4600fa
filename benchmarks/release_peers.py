"""One release to a fleet against dbmate, four processes side by side, and against django-tenants."""

from __future__ import annotations

import contextlib
import importlib.metadata
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Spread, Verdict, alternate, ratios, sample_rows
from benchmarks.release_dbmate import PROCESSES, Dbmate, Missing, installed
from benchmarks.release_django import DjangoTenants
from benchmarks.release_ground import COMMON, ReleaseGround, open_release_ground

TENANTS = 100
TARGETS = {f"dbmate ×{PROCESSES}": 2.5, "django-tenants": 8.0}
METHOD = f"""\
{COMMON} *dbmate ×{PROCESSES}*: `dbmate --no-dump-schema migrate` per database, {PROCESSES} processes at any time; the binary
in its npm package is called directly, because the package's own script starts node first. Its processor time is not counted
as ours. *django-tenants*: `migrate_schemas --tenant`, the standard executor, over as many schemas of one database, the same
statements by `RunSQL`; nothing but the blueprint's four tables is installed in a tenant; starting Python and Django is not
timed. *Rolling*: the whole command through the library. The ratio is the rival's time / rolling's time of one round."""


def run(settings: Settings) -> Result:
    """Alternating; one unmeasured round first. A rival that cannot be installed is named and left out."""
    remarks: list[str] = []
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(open_release_ground(settings, TENANTS))
        legs = {**_rivals(stack, fleet, remarks), "rolling": lambda: fleet.release()[0]}
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(3))
        count = len(fleet.databases)
    faster = {name: ratios(samples[name], samples["rolling"]) for name in TARGETS if name in samples}
    return Result(
        title="A rolling release against dbmate and django-tenants",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=count),
        verdicts=[_verdict(name, spread, count) for name, spread in faster.items()],
        remarks=remarks,
    )


def _rivals(stack: contextlib.ExitStack, fleet: ReleaseGround, remarks: list[str]) -> dict[str, Callable[[], Sample]]:
    by_dbmate, by_django = TARGETS
    django = stack.enter_context(DjangoTenants(fleet))
    legs: dict[str, Callable[[], Sample]] = {by_django: django.release}
    remarks.append(f"django-tenants {importlib.metadata.version('django-tenants')}")
    try:
        program = stack.enter_context(installed())
    except Missing as reason:
        remarks.append(f"**dbmate was not measured: {reason}**")
        return legs
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="manor-bench-dbmate-")))
    dbmate = Dbmate(fleet, program, folder)
    remarks.append(dbmate.version())
    return {by_dbmate: dbmate.release, **legs}


def _verdict(name: str, faster: Spread, count: int) -> Verdict:
    return Verdict(
        what=f"one migration over {count} tenants, rolling, against {name}",
        target=f"≥ {TARGETS[name]}×",
        measured=faster.show(),
        reached=faster.middle >= TARGETS[name],
    )
