"""``manor tenant provision``: databases for tenants that a source told of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.options import current, deployment_option, limit_option, open_workplace, report_option, with_global_options
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import finish, looked_at
from manor.cli.report_file import check_report_file

if TYPE_CHECKING:
    from manor.control.operations.directory_fleet import DirectoryPlaces
    from manor.control.operations.provision import ProvisionRequest
    from manor.control.rollout.report import Report
    from manor.control.runtime import Runtime, StopSignal
    from manor.wiring import Workplace


@click.command("provision")
@click.option(
    "--query",
    required=True,
    metavar="Q",
    help="Which tenants of the directory, such as \"status='active' AND tier='premium'\".",
)
@click.option("--source", metavar="NAME", help="Only tenants of this source; needed where the query finds several sources'.")
@click.option("--template", metavar="T", help="Make the databases from this template, whatever environment.j2 says.")
@click.option(
    "--parallel", type=click.IntRange(1, 256), metavar="N", help="Targets handled at once.  [default: from the registry]"
)
@limit_option
@deployment_option
@report_option
@click.option("--dry-run", is_flag=True, help="Look and plan only; prints the plan's digest.")
@click.option("--plan-digest", metavar="D", help="Act only if the plan is the one with this digest.")
@click.option("--allow-large-change", is_flag=True, help="Allow a plan that the large-change guard stops.")
@click.option("--recreate-missing", is_flag=True, help="Build an empty database where a recorded one is gone.")
@with_global_options
def provision_command(**said: Any) -> None:
    """Make the databases of tenants that a source told of: one for each instance of each tenant that the query finds."""
    report_path: Path | None = said["report"]
    check_report_file(report_path)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,), sessions=said["parallel"] or 20)
        result = _provisioned(workplace, said)
    finish(result, report_path)


def _provisioned(workplace: Workplace, said: dict[str, Any]) -> Report:
    from manor.control.operations.provision import dry_run, provision
    from manor.wiring import open_runtime, template_examiner

    request, places, examine = _request(workplace, said), _places(workplace, said), template_examiner()

    async def look(runtime: Runtime) -> Report:
        return await dry_run(runtime, places, request, examine)

    async def act(stop: StopSignal) -> Report:
        async with open_runtime(workplace, stop=stop) as runtime:
            return await provision(runtime, places, request, examine)

    planned: Report = looked_at(workplace, look) if said["dry_run"] else run_stoppable(act)
    return planned


def _request(workplace: Workplace, said: dict[str, Any]) -> ProvisionRequest:
    from manor.control.operations.provision import ProvisionRequest

    request = ProvisionRequest(query=said["query"], lock_wait_seconds=float(workplace.environment.settings.lock_wait_seconds))
    names = ("source", "parallel", "limit", "plan_digest", "allow_large_change", "recreate_missing")
    return replace(request, **{name: said[name] for name in names})


def _places(workplace: Workplace, said: dict[str, Any]) -> DirectoryPlaces:
    from manor.control.operations.directory_fleet import DirectoryPlaces
    from manor.wiring.environments import environment_renderer

    environment = workplace.environment
    return DirectoryPlaces(
        project=workplace.project.folder,
        environment=environment.folder,
        deployments=tuple(deployment.name for deployment in environment.deployments),
        render=environment_renderer(workplace),
        deployment=said["deployment"],
        template=said["template"],
        foreign_keys=environment.options.create_foreign_key_constraints,
        automation=workplace.project.fleet.automation,
    )
