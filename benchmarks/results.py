"""Results as Markdown, and as the JSON from which it is written: each benchmark's newest run stays until it is run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.measure import Result, Verdict

_HEAD = """\
# Results

Written by `make bench` and `python -m benchmarks --only …`; do not edit. The absolute times belong to the machine below; what
counts are the ratios, each of two ways measured in turn within one run (min / median / max over its rounds). A target is judged
by the median. Each section says when it was measured.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One benchmark's newest run."""

    name: str
    result: Result
    when: str
    """Date, commit and load before it."""

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        result = dict(document["result"])
        result["verdicts"] = [Verdict(**verdict) for verdict in result["verdicts"]]
        return cls(name=document["name"], when=document["when"], result=Result(**result))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All newest runs, in the order of the benchmarks, and the machine."""

    facts: Sequence[tuple[str, str]]
    runs: Sequence[Measured]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file; nothing where there is none yet."""
        if not path.exists():
            return cls(facts=(), runs=())
        document = json.loads(path.read_text(encoding="utf-8"))
        facts = [(name, value) for name, value in document["facts"]]
        return cls(facts=facts, runs=[Measured.from_json(run) for run in document["runs"]])

    def with_runs(self, facts: Sequence[tuple[str, str]], runs: Iterable[Measured], order: Sequence[str]) -> Record:
        """These runs instead of earlier ones of the same names."""
        newest = {run.name: run for run in (*self.runs, *runs)}
        return Record(facts=facts, runs=[newest[name] for name in order if name in newest])

    def write(self, path: Path) -> None:
        """Replace the file."""
        document = {"facts": self.facts, "runs": [run.to_json() for run in self.runs]}
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def render(record: Record, *, partial: bool = False) -> str:
    """The whole document."""
    parts = [_HEAD]
    if partial:
        parts.append("**This run was quick, or of few rounds: it proves nothing.**\n")
    parts.append(_table(("what", "target", "measured (min / median / max)", ""), _verdicts(record.runs)))
    parts.append("## Machine\n")
    parts.append(_table(("", ""), record.facts))
    parts += [_section(run) for run in record.runs]
    return "\n".join(parts)


def _verdicts(runs: Sequence[Measured]) -> list[Sequence[str]]:
    verdicts = [verdict for run in runs for verdict in run.result.verdicts]
    return [(v.what, v.target, v.measured, "reached" if v.reached else "**missed**") for v in verdicts]


def _section(run: Measured) -> str:
    result = run.result
    lines = [
        f"## {result.title}\n",
        result.method.strip() + "\n",
        f"Measured {run.when}.\n",
        _table(result.header, result.rows),
    ]
    if result.remarks:
        lines.append("\n".join(f"- {remark}" for remark in result.remarks) + "\n")
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(header), "|" + "---|" * len(header), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
