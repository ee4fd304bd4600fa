"""``manor backup drill``, ``drills`` and ``schedule``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.options import current, open_workplace, report_option, with_global_options
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import finish, looked_at
from manor.cli.render import print_document, print_table, say
from manor.cli.report_file import check_report_file

if TYPE_CHECKING:
    import datetime as dt

    from manor.control.operations.backup_drill import DrillRequest, Drills
    from manor.control.operations.schedules import Planned
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime, StopSignal


@click.command()
@click.option("--all", "everyone", is_flag=True, help="Every tenant.")
@click.option("--sample", type=click.IntRange(1, 100_000), metavar="N", help="So many: those that have waited longest.")
@click.option("--tenant-id", "tenants", metavar="T", multiple=True, help="This tenant; may be repeated.")
@click.option("--location", metavar="DIR|URL", help="Where the backups are.  [default: environ.yaml, else .manor/backups]")
@click.option(
    "--parallel", type=click.IntRange(1, 256), metavar="N", help="Tenants at once per server.  [default: environ.yaml]"
)
@report_option
@with_global_options
def drill(
    everyone: bool,
    sample: int | None,
    tenants: tuple[str, ...],
    location: str | None,
    parallel: int | None,
    report: Path | None,
) -> None:
    """Restore the newest backup of tenants into scratch databases, compare what came out, and drop them.

    Without a selection: the setting `drill_sample`'s number of tenants, those that have waited longest.
    """
    from manor.control.operations.backup_drill import DrillRequest
    from manor.control.operations.release_draft import Selection

    if [everyone, sample is not None, bool(tenants)].count(True) > 1:
        raise click.UsageError("say which: one of --all, --sample N and --tenant-id T")
    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,))
        selection = Selection(tenants=tenants) if tenants else Selection(everyone=True)
        settings = workplace.environment.settings.backup
        parallel = parallel or settings.parallel
        if not (everyone or tenants):
            sample = sample or settings.drill_sample
        result = _drilled(workplace, location, DrillRequest(selection=selection, sample=sample, parallel=parallel))
    finish(result, report)


def _drilled(workplace: Any, location: str | None, request: DrillRequest) -> Report:
    from manor.control.operations.backup_drill import drill as operation
    from manor.wiring import open_runtime, open_vault

    vault = open_vault(workplace, location)

    async def work(stop: StopSignal) -> Report:
        async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
            return await operation(runtime, vault, request)

    return run_stoppable(work)


@click.command()
@with_global_options
def drills() -> None:
    """Show when each tenant's backup was proved last; who has waited longest stands first."""

    async def look(runtime: Runtime) -> Drills:
        from manor.control.operations.backup_drill import show_drills

        return await show_drills(runtime)

    found: Drills = looked_at(open_workplace(), look)
    tenants = [
        {
            "tenant_id": one.tenant,
            "proved_at": _iso(one.last_ok),
            "drilled_at": _iso(one.last),
            "backup": one.backup or None,
            "problem": one.problem or None,
        }
        for one in found.tenants
    ]
    oldest = found.never[0] if found.never else None
    if print_document({"never": len(found.never), "oldest_never": oldest, "tenants": tenants}):
        return
    rows = [(t.tenant, _shown(t.last_ok) or "never", _shown(t.last), t.backup, t.problem) for t in found.tenants]
    print_table(("tenant", "proved (UTC)", "last drill (UTC)", "backup", "problem"), rows)
    for line in found.words:
        say(line)


@click.command()
@with_global_options
def schedule() -> None:
    """Show what `manor worker` does by the clock: when next, and what became of the last run."""
    from manor.wiring import scheduled

    workplace = open_workplace()
    schedules, _ = scheduled(workplace)

    async def look(runtime: Runtime) -> list[Planned]:
        from manor.control.operations.schedules import show_schedules

        return await show_schedules(runtime, schedules)

    planned: list[Planned] = looked_at(workplace, look)
    if print_document([_planned_json(one) for one in planned]):
        return
    header = ("schedule", "cron", "time zone", "next (UTC)", "last due (UTC)", "ended (UTC)", "outcome")
    print_table(header, [_planned_row(one) for one in planned])
    if not planned:
        say("nothing is done by the clock: settings.backup.schedules and settings.erasure.schedule in environ.yaml")


def _planned_json(one: Planned) -> dict[str, Any]:
    record = one.record
    last = record is not None and record.due is not None
    return {
        "name": one.schedule.name,
        "cron": one.schedule.cron,
        "tz": one.schedule.zone,
        "next_at": _iso(one.next_at),
        "last": {
            "due": _iso(record.due),
            "started_at": _iso(record.started_at),
            "finished_at": _iso(record.finished_at),
            "operation": record.operation,
            "worker": record.worker,
            "outcome": record.outcome or None,
        }
        if last and record is not None
        else None,
    }


def _planned_row(one: Planned) -> tuple[str, ...]:
    record = one.record
    last = (_shown(record.due), _shown(record.finished_at), record.outcome) if record is not None else ("", "", "")
    return (one.schedule.name, one.schedule.cron, one.schedule.zone, _shown(one.next_at), *last)


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _shown(moment: dt.datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else ""
