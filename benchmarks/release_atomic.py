"""A release to all or none against the same release in waves, and how long the fleet is of two versions."""

from __future__ import annotations

from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Spread, Verdict, alternate, ratios, sample_rows
from benchmarks.release_ground import COMMON, ReleaseGround, open_release_ground

TENANTS = 100
TARGET = 1.7
TARGET_SECONDS = 0.1
METHOD = f"""\
{COMMON} Both are the whole command through the library, over the same tenants, in turn: one release atomic, the next one
rolling. The ratio is atomic's time / rolling's time of one round. *Window*: from the recorded decision to the answer of the
last COMMIT PREPARED, as the report has it (`mixed_version_window_seconds`)."""


def run(settings: Settings) -> Result:
    """Two ways, alternating; one unmeasured round first."""
    windows: list[float] = []
    prepares: list[float] = []
    with open_release_ground(settings, TENANTS) as fleet:
        legs = {
            "atomic": lambda: _atomic(fleet, windows, prepares),
            "rolling": lambda: fleet.release()[0],
        }
        alternate(legs, 1)
        windows.clear()
        prepares.clear()
        samples = alternate(legs, settings.rounds_or(7))
        count = len(fleet.databases)
    factor, window = ratios(samples["atomic"], samples["rolling"]), Spread.of(windows)
    verdicts = [
        Verdict(
            what=f"atomic over {count} tenants against rolling, total",
            target=f"≤ {TARGET}×",
            measured=factor.show(),
            reached=factor.middle <= TARGET,
        ),
        Verdict(
            what=f"atomic over {count} tenants: mixed-version window",
            target=f"≤ {TARGET_SECONDS} s",
            measured=f"{window.show(3)} s",
            reached=window.middle <= TARGET_SECONDS,
        ),
    ]
    return Result(
        title="A release to all or none against one in waves",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=count),
        verdicts=verdicts,
        remarks=[f"all votes: {Spread.of(prepares).show()} s"],
    )


def _atomic(fleet: ReleaseGround, windows: list[float], prepares: list[float]) -> Sample:
    sample, report = fleet.release("atomic")
    windows.append(report.extra["release"]["mixed_version_window_seconds"])
    prepares.append(report.extra["release"]["prepare_seconds"])
    return sample
