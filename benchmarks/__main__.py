"""``python -m benchmarks [--only NAME] [--rounds N] [--quick] [--output FILE]``, run from the repository's root.

Runs of the usual number of rounds go into benchmarks/results.json and RESULTS.md, where each benchmark's newest one stays; a
quick one, or one of other rounds, prints its results, and writes them only where it is told to. The exit code is 1 where a
target was missed, so that a script can tell.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from benchmarks.ground import open_ground
from benchmarks.machine import commit, machine_facts, server_facts
from benchmarks.measure import Settings, Verdict
from benchmarks.results import Measured, Record, render

BENCHMARKS = (
    "startup",
    "registry_5000",
    "render_environments",
    "deploy_ceiling",
    "warm_pool",
    "noop_deploy",
    "deploy_django_tenants",
    "deploy_replay",
    "copy_strategy",
    "release_bare",
    "release_peers",
    "release_noop",
    "release_atomic",
    "release_memory",
    "job_engines",
    "backup_logical",
    "backup_drill",
    "pitr_one_tenant",
    "directory_sync",
    "source_walk",
    "documents_sqlite",
    "documents_postgres",
    "documents_parse",
    "documents_dynamodb",
    "documents_cosmos",
)
RECORD = Path(__file__).with_name("results.json")
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Run what was asked for; returns the exit code."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, _stop)  # so that servers and folders are removed
    settings = Settings(rounds=arguments.rounds, quick=arguments.quick)
    partial = bool(arguments.quick or arguments.rounds)
    facts = machine_facts()
    with open_ground(Settings(quick=True)) as ground:
        facts += server_facts(ground.url)
    runs = [_run(name, settings) for name in arguments.only or BENCHMARKS]
    record = (Record(facts=(), runs=()) if partial else Record.read(RECORD)).with_runs(facts, runs, BENCHMARKS)
    if not partial:
        record.write(RECORD)
    _show(render(record, partial=partial), arguments.output or (None if partial else RESULTS))
    return _judge([verdict for run in runs for verdict in run.result.verdicts])


def _show(text: str, output: Path | None) -> None:
    if output is None:
        print(text)
    else:
        output.write_text(text, encoding="utf-8")
        print(f"written: {output.name}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Manor against ceilings, floors and peers."
    )
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS, metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; repeatable"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each benchmark, instead of its own number")
    parser.add_argument("--quick", action="store_true", help="small fleets, one round: shows that everything runs")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the results go")
    return parser.parse_args()


def _run(name: str, settings: Settings) -> Measured:
    print(f"{name} …", flush=True)
    began, load = time.monotonic(), os.getloadavg()[0]
    result = importlib.import_module(f"benchmarks.{name}").run(settings)
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    when = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC at commit {commit()}, load before it {load:.1f}"
    return Measured(name=name, result=result, when=when)


def _judge(verdicts: list[Verdict]) -> int:
    for verdict in verdicts:
        mark = "✓" if verdict.reached else "✗"
        print(f"{mark} {verdict.what}: {verdict.measured} (target {verdict.target})")
    return 0 if all(verdict.reached for verdict in verdicts) else 1


def _stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
