"""``manor operation``: what ran and what runs; stop it, go on with it, take it back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from manor.cli.failures import Exit
from manor.cli.options import current, open_workplace, report_option, with_global_options
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import finish, looked_at
from manor.cli.render import MARKS, print_document, print_table, say
from manor.cli.report_file import check_report_file
from manor.cli.undoing import put_back_all, undo_all
from manor.errors import EXIT_SOME_FAILED, counted

if TYPE_CHECKING:
    from pathlib import Path

    from manor.control.operations.operation_log import InDoubt, OperationView
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime, StopSignal
    from manor.wiring import Workplace

operation_argument = click.argument("operation_id", metavar="OPERATION")

_WATCH_SECONDS = 1.0


@click.group()
@with_global_options
def operation() -> None:
    """Operations: list and watch them, stop, resume, retry or undo releases."""


@operation.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, metavar="N", help="How many.")
@with_global_options
def list_operations(limit: int) -> None:
    """Show the newest operations, and transactions that are prepared and in doubt with their age."""

    async def look(runtime: Runtime) -> tuple[list[Any], list[InDoubt], Any]:
        from manor.control.operations.operation_log import list_operations as listed

        records, doubtful = await listed(runtime, limit=limit)
        return records, doubtful, runtime.now()

    records, doubtful, now = looked_at(open_workplace(), look)
    document = {
        "operations": [
            {
                "id": r.id,
                "verb": r.verb,
                "state": r.state,
                "source": r.source,
                "started_at": r.started_at.isoformat(),
                "finished_at": r.finished_at.isoformat() if r.finished_at else None,
                "actor": r.actor,
                "arguments": dict(r.arguments),
                "summary": dict(r.summary),
            }
            for r in records
        ],
        "in_doubt": [_doubt_json(one, now) for one in doubtful],
    }
    if print_document(document):
        return
    rows = [
        (r.id, r.verb, r.state, f"{r.started_at:%Y-%m-%d %H:%M:%S}", str(r.arguments.get("release", "")), _counts(r.summary))
        for r in records
    ]
    print_table(("operation", "verb", "state", "started (UTC)", "release", "targets"), rows)
    _tell_doubts(doubtful, now)


def _doubt_json(one: InDoubt, now: Any) -> dict[str, Any]:
    return {
        "operation": one.operation,
        "server": one.server,
        "database": one.database,
        "since": one.since.isoformat(),
        "age_seconds": round(one.age(now), 1),
    }


def _tell_doubts(doubtful: list[InDoubt], now: Any) -> None:
    for one in doubtful:
        click.echo(f"in doubt: {one.database} on {one.server}, operation {one.operation}, for {one.age(now):.0f} s")
    if doubtful:
        say("a live operation ends these by itself; `manor operation recover` ends those of dead ones")


def _counts(summary: Any) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(summary.items()))


@operation.command()
@operation_argument
@with_global_options
def show(operation_id: str) -> None:
    """Show one operation with every target."""
    view, now = looked_at(open_workplace(), _viewed(operation_id))
    if print_document(_view_json(view, now)):
        return
    record = view.release.operation
    plan = view.release.plan
    pairs = [
        ("operation", record.id),
        ("verb", record.verb),
        ("state", f"{record.state}{'' if record.state != 'running' or view.alive else ' (nobody runs it)'}"),
        ("strategy", str(plan.get("kind", ""))),
        ("release", str(plan.get("label", ""))),
        ("decision", view.release.decision),
        ("parent", view.release.parent),
        ("actor", record.actor),
        ("started", f"{record.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("finished", f"{record.finished_at:%Y-%m-%d %H:%M:%S} UTC" if record.finished_at else ""),
        ("targets", _counts(view.summary)),
    ]
    for key, value in pairs:
        if value:
            click.echo(f"{key:<10} {value}")
    rows = [(MARKS.get(t.status, ""), t.database, str(t.wave or ""), t.status, t.detail) for t in view.targets]
    print_table(("", "database", "wave", "status", "detail"), rows)
    _tell_doubts(list(view.in_doubt), now)


def _viewed(operation_id: str) -> Callable[[Runtime], Awaitable[tuple[OperationView, Any]]]:
    async def look(runtime: Runtime) -> tuple[OperationView, Any]:
        from manor.control.operations.operation_log import show_operation

        return await show_operation(runtime, operation_id), runtime.now()

    return look


def _view_json(view: OperationView, now: Any) -> dict[str, Any]:
    from manor.control.operations.release_report import outcome_of
    from manor.control.rollout.report import outcome_json

    record = view.release.operation
    return {
        "operation": {
            "id": record.id,
            "verb": record.verb,
            "state": record.state,
            "alive": view.alive,
            "strategy": view.release.plan.get("kind", ""),
            "release": view.release.plan.get("label", ""),
            "decision": view.release.decision,
            "decided_at": view.release.decided_at.isoformat() if view.release.decided_at else None,
            "wanted": view.release.wanted,
            "parent": view.release.parent,
            "source": record.source,
            "digest": record.digest,
            "actor": record.actor,
            "started_at": record.started_at.isoformat(),
            "finished_at": record.finished_at.isoformat() if record.finished_at else None,
        },
        "summary": view.summary,
        "outcomes": [outcome_json(outcome_of(target)) for target in view.targets],
        "in_doubt": [_doubt_json(one, now) for one in view.in_doubt],
    }


@operation.command()
@operation_argument
@with_global_options
def watch(operation_id: str) -> None:
    """Follow a running operation until it ends; exit code 1 where not all of its targets are done."""
    last = ""

    async def look(runtime: Runtime) -> tuple[OperationView, Any]:
        nonlocal last
        while True:
            found = await _viewed(operation_id)(runtime)
            line = f"{found[0].release.operation.state}: {_counts(found[0].summary)}"
            if line != last and current().format == "table":
                say(line)
            last = line
            if not found[0].alive:
                return found
            await asyncio.sleep(_WATCH_SECONDS)

    view, now = looked_at(open_workplace(), look)
    print_document(_view_json(view, now))
    if set(view.summary) - {"success", "skipped"}:
        raise Exit(EXIT_SOME_FAILED)


@operation.command()
@operation_argument
@with_global_options
def pause(operation_id: str) -> None:
    """Stop a release after the targets under way; `resume` goes on."""
    _ask(operation_id, "pause")


@operation.command()
@operation_argument
@with_global_options
def abort(operation_id: str) -> None:
    """End a release for good after the targets under way; what is done stays."""
    _ask(operation_id, "abort")


def _ask(operation_id: str, wanted: str) -> None:
    async def work(runtime: Runtime) -> str:
        from manor.control.operations.operation_log import ask

        return await ask(runtime, operation_id, wanted)

    answer = _acting(work)
    if not print_document({"operation": operation_id, "wanted": wanted, "answer": answer}):
        click.echo(f"operation {operation_id}: {answer}")


def _acting(work: Callable[[Runtime], Awaitable[Any]], workplace: Workplace | None = None) -> Any:
    from manor.wiring import open_runtime

    async def act() -> Any:
        async with open_runtime(workplace or open_workplace(), some_away=True) as runtime:
            return await work(runtime)

    return asyncio.run(act())


@operation.command()
@with_global_options
def recover() -> None:
    """Settle releases whose runner died: carry out what was decided, roll back what was not."""

    async def work(runtime: Runtime) -> tuple[Any, list[InDoubt], Any]:
        from manor.control.operations.operation_log import in_doubt, recover_all

        return await recover_all(runtime), await in_doubt(runtime), runtime.now()

    settled, doubtful, now = _acting(work)
    document = {
        "settled": [
            {
                "operation": s.operation,
                "state": s.state,
                "committed": s.committed,
                "rolled_back": s.rolled_back,
                "summary": dict(s.counts),
                "unreachable": list(s.unreachable),
            }
            for s in settled
        ],
        "in_doubt": [_doubt_json(one, now) for one in doubtful],
    }
    if not print_document(document):
        for s in settled:
            click.echo(
                f"operation {s.operation}: {s.state}; {s.committed} committed, {s.rolled_back} rolled back; {_counts(s.counts)}"
            )
            for server in s.unreachable:
                click.echo(f"problem: server {server} does not answer; what is prepared there stays in doubt")
        click.echo(f"{counted(len(settled), 'dead operation')} settled, {len(doubtful)} transactions in doubt")
    if any(s.unreachable for s in settled):
        raise Exit(EXIT_SOME_FAILED)


@operation.command()
@operation_argument
@report_option
@with_global_options
def resume(operation_id: str, report: Path | None) -> None:
    """Go on with a release that was paused, interrupted or stopped, under its own plan."""
    _resumed(operation_id, report, None)


@operation.command()
@operation_argument
@click.option("--tenant-id", "tenant", required=True, metavar="T", help="The target that needs a decision.")
@click.option(
    "--as",
    "taken",
    required=True,
    type=click.Choice(("done", "again", "undone")),
    help="What its open statement is taken for; undone: back to the snapshot before the release.",
)
@click.option("--discard-writes", is_flag=True, help="With --as undone: also where there were writes since the snapshot.")
@report_option
@with_global_options
def decide(operation_id: str, tenant: str, taken: str, discard_writes: bool, report: Path | None) -> None:
    """Say whether a statement of unknown end was done or is to be run again, and bring that target to its end; or put it back
    to the snapshot that the release took of it."""
    if discard_writes and taken != "undone":
        raise click.UsageError("--discard-writes goes with --as undone")
    _resumed(operation_id, report, (tenant, taken), discard_writes=discard_writes)


def _resumed(operation_id: str, report: Path | None, decided: tuple[str, str] | None, *, discard_writes: bool = False) -> None:
    check_report_file(report)

    async def settle(runtime: Runtime) -> None:
        from manor.control.operations.operation_log import recover_all, show_operation

        await recover_all(runtime)
        await show_operation(runtime, operation_id)  # a wrong id is told before anything is begun

    _acting(settle)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,))

        async def work(stop: StopSignal) -> Report:
            from manor.control.operations.operation_resume import Decision, resume
            from manor.control.rollout.release.apart import Begun
            from manor.wiring import open_runtime

            if decided and decided[1] == "undone":
                return await put_back_all(workplace, stop, operation_id, decided[:1], discard_writes=discard_writes)
            decision = Decision(tenants=decided[:1], begun=Begun(decided[1])) if decided else None
            async with open_runtime(workplace, stop=stop, operation=operation_id, some_away=True) as runtime:
                return await resume(runtime, workplace.project.folder, decision)

        result = run_stoppable(work)
    finish(result, report)


@operation.command()
@operation_argument
@report_option
@with_global_options
def retry(operation_id: str, report: Path | None) -> None:
    """Release again what an operation left: targets that failed, were rolled back or not begun."""
    _again(operation_id, report, "retry")


@operation.command()
@operation_argument
@click.option("--discard-writes", is_flag=True, help="Switch back to kept databases also where there were writes since.")
@report_option
@with_global_options
def undo(operation_id: str, discard_writes: bool, report: Path | None) -> None:
    """Take a release back, for exactly the tenants that it changed; those that it left half way go back to their snapshots."""
    _again(operation_id, report, "undo", discard_writes=discard_writes)


def _again(operation_id: str, report: Path | None, verb: str, *, discard_writes: bool = False) -> None:
    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,))

        async def work(stop: StopSignal) -> Report:
            from manor.control.operations.operation_log import recover_all
            from manor.control.operations.operation_undo import retry
            from manor.wiring import open_runtime

            if verb == "undo":
                return await undo_all(workplace, stop, operation_id, discard_writes=discard_writes)
            async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
                await recover_all(runtime)
                return await retry(runtime, workplace.project.folder, operation_id)

        result = run_stoppable(work)
    finish(result, report)
