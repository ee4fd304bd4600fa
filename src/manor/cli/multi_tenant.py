"""``manor multi-tenant``: the verbs of the registry, word for word as in the reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manor.cli.failures import Exit
from manor.cli.options import (
    current,
    deployment_option,
    fleet_source,
    group_option,
    limit_option,
    open_workplace,
    parallel_option,
    registry_option,
    report_option,
    with_global_options,
)
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import finish
from manor.cli.render import print_document, print_table, say
from manor.cli.report_file import check_report_file
from manor.errors import EXIT_BAD_INPUT, EXIT_REFUSED

if TYPE_CHECKING:
    from manor.control.operations.deploy import DeployRequest
    from manor.control.operations.fleet import Fleet
    from manor.control.rollout.report import Report
    from manor.control.runtime import StopSignal
    from manor.wiring import Workplace


@click.group("multi-tenant")
@with_global_options
def multi_tenant() -> None:
    """Deploy and check the fleet that a registry declares."""


@multi_tenant.command()
@registry_option
@deployment_option
@with_global_options
def validate(registry: Path, deployment: str | None) -> None:
    """Check the registry and its templates: everything that is wrong, in one pass, with file:line:column."""
    from manor.control.operations.validate import validate_fleet
    from manor.wiring import template_examiner

    workplace = open_workplace(registry)
    source = fleet_source(workplace, registry, deployment)
    verdict = validate_fleet(source, template_examiner(), also_not_acted_on=workplace.project.not_acted_on)
    if not print_document(verdict.to_json()):
        for finding in verdict.findings:
            click.echo(f"✗ {finding}")
        for refusal in verdict.refusals:
            click.echo(f"✗ {refusal} [deploy refuses]")
        for notice in verdict.notices:
            say(f"note: {notice}")
        click.echo(verdict.summary())
    if not verdict.ok:
        raise Exit(EXIT_BAD_INPUT if verdict.findings else EXIT_REFUSED)


@multi_tenant.command()
@registry_option
@deployment_option
@group_option
@click.option("--limit", type=click.IntRange(min=0), default=5, show_default=True, metavar="N", help="Rows shown.")
@with_global_options
def preview(registry: Path, deployment: str | None, group: str | None, limit: int) -> None:
    """Show the databases that the registry declares, without looking at any server."""
    from manor.control.operations.fleet import load_fleet
    from manor.control.operations.preview import preview_fleet

    workplace = open_workplace(registry)
    shown = preview_fleet(load_fleet(fleet_source(workplace, registry, deployment)), group=group, limit=limit)
    if print_document(shown.to_json()):
        return
    rows = [(t.database, t.template, t.group, t.tenant.id, t.server) for t in shown.targets]
    print_table(("Database Name", "Template", "Group", "Tenant ID", "Server"), rows)
    if shown.more:
        click.echo(f"... and {shown.more} more databases")


@multi_tenant.command()
@registry_option
@deployment_option
@group_option
@limit_option
@parallel_option
@report_option
@click.option("--dry-run", is_flag=True, help="Look and plan only; prints the plan's digest.")
@click.option("--plan-digest", metavar="D", help="Act only if the plan is the one with this digest.")
@click.option("--allow-large-change", is_flag=True, help="Allow a plan that the large-change guard stops.")
@click.option("--recreate-missing", is_flag=True, help="Build an empty database where a recorded one is gone.")
@with_global_options
def deploy(
    registry: Path,
    deployment: str | None,
    group: str | None,
    limit: int | None,
    parallel: int | None,
    report: Path | None,
    dry_run: bool,
    plan_digest: str | None,
    allow_large_change: bool,
    recreate_missing: bool,
) -> None:
    """Create every declared database that is not there yet, and prove those that are."""
    from manor.control.operations.deploy import DeployRequest
    from manor.control.operations.fleet import load_fleet
    from manor.wiring import template_examiner

    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(registry, hooks=(display,))
        fleet = load_fleet(fleet_source(workplace, registry, deployment), template_examiner())
        request = DeployRequest(
            group=group,
            limit=limit,
            parallel=parallel,
            plan_digest=plan_digest,
            allow_large_change=allow_large_change,
            recreate_missing=recreate_missing,
            lock_wait_seconds=float(workplace.environment.settings.lock_wait_seconds),
        )
        result = _dry_run(workplace, fleet, request) if dry_run else _deploy(workplace, fleet, request)
    finish(result, report)


def _deploy(workplace: Workplace, fleet: Fleet, request: DeployRequest) -> Report:
    from dataclasses import replace

    from manor.control.operations.deploy import deploy as run_deploy
    from manor.control.operations.deploy import limits_of
    from manor.control.registry.acted_on import refuse_unsafe
    from manor.wiring import open_runtime

    refuse_unsafe(fleet.resolution.refusals)  # before a server is started for nothing
    bounded = replace(workplace, sessions=limits_of(fleet, request).parallel)

    async def work(stop: StopSignal) -> Report:
        async with open_runtime(bounded, stop=stop) as runtime:
            return await run_deploy(runtime, fleet, request)

    return run_stoppable(work)


def _dry_run(workplace: Workplace, fleet: Fleet, request: DeployRequest) -> Report:
    import asyncio

    from manor.control.operations.deploy import dry_run as run_dry
    from manor.wiring import look_runtime

    async def work() -> Report:
        async with look_runtime(workplace) as runtime:
            return await run_dry(runtime, fleet, request)

    return asyncio.run(work())


@multi_tenant.command("add-tenants")
@registry_option
@click.option("--group", required=True, metavar="G", help="The tenant group that grows.")
@click.option("--count", required=True, type=click.IntRange(min=1), metavar="N", help="How many tenants to add.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@with_global_options
def add_tenants(registry: Path, group: str, count: int, dry_run: bool) -> None:
    """Raise a group's tenant_count; comments and order of the registry stay as they are."""
    from manor.control.operations.add_tenants import add_tenants as edit

    workplace = open_workplace(registry)
    change = edit(registry, group, count, dry_run=dry_run, shown_as=workplace.project.shown(registry))
    document = {
        "group": change.group,
        "before": change.before,
        "after": change.after,
        "first_id": change.first_id,
        "last_id": change.last_id,
        "dry_run": dry_run,
    }
    if print_document(document):
        return
    verb, noun = "Would add" if dry_run else "Added", "tenant" if count == 1 else "tenants"
    ids = f"new id {change.first_id}" if count == 1 else f"new ids {change.first_id} to {change.last_id}"
    click.echo(f"{verb} {count} {noun} to group '{group}' ({change.before} → {change.after}; {ids})")
    if not dry_run:
        say(f"Run 'manor multi-tenant deploy --registry {registry}' to provision them.")


@multi_tenant.command()
@registry_option
@deployment_option
@group_option
@limit_option
@parallel_option
@report_option
@with_global_options
def healthcheck(
    registry: Path, deployment: str | None, group: str | None, limit: int | None, parallel: int | None, report: Path | None
) -> None:
    """Enter every database as its own tenant, compare its schema, measure it, and try to cross into another tenant."""
    import asyncio

    from manor.control.operations.fleet import load_fleet
    from manor.control.operations.healthcheck import HealthRequest, healthcheck_fleet
    from manor.wiring import look_runtime

    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(registry, hooks=(display,), sessions=parallel or 20)
        fleet = load_fleet(fleet_source(workplace, registry, deployment))
        seconds = float(fleet.registry.operations.batch_settings.timeout_seconds)
        request = HealthRequest(group=group, limit=limit, parallel=parallel or 20, timeout_seconds=seconds)

        async def work() -> Report:
            async with look_runtime(workplace) as runtime:
                return await healthcheck_fleet(runtime, fleet, request)

        result = asyncio.run(work())
    finish(result, report)
