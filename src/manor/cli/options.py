"""Options that every command understands, before or after the verb."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from manor.control.operations.fleet import FleetSource
    from manor.settings import Environment, Project
    from manor.telemetry import Hook
    from manor.wiring import Workplace

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "json", "yaml")


@dataclass(slots=True)
class GlobalOptions:
    """What was said, wherever it stood; the last word counts."""

    project: Path | None = None
    environment: str | None = None
    format: str = "table"
    verbose: bool = False
    quiet: bool = False


def current() -> GlobalOptions:
    """The options of the command that runs."""
    return click.get_current_context().find_root().ensure_object(GlobalOptions)


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            setattr(ctx.find_root().ensure_object(GlobalOptions), name, value)

    return callback


def with_global_options(command: Command) -> Command:
    """Add them to a command; their values are read through ``current``."""
    for option in (
        click.option(
            "--quiet", "-q", is_flag=True, expose_value=False, callback=_store("quiet"), help="Only errors and results."
        ),
        click.option(
            "--verbose",
            "-v",
            is_flag=True,
            expose_value=False,
            callback=_store("verbose"),
            help="More detail; tracebacks for bugs.",
        ),
        click.option(
            "--format",
            type=click.Choice(FORMATS),
            expose_value=False,
            callback=_store("format"),
            help="How results are printed; json and yaml are stable.  [default: table]",
        ),
        click.option(
            "--environment",
            "-e",
            metavar="NAME",
            expose_value=False,
            callback=_store("environment"),
            help="Environment folder, where the project has several.",
        ),
        click.option(
            "--project",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_store("project"),
            help="Project folder.  [default: nearest folder upwards with a project.yaml]",
        ),
    ):
        command = option(command)
    return command


registry_option = click.option(
    "--registry", required=True, metavar="F", type=click.Path(path_type=Path), help="Path of tenant_registry.yaml."
)
deployment_option = click.option(
    "--deployment", metavar="NAME", help="Server for groups that name none, where the environment has several."
)
report_option = click.option(
    "--report",
    metavar="F",
    type=click.Path(path_type=Path),
    help="Also write the report to F (.json, .yaml or .yml): a new file, or an earlier report.",
)
group_option = click.option("--group", metavar="G", help="Only this group.")
limit_option = click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Only the first N targets.")
parallel_option = click.option(
    "--parallel", type=click.IntRange(1, 256), metavar="N", help="Targets handled at once.  [default: from the registry]"
)


def open_project(registry: Path | None = None) -> tuple[Project, Environment]:
    """The project and environment that a command is about.

    Raises ``InputError`` where a project has several environments with servers of their own and none is named.
    """
    from manor.settings import find_project, load_environment

    options = current()
    project = find_project(Path.cwd(), options.project, registry)
    folder = _absolute(registry).parent if registry else _environment_folder(project, options.environment)
    return project, load_environment(project, folder)


def _absolute(path: Path) -> Path:
    # Path.resolve would follow links, and whether a link leads out of the project is judged later, by its name.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _environment_folder(project: Project, name: str | None) -> Path:
    from manor.errors import InputError
    from manor.scan import suggest
    from manor.settings import ENVIRON_FILE

    if name is not None:
        if not (project.folder / name).is_dir():
            raise InputError(f"there is no environment {name!r} in {project.folder}")
        return project.folder / name
    if (project.folder / ENVIRON_FILE).is_file():
        return project.folder
    found = sorted(f.parent for f in project.folder.glob(f"*/{ENVIRON_FILE}"))
    if len(found) > 1:
        names = [f.name for f in found]
        raise InputError(f"{project.name} has several environments", hint=f"--environment NAME; {suggest('', names)}")
    return found[0] if found else project.folder


def open_workplace(registry: Path | None = None, *, hooks: tuple[Hook, ...] = (), sessions: int = 20) -> Workplace:
    """Project and environment ready for ``wiring.open_runtime``."""
    from manor.telemetry import Telemetry
    from manor.wiring import Workplace

    _silence_psycopg()
    project, environment = open_project(registry)
    telemetry = Telemetry(*hooks, *_log(project))
    return Workplace(project=project, environment=environment, telemetry=telemetry, sessions=sessions)


def _log(project: Project) -> list[Hook]:
    """Where the project says so; ``--quiet`` leaves errors alone, which are said anyway."""
    from manor.cli.log_lines import log_hook

    level = project.fleet.log_level
    return [log_hook(level)] if level is not None and not current().quiet else []


def _silence_psycopg() -> None:
    """What it logs (connections that broke while they were closed) is about errors that we report, or that nobody needs."""
    import logging

    if not current().verbose:
        logging.getLogger("psycopg").addHandler(logging.NullHandler())


def fleet_source(workplace: Workplace, registry: Path, deployment: str | None = None) -> FleetSource:
    """Where the fleet of ``registry`` is declared."""
    from manor.control.operations.fleet import FleetSource

    return FleetSource(
        project=workplace.project.folder,
        registry=_absolute(registry),
        shown_as=workplace.project.shown(registry),
        deployments=[d.name for d in workplace.environment.deployments],
        deployment=deployment,
        foreign_keys=workplace.environment.options.create_foreign_key_constraints,
        automation=workplace.project.fleet.automation,
    )
