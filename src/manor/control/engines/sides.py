"""The engine port for side instances: a second server beside the real one, made of a base backup, that replays the log to a
moment of the past and is thrown away after one tenant was read from it.

A side instance holds the files of a few databases; the others are empty folders. It listens on a private socket only and
archives nothing. Everything it left when its command was killed is removed by ``sweep``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from manor.control.engines.bases import ServerShape

if TYPE_CHECKING:
    from manor.control.engines.driver import ServerDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How far the log is replayed."""

    setting: str
    """``recovery_target_time``, ``recovery_target_name`` or ``recovery_target_lsn``."""
    value: str
    timeline: int
    segments: Sequence[str]
    """What the archive has, in order."""
    restore_command: str = ""
    """How the server fetches a segment; empty: from the folder ``Side.archive``."""
    whole: bool = False
    """Whether the files of every database are there, so that none of their pages may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantThen:
    """A tenant's database as a side instance has it."""

    database: str
    oid: int
    rolled_back: tuple[str, ...]
    """Transactions that were prepared and in doubt at that moment."""
    complete: bool
    """Whether every file that it should have is there."""
    unlogged: tuple[str, ...] = ()
    """Tables that are empty now because no log has their rows."""


class Side(Protocol):
    """One side instance, from its empty folder to its end."""

    @property
    def archive(self) -> Path:
        """The folder from which segments are read; ``use_archive`` or whoever fetches them fills it."""
        ...

    async def use_archive(self, folder: Path) -> bool:
        """Read segments where they lie; False where the server's account cannot read there."""
        ...

    async def lay_out(self, chunks: AsyncIterator[bytes], *, layer: int | None = None) -> None:
        """Unpack one tar of a base backup into the data directory; ``layer``: beside it instead, as part of the full base
        backup (0) or of one of its increments (1, …), for ``combine``."""
        ...

    async def combine(self) -> None:
        """Make the data directory of the layers. Raises ``EngineError`` (``corrupt``) where they do not belong together."""
        ...

    async def lay_out_by(self, fill: Callable[[Path], Awaitable[None]]) -> Path:
        """Let ``fill`` lay out a whole cluster in the empty data directory, which the account of side instances owns; returns
        that directory. The cluster's own limits count from then on where they are higher than those of the shape."""
        ...

    async def leave_out(self, oids: Sequence[int]) -> None:
        """Make the empty folders of databases whose files are not needed: copies of them in the log must find something."""
        ...

    async def recover(self, replay: Replay) -> ServerDriver:
        """Start it, wait until it has replayed the log and writes; returns it, open. Raises ``EngineError`` that says what the
        log lacks: ``corrupt`` with the segment's name, ``not_found`` for a moment after its end, ``timeout``."""
        ...

    async def find(self, tenant: str) -> TenantThen | None:
        """The tenant's database as it was, opened to us and freed of transactions in doubt; None where it had none."""
        ...

    async def begin_again(self) -> None:
        """Stop it and empty its data directory."""
        ...


class SideServers(Protocol):
    """Where side instances are made."""

    def opening(self, shape: ServerShape) -> AbstractAsyncContextManager[Side]:
        """An empty one; stopped and removed at the end, whatever happens. Raises ``NotFoundError`` where the machine has no
        PostgreSQL of that version."""
        ...

    def sweep(self) -> Sequence[Path]:
        """Remove what killed commands left; returns the folders. Those in use stay."""
        ...
