"""The engine port for repositories of whole clusters, which another program keeps: what is in them, and laying out one of their
backups.

Such a repository knows no single databases: a side instance gets the whole cluster. To add one, implement ``Repository``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from manor.control.engines.bases import LogFacts
from manor.control.engines.sides import Replay


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBackup:
    """A finished backup of a whole cluster."""

    label: str
    timeline: int
    start_lsn: int
    stop_lsn: int
    stopped_at: dt.datetime
    """Not before its end, by the server's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a repository holds of one cluster."""

    number: int
    """Of the repository, where there are several."""
    archive: str
    """What its archive of this cluster is called."""
    backups: Sequence[HeldBackup]
    segments: Mapping[str, dt.datetime] = field(default_factory=dict)
    """When each segment was stored, by name."""
    histories: Mapping[int, str] = field(default_factory=dict)
    """The text of each timeline's history."""
    problems: tuple[str, ...] = ()
    """Backups that cannot be used, in words."""


class Repository(Protocol):
    """One repository, as one server's source of the past. All methods raise ``EngineError`` with what the program said."""

    @property
    def described(self) -> str:
        """Whose it is and which part of it, in words."""
        ...

    @property
    def first_step(self) -> str:
        """What to do where it has no backup."""
        ...

    async def require_fit(self, facts: LogFacts) -> None:
        """Raises ``NotFoundError`` where the program is not installed, ``UnsupportedError`` where it does not know the server's
        version."""
        ...

    async def look(self, facts: LogFacts) -> Held:
        """What it holds of that cluster. Raises ``NotFoundError`` where it has nothing of that name."""
        ...

    async def holds(self, held: Held, segment: str) -> bool:
        """Whether that segment has arrived by now."""
        ...

    async def tablespaces(self, held: Held, label: str) -> Sequence[str]:
        """Names of the tablespaces in a backup."""
        ...

    async def restore(self, held: Held, label: str, replay: Replay, data: Path) -> None:
        """Lay the whole backup out in an empty folder, which the account of side instances owns. Ends with its caller."""
        ...

    def restore_command(self, data: Path) -> str:
        """How a server on that folder fetches a segment (``restore_command``)."""
        ...
