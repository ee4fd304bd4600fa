"""``manor tenant sync`` and ``search``: what sources of tenants say, into the catalog, and found there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.failures import Exit
from manor.cli.options import current, open_workplace, report_option, with_global_options
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import looked_at
from manor.cli.render import print_document, print_table, say
from manor.cli.report_file import check_report_file, write_report
from manor.errors import counted
from manor.telemetry import Event

if TYPE_CHECKING:
    from manor.control.catalog.records import DirectoryChange, DirectoryRecord
    from manor.control.operations.directory_search import Told
    from manor.control.operations.sync import SyncReport, SyncRequest
    from manor.control.runtime import Runtime, StopSignal
    from manor.wiring import Workplace

_SHOWN = 20
MARKS = {"new": "+", "changed": "~", "suspended": "!", "returned": "+", "gone": "-"}


@click.command("sync")
@click.option("--source", required=True, metavar="NAME", help="A source of project.yaml, such as crm, or database, api, csv.")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="F", help="A YAML file that says what the source is, instead."
)
@click.option("--dry-run", is_flag=True, help="Look and plan only; prints the plan's digest.")
@click.option("--plan-digest", metavar="D", help="Act only if the plan is the one with this digest.")
@click.option("--allow-large-change", is_flag=True, help="Allow a plan that the large-change guard stops.")
@click.option("--all-configs", is_flag=True, help="Read the settings of every tenant again, not only of those that changed.")
@report_option
@with_global_options
def sync_command(**said: Any) -> None:
    """Take over what a source says of its tenants: new, changed, suspended and gone ones. No database is touched."""
    check_report_file(said["report"])
    heard = _Disagreements()
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display, heard))
        result = _synced(workplace, said)
    result = replace(result, notices=(*result.notices, *heard.notices))
    _print(result)
    write_report(result, said["report"])
    if result.exit_code:
        raise Exit(result.exit_code)


class _Disagreements:
    """Hears of merged sources that tell different things of one tenant."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def __call__(self, event: Event) -> None:
        """A hook of telemetry."""
        if event.kind == "source.disagreed":
            fields = ", ".join(f"{name} ({count})" for name, count in event.details["fields"].items())
            what = f"the sources of {event.subject} disagree about {counted(event.details['tenants'], 'tenant')}"
            self.notices.append(f"{what}: {fields}; the one that goes before counts")


def _synced(workplace: Workplace, said: dict[str, Any]) -> SyncReport:
    from manor.control.operations.sync import dry_run, sync
    from manor.wiring import look_runtime, open_runtime
    from manor.wiring.sources import open_source

    request = _request(workplace, said)
    provider = open_source(workplace.project, said["source"], said["config"], telemetry=workplace.telemetry)

    async def plan() -> SyncReport:
        try:
            async with look_runtime(workplace) as runtime:
                return await dry_run(runtime, provider, request)
        finally:
            await provider.aclose()

    async def act(stop: StopSignal) -> SyncReport:
        try:
            async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
                return await sync(runtime, provider, request)
        finally:
            await provider.aclose()

    return asyncio.run(plan()) if said["dry_run"] else run_stoppable(act)


def _request(workplace: Workplace, said: dict[str, Any]) -> SyncRequest:
    from manor.control.operations.sync import SyncRequest
    from manor.control.registry.directory_home import DirectoryHome, check_source_name, load_home_settings

    check_source_name(said["source"])
    home = DirectoryHome.at(workplace.project.folder, workplace.environment.folder, said["source"])
    registry, _ = load_home_settings(workplace.environment.folder, home.registry_shown_as)
    return SyncRequest(
        source=said["source"],
        home=home,
        all_configs=said["all_configs"],
        plan_digest=said["plan_digest"],
        allow_large_change=said["allow_large_change"],
        max_change_percent=float(registry.operations.max_change_percent),
        lock_wait_seconds=float(workplace.environment.settings.lock_wait_seconds),
    )


def _print(result: SyncReport) -> None:
    if print_document(result.to_json()):
        return
    changes = result.plan.changes()
    shown = changes if current().verbose else changes[:_SHOWN]
    if shown:
        print_table(("", "tenant", "what", "fields"), [(MARKS[c.kind], c.tenant, c.kind, _fields(c)) for c in shown])
    if len(changes) > len(shown):
        click.echo(f"… and {len(changes) - len(shown)} more; --verbose lists all")
    tell = click.echo if result.dry_run else say
    for notice in result.notices:
        tell(f"note: {notice}")
    for problem in result.problems:
        click.echo(f"problem: {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
    click.echo(_summary(result))


def _fields(change: DirectoryChange) -> str:
    """``tier: basic → premium``; nothing for one that is new or gone."""
    return ", ".join(f"{name}: {_short(pair[0])} → {_short(pair[1])}" for name, pair in change.fields.items())


def _short(value: Any) -> str:
    text = "none" if value is None else _shown(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _shown(value: Any) -> str:
    """Lists of names as a table of tenants has them, mappings as JSON."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ";".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _summary(result: SyncReport) -> str:
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(result.summary.items())) or "no tenants"
    head = f"sync of {result.plan.source}{' (dry run)' if result.dry_run else ''}: {counts} in {result.duration_seconds:.1f} s"
    if result.dry_run:
        return f"{head}; plan {result.plan.digest}"
    return f"{head} (operation {result.operation})" if result.operation else f"{head}; nothing to write"


@click.command("search")
@click.argument("query", metavar="QUERY")
@click.option("--source", metavar="NAME", help="Only tenants of this source.")
@click.option("--gone", is_flag=True, help="Those that their source has no longer, instead.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Only the first N.  [default: all]")
@with_global_options
def search_command(query: str, source: str | None, gone: bool, limit: int | None) -> None:
    """Find tenants that sources told of, such as "status = 'active' AND tier IN ('premium', 'enterprise')"."""
    from manor.control.operations.directory_search import record_json, search_directory

    async def find(runtime: Runtime) -> list[DirectoryRecord]:
        state = "gone" if gone else "present"
        return await search_directory(runtime.catalog, query, source=source, state=state, limit=limit, where="QUERY")

    found: list[DirectoryRecord] = looked_at(open_workplace(), find)
    if print_document([record_json(record) for record in found]):
        return
    rows = [
        (r.source, r.tenant, r.values["customer_name"], r.values["region"], r.values["tier"], r.values["status"],
         ";".join(r.values["instances"]))
        for r in found
    ]  # fmt: skip
    print_table(("source", "tenant", "customer", "region", "tier", "status", "instances"), rows)
    say(counted(len(found), "tenant"))


def print_told(told: Sequence[Told]) -> None:
    """What sources told of one tenant, and the last changes."""
    for one in told:
        click.echo(f"{'source':<12} {one.record.source} ({one.record.state}, operation {one.record.operation})")
        for key, value in one.record.values.items():
            if value not in (None, ""):
                click.echo(f"  {key:<20} {_shown(value)}")
        for change in one.history:
            click.echo(f"  {change.at:%Y-%m-%d %H:%M:%S} {change.kind}{': ' if _fields(change) else ''}{_fields(change)}")
