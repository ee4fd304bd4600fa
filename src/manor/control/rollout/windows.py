"""Maintenance windows: when tenants may be changed. Pure; the current time is an argument.

A time of day means the first moment of that date at which the clock on the wall shows it or a later time. So a time that summer
time leaves out is the moment at which the clock jumps, a window that lies in the gap does not open on that day, and a time that
comes twice is its first coming. Days are those on which a window begins, in its own time zone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from manor.control.registry.model import DAYS, MaintenanceWindow

_BEFORE, _AFTER = 2, 15
"""Days around now that are looked at: two weeks ahead, as summer time may take one opening away."""

Interval = tuple[dt.datetime, dt.datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Times at which tenants may be changed, every week."""

    days: frozenset[int]
    """Days on which it begins; Monday is 0."""
    opens: dt.time
    closes: dt.time
    """On the next day unless it is later than ``opens``."""
    zone: ZoneInfo
    where: str = ""
    """Search for the tenants that it is about; empty means all."""

    @classmethod
    def of(cls, block: MaintenanceWindow) -> Window:
        """The registry's window."""
        return cls(
            days=frozenset(DAYS.index(day) for day in block.days),
            opens=dt.time.fromisoformat(block.opens),
            closes=dt.time.fromisoformat(block.closes),
            zone=ZoneInfo(block.timezone),
            where=block.where or "",
        )


def windows_about(windows: Iterable[Window], fits: Callable[[str], bool]) -> tuple[Window, ...]:
    """Those that are about one tenant; ``fits`` says whether a search finds it."""
    return tuple(window for window in windows if not window.where or fits(window.where))


def is_open(now: dt.datetime, windows: Sequence[Window]) -> bool:
    """Whether a tenant that ``windows`` are about may be changed. Raises ``ValueError`` for a time without a zone."""
    moment = _utc(now)
    return not windows or any(begin <= moment < end for begin, end in _intervals(moment, windows))


def opens_at(now: dt.datetime, windows: Sequence[Window]) -> dt.datetime | None:
    """When the next window opens, in UTC; None where there is nothing to wait for: one is open, or there are none.

    Raises ``ValueError`` for a time without a zone.
    """
    if is_open(now, windows):
        return None
    moment = _utc(now)
    return min(begin for begin, _ in _intervals(moment, windows) if begin > moment)


def closes_at(now: dt.datetime, windows: Sequence[Window]) -> dt.datetime | None:
    """Until when it stays open without a break, in UTC, looking two weeks ahead; None where there are none or none is open.

    Raises ``ValueError`` for a time without a zone.
    """
    moment = end = _utc(now)
    for opens, closes in sorted(_intervals(moment, windows)):
        if opens <= end:
            end = max(end, closes)
    return end if end > moment else None


def _utc(now: dt.datetime) -> dt.datetime:
    if now.utcoffset() is None:
        raise ValueError("a time with a zone is needed")
    return now.astimezone(dt.UTC)


def _intervals(now: dt.datetime, windows: Iterable[Window]) -> Iterator[Interval]:
    """Every opening around now, in UTC; those that the clock jumps over are left out."""
    for window in windows:
        today = now.astimezone(window.zone).date()
        for offset in range(-_BEFORE, _AFTER):
            day = today + dt.timedelta(days=offset)
            if day.weekday() in window.days:
                begin, end = _interval(window, day)
                if begin < end:
                    yield begin, end


def _interval(window: Window, day: dt.date) -> Interval:
    last = day if window.closes > window.opens else day + dt.timedelta(days=1)
    return _moment(day, window.opens, window.zone), _moment(last, window.closes, window.zone)


def _moment(day: dt.date, time: dt.time, zone: ZoneInfo) -> dt.datetime:
    """The first moment at which a clock in ``zone`` shows this time of this day, or a later one."""
    local = dt.datetime.combine(day, time, tzinfo=zone)
    moment = local.astimezone(dt.UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    return _jump(local.replace(fold=1).astimezone(dt.UTC), moment, zone)


def _jump(before: dt.datetime, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The moment between two others at which the clock jumps, to the second. In a gap, PEP 495's two readings surround it."""
    old = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        still_old = (before + dt.timedelta(seconds=middle)).astimezone(zone).utcoffset() == old
        low, high = (middle, high) if still_old else (low, middle)
    return before + dt.timedelta(seconds=high)
