"""Everything a verb needs from outside, in one frozen bundle; ``wiring`` fills it."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from manor.control.audit import AnchorFile
from manor.control.catalog.catalog import Catalog
from manor.control.catalog.tombstones import TombstoneFile
from manor.control.engines.driver import ServerDriver
from manor.control.jobs.engine import JobEngine
from manor.errors import ManorError
from manor.telemetry import Telemetry


def new_password() -> str:
    """192 random bits, in characters that need no quoting in URLs."""
    return secrets.token_urlsafe(24)


def operation_token(operation: str) -> str:
    """The random end of an operation's id, in the names of what it builds."""
    return operation.rpartition("-")[2]


async def _unasked() -> None:
    """Nobody else can be at work."""


class StopSignal:
    """Set once by Ctrl-C or SIGTERM: no new step begins, those under way finish and are recorded."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ask for a clean stop."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()


class Outage:
    """How long the catalog has been away by now."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self) -> bool:
        """It did not answer; whether that is news."""
        if self._since is not None:
            return False
        self._since = time.monotonic()
        return True

    def end(self) -> None:
        """It answered."""
        self._since = None

    @property
    def seconds(self) -> float:
        """0 while it answers."""
        return 0.0 if self._since is None else time.monotonic() - self._since


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Ports and ambient values of one command."""

    operation: str
    """Id of the operation under way: time-ordered, unique; also the application name of every session."""
    actor: str
    servers: Mapping[str, ServerDriver]
    catalog: Catalog
    anchor: AnchorFile
    tombstones: TombstoneFile
    telemetry: Telemetry
    stop: StopSignal = field(default_factory=StopSignal)
    outage: Outage = field(default_factory=Outage)
    away: Mapping[str, ManorError] = field(default_factory=dict)
    """Those of the servers that did not answer when the command began, and what came instead."""
    jobs: JobEngine | None = None
    """Where waves of releases are carried out; None: in this process."""
    still_alone: Callable[[], Awaitable[None]] = _unasked
    """Raises ``ConflictError`` where another operation has taken over (``rollout.alone``)."""
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    new_password: Callable[[], str] = new_password
    new_token: Callable[[], str] = lambda: secrets.token_hex(4)
    """Short random text for names that must not collide."""
