"""``manor batch``: one thing for many tenants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.options import (
    current,
    group_option,
    limit_option,
    open_project,
    open_workplace,
    report_option,
    with_global_options,
)
from manor.cli.progress import progress
from manor.cli.releases import finish, looked_at, overrides_of, release_options, run_release
from manor.cli.report_file import check_report_file

if TYPE_CHECKING:
    from manor.control.operations.migrate import MigrateRequest
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime


@click.group()
@with_global_options
def batch() -> None:
    """Do one thing for many tenants."""


@batch.command()
@click.option(
    "--parallel", type=click.IntRange(1, 256), default=50, show_default=True, metavar="N", help="Tenants looked at at once."
)
@click.option("--filter", "search", metavar="Q", help="Only tenants that a search finds, such as \"tier IN ('premium')\".")
@group_option
@limit_option
@report_option
@with_global_options
def healthcheck(parallel: int, search: str | None, group: str | None, limit: int | None, report: Path | None) -> None:
    """Look into every recorded tenant's database, whoever declared it: its role's way in, its schema, its neighbours' doors."""
    from manor.control.operations.healthcheck import HealthRequest, healthcheck_recorded

    if group is not None and search is not None:
        raise click.UsageError("say which tenants once: --filter Q or --group G")
    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,), sessions=parallel)

        async def look(runtime: Runtime) -> Report:
            seconds = workplace.project.fleet.automation.operation_timeout_seconds or 300
            request = HealthRequest(group=group, limit=limit, parallel=parallel, timeout_seconds=float(seconds))
            return await healthcheck_recorded(runtime, request, search=search)

        result: Report = looked_at(workplace, look)
    finish(result, report)


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
