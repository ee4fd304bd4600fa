"""``python -m benchmarks [--only NAME] [--rounds N] [--quick] [--output FILE]``, run from the repository's root.

A full run writes benchmarks/RESULTS.md; a partial or quick one prints its results, and writes them only where it is told to.
The exit code is 1 where a target was missed, so that a script can tell.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from benchmarks.ground import open_ground
from benchmarks.machine import machine_facts, server_facts
from benchmarks.measure import Result, Settings
from benchmarks.results import render

BENCHMARKS = (
    "startup",
    "registry_5000",
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
)
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Run what was asked for; returns the exit code."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, _stop)  # so that servers and folders are removed
    settings = Settings(rounds=arguments.rounds, quick=arguments.quick)
    partial = bool(arguments.only or arguments.quick or arguments.rounds)
    began = time.monotonic()
    facts = machine_facts()
    with open_ground(Settings(quick=True)) as ground:
        facts += server_facts(ground.url)
    results = [_run(name, settings) for name in arguments.only or BENCHMARKS]
    text = render(results, facts, seconds=time.monotonic() - began, partial=partial)
    output = arguments.output or (None if partial else RESULTS)
    if output is None:
        print(text)
    else:
        output.write_text(text, encoding="utf-8")
        print(f"written: {output.name}")
    return _judge(results)


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


def _run(name: str, settings: Settings) -> Result:
    print(f"{name} …", flush=True)
    began = time.monotonic()
    result: Result = importlib.import_module(f"benchmarks.{name}").run(settings)
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    return result


def _judge(results: list[Result]) -> int:
    verdicts = [verdict for result in results for verdict in result.verdicts]
    for verdict in verdicts:
        mark = "✓" if verdict.reached else "✗"
        print(f"{mark} {verdict.what}: {verdict.measured} (target {verdict.target})")
    return 0 if all(verdict.reached for verdict in verdicts) else 1


def _stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
