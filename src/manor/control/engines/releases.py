"""The engine port for releases: what Manor asks of a server that holds databases to be migrated.

Everything here is safe to repeat. A change and the history row that says so commit in one transaction of the tenant's own
database, behind a fence: a row that holds the highest token seen, so that a runner which was taken for dead changes nothing
after its successor. Drivers decide nothing but what follows from a history: which steps of a change are still to be run.

To add an engine, implement ``ReleaseDriver``; one that can prepare transactions implements ``Ballot`` too. Run
``manor.testing.releases.ReleaseDriverSuite`` against a real server.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from manor.control.engines.driver import IsolatedColumn, Login, Marker
from manor.errors import Place, UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStep:
    """One migration in one direction, or only its row in the history."""

    version: str
    checksum: str
    name: str = ""
    text: str | None = None
    """What to run; None where only the history changes (a baseline, a squashed migration)."""
    place: Place | None = field(default=None, compare=False)
    """Where ``text`` begins."""
    statements: tuple[Place, ...] = field(default=(), compare=False)
    """Where each of its statements begins; empty where that is not known."""
    down: bool = False
    """Whether the history's row goes instead of coming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is done to one tenant's database in one transaction."""

    operation: str
    token: int
    before: tuple[tuple[str, str], ...]
    """The history that is expected: (version, checksum), in order. Steps that the database has seen already are left out."""
    steps: tuple[ChangeStep, ...]
    later: tuple[ChangeStep, ...] = ()
    """Steps of the changes that follow this one: who goes on after a death may find them done."""
    marker: Marker | None = None
    """The database's new marker, written in the same transaction."""
    isolation: tuple[IsolatedColumn, ...] = ()
    fingerprint: str = ""
    """What must come out, or nothing is changed; empty: not compared."""
    lock_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 300.0


class UnclearError(UnreachableError):
    """A transaction was told to commit, and its answer did not come: the database's history tells what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One row of ``schema_migrations``."""

    version: str
    checksum: str = ""
    """Empty where another tool wrote the row."""
    name: str = ""
    applied_at: dt.datetime | None = None
    operation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a database says of itself."""

    history: tuple[HistoryRow, ...]
    fingerprint: str
    isolated: bool
    """Whether its isolated columns hold this tenant's values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of one change."""

    ran: tuple[str, ...]
    """Versions whose step was done just now; empty where the database had seen all of them."""
    fingerprint: str
    """As it is now; empty where it was not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A transaction that waits for its second phase."""

    gid: str
    database: str
    since: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A session that one of ours waits for."""

    database: str
    pid: int
    user: str
    application: str
    state: str
    """As ``pg_stat_activity`` has it; empty where our login may not look at other roles' sessions: then the ages are 0 and the
    command is empty."""
    query_seconds: float
    transaction_seconds: float
    command: str
    """First word of its last statement: the rest may hold a tenant's data."""

    def __str__(self) -> str:
        if not self.pid:
            return "a transaction prepared for two-phase commit"
        who = f"session {self.pid} of {self.user}" + (f" ({self.application})" if self.application else "")
        if not self.state:
            return f"{who}; this login may not see what it does"
        what = f"{self.command} running for {self.query_seconds:.0f} s" if self.state == "active" else self.state
        return f"{who}, {what}, transaction open for {self.transaction_seconds:.0f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementState:
    """How far one statement of a step outside transactions has come, as the tenant's own journal has it."""

    ordinal: int
    state: str
    """``begun`` or ``done``."""
    digest: str = field(default="")
    """SHA-256 of its text."""


def statement_digest(text: str) -> str:
    """SHA-256 (hex) of a statement, white space around it left out."""
    return hashlib.sha256(text.strip().encode()).hexdigest()


class Ballot(Protocol):
    """One server's part in a two-phase commit, over connections of its own."""

    async def vote(self, database: str, change: Change, gid: str) -> Changed:
        """Run the change and PREPARE it under ``gid``. Raises why not, and then nothing is left behind; only where the answer
        was lost (``UnreachableError``) it may be prepared: roll it back.

        The connection stays open for the second phase, as far as the ballot's budget allows.
        """
        ...

    async def commit(self, database: str, gid: str) -> bool:
        """COMMIT PREPARED; False where there is no such transaction (any more)."""
        ...

    async def roll_back(self, database: str, gid: str) -> bool:
        """ROLLBACK PREPARED; False where there is no such transaction (any more)."""
        ...

    async def let_go(self) -> None:
        """Close the connections over which transactions were ended: call it once all are."""
        ...


class ReleaseDriver(Protocol):
    """One server's databases as releases see them."""

    async def look(self, database: str, isolation: Sequence[IsolatedColumn]) -> Seen:
        """History, fingerprint and isolated values of one database, in one visit; nothing is changed."""
        ...

    async def history(self, database: str) -> tuple[HistoryRow, ...]:
        """All rows of the history, by version as text; empty where there is none."""
        ...

    async def fence(self, database: str, operation: str, token: int) -> tuple[HistoryRow, ...]:
        """Raise the fence and read the history, in one transaction: whoever comes with a lower token changes nothing after
        this. Raises ``EngineError``: ``conflict`` (the fence is higher), ``timeout`` (a prepared transaction holds it)."""
        ...

    async def token(self, database: str) -> int:
        """The highest token that a database has seen; 0 for none."""
        ...

    async def apply(self, database: str, change: Change) -> Changed:
        """Run and commit a change. Raises ``EngineError``: ``conflict`` (fenced, or another history), ``drift`` (another schema
        would come out), ``timeout`` (a lock was not to be had), ``bad_input`` (a statement fails); then nothing was changed."""
        ...

    async def rehearse(self, database: str, change: Change) -> Changed:
        """The same, rolled back."""
        ...

    async def begin_apart(self, database: str, change: Change) -> tuple[StatementState, ...] | None:
        """How far the statements of the change's only step, which runs outside transactions, have come; None where the history
        says that all of it is done. Raises as ``apply`` does where fence or history forbid it."""
        ...

    async def run_apart(self, database: str, change: Change, ordinal: int, text: str) -> None:
        """One statement by itself, journaled in the tenant's database before and after."""
        ...

    async def unbegin_apart(self, database: str, change: Change, ordinal: int) -> None:
        """Take back the journal's word that a statement was begun: the server refused it, and nothing of it is there."""
        ...

    async def index_is_valid(self, database: str, name: str) -> bool | None:
        """Whether an index (name as it would stand in SQL) is there and valid; None where there is none."""
        ...

    async def holds(self, database: str, login: Login, query: str) -> bool:
        """Whether the first value of a query is true, seen with a tenant's own role in a transaction that may only read."""
        ...

    async def prepared(self, prefix: str) -> list[Prepared]:
        """Transactions of the whole server whose gid begins so."""
        ...

    async def blockers(self, operation: str) -> Mapping[str, Blocker]:
        """By database, the session that one of the operation's own waits for just now."""
        ...

    def ballot(self, *, connections: int) -> AbstractAsyncContextManager[Ballot]:
        """For one atomic release. ``connections``: the most that it keeps open."""
        ...

    async def seal(self, building: str, database: str, marker: Marker, isolation: Sequence[IsolatedColumn]) -> str:
        """Make a finished copy of a golden a golden of its own name, which nobody may enter; returns its fingerprint.

        The values in ``isolation`` do not count: a golden holds placeholders. Not repeatable: drop ``building`` and begin anew.
        Raises ``EngineError`` (``bad_input``) where anybody beside the owner may enter it: every tenant would be opened so.
        """
        ...
