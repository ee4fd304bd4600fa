"""Places in a PostgreSQL write-ahead log: positions (LSN), segments, timelines. Pure.

A position is a whole number of bytes; PostgreSQL writes it as two hexadecimal halves (``0/16B3748``). A segment's name holds
its timeline and its number, which depend on the size of segments (16 MB unless initdb was told otherwise).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from manor.errors import InputError

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_HISTORY_LINE = re.compile(r"\s*(\d+)\s+([0-9A-F]{1,8}/[0-9A-F]{1,8})", re.IGNORECASE)
_FULL = 1 << 32


def read_lsn(text: str) -> int:
    """A position from PostgreSQL's spelling. Raises ``InputError``."""
    match = _LSN.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is no position in a write-ahead log", hint="write it as PostgreSQL does: 0/16B3748")
    return int(match[1], 16) << 32 | int(match[2], 16)


def show_lsn(lsn: int) -> str:
    """PostgreSQL's spelling of a position."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def is_segment(name: str) -> bool:
    """Whether a file of an archive is a whole segment (and no history, label or partial one)."""
    return _SEGMENT.fullmatch(name) is not None


def number_at(lsn: int, segment_bytes: int) -> int:
    """Number of the segment that holds the byte at ``lsn``."""
    return lsn // segment_bytes


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """File name of a segment."""
    per_id = _FULL // segment_bytes
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def segment_number(name: str, segment_bytes: int) -> int:
    """Number of the segment of that name."""
    return int(name[8:16], 16) * (_FULL // segment_bytes) + int(name[16:24], 16)


def timeline_of(name: str) -> int:
    """Timeline of the segment or history file of that name."""
    return int(name[:8], 16)


def is_history(name: str) -> bool:
    """Whether a file of an archive tells where a timeline came from."""
    return _HISTORY.fullmatch(name) is not None


def read_history(text: str) -> tuple[tuple[int, int], ...]:
    """(timeline, position at which it was left) of each ancestor, oldest first."""
    matches = (_HISTORY_LINE.match(line) for line in text.splitlines())
    return tuple((int(match[1]), read_lsn(match[2])) for match in matches if match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timelines:
    """How the timelines of one archive descend from each other."""

    histories: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    """By timeline: its ancestors, as ``read_history`` returns them."""

    def newest_from(self, timeline: int, lsn: int) -> int:
        """The newest timeline that went through ``lsn`` on ``timeline``; itself where none did."""
        heirs = [
            heir
            for heir, ancestors in self.histories.items()
            if any(ancestor == timeline and left >= lsn for ancestor, left in ancestors)
        ]
        return max([timeline, *heirs])

    def names(self, timeline: int, numbers: Iterable[int], segment_bytes: int) -> list[str]:
        """The segments of those numbers on the way to ``timeline``: each on the newest ancestor that had begun by then."""
        begins = self._begins(timeline, segment_bytes)
        return [
            segment_name(max((t for t, begun in begins.items() if begun <= number), default=timeline), number, segment_bytes)
            for number in numbers
        ]

    def _begins(self, timeline: int, segment_bytes: int) -> dict[int, int]:
        """Number of the first segment of each timeline on the way to ``timeline``."""
        ancestors = self.histories.get(timeline, ())
        chain = [number for number, _ in ancestors] + [timeline]
        starts = [0, *(number_at(left, segment_bytes) for _, left in ancestors)]
        return dict(zip(chain, starts, strict=True))
