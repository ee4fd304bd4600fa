"""``manor tenant backup``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manor.cli.options import current, open_workplace, report_option, with_global_options
from manor.cli.progress import progress, run_stoppable
from manor.cli.releases import check_selection, finish, selection_of, selection_options
from manor.cli.report_file import check_report_file

if TYPE_CHECKING:
    from manor.control.operations.backup import BackupRequest
    from manor.control.rollout.report import Report
    from manor.control.runtime import StopSignal
    from manor.wiring import Workplace

encrypt_option = click.option(
    "--encrypt/--no-encrypt", default=None, help="With the tenant's own key (age).  [default: environ.yaml]"
)


@click.command()
@selection_options
@click.option("--output", metavar="DIR|URL", help="Where the backups go.  [default: environ.yaml, else .manor/backups]")
@click.option("--plain", is_flag=True, help="SQL as text (.sql), not compressed, instead of PostgreSQL's archive (.dump).")
@encrypt_option
@click.option(
    "--parallel", type=click.IntRange(1, 256), metavar="N", help="Tenants at once per server.  [default: environ.yaml]"
)
@report_option
@with_global_options
def backup(**said: Any) -> None:
    """Back tenants up: one dump and one manifest for each, all of one moment per tenant."""
    check_selection(said)
    report: Path | None = said["report"]
    check_report_file(report)
    with progress(quiet=current().quiet) as display:
        workplace = open_workplace(hooks=(display,))
        result = _backed_up(workplace, said)
    finish(result, report)


def _backed_up(workplace: Workplace, said: dict[str, Any]) -> Report:
    from manor.control.operations.backup import backup as operation
    from manor.wiring import open_runtime, open_vault

    vault = open_vault(workplace, said["output"], encrypt=said["encrypt"])
    request = _request(workplace, said)

    async def work(stop: StopSignal) -> Report:
        async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
            return await operation(runtime, workplace.project.folder, vault, request)

    return run_stoppable(work)


def _request(workplace: Workplace, said: dict[str, Any]) -> BackupRequest:
    from manor.control.engines.dumps import DumpForm
    from manor.control.operations.backup import BackupRequest

    settings = workplace.environment.settings
    return BackupRequest(
        selection=selection_of(said),
        form=DumpForm.PLAIN if said["plain"] else DumpForm.CUSTOM,
        parallel=said["parallel"] or settings.backup.parallel,
        lock_wait_seconds=float(settings.lock_wait_seconds),
    )
