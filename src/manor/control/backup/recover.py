"""Which base backup and which piece of the log reach a moment of the past, or exactly why none does. Pure.

Assumes what PostgreSQL's recovery needs: a base that ended before the moment, every segment from the base's first one to the
one after the moment, in one line of timelines, and a transaction that was committed later than the moment (``reach`` sees to
that). A segment that was stored at some time holds only what was committed before, so the time at which the last one was
stored bounds what can be reached.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from manor.control.engines.wal import Timelines, number_at, segment_number, show_lsn, timeline_of
from manor.errors import InputError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A finished base backup, as far as reaching a moment needs it."""

    id: str
    system: str
    """Identifier of the cluster that it was taken of."""
    timeline: int
    start_lsn: int
    stop_lsn: int
    """Not before the end of the backup: nothing earlier than this can be reached."""
    stopped_at: dt.datetime
    segment_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What an archive of WAL holds."""

    segments: Mapping[str, dt.datetime]
    """When each whole segment was stored, by name."""
    timelines: Timelines = field(default_factory=Timelines)
    live_lsn: int | None = None
    """Where the server is now, if it goes on filling the archive: what is missing at the end is not archived *yet*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A named restore point."""

    name: str
    lsn: int
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The moment that is wanted: exactly one of the three."""

    time: dt.datetime | None = None
    """With a zone."""
    mark: str = ""
    lsn: int | None = None

    def __post_init__(self) -> None:
        if sum((self.time is not None, bool(self.mark), self.lsn is not None)) != 1:
            raise InputError("which moment is meant?", hint="say one of a time, a mark and a position (LSN)")
        if self.time is not None and self.time.tzinfo is None:
            raise InputError(
                f"{self.time.isoformat()} has no time zone",
                hint=f"write {self.time.isoformat()}Z or {self.time.isoformat()}+09:00",
            )

    def __str__(self) -> str:
        if self.time is not None:
            return _shown(self.time)
        return f"mark {self.mark}" if self.mark else f"LSN {show_lsn(self.lsn or 0)}"


def read_time(text: str) -> dt.datetime:
    """A moment in ISO 8601 with its zone. Raises ``InputError`` for any other text, one without a zone included."""
    try:
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        hint = "write 2026-11-20T14:05:00+09:00; the name of a mark goes with --to-mark, a position with --to-lsn"
        raise InputError(f"{text!r} is no time", hint=hint) from None
    return Target(time=found).time or found


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How the moment is reached."""

    base: Base
    target: Target
    timeline: int
    """The one that recovery follows."""
    segments: tuple[str, ...]
    """What may be read, in order: up to the end of the archive, because commits of one moment may be archived late."""
    lsn: int | None = None
    """Where the target is, if that is known."""

    @property
    def log_range(self) -> str:
        """First and last segment in words."""
        return f"{self.segments[0]} to {self.segments[-1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """Why the moment cannot be reached, and which moments can."""

    target: Target
    reason: str
    earlier: dt.datetime | None = None
    """Up to where the log before the target reaches; its last commit may be earlier."""
    later: dt.datetime | None = None
    """The earliest reachable moment after it."""
    hint: str = ""

    def error(self, server: str) -> RefusedError:
        """The same as an error."""
        return RefusedError(f"server {server}: {self.target} cannot be reached: {self.reason}", hint=self.nearest or self.hint)

    @property
    def nearest(self) -> str:
        """The nearest moments that can be reached, in words; empty where there are none."""
        words = [f"the log before it reaches to {_shown(self.earlier)}"] if self.earlier else []
        words += [f"moments from {_shown(self.later)} on can be reached"] if self.later else []
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """How far the log goes on from one base without a gap."""

    base: Base
    timeline: int
    segments: tuple[str, ...]
    missing: str
    """The first segment that is not there."""
    broken: bool
    """Whether later ones are there: a gap, not the end."""
    until: dt.datetime | None
    end_lsn: int


def plan_recovery(
    bases: Sequence[Base],
    archive: Archive,
    marks: Iterable[Mark],
    target: Target,
    *,
    now: dt.datetime,
    system: str = "",
) -> Recovery | Unreachable:
    """Choose the newest base from which ``target`` can be reached. ``system``: the cluster's identifier, empty: any."""
    ours = sorted((base for base in bases if system in ("", base.system)), key=lambda base: base.stop_lsn)
    runs = [_run(base, archive, now) for base in ours]
    if not ours:
        return _without_bases(bases, target)
    if target.time is not None and target.time > now:
        return Unreachable(target=target, reason=f"it lies in the future (it is {_shown(now)})", earlier=_latest(runs))
    lsn = target.lsn
    if target.mark:
        named = {mark.name: mark for mark in marks}
        if target.mark not in named:
            return _unknown_mark(target, named)
        lsn = named[target.mark].lsn
    before = [run for run in runs if _begins_before(run.base, target, lsn)]
    if not before:
        first = min(base.stopped_at for base in ours)
        reason = f"it lies before the end of the first base backup, {ours[0].id}"
        return Unreachable(target=target, reason=reason, later=first)
    for run in reversed(before):
        if _reaches(run, target, lsn):
            return Recovery(base=run.base, target=target, timeline=run.timeline, segments=run.segments, lsn=lsn)
    return _beyond(before[-1], runs, target)


def gap_after(base: Base, archive: Archive, now: dt.datetime) -> str:
    """The first segment that a base backup's log lacks although later ones are there; empty where there is no gap."""
    run = _run(base, archive, now)
    return run.missing if run.broken else ""


def _run(base: Base, archive: Archive, now: dt.datetime) -> _Run:
    timeline = archive.timelines.newest_from(base.timeline, base.stop_lsn)
    size = base.segment_bytes
    first = number_at(base.start_lsn, size)
    line = {timeline, *(ancestor for ancestor, _ in archive.timelines.histories.get(timeline, ()))}
    there = [segment_number(name, size) for name in archive.segments if timeline_of(name) in line]
    last = max(there, default=first - 1)
    names = archive.timelines.names(timeline, range(first, max(last, first) + 2), size)
    whole = next(index for index, name in enumerate(names) if name not in archive.segments)
    broken, end = first + whole <= last, (first + whole) * size
    # A base is of use only once the log goes beyond its end.
    until = archive.segments[names[whole - 1]] if end > base.stop_lsn else None
    if archive.live_lsn is not None and not broken and archive.live_lsn > base.stop_lsn:
        end, until = max(end, archive.live_lsn + 1), now
    return _Run(
        base=base,
        timeline=timeline,
        segments=tuple(names[: max(whole, 1)]),
        missing=names[whole],
        broken=broken,
        until=until,
        end_lsn=end if until else base.start_lsn,
    )


def _begins_before(base: Base, target: Target, lsn: int | None) -> bool:
    return base.stopped_at <= target.time if target.time is not None else lsn is not None and base.stop_lsn <= lsn


def _reaches(run: _Run, target: Target, lsn: int | None) -> bool:
    if target.time is not None:
        return run.until is not None and target.time <= run.until
    return lsn is not None and lsn < run.end_lsn


def _beyond(run: _Run, runs: Sequence[_Run], target: Target) -> Unreachable:
    later = [r.base.stopped_at for r in runs if r.base.stop_lsn > run.base.stop_lsn and r.until]
    reason = f"the archive ends before segment {run.missing}"
    if run.broken:
        reason = f"segment {run.missing} is missing from the archive, and later ones are there"
    return Unreachable(
        target=target,
        reason=f"{reason} (base backup {run.base.id})",
        earlier=_latest(runs, target.time),
        later=min(later, default=None),
    )


def _latest(runs: Sequence[_Run], before: dt.datetime | None = None) -> dt.datetime | None:
    ends = [run.until for run in runs if run.until is not None]
    return max((end for end in ends if before is None or end < before), default=None)


def _without_bases(bases: Sequence[Base], target: Target) -> Unreachable:
    hint = "manor backup base takes one; it and later moments can be restored then"
    if bases:
        reason = "its base backups were taken of another cluster, which this server has replaced"
        return Unreachable(target=target, reason=reason, hint=hint)
    return Unreachable(target=target, reason="there is no base backup of this server", hint=hint)


def _unknown_mark(target: Target, named: Mapping[str, Mark]) -> Unreachable:
    newest = sorted(named.values(), key=lambda mark: mark.at, reverse=True)[:5]
    hint = f"the newest marks are {', '.join(mark.name for mark in newest)}" if newest else "manor backup mark NAME makes one"
    return Unreachable(target=target, reason="there is no mark of that name", hint=hint)


def _shown(at: dt.datetime) -> str:
    return at.isoformat()
