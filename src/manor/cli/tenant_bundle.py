"""``manor tenant export`` and ``import``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

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
from manor.cli.releases import finish
from manor.cli.render import say
from manor.cli.report_file import check_report_file

if TYPE_CHECKING:
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime, StopSignal

bundle_option = click.option(
    "--bundle", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The bundle, a tar."
)


@click.command()
@click.option("--tenant-id", "tenant", required=True, metavar="T", help="The tenant.")
@bundle_option
@report_option
@with_global_options
def export(tenant: str, bundle: Path, report: Path | None) -> None:
    """Write one tenant as a bundle: dump, objects, migrations, checksums, and a script that restores it without Manor."""
    from manor.control.operations.tenant_export import export_tenant
    from manor.wiring import erasure_surroundings, open_runtime

    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,))
        around, path = erasure_surroundings(workplace), bundle.absolute()

        async def work(stop: StopSignal) -> Report:
            async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
                return await export_tenant(runtime, tenant, path, around)

        result = run_stoppable(work)
    finish(result, report)


@click.command("import")
@bundle_option
@click.option("--group", required=True, metavar="G", help="The group that the tenant joins.")
@click.option("--as", "tenant_id", metavar="ID", help="Its short id here.  [default: the one that it had]")
@click.option(
    "--registry", type=click.Path(path_type=Path), metavar="F", help="The group's registry.  [default: the environment's]"
)
@click.option("--keep-head", is_flag=True, help="Take it in at its own release, with what was changed in its schema by hand.")
@deployment_option
@report_option
@with_global_options
def import_command(
    *,
    bundle: Path,
    group: str,
    tenant_id: str | None,
    registry: Path | None,
    keep_head: bool,
    deployment: str | None,
    report: Path | None,
) -> None:
    """Take a bundle in: make its tenant, and put what the bundle holds in the place of the template's rows."""
    from manor.control.operations.create import NewTenant, fleet_with
    from manor.control.operations.tenant_import import import_bundle, opened_bundle
    from manor.wiring import erasure_surroundings, new_operation_id, open_runtime, template_examiner

    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        path = registry or open_project()[1].folder / "tenant_registry.yaml"
        workplace = open_workplace(path, hooks=(display,))
        wait_seconds = float(workplace.environment.settings.lock_wait_seconds)

        def again(runtime: Runtime) -> Runtime:
            return dataclasses.replace(runtime, operation=new_operation_id(runtime.now()))

        async def work(stop: StopSignal) -> Report:
            async with opened_bundle(bundle, state=workplace.state) as opened:
                new = NewTenant(name=opened.name, tenant_id=tenant_id or opened.id, group=group)
                fleet, tenant = fleet_with(fleet_source(workplace, path, deployment), new, template_examiner())
                around = erasure_surroundings(workplace)
                async with open_runtime(workplace, stop=stop) as runtime:
                    return await import_bundle(
                        runtime,
                        fleet,
                        tenant,
                        opened,
                        around,
                        again=again,
                        keep_head=keep_head,
                        lock_wait_seconds=wait_seconds,
                    )

        result = run_stoppable(work)
    finish(result, report)
    say("`manor tenant url` prints its URL")
