"""When something that is to happen again and again is due. Pure: ``now`` and what was run last are arguments.

Times are those of cron (five fields), in a time zone. A run that was missed, because nobody was there to begin it, is made up
for once, however many were missed; one whose worker died is begun once more.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cronsim import CronSim

MOST_ATTEMPTS = 2
"""Of one run: a second one where the first one's worker died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One thing that is done by the clock."""

    name: str
    cron: str
    """Minute, hour, day of month, month, day of week."""
    zone: str = "UTC"

    def __str__(self) -> str:
        return f"{self.cron} ({self.zone})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """What is remembered of a schedule."""

    since: dt.datetime
    """When it was first seen: nothing before that was missed."""
    due: dt.datetime | None = None
    """The moment that the last run was for; None: it never ran."""
    finished: bool = False
    attempts: int = 0


def due_moment(schedule: Schedule, last: LastRun, now: dt.datetime) -> dt.datetime | None:
    """The moment that is to be run for now, which is the newest one that was not; None where there is nothing to do."""
    newest = previous_moment(schedule, now)
    if newest is not None and newest > (last.due or last.since):
        return newest
    if last.due is not None and not last.finished and last.attempts < MOST_ATTEMPTS:
        return last.due
    return None


def previous_moment(schedule: Schedule, now: dt.datetime) -> dt.datetime | None:
    """The newest moment of a schedule that is not after ``now``; UTC. None where there is none in living memory."""
    # A microsecond more, so that the very moment counts: it would be taken for the one to begin before.
    local = now.astimezone(ZoneInfo(schedule.zone)).replace(microsecond=1)
    found = next(CronSim(schedule.cron, local, reverse=True), None)
    return found.astimezone(dt.UTC) if found is not None else None


def next_moment(schedule: Schedule, now: dt.datetime) -> dt.datetime | None:
    """The first moment of a schedule after ``now``; UTC."""
    found = next(CronSim(schedule.cron, now.astimezone(ZoneInfo(schedule.zone))), None)
    return found.astimezone(dt.UTC) if found is not None else None
