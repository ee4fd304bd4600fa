"""``manor backup``: the backups that there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from manor.cli.backup_base import register
from manor.cli.backup_drill import drill, drills, schedule
from manor.cli.failures import Exit
from manor.cli.options import open_workplace, with_global_options
from manor.cli.releases import looked_at
from manor.cli.render import print_document, print_table, say
from manor.errors import EXIT_SOME_FAILED, counted

if TYPE_CHECKING:
    from manor.control.operations.backup_list import Listed
    from manor.control.operations.backup_prune import Pruned
    from manor.control.rollout.backups.verifying import Verified
    from manor.control.runtime import Runtime
    from manor.wiring import Workplace

T = TypeVar("T")

location_option = click.option(
    "--location", metavar="DIR|URL", help="Where the backups are.  [default: environ.yaml, else .manor/backups]"
)
tenant_option = click.option("--tenant-id", "tenant", metavar="T", help="Only this tenant's.")
reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the audit log.")


@click.group()
@with_global_options
def backup() -> None:
    """List, verify, hold and prune backups (`manor tenant backup` makes them); restore them for practice."""


backup.add_command(drill)
backup.add_command(drills)
backup.add_command(schedule)


@backup.command("list")
@tenant_option
@location_option
@with_global_options
def list_command(tenant: str | None, location: str | None) -> None:
    """List backups: those of the catalog, and those that only the storage knows."""
    from manor.wiring import open_vault

    workplace = open_workplace()
    vault = open_vault(workplace, location)

    async def look(runtime: Runtime) -> list[Listed]:
        from manor.control.operations.backup_list import list_backups, resolve_tenant

        return await list_backups(runtime, vault, tenant=await resolve_tenant(runtime, tenant) if tenant else None)

    listed: list[Listed] = looked_at(workplace, look)
    if print_document([_listed_json(one) for one in listed]):
        return
    print_table(("backup", "tenant", "made (UTC)", "kind", "bytes", "rows", "version", "state", "hold"), map(_row, listed))
    say(counted(len(listed), "backup"))


def _listed_json(one: Listed) -> dict[str, Any]:
    record = one.record
    document: dict[str, Any] = {"backup": one.id, "tenant_id": one.tenant, "state": str(one.state), "usable": one.usable}
    if record is None:
        return {**document, "key": one.key}
    return {
        **document,
        "kind": record.kind,
        "form": record.form,
        "database": record.database,
        "server": record.server,
        "location": record.location,
        "key": record.key,
        "bytes": record.bytes,
        "rows": record.rows,
        "version": record.version,
        "fingerprint": record.fingerprint,
        "encrypted": bool(record.encrypted),
        "made_at": record.made_at.isoformat(),
        "made_by": record.made_by,
        "operation": record.operation,
        "verified_at": record.verified_at.isoformat() if record.verified_at else None,
        "problem": record.problem or None,
        "hold": record.hold_reason or None,
    }


def _row(one: Listed) -> tuple[str, ...]:
    record = one.record
    if record is None:
        return (one.id, one.tenant, "", "", "", "", "", str(one.state), "")
    state = record.problem or str(one.state)
    made = f"{record.made_at:%Y-%m-%d %H:%M:%S}"
    sizes = (str(record.bytes), str(record.rows), record.version)
    return (one.id, one.tenant, made, record.kind, *sizes, state, record.hold_reason)


@backup.command()
@tenant_option
@click.option("--all", "everyone", is_flag=True, help="Every tenant's.")
@location_option
@with_global_options
def verify(tenant: str | None, everyone: bool, location: str | None) -> None:
    """Read whole backups: manifest, size, digests and table of contents; exit code 1 if one is not what it was."""
    from manor.wiring import open_vault

    if everyone == (tenant is not None):
        raise click.UsageError("say which: one of --all and --tenant-id T")
    workplace = open_workplace()
    vault = open_vault(workplace, location)

    async def look(runtime: Runtime) -> list[Verified]:
        from manor.control.operations.backup_list import resolve_tenant
        from manor.control.operations.backup_verify import verify_backups

        return await verify_backups(runtime, vault, tenant=await resolve_tenant(runtime, tenant) if tenant else None)

    _show_verified(looked_at(workplace, look))


def _show_verified(found: list[Verified]) -> None:
    bad = [one for one in found if one.problem is not None]
    document = {
        "summary": {"ok": len(found) - len(bad), "bad": len(bad)},
        "backups": [_verified_json(one) for one in found],
    }
    if not print_document(document):
        for one in found:
            click.echo(f"✗ {one.id} of {one.tenant}: {one.problem.message}" if one.problem else f"✓ {one.id} of {one.tenant}")
        say(f"{counted(len(found), 'backup')} read, {len(bad)} of them bad")
    if bad:
        raise Exit(EXIT_SOME_FAILED)


def _verified_json(one: Verified) -> dict[str, Any]:
    problem = one.problem
    error = {"code": str(problem.code), "message": problem.message, "hint": problem.hint} if problem else None
    document = {"backup": one.id, "tenant_id": one.tenant, "file": one.file, "bytes": one.bytes}
    return {**document, "ok": problem is None, "seconds": round(one.seconds, 3), "error": error}


@backup.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@location_option
@with_global_options
def prune(dry_run: bool, location: str | None) -> None:
    """Remove the backups that no rule of environ.yaml keeps, and what killed backups left."""
    from manor.wiring import open_vault

    workplace = open_workplace()
    vault = open_vault(workplace, location)
    wait = float(workplace.environment.settings.lock_wait_seconds)

    async def work(runtime: Runtime) -> Pruned:
        from manor.control.backup.retention import Policy
        from manor.control.operations.backup_prune import prune_backups

        rules = workplace.environment.settings.backup
        policy = Policy(keep_last=rules.keep_last, keep_days=rules.keep_days, keep_weekly=rules.keep_weekly)
        return await prune_backups(runtime, vault, policy, dry_run=dry_run, lock_wait_seconds=wait)

    _show_pruned(looked_at(workplace, work))


def _show_pruned(pruned: Pruned) -> None:
    kept = [verdict for verdict in pruned.verdicts if verdict.kept]
    document = {
        "dry_run": pruned.dry_run,
        "removed": [_named(one) for one in pruned.removed],
        "forgotten": [_named(one) for one in pruned.forgotten],
        "recorded": [_named(one) for one in pruned.adopted],
        "swept": list(pruned.swept),
        "kept": [{"backup": v.backup.id, "tenant_id": v.backup.tenant, "reason": v.reason} for v in kept],
        "foreign": [_named(one) for one in pruned.foreign],
        "problems": [{**_named(one), "state": str(one.state)} for one in pruned.problems],
    }
    if not print_document(document):
        would = "would be " if pruned.dry_run else ""
        for one in pruned.removed:
            click.echo(f"{would}removed: {one.id} of {one.tenant}")
        for one in pruned.forgotten:
            click.echo(f"{would}struck off: {one.id} of {one.tenant}, its manifest is gone")
        for one in pruned.adopted:
            click.echo(f"{would}recorded: {one.id} of {one.tenant}, which only the storage knew")
        for key in pruned.swept:
            click.echo(f"{would}swept: {key}, a dump without a manifest")
        for one in pruned.foreign:
            click.echo(f"left: {one.id} of {one.tenant}, of another installation")
        for one in pruned.problems:
            click.echo(f"problem: {one.id} of {one.tenant}: {_problem(one)}")
        say(f"{counted(len(pruned.removed), 'backup')} {would}removed, {len(kept)} kept")
    if pruned.problems:
        raise Exit(EXIT_SOME_FAILED)


def _problem(one: Listed) -> str:
    return (one.record.problem if one.record else "") or str(one.state)


def _named(one: Listed) -> dict[str, str]:
    return {"backup": one.id, "tenant_id": one.tenant}


@backup.command()
@click.argument("backup_id", metavar="BACKUP")
@reason_option
@location_option
@with_global_options
def hold(backup_id: str, reason: str, location: str | None) -> None:
    """Put a legal hold on a backup: neither pruning nor erasing its tenant removes it."""
    from manor.wiring import open_vault

    workplace = open_workplace()
    vault = open_vault(workplace, location)
    wait = float(workplace.environment.settings.lock_wait_seconds)

    async def work(runtime: Runtime) -> str:
        from manor.control.operations.backup_prune import hold_backup

        return await hold_backup(runtime, vault, backup_id, reason, lock_wait_seconds=wait)

    _told(backup_id, _acted(workplace, work), hold=reason)


@backup.command()
@click.argument("backup_id", metavar="BACKUP")
@reason_option
@with_global_options
def release(backup_id: str, reason: str) -> None:
    """Take a legal hold off a backup."""
    workplace = open_workplace()
    wait = float(workplace.environment.settings.lock_wait_seconds)

    async def work(runtime: Runtime) -> str:
        from manor.control.operations.backup_prune import release_backup

        return await release_backup(runtime, backup_id, reason, lock_wait_seconds=wait)

    _told(backup_id, _acted(workplace, work), hold=None)


def _acted(workplace: Workplace, work: Callable[[Runtime], Awaitable[T]]) -> T:
    from manor.wiring import open_runtime

    async def opened() -> T:
        async with open_runtime(workplace, some_away=True) as runtime:
            return await work(runtime)

    return asyncio.run(opened())


def _told(backup_id: str, tenant: str, *, hold: str | None) -> None:
    if not print_document({"backup": backup_id, "tenant_id": tenant, "hold": hold}):
        click.echo(f"backup {backup_id} of {tenant} " + ("is held" if hold else "is no longer held"))


register(backup)
