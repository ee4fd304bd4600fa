"""``manor catalog``: the control-plane database itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manor.cli.options import (
    current,
    deployment_option,
    fleet_source,
    open_project,
    open_workplace,
    parallel_option,
    report_option,
    with_global_options,
)
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import finish
from manor.cli.render import print_document, say
from manor.cli.report_file import check_report_file

if TYPE_CHECKING:
    from manor.control.rollout.report import Report
    from manor.control.runtime import StopSignal


@click.group()
@with_global_options
def catalog() -> None:
    """Keep the control-plane database."""


@catalog.command("rotate-key")
@click.option("--retire", is_flag=True, help="Afterwards keep the old keys for reading the audit log only.")
@with_global_options
def rotate_key(retire: bool) -> None:
    """Encrypt every stored URL with a new key. Killed in the middle, run it again."""

    async def work() -> int:
        from manor.control.operations.rotate_key import rotate_key as rotate
        from manor.wiring import open_key_ring, open_runtime

        workplace = open_workplace()
        wait_seconds = float(workplace.environment.settings.lock_wait_seconds)
        async with open_runtime(workplace) as runtime:
            ring = open_key_ring(workplace.project)
            return await rotate(runtime, ring, retire=retire, lock_wait_seconds=wait_seconds)

    changed = asyncio.run(work())
    if not print_document({"reencrypted": changed}):
        click.echo(f"{changed} stored URLs now use the new key")


@catalog.command()
@click.option(
    "--registry",
    "registries",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="F",
    help="A registry that declared tenants; may be repeated.  [default: the environment's]",
)
@deployment_option
@click.option("--catalog-id", metavar="ID", help="The catalog that was lost, where the servers' databases are of several.")
@parallel_option
@report_option
@click.option("--dry-run", is_flag=True, help="Look and plan only: what would be recorded, and what is lost.")
@with_global_options
def rebuild(
    registries: tuple[Path, ...],
    deployment: str | None,
    catalog_id: str | None,
    parallel: int | None,
    report: Path | None,
    dry_run: bool,
) -> None:
    """Make a lost catalog anew from the servers' own metadata and the registries; every tenant gets a new password.

    Nothing else on the servers is changed. What cannot be known any more is listed. Killed in the middle, run it again.
    """
    from manor.control.operations.catalog_rebuild import RebuildRequest
    from manor.control.operations.catalog_rebuild import rebuild as run_rebuild
    from manor.wiring import base_place, open_recovery

    check_report_file(report)
    default = open_project(registries[0] if registries else None)[1].folder / "tenant_registry.yaml"
    paths = registries or ((default,) if default.is_file() else ())
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(paths[0] if paths else None, hooks=(display,))
        sources = [fleet_source(workplace, path, deployment) for path in paths]
        wait_seconds = float(workplace.environment.settings.lock_wait_seconds)
        request = RebuildRequest(catalog_id=catalog_id, dry_run=dry_run, parallel=parallel or 8, lock_wait_seconds=wait_seconds)

        async def work(stop: StopSignal) -> Report:
            async with open_recovery(workplace, stop=stop) as recovery:
                return await run_rebuild(recovery, sources, request, base_place(workplace))

        result = run_stoppable(work)
    if not dry_run:
        say(f"catalog {result.extra['catalog']} is back; applications must fetch their URLs anew")
    finish(result, report)


@catalog.command()
@click.option("--output", metavar="DIR|URL", help="Where the backup goes.  [default: environ.yaml, else .manor/backups]")
@with_global_options
def backup(output: str | None) -> None:
    """Back the catalog up. Its secrets stay encrypted with keys that are in no backup: keep a copy of .manor/keys elsewhere."""
    from manor.control.operations.catalog_backup import back_up_catalog, backup_json
    from manor.wiring import catalog_server, open_runtime, open_vault

    workplace = open_workplace()
    vault = open_vault(workplace, output)

    async def work() -> dict[str, object]:
        async with (
            open_runtime(workplace, some_away=True) as runtime,
            catalog_server(workplace, runtime.operation) as home,
        ):
            keep = workplace.environment.settings.backup.keep_last
            return backup_json(vault, await back_up_catalog(runtime, home, vault, keep=keep))

    made = asyncio.run(work())
    if not print_document(made):
        click.echo(f"catalog {made['catalog']}: {made['file']}, {made['bytes']} bytes")


@catalog.command()
@click.option("--backup-file", required=True, metavar="F", help="The dump, or its manifest: a path or a URL.")
@with_global_options
def restore(backup_file: str) -> None:
    """Bring a backup of the catalog back where the catalog was lost. The audit log says what is lost between the two."""
    from manor.control.operations.catalog_restore import RestoredCatalog, restore_catalog
    from manor.wiring import open_recovery

    workplace = open_workplace()

    async def work() -> RestoredCatalog:
        async with open_recovery(workplace) as recovery:
            return await restore_catalog(recovery, backup_file, base=Path.cwd())

    found = asyncio.run(work())
    document = {
        "catalog": found.catalog,
        "backup": found.backup.manifest.id,
        "made_at": found.backup.manifest.made_at.isoformat(),
        "tenants": found.tenants,
        "unrecorded": list(found.unrecorded),
        "missing": list(found.missing),
        "erased": list(found.erased),
    }
    if print_document(document):
        return
    click.echo(f"catalog {found.catalog} is back as of {found.backup.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC")
    for tenant in found.unrecorded:
        say(f"note: {tenant} was made since: `manor multi-tenant deploy` records it")
    for tenant in found.missing:
        say(f"note: the database of {tenant} is not where the catalog believes")
    for tenant in found.erased:
        say(f"note: {tenant} was erased since: what the backup held of it is erased again")
    say("`manor tenant migrate --all --verify` records the versions that the databases have now")
