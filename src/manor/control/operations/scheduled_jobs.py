"""What schedules begin: the same operations as the commands of the same name, for the whole fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from manor.control.backup.retention import Policy
from manor.control.backup.schedule import Schedule
from manor.control.engines.driver import ServerDriver
from manor.control.operations.backup import BackupRequest, backup
from manor.control.operations.backup_archive import prune_archive
from manor.control.operations.backup_base import backup_base
from manor.control.operations.backup_drill import DrillRequest, drill
from manor.control.operations.backup_prune import prune_backups
from manor.control.operations.catalog_backup import back_up_catalog
from manor.control.operations.erase import EraseRequest, delete_due
from manor.control.operations.release_draft import Selection
from manor.control.operations.schedules import Job
from manor.control.rollout.backups.vault import BackupVault
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.take import BaseOrder
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.errors import ManorError, counted
from manor.settings import BackupSettings, Settings

EVERYONE = Selection(everyone=True)


def schedules_of(settings: Settings) -> list[Schedule]:
    """The schedules of an environment, by name."""
    times, erasure = settings.backup.schedules, settings.erasure
    chosen = {
        "backup": (times.backup, times.tz),
        "base": (times.base, times.tz),
        "catalog": (times.catalog, times.tz),
        "drill": (times.drill, times.tz),
        "prune": (times.prune, times.tz),
        "erase": (erasure.schedule, erasure.tz),
    }
    return [Schedule(name=name, cron=cron, zone=zone) for name, (cron, zone) in chosen.items() if cron]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the jobs work with."""

    project: Path
    vault: BackupVault
    bases: Callable[[], BasePlace]
    """Where base backups are; asked for once the servers are there."""
    catalog_home: Callable[[str], AbstractAsyncContextManager[ServerDriver]]
    """The server that holds the catalog, by the operation that asks for it."""
    settings: BackupSettings
    erasure: EraseRequest
    """How tenants are erased whose grace period is over."""


def jobs_of(ground: Ground) -> Mapping[str, Job]:
    """What each of them does."""
    vault, settings, erasure = ground.vault, ground.settings, ground.erasure
    lock_wait_seconds = erasure.lock_wait_seconds

    async def back_up(runtime: Runtime) -> str:
        request = BackupRequest(selection=EVERYONE, parallel=settings.parallel, lock_wait_seconds=lock_wait_seconds)
        return _told(await backup(runtime, ground.project, vault, request))

    async def take_bases(runtime: Runtime) -> str:
        place, failed = ground.bases(), []
        servers = [name for name in runtime.servers if name not in settings.pgbackrest]
        for name in servers:
            try:
                await backup_base(runtime, place, BaseOrder(server=name, lock_wait_seconds=lock_wait_seconds))
                await prune_archive(runtime, place, name, keep_bases=settings.keep_bases, lock_wait_seconds=lock_wait_seconds)
            except ManorError as error:  # the other servers' are taken all the same
                failed.append(f"{name}: {error}")
        return f"failed: {'; '.join(failed)}" if failed else counted(len(servers), "base backup")

    async def back_up_home(runtime: Runtime) -> str:
        async with ground.catalog_home(runtime.operation) as home:
            made = await back_up_catalog(runtime, home, vault, keep=settings.keep_last)
        return f"backup {made.manifest.id}"

    async def practise(runtime: Runtime) -> str:
        request = DrillRequest(selection=EVERYONE, sample=settings.drill_sample, parallel=settings.parallel)
        return _told(await drill(runtime, vault, request))

    async def prune(runtime: Runtime) -> str:
        policy = Policy(keep_last=settings.keep_last, keep_days=settings.keep_days, keep_weekly=settings.keep_weekly)
        pruned = await prune_backups(runtime, vault, policy, lock_wait_seconds=lock_wait_seconds)
        problems = f", {counted(len(pruned.problems), 'problem')}" if pruned.problems else ""
        return f"{counted(len(pruned.removed), 'backup')} removed{problems}"

    async def erase(runtime: Runtime) -> str:
        return _told(await delete_due(runtime, erasure, scheduled=True))

    return {
        "backup": back_up,
        "base": take_bases,
        "catalog": back_up_home,
        "drill": practise,
        "prune": prune,
        "erase": erase,
    }


def _told(report: Report) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in sorted(report.summary.items())) or "nobody"
    return counts if report.exit_code == 0 else f"failed: {counts}"
