"""``manor tenant suspend``, ``resume``, ``hold``, ``unhold``, ``delete`` and ``certificate``."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from manor.cli.options import current, open_workplace, report_option, with_global_options
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import finish, looked_at
from manor.cli.render import print_document, say
from manor.cli.report_file import check_report_file
from manor.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from manor.control.operations.erase import Deletion, EraseRequest
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime, StopSignal
    from manor.wiring import Workplace

T = TypeVar("T")

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}

tenant_option = click.option(
    "--tenant-id", "tenant", metavar="T", help="Full id customer/group/id, or a short id or database name that is unique."
)
tenant_argument = click.argument("tenant_argument", metavar="[TENANT]", required=False)
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the audit log.")
required_reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the audit log.")


class _Duration(click.ParamType[dt.timedelta]):
    """``30d``, ``12h``, ``2w``; 0 is none."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.timedelta:
        if isinstance(value, dt.timedelta):
            return value
        match = re.fullmatch(r"(\d{1,5})([hdw])|0", value.strip())
        if match is None:
            self.fail(f"{value!r} is no time such as 30d, 12h or 2w", param, ctx)
        return dt.timedelta(**{_UNITS[match[2]]: int(match[1])}) if match[2] else dt.timedelta()


def named(option: str | None, argument: str | None) -> str:
    """The one tenant that was named."""
    if option and argument and option != argument:
        raise click.UsageError(f"two tenants are named: {argument} and --tenant-id {option}")
    name = option or argument
    if not name:
        raise click.UsageError("name a tenant: TENANT or --tenant-id T")
    return name


def _act(work: Callable[[Runtime], Awaitable[T]], workplace: Workplace) -> T:
    from manor.wiring import open_runtime

    async def opened(stop: StopSignal) -> T:
        async with open_runtime(workplace, stop=stop) as runtime:
            return await work(runtime)

    return run_stoppable(opened)


@click.command()
@tenant_argument
@tenant_option
@reason_option
@report_option
@with_global_options
def suspend(tenant_argument: str | None, tenant: str | None, reason: str, report: Path | None) -> None:
    """Let a tenant's role log in no more, and end its sessions; backups and releases go on."""
    name = named(tenant, tenant_argument)
    check_report_file(report)

    async def work(runtime: Runtime) -> Report:
        from manor.control.operations.suspend import suspend as operation

        return await operation(runtime, name, reason=reason)

    with progress(quiet=current().quiet) as display:
        result = _act(work, open_workplace(hooks=(display,)))
    finish(result, report)


@click.command()
@tenant_argument
@tenant_option
@report_option
@with_global_options
def resume(tenant_argument: str | None, tenant: str | None, report: Path | None) -> None:
    """Let a suspended tenant in again; if it was to be erased after a time, it no longer is."""
    name = named(tenant, tenant_argument)
    check_report_file(report)

    async def work(runtime: Runtime) -> Report:
        from manor.control.operations.suspend import resume as operation

        return await operation(runtime, name)

    with progress(quiet=current().quiet) as display:
        result = _act(work, open_workplace(hooks=(display,)))
    finish(result, report)


@click.command()
@tenant_argument
@tenant_option
@required_reason_option
@with_global_options
def hold(tenant_argument: str | None, tenant: str | None, reason: str) -> None:
    """Put a tenant under legal hold: it is not erased, whoever asks."""
    name = named(tenant, tenant_argument)
    workplace = open_workplace()
    wait_seconds = float(workplace.environment.settings.lock_wait_seconds)

    async def work(runtime: Runtime) -> Any:
        from manor.control.operations.suspend import hold as operation

        return await operation(runtime, name, reason=reason, lock_wait_seconds=wait_seconds)

    held = _act(work, workplace)
    document = {"tenant_id": held.tenant, "held": True, "since": held.since.isoformat(), "reason": held.reason}
    if not print_document(document):
        click.echo(f"{held.tenant} is under legal hold: {held.reason}")


@click.command()
@tenant_argument
@tenant_option
@required_reason_option
@with_global_options
def unhold(tenant_argument: str | None, tenant: str | None, reason: str) -> None:
    """Lift the legal hold of a tenant."""
    name = named(tenant, tenant_argument)

    async def work(runtime: Runtime) -> tuple[str, bool]:
        from manor.control.operations.suspend import unhold as operation

        return await operation(runtime, name, reason=reason)

    found, was_held = _act(work, open_workplace())
    if not print_document({"tenant_id": found, "held": False, "was_held": was_held}):
        click.echo(f"{found} is under legal hold no more" if was_held else f"{found} was under no legal hold")


@click.command()
@tenant_argument
@tenant_option
@click.option("--confirm", is_flag=True, help="Do it; without it nothing is done, and what would be erased is said.")
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@click.option("--due", is_flag=True, help="Everybody whose grace period is over, instead of one tenant.")
@reason_option
@click.option(
    "--after",
    type=_Duration(),
    metavar="30d",
    help="Only suspend it until then (h, d, w).  [default: environ.yaml, else at once]",
)
@click.option("--final-export", metavar="DIR|URL", help="First give the customer a copy: a backup there, read back and proved.")
@click.option("--no-final-export", is_flag=True, help="Say that no copy is wanted.")
@click.option("--search-for", multiple=True, metavar="TEXT", help="Also search for this text afterwards; several times.")
@click.option("--no-search", is_flag=True, help="Search for nothing afterwards.")
@report_option
@with_global_options
def delete(**said: Any) -> None:
    """Erase a tenant for good: databases, role, objects, backups, keys, entries; a signed certificate remains."""
    name = _name_to_delete(said)
    report: Path | None = said["report"]
    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,))
        request = _request(workplace, said)
        if said["dry_run"]:
            _show_preview(workplace, name, request)
            return

        async def work(runtime: Runtime) -> Report:
            from manor.control.operations.erase import delete as operation
            from manor.control.operations.erase import delete_due

            return await (operation(runtime, name, request) if name else delete_due(runtime, request))

        result = _act(work, workplace)
    for tenant in _erased(result):
        say(f"`manor tenant certificate --tenant-id {tenant}` prints the certificate")
    finish(result, report)


def _name_to_delete(said: dict[str, Any]) -> str:
    """Empty for ``--due``."""
    if said["final_export"] and said["no_final_export"]:
        raise click.UsageError("--final-export and --no-final-export exclude each other")
    if not said["due"]:
        return named(said["tenant"], said["tenant_argument"])
    if said["tenant"] or said["tenant_argument"] or said["after"] or said["final_export"] or said["dry_run"]:
        raise click.UsageError("--due is about all tenants whose time has come: it takes no tenant, and none of their options")
    if not said["confirm"]:
        raise click.UsageError("--due erases for good: say --confirm, too")
    return ""


def _erased(result: Report) -> list[str]:
    documents = [result.extra["certificate"]] if "certificate" in result.extra else result.extra.get("certificates", [])
    return [document["tenant"] for document in documents]


def _request(workplace: Workplace, said: dict[str, Any]) -> EraseRequest:
    from manor.control.operations.erase import EraseRequest
    from manor.wiring import erasure_surroundings, open_vault

    settings = workplace.environment.settings
    after = said["after"] if said["after"] is not None else dt.timedelta(days=settings.erasure.grace_days)
    return EraseRequest(
        around=erasure_surroundings(workplace),
        open_vault=lambda location: open_vault(workplace, location, encrypt=False),
        confirm=said["confirm"],
        reason=said["reason"],
        after=after,
        export_to=_absolute(said["final_export"]),
        no_export=said["no_final_export"],
        require_export=settings.erasure.require_final_export,
        search=not said["no_search"],
        search_for=said["search_for"],
        keep_days=settings.backup.keep_days,
        lock_wait_seconds=float(settings.lock_wait_seconds),
    )


def _absolute(location: str | None) -> str | None:
    """It is recorded, and whoever goes on may stand in another folder."""
    return location if location is None or "://" in location else str(Path(location).absolute())


def _show_preview(workplace: Workplace, name: str, request: EraseRequest) -> None:
    async def look(runtime: Runtime) -> Any:
        from manor.control.operations.erase import preview

        return await preview(runtime, name, request)

    found = looked_at(workplace, look)
    if hasattr(found, "certificate"):
        if not print_document({"tenant_id": found.tenant, "erased_at": found.erased_at.isoformat(), "would_erase": []}):
            click.echo(f"{found.tenant} was erased on {found.erased_at:%Y-%m-%d}")
        return
    _print_preview(found)


def _print_preview(found: Deletion) -> None:
    words = found.owned.words(found.record) if found.owned else []
    document = {
        "tenant_id": str(found.record.tenant),
        "would_erase": words,
        "notes": list(found.notes),
        "refused": list(found.refusals),
        "begun": found.begun is not None,
    }
    if print_document(document):
        return
    click.echo(f"{found.record.tenant} would be erased for good:")
    for line in words:
        click.echo(f"  {line}")
    for line in found.notes:
        click.echo(f"note: {line}")
    for line in found.refusals:
        click.echo(f"✗ {line} [delete refuses]")


@click.command()
@tenant_argument
@tenant_option
@click.option("--output", type=click.Path(path_type=Path), metavar="F", help="Write it to F instead of printing it.")
@with_global_options
def certificate(tenant_argument: str | None, tenant: str | None, output: Path | None) -> None:
    """Print the certificate of a tenant that was erased (`manor audit verify-certificate` checks it)."""
    name = named(tenant, tenant_argument)

    async def look(runtime: Runtime) -> str:
        found = await runtime.catalog.erasure(name)
        if found is None:
            raise NotFoundError(f"no tenant {name!r} was erased", hint="`manor tenant list` shows those that are there")
        if not found.is_done:
            raise NotFoundError(f"tenant {found.tenant} is not erased yet", hint="`manor tenant delete` goes on with it")
        return found.certificate

    text: str = looked_at(open_workplace(), look)
    if output is not None:
        _write(output, text)
        say(f"{output} holds the certificate")
    elif not print_document(json.loads(text)):
        click.echo(text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
