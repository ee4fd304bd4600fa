"""``manor migration``: the files of migrations, and who has seen them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.failures import Exit
from manor.cli.options import current, open_workplace, with_global_options
from manor.cli.releases import STRATEGIES, check_selection, looked_at, run_release, selection_of, selection_options
from manor.cli.render import print_document, print_table, say
from manor.errors import EXIT_SOME_FAILED, RefusedError, UnreachableError, counted

if TYPE_CHECKING:
    from manor.control.migrate.history import Problem
    from manor.control.operations.migrate import MigrateRequest
    from manor.control.operations.migration_lint import LintReport
    from manor.control.operations.migration_squash import SquashPlan
    from manor.control.operations.migration_status import ChainStatus, FleetStatus, TenantStatus
    from manor.control.operations.migrations import Whereabouts

_SHOWN_TENANTS = 3
_WITHOUT = "if you know that every tenant is there, or that there is none: --without-catalog"

template_option = click.option("--template", metavar="T", help="The folder of this template.")
shared_option = click.option("--project-wide", "shared", is_flag=True, help="The folder of the whole project.")
registry_option = click.option(
    "--registry",
    metavar="F",
    type=click.Path(path_type=Path),
    help="Path of a registry.  [default: the environment's tenant_registry.yaml]",
)


@click.group()
@with_global_options
def migration() -> None:
    """Write, check, baseline and squash migrations; show who has seen which."""


def _whereabouts(registry: Path | None = None, template: str | None = None, shared: bool = False) -> Whereabouts:
    from manor.control.operations.migrations import Whereabouts
    from manor.settings import find_project

    if template is not None and shared:
        raise click.UsageError("name one folder: --template T or --project-wide")
    options = current()
    project = find_project(Path.cwd(), options.project, registry)
    absolute = Path.cwd() / registry if registry is not None else None
    return Whereabouts(
        project=project.folder, environment=options.environment, registry=absolute, template=template, shared=shared
    )


def _shown(path: Path) -> str:
    """From here where it is below, so that it can be opened."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@migration.command()
@click.argument("name")
@template_option
@shared_option
@registry_option
@with_global_options
def new(name: str, template: str | None, shared: bool, registry: Path | None) -> None:
    """Begin a migration: <UTC time>_NAME.sql with an up and a down section; prints its path."""
    import datetime as dt

    from manor.control.operations.migrations import new_migration

    made = new_migration(_whereabouts(registry, template, shared), name, dt.datetime.now(dt.UTC))
    if not print_document({"path": _shown(made.path), "version": made.version, "name": made.name}):
        click.echo(_shown(made.path))


@migration.command()
@click.option("--all", "everyone", is_flag=True, help="Every tenant of the fleet.  [default]")
@click.option("--tenant-id", "tenant", metavar="T", help="One tenant, read from its own database.")
@click.option("--group", metavar="G", help="The tenants of this group.")
@click.option("--filter", "search", metavar="Q", help="The tenants that a search finds.")
@with_global_options
def status(everyone: bool, tenant: str | None, group: str | None, search: str | None) -> None:
    """Show which migrations tenants have seen and lack; exit code 1 if there are problems."""
    if sum((everyone, tenant is not None, group is not None, search is not None)) > 1:
        raise click.UsageError("say which tenants: one of --all, --tenant-id T, --group G and --filter Q")
    from manor.control.operations.migration_status import fleet_status, tenant_status
    from manor.control.operations.release_draft import Selection

    workplace = open_workplace()
    folder = workplace.project.folder
    if tenant is not None:
        found: TenantStatus = looked_at(workplace, lambda runtime: tenant_status(runtime, folder, tenant))
        if not print_document(found.to_json()):
            _print_tenant(found)
        failed = found.has_problems
    else:
        selection = Selection(everyone=everyone, group=group, search=search)
        fleet: FleetStatus = looked_at(workplace, lambda runtime: fleet_status(runtime, folder, selection))
        if not print_document(fleet.to_json()):
            _print_fleet(fleet)
        failed = fleet.has_problems
    if failed:
        raise Exit(EXIT_SOME_FAILED)


def _print_tenant(found: TenantStatus) -> None:
    rows = [
        (row.version, row.name, str(row.state), "yes" if row.has_down else "no", _time(row.applied_at), row.operation)
        for row in found.rows
    ]
    print_table(("version", "name", "state", "down", "applied at", "operation"), rows)
    for problem in found.problems:
        _print_problem(problem)
    for line in found.differences:
        click.echo(f"✗ {line}")
    say(f"{found.record.tenant}: {counted(len(rows), 'migration')}")


def _time(value: Any) -> str:
    return value.isoformat(sep=" ", timespec="seconds") if value is not None else ""


def _print_fleet(fleet: FleetStatus) -> None:
    for chain in fleet.chains:
        _print_chain(chain)
    if fleet.not_ready:
        click.echo(f"{counted(len(fleet.not_ready), 'tenant')} without a finished database left out")


def _print_chain(chain: ChainStatus) -> None:
    tenants = chain.versions.total()
    head = f"newest {chain.chain.head}" if chain.chain.head else "no migrations"
    click.echo(f"{chain.template} ({chain.source}): {counted(tenants, 'tenant')}, {head}")
    document = chain.to_json()
    rows = [(entry["version"] or "none", str(entry["tenants"])) for entry in document["versions"]]
    print_table(("at version", "tenants"), rows)
    lacking = [entry for entry in document["migrations"] if entry["pending"]]
    if lacking:
        rows = [(f"{entry['version']}_{entry['name']}".rstrip("_"), str(entry["pending"])) for entry in lacking]
        print_table(("pending", "tenants"), rows)
    for problem, ids in chain.problems.items():
        _print_problem(problem, ids)


def _print_problem(problem: Problem, tenants: Sequence[str] = ()) -> None:
    more = f" and {len(tenants) - _SHOWN_TENANTS} more" if len(tenants) > _SHOWN_TENANTS else ""
    of = f" ({', '.join(tenants[:_SHOWN_TENANTS])}{more})" if tenants else ""
    click.echo(f"✗ {problem.message}{of}")
    if problem.hint:
        click.echo(f"  hint: {problem.hint}")


@migration.command("lint")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--strategy", type=click.Choice(STRATEGIES), help="atomic: what cannot be prepared is an error.")
@registry_option
@with_global_options
def lint_command(files: tuple[Path, ...], strategy: str | None, registry: Path | None) -> None:
    """Say which statements take which lock, rewrite tables or cannot work; exit code 2 for errors.

    Without FILES all folders of the project's registries are looked at. Needs no server.
    """
    from manor.control.operations.migration_lint import lint_files, lint_project

    where, atomic = _whereabouts(registry), strategy == "atomic"
    if files:
        report = lint_files(where.project, [Path.cwd() / path for path in files], atomic=atomic)
    else:
        report = lint_project(where, atomic=atomic)
    if not print_document(report.to_json()):
        _print_lint(report)
    if report.exit_code:
        raise Exit(report.exit_code)


def _print_lint(report: LintReport) -> None:
    document = report.to_json()
    rows = [(entry["place"], entry["kind"], entry["table"], entry["lock"], _touches(entry)) for entry in document["statements"]]
    if rows:
        print_table(("place", "statement", "table", "lock", "table is"), rows)
    for finding in report.findings:
        click.echo(f"error: {finding}")
    for hit in report.hits:
        click.echo(f"{hit.severity}: {hit.finding()}")
    counts = {name: sum(hit.severity == name for hit in report.hits) for name in ("error", "warning", "notice")}
    counts["error"] += len(report.findings)
    said = ", ".join(counted(count, name) for name, count in counts.items() if count) or "nothing to remark"
    say(f"{counted(document['migrations'], 'migration')}: {said}")


def _touches(entry: dict[str, Any]) -> str:
    return "rewritten" if entry["rewrites"] else "read" if entry["scans"] else ""


@migration.command()
@click.option("--to", required=True, metavar="VERSION", help="The newest migration that the tables hold already.")
@selection_options
@click.option("--strategy", type=click.Choice(STRATEGIES), help="How tenants follow each other.  [default: registry]")
@click.option("--dry-run", is_flag=True, help="Look and plan only; prints the plan's digest.")
@click.option("--plan-digest", metavar="D", help="Act only if the plan is the one with this digest.")
@click.option("--parallel", type=click.IntRange(1, 256), metavar="N", help="Targets at once per server.")
@click.option(
    "--report", metavar="F", type=click.Path(path_type=Path), help="Also write the report to F (.json, .yaml or .yml)."
)
@with_global_options
def baseline(to: str, **said: Any) -> None:
    """Record migrations up to VERSION as applied without running them, where the template's tables hold them already.

    Every tenant's schema is compared with its template's; one that differs is left alone and named.
    """
    check_selection(said)

    def request() -> MigrateRequest:
        from manor.control.operations.migrate import MigrateRequest

        return MigrateRequest(
            selection=selection_of(said),
            strategy=said["strategy"],
            to=to,
            baseline=to,
            parallel=said["parallel"],
            plan_digest=said["plan_digest"],
            verb="baseline",
        )

    run_release(request, {**said, "rehearse": False, "engine": None})
    if not said["dry_run"]:
        _tell_baselines(to)


def _tell_baselines(version: str) -> None:
    from manor.control.operations.migrations import lower_baselines

    for source in lower_baselines(_whereabouts(), version):
        _tell_baseline(source, version)


def _tell_baseline(source: str, version: str) -> None:
    say(f'note: write baseline: "{version}" under migration_config in {source}, or new tenants run what their template holds')


@migration.command()
@click.option("--through", required=True, metavar="VERSION", help="The newest migration to fold.")
@template_option
@shared_option
@registry_option
@click.option("--delete-files", is_flag=True, help="Remove the files that the new one stands for.")
@click.option(
    "--without-catalog", is_flag=True, help="Where there is no catalog to ask: fold all the same, every tenant is at VERSION."
)
@with_global_options
def squash(
    through: str, template: str | None, shared: bool, registry: Path | None, delete_files: bool, without_catalog: bool
) -> None:
    """Fold the migrations up to VERSION into one file that stands for them.

    Tenants that have seen all of them get a row in their history and nothing is run; new ones run the one file. Refused as long
    as the catalog knows tenants that have not.
    """
    from manor.control.operations.migration_squash import plan_squash, write_squash

    where = _whereabouts(registry, template, shared)
    made = plan_squash(where, through)
    _ask_catalogs(where, made, without_catalog=without_catalog)
    write_squash(made, delete_files=delete_files)
    document = {
        "path": _shown(made.path),
        "version": made.version,
        "squashes": list(made.squashes),
        "files": [_shown(path) for path in made.files],
        "deleted": delete_files,
    }
    if not print_document(document):
        click.echo(document["path"])
        _print_files(made.files, deleted=delete_files)
    for source in made.baselines:
        _tell_baseline(source, made.version)


def _ask_catalogs(where: Whereabouts, plan: SquashPlan, *, without_catalog: bool) -> None:
    """Each environment has a catalog of its own; the word helps only where none answers."""
    registries = {(where.project / source).parent: where.project / source for source, _ in plan.places}
    if not registries and not without_catalog:
        raise _no_catalog("no registry of the project uses this folder")
    for registry in registries.values():
        if not _is_asked(registry, plan, without_catalog=without_catalog) and not without_catalog:
            raise _no_catalog(f"{where.source(registry)} has no catalog yet")


def _is_asked(registry: Path, plan: SquashPlan, *, without_catalog: bool) -> bool:
    """Whether there is a catalog that has nothing against it. Raises ``RefusedError`` where it has."""
    from manor.control.operations.migration_squash import refuse_behind
    from manor.wiring import look_runtime

    async def work() -> bool:
        async with look_runtime(open_workplace(registry)) as runtime:
            if runtime is not None:
                await refuse_behind(runtime, plan)
            return runtime is not None

    try:
        return asyncio.run(work())
    except UnreachableError as error:
        if without_catalog:
            return False
        raise UnreachableError(error.message, hint=f"{error.hint}; {_WITHOUT}") from error


def _no_catalog(why: str) -> RefusedError:
    return RefusedError(f"{why}: nobody can tell which migrations its tenants have seen", hint=_WITHOUT)


def _print_files(files: Iterable[Path], *, deleted: bool) -> None:
    if not deleted:
        click.echo("remove these, which it stands for, before anything else is done (or --delete-files):")
    for path in files:
        click.echo(f"{'removed' if deleted else ' '} {_shown(path)}")
