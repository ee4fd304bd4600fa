"""Restore drills: what became of each, and which tenants have waited longest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.store import batch_json


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRecord:
    """One tenant's backup restored for practice."""

    operation: str
    tenant: str
    backup: str
    """Empty where there was none."""
    ok: bool
    problem: str = ""
    backup_made_at: dt.datetime | None = None
    rows: int = 0
    fingerprint: str = ""
    seconds: float = 0.0
    at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """What is known of one tenant's drills."""

    tenant: str
    created_at: dt.datetime
    last_ok: dt.datetime | None
    """The newest drill that proved a backup; None: there never was one."""
    last: dt.datetime | None
    """The newest drill, whatever became of it."""
    problem: str
    """What the newest one found; empty: nothing."""
    backup: str
    """The backup of the newest drill."""


class DrillStore(LedgerStore):
    """Drills."""

    async def put_drills(self, drills: Sequence[DrillRecord]) -> None:
        """Record what became of drills. Safe to repeat."""
        await self._link.run(query("put_drills"), {"batch": batch_json(_row(drill) for drill in drills)})

    async def drilled(self) -> list[Drilled]:
        """Every tenant that is ready, those never drilled first, the longest-waiting of each kind in front."""
        rows = await self._link.rows(query("drilled"))
        return [Drilled(**dict(zip((one.name for one in fields(Drilled)), row, strict=True))) for row in rows]


def _row(drill: DrillRecord) -> dict[str, object]:
    return {key: value for key, value in asdict(drill).items() if key != "at"}
