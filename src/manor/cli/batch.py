"""``manor batch``: one thing for many tenants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.options import open_project, with_global_options
from manor.cli.releases import overrides_of, release_options, run_release

if TYPE_CHECKING:
    from manor.control.operations.migrate import MigrateRequest


@click.group()
@with_global_options
def batch() -> None:
    """Do one thing for many tenants."""


@batch.command("deploy-schema")
@click.option(
    "--migration",
    required=True,
    type=click.Path(path_type=Path),
    metavar="F",
    help="The migration: a plain SQL file such as v2.1.sql, or one in dbmate's or Flyway's format.",
)
@click.option("--filter", "search", metavar="Q", help="Only tenants that a search finds, such as \"tier IN ('premium')\".")
@click.option("--group", metavar="G", help="Only the tenants of this group.")
@click.option("--tenant-id", "tenants", multiple=True, metavar="T", help="Only this tenant; may be given several times.")
@release_options
@with_global_options
def deploy_schema(migration: Path, search: str | None, group: str | None, tenants: tuple[str, ...], **said: Any) -> None:
    """Run one migration for all tenants, or for those that a search finds, whatever their folders hold."""
    if sum((bool(tenants), group is not None, search is not None)) > 1:
        raise click.UsageError("say which tenants once: --filter Q, --group G or --tenant-id T")

    def request() -> MigrateRequest:
        from manor.control.operations.migrate import MigrateRequest
        from manor.control.operations.migration_file import read_migration
        from manor.control.operations.release_draft import Selection

        everyone = not tenants and group is None and search is None
        return MigrateRequest(
            selection=Selection(everyone=everyone, tenants=tenants, group=group, search=search),
            strategy=said["strategy"],
            overrides=overrides_of(said),
            allow_out_of_order=said["allow_out_of_order"],
            parallel=said["parallel"],
            plan_digest=said["plan_digest"],
            backup_first=said["backup_first"],
            migration=read_migration(migration, shown_as=open_project()[0].shown(migration)),
            verb="deploy-schema",
        )

    run_release(request, said)
