"""``manor tenant restore``: back to what a tenant held, from a backup; and back again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.options import current, fleet_source, open_workplace, report_option, with_global_options
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import finish, looked_at
from manor.cli.report_file import check_report_file

if TYPE_CHECKING:
    from manor.control.operations.fleet import Fleet
    from manor.control.operations.restore import RestoreRequest
    from manor.control.operations.restore_as import Heir
    from manor.control.rollout.backups.head import Heads
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime, StopSignal
    from manor.tenancy import TenantId
    from manor.wiring import Workplace


@click.command()
@click.option("--tenant-id", "tenant_id", required=True, metavar="T", help="The tenant: its full id, or what is unique of it.")
@click.option("--backup-file", metavar="F", help="The backup: a path, a URL, or its id.")
@click.option("--to", metavar="TIME", help="As it was then: ISO time with a zone, 2026-11-20T14:05:00+09:00.")
@click.option("--to-mark", metavar="NAME", help="As it was at a mark (`manor backup mark`).")
@click.option("--to-lsn", metavar="LSN", help="As it was at a position in its server's log.")
@click.option("--as", "into", metavar="T", help="Restore into this tenant instead, which is made where there is none.")
@click.option("--undo", is_flag=True, help="Put back what the last restore replaced.")
@click.option("--migrate", is_flag=True, help="Bring an older backup to the tenant's release before it is used.")
@click.option("--keep-head", is_flag=True, help="Leave it at its own release; the next one takes it along.")
@click.option("--grace", type=click.IntRange(min=0), metavar="S", help="Seconds to keep what is replaced.  [default: settings]")
@click.option("--discard-writes", is_flag=True, help="undo: also where somebody has written since.")
@click.option("--without-manifest", is_flag=True, help="Load a dump that has no manifest; its schema must be a known one.")
@click.option("--dry-run", is_flag=True, help="Check the backup and say what would be done.")
@report_option
@with_global_options
def restore(**said: Any) -> None:
    """Restore a tenant: load beside its database, verify, and switch; the old one is kept for a while."""
    _check(said)
    check_report_file(said["report"])
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,))
        if _to_moment(said):
            result = _restored_to(workplace, said)
        else:
            result = _undone(workplace, said) if said["undo"] else _restored(workplace, said)
    finish(result, said["report"])


def _check(said: dict[str, Any]) -> None:
    """Raise ``click.UsageError`` for words that do not go together."""
    if sum((bool(said["undo"]), said["backup_file"] is not None, _to_moment(said))) != 1:
        raise click.UsageError(
            "say what to restore: one of --backup-file F, --undo, --to TIME, --to-mark NAME and --to-lsn LSN"
        )
    if _to_moment(said) and (said["into"] or said["without_manifest"]):
        raise click.UsageError("--as and --without-manifest go with --backup-file only")
    if said["migrate"] and said["keep_head"]:
        raise click.UsageError("--migrate and --keep-head are two answers to one question")
    if said["undo"] and (said["into"] or said["migrate"] or said["keep_head"] or said["without_manifest"] or said["dry_run"]):
        raise click.UsageError("--undo goes with --grace and --discard-writes only")
    if said["discard_writes"] and not said["undo"]:
        raise click.UsageError("--discard-writes goes with --undo")


def _heads(said: dict[str, Any]) -> Heads:
    from manor.control.rollout.backups.head import Heads

    return Heads("migrate" if said["migrate"] else "keep" if said["keep_head"] else "refuse")


def _to_moment(said: dict[str, Any]) -> bool:
    return any(said[name] is not None for name in ("to", "to_mark", "to_lsn"))


def _restored_to(workplace: Workplace, said: dict[str, Any]) -> Report:
    """The tenant as it was at a moment, from a base backup and the log after it."""
    from manor.control.operations.restore import Manner
    from manor.control.operations.restore_to import dry_run_to, read_target, restore_to
    from manor.wiring import base_place

    target = read_target(to=said["to"], to_mark=said["to_mark"], to_lsn=said["to_lsn"])
    manner = Manner(heads=_heads(said), grace_seconds=_grace(workplace, said))
    if said["dry_run"]:
        found: Report = looked_at(
            workplace, lambda runtime: dry_run_to(runtime, base_place(workplace), said["tenant_id"], target)
        )
        return found
    return _acted(workplace, lambda runtime: restore_to(runtime, base_place(workplace), said["tenant_id"], target, manner))


def _grace(workplace: Workplace, said: dict[str, Any]) -> float:
    return float(workplace.environment.settings.restore_grace_seconds if said["grace"] is None else said["grace"])


def _undone(workplace: Workplace, said: dict[str, Any]) -> Report:
    async def work(runtime: Runtime) -> Report:
        from manor.control.operations.restore import undo_restore

        discard_writes, grace_seconds = said["discard_writes"], _grace(workplace, said)
        return await undo_restore(runtime, said["tenant_id"], discard_writes=discard_writes, grace_seconds=grace_seconds)

    return _acted(workplace, work)


def _restored(workplace: Workplace, said: dict[str, Any]) -> Report:
    from manor.control.operations.restore import restore
    from manor.control.operations.restore_as import heir_of
    from manor.wiring import open_vault

    vault, request = open_vault(workplace), _request(workplace, said)
    heir = looked_at(workplace, lambda runtime: heir_of(runtime, vault, request)) if request.into else None
    if said["dry_run"]:
        return _looked_at_only(workplace, request, heir)
    if heir is None:
        return _acted(workplace, lambda runtime: restore(runtime, vault, request))
    made = _made(workplace, heir)
    if made.exit_code:
        return made
    tenant_id = str(made.outcomes[0].target.tenant)
    result = _acted(workplace, lambda runtime: restore(runtime, vault, replace(request, into=tenant_id)))
    return replace(result, notices=(*result.notices, f"tenant {tenant_id} was made by operation {made.operation}"))


def _looked_at_only(workplace: Workplace, request: RestoreRequest, heir: Heir | None) -> Report:
    from manor.control.operations.restore_dry_run import dry_run, dry_run_as
    from manor.wiring import open_vault

    vault = open_vault(workplace)

    def looking(runtime: Runtime) -> Awaitable[Report]:
        if heir is None:
            return dry_run(runtime, vault, request)
        return dry_run_as(runtime, vault, request, *_declared(workplace, heir))

    result: Report = looked_at(workplace, looking)
    return result


def _request(workplace: Workplace, said: dict[str, Any]) -> RestoreRequest:
    from manor.control.operations.restore import Manner, RestoreRequest

    return RestoreRequest(
        tenant=said["tenant_id"],
        backup_file=said["backup_file"],
        into=said["into"],
        without_manifest=said["without_manifest"],
        manner=Manner(heads=_heads(said), grace_seconds=_grace(workplace, said)),
        base=Path.cwd(),
    )


def _made(workplace: Workplace, heir: Heir) -> Report:
    """The tenant that gets the backup, by the steps of ``tenant create``."""
    from manor.control.operations.create import create_tenant

    fleet, made = _declared(workplace, heir)
    wait_seconds = float(workplace.environment.settings.lock_wait_seconds)
    return _acted(workplace, lambda runtime: create_tenant(runtime, fleet, made, lock_wait_seconds=wait_seconds))


def _declared(workplace: Workplace, heir: Heir) -> tuple[Fleet, TenantId]:
    """The tenant that has to be made, and the fleet with it."""
    from manor.control.operations.create import fleet_with
    from manor.control.operations.restore_as import refuse_unfit
    from manor.wiring import template_examiner

    registry = heir.source or (workplace.environment.folder / "tenant_registry.yaml")
    source = fleet_source(workplace, workplace.project.folder / registry)
    fleet, made = fleet_with(source, heir.new, template_examiner())
    refuse_unfit(fleet, made, heir)
    return fleet, made


def _acted(workplace: Workplace, act: Callable[[Runtime], Awaitable[Report]]) -> Report:
    """One operation, in a runtime of its own."""
    from manor.wiring import open_runtime

    async def work(stop: StopSignal) -> Report:
        async with open_runtime(workplace, stop=stop) as runtime:
            return await act(runtime)

    return run_stoppable(work)
