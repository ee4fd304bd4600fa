"""Which tenants' backups are restored for practice, and who has waited longest. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One tenant, and how long it has waited for a drill."""

    tenant: str
    created_at: dt.datetime
    last: dt.datetime | None
    """Its newest drill, whatever became of it; None: there was none."""
    last_ok: dt.datetime | None
    """Its newest drill that proved a backup."""


def sample(waiting: Iterable[Waiting], number: int) -> list[str]:
    """So many tenants: those never drilled before all others, and of each kind those that have waited longest.

    A drill that failed counts as one: else one tenant whose backup is bad would keep all others from their turn.
    """
    return [one.tenant for one in sorted(waiting, key=_turn)[: max(0, number)]]


def never_drilled(waiting: Iterable[Waiting]) -> list[str]:
    """The tenants of which no drill ever proved a backup, the oldest first."""
    found = [one for one in waiting if one.last_ok is None]
    return [one.tenant for one in sorted(found, key=lambda one: (one.created_at, one.tenant))]


def _turn(one: Waiting) -> tuple[bool, dt.datetime, str]:
    return one.last is not None, one.last or one.created_at, one.tenant
