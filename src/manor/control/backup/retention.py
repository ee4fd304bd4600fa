"""Which backups are kept, and why. Pure: the clock is an argument, and nothing is removed here.

The rules add up: what one of them keeps is kept. Each tenant's backups of one kind are a series of their own.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

SERIES = frozenset({"logical", "before_change"})
"""Kinds that come again and again. Others were made once on purpose, a customer's final export for one: they are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long backups are kept. 0: that rule keeps nothing."""

    keep_last: int = 7
    """The newest so many of each tenant."""
    keep_days: int = 0
    """Those of the last so many days."""
    keep_weekly: int = 0
    """The newest one of each of the last so many weeks that have one (ISO weeks, UTC)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One complete backup as the rules see it."""

    id: str
    tenant: str
    kind: str
    made_at: dt.datetime
    held: bool = False
    """Whether a legal hold is on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to become of one backup."""

    backup: Candidate
    reason: str
    """Why it is kept, in words; empty: nothing keeps it."""

    @property
    def kept(self) -> bool:
        """Whether it is."""
        return bool(self.reason)


def judge(backups: Iterable[Candidate], policy: Policy, *, now: dt.datetime, living: Set[str]) -> list[Verdict]:
    """One verdict per backup, by tenant, kind and age, the newest first. ``living``: ids of the tenants that there are;
    the newest backup of each of them is kept whatever the policy says."""
    ordered = sorted(backups, key=lambda b: (b.tenant, b.kind, -b.made_at.timestamp(), b.id))
    newest = _newest(ordered)
    verdicts = []
    for _, series in itertools.groupby(ordered, key=lambda b: (b.tenant, b.kind)):
        verdicts += _judge_series(list(series), policy, now, {newest[tenant] for tenant in living if tenant in newest})
    return verdicts


def _newest(backups: Sequence[Candidate]) -> dict[str, str]:
    """The id of each tenant's newest backup, of whatever kind."""
    found: dict[str, Candidate] = {}
    for backup in backups:
        if backup.tenant not in found or backup.made_at > found[backup.tenant].made_at:
            found[backup.tenant] = backup
    return {tenant: backup.id for tenant, backup in found.items()}


def _judge_series(series: Sequence[Candidate], policy: Policy, now: dt.datetime, protected: Set[str]) -> list[Verdict]:
    weekly = set(_newest_by_week(series)[: policy.keep_weekly])
    since = now - dt.timedelta(days=policy.keep_days)
    verdicts = []
    for position, backup in enumerate(series):
        reasons = {
            "legal hold": backup.held,
            "made once on purpose": backup.kind not in SERIES,
            "the newest of its tenant": backup.id in protected,
            f"one of the last {policy.keep_last}": position < policy.keep_last,
            f"of the last {policy.keep_days} days": policy.keep_days > 0 and backup.made_at >= since,
            "the newest of its week": backup.id in weekly,
        }
        verdicts.append(Verdict(backup=backup, reason=next((words for words, true in reasons.items() if true), "")))
    return verdicts


def _newest_by_week(series: Sequence[Candidate]) -> list[str]:
    """The newest backup of each week, the newest week first."""
    weeks: dict[tuple[int, int], str] = {}
    for backup in series:  # the newest first
        year, week, _ = backup.made_at.astimezone(dt.UTC).isocalendar()
        weeks.setdefault((year, week), backup.id)
    return list(weeks.values())
