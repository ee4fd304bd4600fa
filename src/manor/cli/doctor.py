"""``manor doctor``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manor.cli.failures import Exit
from manor.cli.options import deployment_option, fleet_source, open_workplace, parallel_option, with_global_options
from manor.cli.render import print_document, print_table
from manor.errors import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from manor.control.operations.doctor import Examination

_SIGNS = {"ok": "✓", "warning": "!", "problem": "✗"}


@click.command()
@click.option("--registry", type=click.Path(path_type=Path), metavar="F", help="Forecast for this registry.")
@deployment_option
@parallel_option
@with_global_options
def doctor(registry: Path | None, deployment: str | None, parallel: int | None) -> None:
    """Look at every server: rights, pooler, connections, disk and inode forecast, leftovers."""
    from manor.control.operations.doctor import examine
    from manor.wiring import inspect_servers

    if deployment is not None and registry is None:
        raise click.UsageError("--deployment says where a registry's databases would go: name it with --registry F")
    workplace = open_workplace(registry)
    declared, most = dict[str, str](), parallel or 20
    if registry is not None:
        from manor.control.operations.fleet import load_fleet

        fleet = load_fleet(fleet_source(workplace, registry, deployment))
        declared = {str(target.tenant): target.server for target in fleet.targets}
        most = parallel or fleet.registry.operations.batch_settings.max_parallel

    async def work() -> list[Examination]:
        async with inspect_servers(workplace) as (servers, catalog):
            return await examine(servers, catalog, declared=declared, parallel=most)

    show_examinations(asyncio.run(work()))


def show_examinations(found: Sequence[Examination]) -> None:
    """Print what was looked at, with hints; exit code 1 where there is a problem."""
    if not print_document([e.to_json() for e in found]):
        print_table(("", "server", "subject", "finding"), [(_SIGNS[e.verdict], e.server, e.subject, e.message) for e in found])
        for e in found:
            if e.hint:
                click.echo(f"  hint ({', '.join(filter(None, (e.server, e.subject)))}): {e.hint}")
    if any(e.verdict == "problem" for e in found):
        raise Exit(EXIT_SOME_FAILED)
