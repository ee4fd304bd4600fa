"""What schedules begin: the same operations as the commands of the same name, for the whole fleet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manor.control.backup.retention import Policy
from manor.control.backup.schedule import Schedule
from manor.control.operations.backup import BackupRequest, backup
from manor.control.operations.backup_drill import DrillRequest, drill
from manor.control.operations.backup_prune import prune_backups
from manor.control.operations.release_draft import Selection
from manor.control.operations.schedules import Job
from manor.control.rollout.backups.vault import BackupVault
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.errors import counted
from manor.settings import BackupSettings

EVERYONE = Selection(everyone=True)


def schedules_of(settings: BackupSettings) -> list[Schedule]:
    """The schedules of an environment, by name."""
    times = settings.schedules
    chosen = {"backup": times.backup, "drill": times.drill, "prune": times.prune}
    return [Schedule(name=name, cron=cron, zone=times.tz) for name, cron in chosen.items() if cron]


def jobs_of(project: Path, vault: BackupVault, settings: BackupSettings, *, lock_wait_seconds: float) -> Mapping[str, Job]:
    """What each of them does."""

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

    return {"backup": back_up, "drill": practise, "prune": prune}


def _told(report: Report) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in sorted(report.summary.items())) or "nobody"
    return counts if report.exit_code == 0 else f"failed: {counts}"
