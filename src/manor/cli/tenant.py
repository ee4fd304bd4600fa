"""``manor tenant``: single tenants."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.failures import Exit
from manor.cli.options import (
    current,
    deployment_option,
    fleet_source,
    open_project,
    open_workplace,
    report_option,
    with_global_options,
)
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import (
    check_selection,
    finish,
    overrides_of,
    release_options,
    run_release,
    selection_of,
    selection_options,
)
from manor.cli.render import print_document, print_table, say
from manor.cli.report_file import check_report_file
from manor.cli.tenant_backup import backup
from manor.cli.tenant_bundle import export, import_command
from manor.cli.tenant_erase import certificate, delete, hold, resume, suspend, unhold
from manor.cli.tenant_provision import provision_command
from manor.cli.tenant_restore import restore
from manor.cli.tenant_sync import print_told, search_command, sync_command
from manor.errors import EXIT_SOME_FAILED, NotFoundError, counted

if TYPE_CHECKING:
    from manor.control.catalog.records import DatabaseRecord
    from manor.control.operations.directory_search import Told
    from manor.control.operations.migrate import MigrateRequest
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime, StopSignal

tenant_option = click.option(
    "--tenant-id", "tenant", metavar="T", help="Full id customer/group/id, or a short id or database name that is unique."
)
tenant_argument = click.argument("tenant_argument", metavar="[TENANT]", required=False)


@click.group()
@with_global_options
def tenant() -> None:
    """List, show and enter single tenants."""


@contextlib.asynccontextmanager
async def _looking() -> AsyncIterator[Runtime]:
    from manor.wiring import look_runtime

    async with look_runtime(open_workplace()) as runtime:
        if runtime is None:
            raise NotFoundError("there is no catalog yet, so there are no tenants", hint="manor multi-tenant deploy")
        yield runtime


def _named(option: str | None, argument: str | None) -> str:
    if option and argument and option != argument:
        raise click.UsageError(f"two tenants are named: {argument} and --tenant-id {option}")
    name = option or argument
    if not name:
        raise click.UsageError("name a tenant: TENANT or --tenant-id T")
    return name


def _find_open(name: str) -> DatabaseRecord:
    """A tenant that may be entered."""

    async def work() -> DatabaseRecord:
        from manor.control.operations.tenants import find_open_tenant

        async with _looking() as runtime:
            return await find_open_tenant(runtime, name)

    return asyncio.run(work())


def _json(record: DatabaseRecord) -> dict[str, Any]:
    return {
        "tenant_id": str(record.tenant),
        "name": record.name,
        "database": record.database,
        "server": record.server,
        "group": record.group,
        "template": record.template,
        "state": record.state,
        "version": record.version,
        "role": record.role,
        "is_active": record.is_active,
        "source": record.source,
        "golden": record.golden,
        "fingerprint": record.fingerprint,
        "created_at": record.created_at.isoformat() if record.created_at else None,
        "updated_at": record.updated_at.isoformat() if record.updated_at else None,
    }


@tenant.command("list")
@click.option("--group", metavar="G", help="Only this group.")
@with_global_options
def list_tenants(group: str | None) -> None:
    """List every recorded tenant."""

    async def work() -> list[DatabaseRecord]:
        from manor.control.operations.tenants import list_tenants as listed

        async with _looking() as runtime:
            found = await listed(runtime, group=group)
            if group is not None and not found:
                raise _no_such_group(group, await listed(runtime))
            return found

    records = asyncio.run(work())
    if print_document([_json(r) for r in records]):
        return
    print_table(
        ("tenant", "database", "template", "server", "state", "version"),
        [(str(r.tenant), r.database, r.template, r.server, _state(r), r.version) for r in records],
    )
    say(counted(len(records), "tenant"))


def _state(record: DatabaseRecord) -> str:
    """For people: whether it may be entered counts more than whether it is there."""
    return "suspended" if record.state == "ready" and not record.is_active else record.state


def _no_such_group(group: str, records: list[DatabaseRecord]) -> NotFoundError:
    from manor.scan import suggest

    return NotFoundError(f"no recorded tenant is in a group {group!r}", hint=suggest(group, {r.group for r in records}))


@tenant.command()
@tenant_argument
@tenant_option
@click.option("--drift", is_flag=True, help="Also compare its schema with the one it was made from; exit code 1 if it differs.")
@with_global_options
def show(tenant_argument: str | None, tenant: str | None, drift: bool) -> None:
    """Show what is recorded about one tenant (its URL: `manor tenant url`), and what its source told of it."""
    name = _named(tenant, tenant_argument)

    async def work() -> tuple[DatabaseRecord | None, list[Told], list[str]]:
        from manor.control.operations.directory_search import find_told, told_of
        from manor.control.operations.tenants import find_tenant, tenant_drift

        async with _looking() as runtime:
            try:
                record = await find_tenant(runtime, name)
            except NotFoundError:
                told = await find_told(runtime.catalog, name)
                if not told or drift:
                    raise
                return None, told, []
            wait_seconds = float(open_workplace().environment.settings.lock_wait_seconds)
            differences = await tenant_drift(runtime, record, lock_wait_seconds=wait_seconds) if drift else []
            return record, await told_of(runtime.catalog, record), differences

    record, told, differences = asyncio.run(work())
    document: dict[str, Any] = {}
    if record is not None:
        document = {**_json(record), "variables": dict(record.variables), "config": dict(record.config)}
    if told:
        document["directory"] = [one.to_json() for one in told]
    if drift:
        document["drift"] = differences
    if not print_document(document):
        for key, value in document.items():
            if key not in {"variables", "config", "drift", "directory"} and value not in (None, ""):
                click.echo(f"{key.replace('_', ' '):<12} {value}")
        print_told(told)
        for line in differences:
            click.echo(f"✗ {line}")
        if drift and not differences:
            click.echo("✓ no drift")
    if differences:
        raise Exit(EXIT_SOME_FAILED)


@tenant.command()
@tenant_argument
@tenant_option
@with_global_options
def url(tenant_argument: str | None, tenant: str | None) -> None:
    """Print a tenant's connection URL, password included."""
    record = _find_open(_named(tenant, tenant_argument))
    if not print_document({"tenant_id": str(record.tenant), "url": record.url}):
        click.echo(record.url)


@tenant.command(context_settings={"allow_interspersed_args": False})
@click.argument("tenant_argument", metavar="TENANT")
@click.argument("psql_arguments", nargs=-1, type=click.UNPROCESSED)
@with_global_options
def psql(tenant_argument: str, psql_arguments: tuple[str, ...]) -> None:
    """Enter a tenant's database as its own role; whatever stands behind TENANT goes to psql."""
    from manor.wiring import psql_command

    if psql_arguments[:1] == ("--",):  # separates ours from psql's; to psql itself it would end the options
        psql_arguments = psql_arguments[1:]
    record = _find_open(tenant_argument)
    program, variables = psql_command(open_workplace(), record.server, record.url)
    os.execve(program, [program, *psql_arguments], {**os.environ, **variables})  # noqa: S606 - no shell wanted


@tenant.command("rotate-password")
@tenant_argument
@tenant_option
@with_global_options
def rotate_password(tenant_argument: str | None, tenant: str | None) -> None:
    """Give a tenant's role a new password; applications must fetch the new URL."""
    name = _named(tenant, tenant_argument)

    async def work() -> DatabaseRecord:
        from manor.control.operations.tenants import rotate_password as rotate
        from manor.wiring import open_runtime

        workplace = open_workplace()
        wait_seconds = float(workplace.environment.settings.lock_wait_seconds)
        async with open_runtime(workplace) as runtime:
            return await rotate(runtime, name, lock_wait_seconds=wait_seconds)

    record = asyncio.run(work())
    if not print_document({"tenant_id": str(record.tenant), "rotated": True}):
        click.echo(f"{record.tenant} has a new password; `manor tenant url` prints the new URL")


@tenant.command()
@selection_options
@click.option("--verify", is_flag=True, help="Look into every database first, instead of believing the catalog.")
@release_options
@with_global_options
def migrate(**said: Any) -> None:
    """Bring tenants to the newest version of their migrations: all or none of them, or wave by wave."""
    check_selection(said)

    def request() -> MigrateRequest:
        from manor.control.operations.migrate import MigrateRequest

        return MigrateRequest(
            selection=selection_of(said),
            strategy=said["strategy"],
            overrides=overrides_of(said),
            to=said["to"],
            allow_out_of_order=said["allow_out_of_order"],
            parallel=said["parallel"],
            plan_digest=said["plan_digest"],
            backup_first=said["backup_first"],
            verify=said["verify"],
        )

    run_release(request, said)


@tenant.command()
@click.option("--name", required=True, metavar="N", help="The tenant's name.")
@click.option("--tenant-id", metavar="ID", help="Its short id, where the name cannot be one.")
@click.option("--group", metavar="G", help="The group it belongs to, where the registry has several.")
@click.option("--registry", type=click.Path(path_type=Path), metavar="F", help="Its registry.  [default: the environment's]")
@deployment_option
@report_option
@with_global_options
def create(
    name: str, tenant_id: str | None, group: str | None, registry: Path | None, deployment: str | None, report: Path | None
) -> None:
    """Make one more tenant: its database with all releases, its role, and its connection in the catalog."""
    from manor.control.operations.create import NewTenant, create_tenant, fleet_with
    from manor.wiring import open_runtime, template_examiner

    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        path = registry or open_project()[1].folder / "tenant_registry.yaml"
        workplace = open_workplace(path, hooks=(display,))
        new = NewTenant(name=name, tenant_id=tenant_id or "", group=group)
        fleet, made = fleet_with(fleet_source(workplace, path, deployment), new, template_examiner())

        async def work(stop: StopSignal) -> Report:
            wait_seconds = float(workplace.environment.settings.lock_wait_seconds)
            async with open_runtime(workplace, stop=stop) as runtime:
                return await create_tenant(runtime, fleet, made, lock_wait_seconds=wait_seconds)

        result = run_stoppable(work)
    finish(result, report)
    say(f"`manor tenant url {made}` prints its URL")


_DIRECTORY = (sync_command, provision_command, search_command)
for command in (*_DIRECTORY, backup, restore, export, import_command, suspend, resume, hold, unhold, delete, certificate):
    tenant.add_command(command)
