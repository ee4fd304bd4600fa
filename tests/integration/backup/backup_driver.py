"""Backs all tenants of a project up, and kills itself at one of the events of ``manor.telemetry``.

python backup_driver.py PROJECT --at backup.stored --occurrence 2 [--prune] [--encrypt]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

from manor.control.backup.retention import Policy
from manor.control.operations.backup import BackupRequest, backup
from manor.control.operations.backup_prune import prune_backups
from manor.control.operations.selecting import Selection
from manor.settings import load_environment, load_project
from manor.telemetry import Event, Hook, Telemetry
from manor.wiring import Workplace, open_runtime, open_vault


def killing(kind: str, occurrence: int) -> Hook:
    """A hook that ends this process, as a power cut would, at the n-th event of a kind."""
    seen = 0

    def hook(event: Event) -> None:
        nonlocal seen
        seen += event.kind == kind
        if event.kind == kind and seen == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


async def main(arguments: argparse.Namespace) -> None:
    """Do it."""
    project = load_project(arguments.project)
    environment = load_environment(project, project.folder / "customer_a")
    telemetry = Telemetry(killing(arguments.at, arguments.occurrence))
    workplace = Workplace(project=project, environment=environment, telemetry=telemetry)
    vault = open_vault(workplace, encrypt=arguments.encrypt)
    async with open_runtime(workplace) as runtime:
        if arguments.prune:
            await prune_backups(runtime, vault, Policy(keep_last=1))
        else:
            await backup(runtime, project.folder, vault, BackupRequest(selection=Selection(everyone=True), parallel=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("--at", default="")
    parser.add_argument("--occurrence", type=int, default=1)
    parser.add_argument("--prune", action="store_true")
    parser.add_argument("--encrypt", action="store_true")
    asyncio.run(main(parser.parse_args()))
