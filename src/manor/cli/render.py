"""Results on the terminal: tables for people, JSON and YAML for programs. Rich is imported only where a table is drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from manor.cli.options import current
from manor.errors import counted

if TYPE_CHECKING:
    from manor.control.rollout.report import Report

MARKS = {
    "success": "✓",
    "skipped": "–",
    "error": "✗",
    "not_started": "·",
    "pending": "○",
    "rolled_back": "↩",
    "needs_decision": "?",
}


def to_text(document: Mapping[str, Any] | Sequence[Any], how: str) -> str:
    """A document as ``json`` or ``yaml`` text."""
    if how == "json":
        return json.dumps(document, ensure_ascii=False, indent=2, default=str)
    import yaml

    plain = json.loads(json.dumps(document, default=str))
    text: str = yaml.dump(plain, Dumper=yaml.SafeDumper, allow_unicode=True, sort_keys=False)
    return text.rstrip("\n")


def print_document(document: Mapping[str, Any] | Sequence[Any]) -> bool:
    """Print it where the format is json or yaml; returns whether it did."""
    how = current().format
    if how == "table":
        return False
    click.echo(to_text(document, how))
    return True


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table that fits the terminal; plain columns where it is none."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 160)
    table = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    console.print(table)


def say(text: str = "") -> None:
    """A line for people: on stdout with tables, on stderr where stdout belongs to a document; nothing when quiet."""
    options = current()
    if not options.quiet:
        click.echo(text, err=options.format != "table")


def print_report(report: Report, *, shown: int = 20) -> None:
    """One operation's result: errors in full, others summed (``--verbose`` lists all); of a single one, what became of it."""
    if print_document(report.to_json()):
        return
    verbose = current().verbose
    told = {"error", "not_started", "needs_decision"}
    wanted = [o for o in report.outcomes if verbose or o.failure is not None or str(o.status) in told]
    rows = [
        (MARKS.get(str(o.status), ""), o.target.database, o.target.group, str(o.status), o.detail or "")
        for o in (wanted if verbose else wanted[:shown])
    ]
    if rows:
        print_table(("", "database", "group", "status", "detail"), rows)
    tell = click.echo if report.dry_run else say  # what a plan says and warns of is its result, even for the quiet
    if not rows and len(report.outcomes) == 1 and report.outcomes[0].detail:
        only = report.outcomes[0]
        tell(f"{MARKS.get(str(only.status), '')} {only.target.tenant or only.target.database}: {only.detail}")
    if len(wanted) > len(rows):
        click.echo(f"… and {len(wanted) - len(rows)} more; --verbose lists all")
    for hint in sorted({o.failure.hint for o in wanted if o.failure and o.failure.hint}):
        click.echo(f"  hint: {hint}")
    for orphan in report.orphans[: None if verbose else shown]:
        click.echo(f"orphan ({orphan.kind}): {orphan.database} on {orphan.server}: {orphan.detail}")
    if len(report.orphans) > shown and not verbose:
        click.echo(f"… and {len(report.orphans) - shown} more orphans; --verbose lists all")
    for notice in report.notices:
        tell(f"note: {notice}")
    for problem in report.problems:
        click.echo(f"problem: {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
    click.echo(summary_line(report))


def summary_line(report: Report) -> str:
    """``deploy: 153 targets: 153 success in 7.4 s (operation …)``."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(report.summary.items())) or "nothing to do"
    verb = f"{report.verb} (dry run)" if report.dry_run else report.verb
    took = f" in {report.duration_seconds:.1f} s" if report.duration_seconds else ""
    return f"{verb}: {counted(len(report.outcomes), 'target')}: {counts}{took}{_tail(report)}"


def _tail(report: Report) -> str:
    if report.dry_run:
        return f"; plan {report.digest}" if report.digest else ""
    return f" (operation {report.operation})" if report.operation else ""
