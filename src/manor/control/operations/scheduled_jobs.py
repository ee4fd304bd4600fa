"""What schedules begin: the same operations as the commands of the same name, for the whole fleet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manor.control.backup.retention import Policy
from manor.control.backup.schedule import Schedule
from manor.control.operations.backup import BackupRequest, backup
from manor.control.operations.backup_drill import DrillRequest, drill
from manor.control.operations.backup_prune import prune_backups
from manor.control.operations.erase import EraseRequest, delete_due
from manor.control.operations.release_draft import Selection
from manor.control.operations.schedules import Job
from manor.control.rollout.backups.vault import BackupVault
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.errors import counted
from manor.settings import BackupSettings, Settings

EVERYONE = Selection(everyone=True)


def schedules_of(settings: Settings) -> list[Schedule]:
    """The schedules of an environment, by name."""
    times, erasure = settings.backup.schedules, settings.erasure
    chosen = {
        "backup": (times.backup, times.tz),
        "drill": (times.drill, times.tz),
        "prune": (times.prune, times.tz),
        "erase": (erasure.schedule, erasure.tz),
    }
    return [Schedule(name=name, cron=cron, zone=zone) for name, (cron, zone) in chosen.items() if cron]


def jobs_of(project: Path, vault: BackupVault, settings: BackupSettings, erasure: EraseRequest) -> Mapping[str, Job]:
    """What each of them does. ``erasure``: how tenants are erased whose grace period is over."""
    lock_wait_seconds = erasure.lock_wait_seconds

    async def back_up(runtime: Runtime) -> str:
        request = BackupRequest(selection=EVERYONE, parallel=settings.parallel, lock_wait_seconds=lock_wait_seconds)
        return _told(await backup(runtime, project, vault, request))

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

    return {"backup": back_up, "drill": practise, "prune": prune, "erase": erase}


def _told(report: Report) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in sorted(report.summary.items())) or "nobody"
    return counts if report.exit_code == 0 else f"failed: {counts}"
