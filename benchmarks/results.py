"""Results as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.measure import Result

_HEAD = """\
# Results

Written by `make bench`; do not edit. The absolute times belong to the machine below; what counts are the ratios, each of two
ways measured in turn within one run (min / median / max over its rounds). A target is judged by the median.
"""


def render(results: Sequence[Result], facts: Iterable[tuple[str, str]], *, seconds: float, partial: bool) -> str:
    """The whole document."""
    parts = [_HEAD]
    if partial:
        parts.append("**This run was partial or quick: it proves nothing.**\n")
    parts.append(_table(("what", "target", "measured (min / median / max)", ""), _verdicts(results)))
    parts.append("## Machine\n")
    parts.append(_table(("", ""), [*facts, ("length of the run", f"{seconds / 60:.0f} min")]))
    parts += [_section(result) for result in results]
    return "\n".join(parts)


def _verdicts(results: Sequence[Result]) -> list[Sequence[str]]:
    verdicts = [verdict for result in results for verdict in result.verdicts]
    return [(v.what, v.target, v.measured, "reached" if v.reached else "**missed**") for v in verdicts]


def _section(result: Result) -> str:
    lines = [f"## {result.title}\n", result.method.strip() + "\n", _table(result.header, result.rows)]
    if result.remarks:
        lines.append("\n".join(f"- {remark}" for remark in result.remarks) + "\n")
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(header), "|" + "---|" * len(header), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
