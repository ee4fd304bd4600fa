"""Validate and preview of a registry of 5,000 tenants: time and memory of the commands, and of the library in one process."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ground import REGISTRY
from benchmarks.measure import Result, Settings, Spread, Verdict
from benchmarks.processes import Usage, launch
from manor.control.operations.scaffold import scaffold

TENANTS = 5_000
TARGET_SECONDS = 2.0
TARGET_MEGABYTES = 200
METHOD = """\
The saas blueprint with 5,000 tenants in two shapes: one group whose tenant_count is 5,000, and 5,000 databases listed one by
one with five variables each. *Commands*: `manor multi-tenant validate`, then `preview`, as processes of their own; wall times
added up; the peak of the greater one's resident memory (rusage of the ended process). *Library*: both verbs in one fresh
process, imports not counted."""

_LIBRARY = """
import json, sys, time
from pathlib import Path
from manor.control.operations.fleet import FleetSource, load_fleet
from manor.control.operations.preview import preview_fleet
from manor.control.operations.validate import validate_fleet
from manor.wiring import template_examiner
project, registry = Path(sys.argv[1]), Path(sys.argv[1]) / sys.argv[2]
source = FleetSource(project=project, registry=registry, shown_as=sys.argv[2], deployments=["embedded"])
began = time.perf_counter()
verdict = validate_fleet(source, template_examiner())
preview = preview_fleet(load_fleet(source), group=None, limit=5)
print(json.dumps([time.perf_counter() - began, verdict.ok, preview.total]))
"""


def run(settings: Settings) -> Result:
    """Both shapes; the judged time is the median of the sums, the judged memory the greatest of all."""
    rows, sums, peaks = [], {}, []
    with tempfile.TemporaryDirectory(prefix="manor-bench-") as name:
        for shape, groups in (("one group's count", _counted()), ("explicit entries", _listed())):
            project = Path(name) / shape.split()[0]
            _write(project, groups)
            for part, used in _measure(project, settings.rounds_or(5)).items():
                seconds = Spread.of([u.seconds for u in used])
                peak = max(u.megabytes for u in used)
                rows.append([shape, part, seconds.show(), f"{peak:.0f}"])
                if part == "validate + preview":
                    sums[shape] = seconds
                    peaks.append(peak)
    verdicts = [_time_verdict(shape, seconds) for shape, seconds in sums.items()]
    memory = Verdict(
        what="the same: peak resident memory of a process, worst of both shapes",
        target=f"≤ {TARGET_MEGABYTES} MB",
        measured=f"{max(peaks):.0f} MB",
        reached=max(peaks) <= TARGET_MEGABYTES,
    )
    return Result(
        title="A registry of 5,000 tenants",
        method=METHOD,
        header=("shape", "what", "seconds (min / median / max)", "peak MB"),
        rows=rows,
        verdicts=[*verdicts, memory],
    )


def _time_verdict(shape: str, seconds: Spread) -> Verdict:
    return Verdict(
        what=f"5,000-tenant registry, {shape}: validate + preview",
        target=f"≤ {TARGET_SECONDS:.0f} s",
        measured=f"{seconds.show()} s",
        reached=seconds.middle <= TARGET_SECONDS,
    )


def _measure(project: Path, rounds: int) -> dict[str, list[Usage]]:
    manor = str(Path(sys.executable).with_name("manor"))
    registry = str(project / REGISTRY)
    measured: dict[str, list[Usage]] = {"validate": [], "preview": [], "validate + preview": [], "library, both": []}
    for _ in range(rounds):
        first = _use([manor, "multi-tenant", "validate", "--registry", registry])
        second = _use([manor, "multi-tenant", "preview", "--registry", registry])
        both = Usage(seconds=first.seconds + second.seconds, megabytes=max(first.megabytes, second.megabytes))
        for part, used in zip(measured, (first, second, both, _library(project)), strict=True):
            measured[part].append(used)
    print(f"    {project.name}: {statistics.median(u.seconds for u in measured['validate + preview']):.2f} s", flush=True)
    return measured


def _use(command: Sequence[str]) -> Usage:
    usage, _ = launch(command)
    return usage


def _library(project: Path) -> Usage:
    usage, answer = launch([sys.executable, "-c", _LIBRARY, str(project), REGISTRY])
    seconds, valid, total = json.loads(answer)
    assert valid, "the registry of the benchmark is not valid"
    assert total == TENANTS
    return Usage(seconds=seconds, megabytes=usage.megabytes)


def _write(project: Path, groups: str) -> None:
    scaffold("saas", project)
    text = (project / REGISTRY).read_text(encoding="utf-8")
    head, _, rest = text.partition("database_groups:\n")
    _, _, tail = rest.partition("operations:\n")
    (project / REGISTRY).write_text(f"{head}database_groups:\n{groups}\noperations:\n{tail}", encoding="utf-8")


_VARIABLES = ("TENANT_PREFIX", "CUSTOMER_CODE", "TENANT_TYPE", "DATABASE_NAME", "CONTACT")


def _counted() -> str:
    stem = "{customer_code}_tenant_{tenant_id}"
    values = dict(zip(_VARIABLES, (stem, "{customer_code}", "standard", f"{stem}_main", "ops@example.com"), strict=True))
    lines = [
        "  tenants:",
        '    type: "tenant_group"',
        '    template: "tenant_type1"',
        f"    tenant_count: {TENANTS}",
        '    tenant_id_format: "{:04d}"',
        f'    naming_pattern: "{stem}_main"',
        "    variables:",
        *(f'      {key}: "{value}"' for key, value in values.items()),
    ]
    return "\n".join(lines) + "\n"


def _listed() -> str:
    lines = ["  tenants:", '    type: "fixed_group"', "    databases:"]
    for number in range(1, TENANTS + 1):
        stem = f"customer_a_tenant_{number:04d}"
        values = (stem, "{customer_code}", "standard", f"{stem}_main", f"ops{number}@example.com")
        lines += [f'      - name: "{stem}_main"', '        template: "tenant_type1"', "        variables:"]
        lines += [f'          {key}: "{value}"' for key, value in zip(_VARIABLES, values, strict=True)]
    return "\n".join(lines) + "\n"
