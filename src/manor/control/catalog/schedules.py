"""What is done by the clock: when each schedule ran last, and which of several workers may run it now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields

from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.store import batch_json


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """What is remembered of one schedule."""

    name: str
    expression: str
    since: dt.datetime
    due: dt.datetime | None
    attempts: int
    operation: str
    worker: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    outcome: str


class ScheduleStore(LedgerStore):
    """Schedules."""

    async def see_schedules(self, expressions: Mapping[str, str]) -> None:
        """Remember which schedules there are; one with another expression begins anew, and has missed nothing."""
        batch = batch_json({"name": name, "expression": text} for name, text in sorted(expressions.items()))
        await self._link.run(query("see_schedules"), {"batch": batch})

    async def schedules(self) -> dict[str, ScheduleRecord]:
        """By name."""
        names = [one.name for one in fields(ScheduleRecord)]
        found = [ScheduleRecord(**dict(zip(names, row, strict=True))) for row in await self._link.rows(query("schedules"))]
        return {record.name: record for record in found}

    async def claim_schedule(self, seen: ScheduleRecord, due: dt.datetime, *, operation: str, worker: str) -> bool:
        """Become the one that runs a schedule for the moment ``due``; False where another one was quicker than ``seen``."""
        values = {
            "name": seen.name,
            "seen": seen.due,
            "attempts": seen.attempts,
            "due": due,
            "operation": operation,
            "worker": worker,
        }
        return bool(await self._link.rows(query("claim_schedule"), values))

    async def finish_schedule(self, name: str, *, operation: str, outcome: str) -> None:
        """Record how a run ended, unless another one has begun since."""
        await self._link.run(query("finish_schedule"), {"name": name, "operation": operation, "outcome": outcome})
