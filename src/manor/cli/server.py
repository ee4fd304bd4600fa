"""``manor server``: the embedded PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from manor.cli.failures import Exit
from manor.cli.options import open_project, open_workplace, with_global_options
from manor.cli.render import print_document, say
from manor.errors import EXIT_UNREACHABLE, InputError, RefusedError

if TYPE_CHECKING:
    from manor.control.engines.embedded.server import EmbeddedServer, ServerStatus
    from manor.control.operations.doctor import Examination


@click.group()
@with_global_options
def server() -> None:
    """Start, stop and inspect the embedded PostgreSQL of this project."""


def _embedded() -> EmbeddedServer:
    from manor.wiring import embedded_server

    project, environment = open_project()
    if not any(d.embedded for d in environment.deployments):
        names = ", ".join(str(d) for d in environment.deployments)
        raise InputError(f"this environment uses servers of its own: {names}", hint="manor doctor looks at them")
    return embedded_server(project, environment)


def _status_json(status: ServerStatus) -> dict[str, Any]:
    return {
        "state": str(status.state),
        "pid": status.pid,
        "version": status.version,
        "url": status.url,
        "data_directory": str(status.data_directory),
        "log_file": str(status.log_file) if status.log_file else None,
        "started_at": status.started_at.isoformat() if status.started_at else None,
        "problem": status.problem,
    }


def _show(status: ServerStatus) -> None:
    document = _status_json(status)
    if not print_document(document):
        for name, value in document.items():
            if value:
                click.echo(f"{name.replace('_', ' '):<15} {value}")


@server.command()
@with_global_options
def start() -> None:
    """Start it (and make it, the first time); nothing happens if it runs."""
    _show(_embedded().start())


@server.command()
@click.option(
    "--mode",
    type=click.Choice(["smart", "fast", "immediate"]),
    default="fast",
    show_default=True,
    help="PostgreSQL's way of stopping.",
)
@with_global_options
def stop(mode: str) -> None:
    """Stop it; the data stays."""
    embedded = _embedded()
    embedded.stop(mode=mode)
    say("stopped")


@server.command()
@with_global_options
def status() -> None:
    """Show whether it runs; exit code 4 if it does not."""
    found = _embedded().status()
    _show(found)
    if str(found.state) != "running":
        raise Exit(EXIT_UNREACHABLE)


@server.command()
@click.option("--lines", "-n", type=click.IntRange(1, 100_000), default=50, show_default=True, metavar="N", help="How many.")
@with_global_options
def logs(lines: int) -> None:
    """Print the end of its log."""
    click.echo(_embedded().logs(lines))


@server.command()
@with_global_options
def doctor() -> None:
    """Look for files that a crash left behind, with their size."""
    import asyncio

    from manor.cli.doctor import show_examinations
    from manor.control.operations.doctor import stray_files
    from manor.wiring import inspect_servers

    _embedded()
    workplace = open_workplace()

    async def work() -> list[Examination]:
        async with inspect_servers(workplace) as (servers, _):
            return [found for server in servers for found in stray_files(server.name, await server.stray_folders())]

    show_examinations(asyncio.run(work()))


@server.command()
@click.option("--confirm", is_flag=True, help="Yes, delete every tenant database of the embedded server.")
@with_global_options
def destroy(confirm: bool) -> None:
    """Stop it and delete all its data."""
    from manor.wiring import sweep_sides

    embedded = _embedded()
    if not confirm:
        raise RefusedError("this deletes every database of the embedded server", hint="--confirm if this is meant")
    sweep_sides(open_project()[0])  # their data stands beside the server's
    embedded.destroy()
    say("destroyed")
