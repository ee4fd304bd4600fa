"""What the commands of releases share: their options, and how one is carried out and shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.failures import Exit
from manor.cli.options import Command, current, open_workplace
from manor.cli.progress import progress, run_stoppable
from manor.cli.render import print_report
from manor.cli.report_file import check_report_file, write_report
from manor.errors import EXIT_SOME_FAILED, InputError, NotFoundError

if TYPE_CHECKING:
    from manor.control.operations.migrate import MigrateRequest
    from manor.control.operations.selecting import Selection
    from manor.control.rollout.report import Report
    from manor.control.rollout.strategy import Overrides
    from manor.control.runtime import Runtime, StopSignal
    from manor.wiring import Workplace

STRATEGIES = ("atomic", "rolling", "canary", "blue_green")

_OPTIONS = (
    click.option("--strategy", type=click.Choice(STRATEGIES), help="How tenants follow each other.  [default: registry]"),
    click.option("--to", metavar="VERSION", help="Go no further than this migration."),
    click.option("--dry-run", is_flag=True, help="Look and plan only; prints the plan's digest."),
    click.option("--rehearse", is_flag=True, help="Run it on every tenant in a transaction that is rolled back."),
    click.option("--plan-digest", metavar="D", help="Act only if the plan is the one with this digest."),
    click.option("--backup-first", is_flag=True, help="Copy each database before it is changed."),
    click.option("--allow-out-of-order", is_flag=True, help="Also run migrations that are older than what was applied."),
    click.option("--parallel", type=click.IntRange(1, 256), metavar="N", help="Targets at once per server."),
    click.option("--engine", type=click.Choice(("inline", "pgqueuer")), help="Who carries it out.  [default: environ.yaml]"),
    click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="rolling, blue_green: tenants per wave."),
    click.option("--wait-between-batches", type=click.IntRange(min=0), metavar="S", help="Seconds between two of these waves."),
    click.option("--initial-percentage", type=click.IntRange(1, 100), metavar="P", help="canary: share of the first wave."),
    click.option("--increment-percentage", type=click.IntRange(1, 100), metavar="P", help="canary: share of further waves."),
    click.option("--evaluation-period", type=click.IntRange(min=0), metavar="S", help="canary: seconds between two waves."),
    click.option("--max-failures", metavar="N|P%", help="Stop after more failures than this."),
    click.option("--order-by", metavar="A,B", help="Order of tenants by attributes such as tier,-region."),
    click.option("--first", metavar="Q", help="Tenants that go first: a search."),
    click.option("--lock-timeout", type=click.IntRange(min=1), metavar="S", help="Seconds that a lock is waited for."),
    click.option("--prepare-deadline", type=click.IntRange(min=1), metavar="S", help="atomic: seconds for all votes."),
    click.option(
        "--report", metavar="F", type=click.Path(path_type=Path), help="Also write the report to F (.json, .yaml or .yml)."
    ),
)


_SELECTION = (
    click.option("--all", "everyone", is_flag=True, help="Every tenant of the fleet."),
    click.option("--tenant-id", "tenants", multiple=True, metavar="T", help="This tenant; may be given several times."),
    click.option("--group", metavar="G", help="The tenants of this group."),
    click.option("--filter", "search", metavar="Q", help="The tenants that a search finds, such as \"tier = 'premium'\"."),
)


def selection_options(command: Command) -> Command:
    """Which tenants a release is for; ``check_selection`` and ``selection_of`` read what was said."""
    for option in reversed(_SELECTION):
        command = option(command)
    return command


def check_selection(said: dict[str, Any]) -> None:
    """Raise ``click.UsageError`` unless exactly one way to select tenants was used."""
    if sum((said["everyone"], bool(said["tenants"]), said["group"] is not None, said["search"] is not None)) != 1:
        raise click.UsageError("say which tenants: one of --all, --tenant-id T, --group G and --filter Q")


def selection_of(said: dict[str, Any]) -> Selection:
    """The selection among the options."""
    from manor.control.operations.selecting import Selection

    return Selection(everyone=said["everyone"], tenants=said["tenants"], group=said["group"], search=said["search"])


def release_options(command: Command) -> Command:
    """Everything that says how a release goes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def overrides_of(said: dict[str, Any]) -> Overrides:
    """The strategy's settings among the options."""
    from manor.control.rollout.strategy import Overrides

    order = said.get("order_by")
    return Overrides(
        batch_size=said.get("batch_size"),
        wait_between_batches=said.get("wait_between_batches"),
        initial_percentage=said.get("initial_percentage"),
        increment_percentage=said.get("increment_percentage"),
        evaluation_period=said.get("evaluation_period"),
        max_failures=said.get("max_failures"),
        order_by=[word.strip() for word in order.split(",")] if order else None,
        first=said.get("first"),
        lock_timeout_seconds=said.get("lock_timeout"),
        prepare_deadline_seconds=said.get("prepare_deadline"),
    )


def run_release(make: Callable[[], MigrateRequest], said: dict[str, Any]) -> None:
    """Carry out a release, or only plan or rehearse it, and show what came of it."""
    report_path: Path | None = said["report"]
    check_report_file(report_path)
    if said["dry_run"] and said["rehearse"]:
        raise InputError("--dry-run only plans, --rehearse carries out and rolls back", hint="choose one of them")
    with progress(quiet=current().quiet) as display:
        workplace = replace(open_workplace(hooks=(display,)), engine=said["engine"])
        if said["dry_run"]:
            result = looked_at(workplace, lambda runtime: _dry(runtime, workplace, make()))
        elif said["rehearse"]:
            result = _rehearsed(workplace, make())
        else:
            result = _migrated(workplace, make())
    finish(result, report_path)


async def _dry(runtime: Runtime, workplace: Workplace, request: MigrateRequest) -> Report:
    from manor.control.operations.migrate import dry_run

    return await dry_run(runtime, workplace.project.folder, request)


def _migrated(workplace: Workplace, request: MigrateRequest) -> Report:
    from manor.control.operations.migrate import migrate
    from manor.wiring import open_runtime

    async def work(stop: StopSignal) -> Report:
        async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
            return await migrate(runtime, workplace.project.folder, request)

    return run_stoppable(work)


def _rehearsed(workplace: Workplace, request: MigrateRequest) -> Report:
    from manor.control.operations.rehearse import rehearse
    from manor.wiring import open_runtime

    async def work(stop: StopSignal) -> Report:
        async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
            return await rehearse(runtime, workplace.project.folder, request)

    return run_stoppable(work)


def looked_at(workplace: Workplace, look: Callable[[Runtime], Awaitable[Any]]) -> Any:
    """Look at the catalog and the servers, which must be there."""
    import asyncio

    from manor.wiring import look_runtime

    async def work() -> Any:
        async with look_runtime(workplace) as runtime:
            if runtime is None:
                raise NotFoundError("there is no catalog yet, so there are no tenants", hint="manor multi-tenant deploy")
            return await look(runtime)

    return asyncio.run(work())


def finish(result: Report, path: Path | None) -> None:
    """Show a report, write it to its file, and end with its exit code."""
    print_report(result)
    try:
        write_report(result, path)
    except InputError as error:  # the work is done: what was wrong with the file must not look like bad input
        click.echo(f"problem: {error}", err=True)
        raise Exit(result.exit_code or EXIT_SOME_FAILED) from error
    if result.exit_code:
        raise Exit(result.exit_code)
