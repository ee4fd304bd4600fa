"""One tenant's database on its way out or in: names, the time it is closed, and the way back where something fails.

A run closes a database under a name of its own (``by``: operation and a random token), which the database's marker carries
until it is open again; the names of the clone and of the kept database follow from it. So whoever finds a closed database can
tell whose it is and what belongs to it. What a death leaves, and what ``swap_recovery`` makes of it:

=====================  ===========================================  ===================================================
died after             left behind                                  recovered as
=====================  ===========================================  ===================================================
``target.closed``      the tenant's database, closed                opened: the old version
``target.cloned``      the same, and a clone that nobody knows      opened, the clone dropped: the old version
``target.switched``    the new database, entered by Manor alone     opened: the new version; the old one is kept
``target.opened``      nothing, but what proves that nobody wrote   the new version; undo asks for ``--discard-writes``
=====================  ===========================================  ===================================================
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from manor.control.catalog.kept import KeptRecord
from manor.control.catalog.records import DatabaseRecord, TargetRecord
from manor.control.engines.driver import Marker, ServerDriver
from manor.control.engines.swaps import Closed, Grant, Switch
from manor.control.rollout.release.apart import Undecided
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime, operation_token
from manor.errors import ManorError

GREEN = "manor_green_"
KEPT = "manor_kept_"


def green_name(catalog: str, tenant: str, by: str) -> str:
    """The clone that ``by`` makes of a tenant's database."""
    return f"{GREEN}{_tail(catalog, tenant, by)}"


def kept_name(catalog: str, tenant: str, by: str) -> str:
    """The name under which ``by`` keeps a tenant's former database, or a snapshot of it."""
    return f"{KEPT}{_tail(catalog, tenant, by)}"


def _tail(catalog: str, tenant: str, by: str) -> str:
    operation, _, nonce = by.partition(":")
    return f"{catalog}_{hashlib.sha256(tenant.encode()).hexdigest()[:16]}_{nonce}_{operation_token(operation)}"


def entry_of(role: str) -> tuple[Grant, ...]:
    """What a tenant's role must have, whatever else was lost."""
    return Grant(role=role, privilege="CONNECT"), Grant(role=role, privilege="TEMPORARY")


async def is_at(work: Work, target: TargetRecord, history: tuple[tuple[str, str, str], ...]) -> bool:
    """Whether the target's own history is that one, checksums included."""
    rows = await retrying(functools.partial(work.server(target).releases.history, target.database), attempts=ATTEMPTS)
    return {(row.version, row.checksum) for row in rows} == {(version, checksum) for version, checksum, _ in history}


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapTerms:
    """What a swap needs to know of whoever wants it: a release, a restore."""

    runtime: Runtime
    record: DatabaseRecord
    """The tenant as the catalog has it."""
    attempts: int
    """Tries of what may be refused for a moment."""
    grace_seconds: float
    """How long the replaced database is kept."""

    @classmethod
    def of(cls, work: Work, target: TargetRecord) -> Self:
        """Those of a release for one of its targets."""
        conduct = work.conduct
        return cls(
            runtime=work.runtime,
            record=work.records[target.tenant],
            attempts=conduct.attempts,
            grace_seconds=conduct.grace_period_seconds,
        )


class Swap:
    """What one run does to one tenant's databases."""

    def __init__(self, terms: SwapTerms, *, incoming: str = "") -> None:
        """``incoming``: a database that is ready to be switched to, which is dropped where that comes to nothing; empty: there
        is to be a clone."""
        self.terms = terms
        self.runtime = terms.runtime
        self.record = terms.record
        self.tenant = str(terms.record.tenant)
        self.database = terms.record.database
        self.server: ServerDriver = self.runtime.servers[terms.record.server]
        self.swaps = self.server.swaps
        self.by = f"{self.runtime.operation}:{self.runtime.new_token()}"
        self.green = incoming or green_name(self.runtime.catalog.id, self.tenant, self.by)
        self.kept = kept_name(self.runtime.catalog.id, self.tenant, self.by)
        self.closed_seconds = 0.0
        self.sessions = 0
        self._since: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the tenant may enter, as far as we heard."""
        return self._since is None

    async def tidy(self) -> None:
        """Finish off what an earlier try of this very operation left of this target. Its claim on the tenant says that no other
        operation is at it; and that try, should it live, cannot switch or open any more."""
        found = await retrying(functools.partial(self.swaps.marker, self.database), attempts=ATTEMPTS)
        if found is not None and found.closed.partition(":")[0] == self.runtime.operation:
            again = functools.partial(reopen, self.server, self.database, found, self.record.role)
            await retrying(again, attempts=ATTEMPTS)

    async def keep(self, kind: str, marks: Mapping[str, Any] | None = None) -> KeptRecord:
        """Record what is about to be kept."""
        runtime, record = self.runtime, self.record
        kept = KeptRecord(
            server=self.record.server,
            database=self.kept,
            tenant=self.tenant,
            kind=kind,
            operation=self.runtime.operation,
            version=record.version,
            golden=record.golden,
            fingerprint=record.fingerprint,
            marks=marks or {},
            drop_after=runtime.now() + dt.timedelta(seconds=self.terms.grace_seconds),
        )
        await until_recorded(runtime, lambda: runtime.catalog.put_kept(kept))
        return kept

    async def mark(self, kept: KeptRecord, marks: Mapping[str, Any]) -> None:
        """Record what proves that nobody has written since, beside the marks that are there."""
        catalog, marked = self.runtime.catalog, replace(kept, marks={**kept.marks, **marks})
        await until_recorded(self.runtime, lambda: catalog.put_kept(marked))
        self.tell("target.marked")

    async def forget(self, kept: KeptRecord) -> None:
        """Strike off what is kept no more."""
        catalog = self.runtime.catalog
        await until_recorded(self.runtime, lambda: catalog.forget_kept(kept.server, [kept.database]))

    async def close(self) -> Closed:
        """Close the target and end its sessions. Raises ``EngineError``; call ``back_out`` then."""
        self._since = time.monotonic()
        close = functools.partial(
            self.swaps.close, self.database, catalog=self.runtime.catalog.id, tenant=self.tenant, by=self.by
        )
        closed = await retrying(close, attempts=self.terms.attempts)
        self.sessions = closed.sessions
        self.tell("target.closed", sessions=closed.sessions)
        return closed

    async def switch(self, incoming: str) -> None:
        """Put ``incoming`` in the place of the target's database, which is kept."""
        switch = Switch(database=self.database, kept=self.kept, incoming=incoming, by=self.by)
        await retrying(functools.partial(self.swaps.switch, switch), attempts=self.terms.attempts)
        self.tell("target.switched")

    async def open(self, grants: tuple[Grant, ...] = ()) -> None:
        """Open it again. Raises ``Undecided`` where that cannot be done just now."""
        opening = functools.partial(self.swaps.open, self.database, by=self.by, grants=grants)
        try:
            await retrying(opening, attempts=ATTEMPTS)
        except ManorError as error:
            raise self._still_closed(error) from error
        self.opened()

    async def open_counted(self, kept: KeptRecord, grants: tuple[Grant, ...]) -> None:
        """Open what was switched to, and record what it held at that moment."""
        opening = self.swaps.open_counted(self.database, by=self.by, grants=grants, opened=self.opened)
        try:
            census = await opening
        except ManorError:
            # Opened by an answer that was lost, or not countable: nothing is proved then, and undo asks for --discard-writes.
            if not self.is_open:
                await self.open(grants)
            return
        await self.mark(kept, census.to_json())

    def opened(self) -> None:
        """It is open as of now."""
        if self._since is not None:
            self.closed_seconds, self._since = time.monotonic() - self._since, None
            self.tell("target.opened", seconds=self.closed_seconds)

    async def back_out(self) -> bool:
        """After a failure: open the target, and drop what was made for nothing. Whether it had been switched after all: then
        the new database is the one that was opened. Raises ``Undecided`` where the server does not let us."""
        try:
            return await retrying(self._back_out, attempts=ATTEMPTS)
        except ManorError as error:
            raise self._still_closed(error) from error

    async def _back_out(self) -> bool:
        found = await self.swaps.marker(self.database)
        old = await self.swaps.marker(self.kept)
        if found is not None and found.closed == self.by:
            await reopen(self.server, self.database, found, self.record.role)
        self.opened()
        await self.server.drop_database(self.green)
        if old is None:
            catalog = self.runtime.catalog
            await until_recorded(self.runtime, lambda: catalog.forget_kept(self.record.server, [self.kept]))
        return old is not None

    def _still_closed(self, error: ManorError) -> Undecided:
        return Undecided(
            f"database {self.database} is closed and could not be opened again: {error.message}",
            hint="`manor operation recover` opens it once its server answers",
            code=error.code,
        )

    @property
    def facts(self) -> dict[str, object]:
        """For the outcome."""
        return {"closed_seconds": round(self.closed_seconds, 3), "sessions_ended": self.sessions}

    @property
    def words(self) -> str:
        """The same for people."""
        ended = f", {self.sessions} of its sessions ended" if self.sessions else ""
        return f"closed for {self.closed_seconds:.2f} s{ended}"

    def tell(self, kind: str, **details: object) -> None:
        """An event of this target."""
        self.runtime.telemetry.emit(kind, self.runtime.operation, self.tenant, **details)


async def reopen(server: ServerDriver, database: str, found: Marker, role: str) -> None:
    """Open what a run closed, and drop its clone; ``found``: the database's marker. Safe to repeat.

    Rights that the run took away are given back. The tenant's role always gets in; ``role`` is empty where nobody knows it.
    """
    await server.swaps.open(database, by=found.closed, grants=entry_of(role) if role else ())
    await server.drop_database(green_name(found.catalog, found.tenant, found.closed))
