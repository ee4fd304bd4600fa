"""All tenants or none: every database votes by preparing its transaction, the decision is written down, then all commit.

Presumed abort: as long as the catalog holds no decision, whatever is prepared is rolled back. Once it holds ``commit``, every
database commits, however often this process dies. What a death leaves at each point, and what settling makes of it:

==================  ================================================  =========================================
died after          left behind                                       settled as
==================  ================================================  =========================================
some votes          prepared transactions, sessions that still run    sessions ended, all rolled back
all votes           prepared transactions                             all rolled back
the decision        prepared transactions                             all committed
some commits        prepared transactions, committed databases        the rest committed
==================  ================================================  =========================================
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.records import AuditEvent, TargetRecord
from manor.control.engines.releases import Ballot, Change
from manor.control.rollout.hooks import HookFailed, HookRun
from manor.control.rollout.release.move import PRE, after_hooks, failed, put, run_hooks
from manor.control.rollout.release.stopping import REASONS, Stop, asked, taken_over
from manor.control.rollout.release.work import Work, ended, gid_of
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.steps import Failure, Status
from manor.errors import Code, EngineError, ManorError

Heads = Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an atomic release ended."""

    committed: bool
    results: tuple[TargetRecord, ...]
    reason: str = ""
    """Why it was rolled back."""
    stop: Stop = Stop.FINISHED
    window_seconds: float = 0.0
    """How long the fleet was of two versions: from the first commit to the end of the last."""
    prepare_seconds: float = 0.0


async def vote_and_commit(
    work: Work, targets: Sequence[TargetRecord], *, connections: Mapping[str, int], heads: Heads
) -> Verdict:
    """Carry out an atomic release. ``connections``: by server, how many may stay open between the phases.

    Outcomes are written down when this returns. Raises only for what concerns all of it; what is prepared then is settled by
    whoever comes next.
    """
    async with contextlib.AsyncExitStack() as stack:
        ballots: dict[str, Ballot] = {}
        for name, most in connections.items():
            ballots[name] = await stack.enter_async_context(work.runtime.servers[name].releases.ballot(connections=most))
        election = _Election(work, targets, ballots)
        verdict = await election.hold(heads)
        await work.recorder.flush()
        return verdict


class _Election:
    """One vote of many databases."""

    def __init__(self, work: Work, targets: Sequence[TargetRecord], ballots: Mapping[str, Ballot]) -> None:
        self.work = work
        self.targets = tuple(targets)
        self.ballots = ballots
        self.refused: dict[str, TargetRecord] = {}
        self.prepared: set[str] = set()
        self._stop = Stop.FINISHED
        self._runs: dict[str, list[HookRun]] = {}
        self._seconds: dict[str, float] = {}
        self._still_prepared: dict[str, ManorError] = {}
        """Tenants whose transaction could not be rolled back, and why."""
        self._deadline = time.monotonic() + work.conduct.prepare_deadline_seconds

    async def hold(self, heads: Heads) -> Verdict:
        began = time.monotonic()
        take = functools.partial(
            self.work.runtime.catalog.take_targets, self.work.operation, self.work.token, [t.tenant for t in self.targets]
        )
        taken = await until_recorded(self.work.runtime, take)
        if len(taken) == len(self.targets) or await self._were_taken():
            await self._each(self.targets, self._vote)
        if self._stop is Stop.FINISHED:
            self._stop = await asked(self.work)
        prepare_seconds = time.monotonic() - began
        self.work.runtime.telemetry.emit("release.voted", self.work.operation, str(len(self.prepared)))
        agreed = len(self.prepared) == len(self.targets) and self._stop is Stop.FINISHED
        decided_at = await self._decide("commit", heads) if agreed else None
        if agreed and decided_at is None:
            self._stop = await asked(self.work)
        if decided_at is None:
            return replace(await self._roll_back(), prepare_seconds=prepare_seconds)
        return replace(await self._commit(), prepare_seconds=prepare_seconds)

    async def _were_taken(self) -> bool:
        """Whether an earlier try took them all, the answer lost; nobody but us takes targets of this release."""
        if await asked(self.work) is not Stop.FINISHED:
            return False
        tenants = [target.tenant for target in self.targets]
        look = functools.partial(self.work.runtime.catalog.target_statuses, self.work.operation, tenants)
        return set((await until_recorded(self.work.runtime, look)).values()) == {str(Status.IN_PROGRESS)}

    async def _decide(self, decision: str, heads: Heads = ()) -> dt.datetime | None:
        details = {"decision": decision, "targets": len(self.targets), "votes": len(self.prepared)}
        event = AuditEvent(actor=self.work.runtime.actor, action="release.decide", subject=self.work.operation, details=details)
        decide = functools.partial(
            self.work.runtime.catalog.decide, self.work.operation, self.work.token, decision, heads=heads, audit=[event]
        )
        at = await until_recorded(self.work.runtime, decide)
        if at is not None:
            self.work.runtime.telemetry.emit("release.decided", self.work.operation, decision)
        return at

    async def _each(self, targets: Sequence[TargetRecord], work: Callable[[TargetRecord], Awaitable[None]]) -> None:
        """Side by side, at most ``parallel`` per server."""
        slots = {name: asyncio.Semaphore(self.work.conduct.parallel) for name in self.ballots}

        async def one(target: TargetRecord) -> None:
            async with slots[target.server]:
                await work(target)

        async with asyncio.TaskGroup() as group:
            for target in targets:
                group.create_task(one(target))

    async def _vote(self, target: TargetRecord) -> None:
        left = self._deadline - time.monotonic()
        if self.work.runtime.stop.requested:
            self._stop = Stop.INTERRUPTED
            return
        began = time.monotonic()
        try:
            if left <= 0:
                raise self._too_late(target)
            async with asyncio.timeout(left + 5):
                self._runs[target.tenant] = list(await run_hooks(self.work, target, PRE))
                await self._prepare(target)
            self.prepared.add(target.tenant)
            self._seconds[target.tenant] = time.monotonic() - began
            self.work.runtime.telemetry.emit("target.prepared", self.work.operation, target.tenant)
        except Exception as error:  # a fault of ours too: it is a no of this one tenant
            if isinstance(error, HookFailed):
                self._runs[target.tenant] = list(error.runs)
            # Everybody is asked, though one no is enough: whoever would have said no is named in the same run.
            self.refused[target.tenant] = failed(self.work, target, error, time.monotonic() - began)
            self.work.runtime.telemetry.emit("target.refused", self.work.operation, target.tenant)

    async def _prepare(self, target: TargetRecord) -> None:
        change = self._change(target)
        gid = gid_of(self.work.runtime.catalog.id, self.work.operation, target.tenant)
        await self.ballots[target.server].vote(target.database, change, gid)

    def _change(self, target: TargetRecord) -> Change:
        (segment,) = self.work.segments(target)
        left = max(0.1, self._deadline - time.monotonic())
        return replace(
            segment.change,
            lock_timeout_seconds=min(segment.change.lock_timeout_seconds, left),
            statement_timeout_seconds=min(segment.change.statement_timeout_seconds, left),
        )

    def _too_late(self, target: TargetRecord) -> EngineError:
        seconds = self.work.conduct.prepare_deadline_seconds
        return EngineError(
            f"database {target.database}: the {seconds:g} s for all votes were over before its turn",
            hint="raise prepare_deadline_seconds or --parallel, or take --strategy rolling",
            code=Code.TIMEOUT,
        )

    async def _commit(self) -> Verdict:
        first = time.monotonic()
        unclear: dict[str, ManorError] = {}

        async def commit(target: TargetRecord) -> None:
            gid = gid_of(self.work.runtime.catalog.id, self.work.operation, target.tenant)
            try:
                ballot = self.ballots[target.server]
                done = await retrying(functools.partial(ballot.commit, target.database, gid), attempts=ATTEMPTS)
                if not done:  # by an earlier try whose answer was lost, or rolled back by somebody
                    await self._require_done(target)
                self.work.runtime.telemetry.emit("target.committed", self.work.operation, target.tenant)
            except ManorError as error:  # decided is decided: settled by the next one who comes
                unclear[target.tenant] = error

        await self._each(self.targets, commit)
        window = time.monotonic() - first
        await self._let_go()
        results = await self._close([self._committed(target, unclear.get(target.tenant)) for target in self.targets])
        return Verdict(committed=True, results=results, window_seconds=window)

    async def _require_done(self, target: TargetRecord) -> None:
        """Raise ``EngineError`` unless the target's history says that it was committed."""
        rows = await retrying(functools.partial(self.work.server(target).releases.history, target.database), attempts=ATTEMPTS)
        after = {(version, checksum) for version, checksum, _ in self.work.cohort(target).after}
        if {(row.version, row.checksum) for row in rows} != after:
            raise EngineError(
                f"database {target.database}: its prepared transaction is gone, and it was not committed", code=Code.CORRUPT
            )

    async def _close(self, results: Sequence[TargetRecord]) -> tuple[TargetRecord, ...]:
        """Run the hooks after, and hand the outcomes to the recorder."""
        slots = asyncio.Semaphore(self.work.conduct.parallel)

        async def one(result: TargetRecord) -> TargetRecord:
            async with slots:
                final = await self._followed(result)
            put(self.work, final)
            return final

        return tuple(await asyncio.gather(*(one(result) for result in results)))

    async def _followed(self, result: TargetRecord) -> TargetRecord:
        begun = result.tenant in self._runs
        return await after_hooks(self.work, result, self._runs[result.tenant]) if begun else result

    def _committed(self, target: TargetRecord, error: ManorError | None) -> TargetRecord:
        cohort = self.work.cohort(target)
        if error is None:
            detail = f"{cohort.version_before or 'none'} → {cohort.version or 'none'}"
            return ended(target, Status.SUCCESS, seconds=self._seconds.get(target.tenant, 0.0), detail=detail)
        failure = Failure(
            code=error.code,
            message=f"decided to commit, and prepared, but not committed yet: {error.message}",
            hint="`manor operation recover` commits it as soon as its server answers",
        )
        return ended(target, Status.NEEDS_DECISION, failure=failure)

    async def _roll_back(self) -> Verdict:
        reason = self._reason()
        if await self._decide("rollback") is None:
            # Somebody else settles this release, perhaps by our own decision whose answer was lost: hands off.
            raise taken_over(self.work.operation)

        async def roll_back(target: TargetRecord) -> None:
            gid = gid_of(self.work.runtime.catalog.id, self.work.operation, target.tenant)
            try:
                await retrying(
                    functools.partial(self.ballots[target.server].roll_back, target.database, gid), attempts=ATTEMPTS
                )
            except ManorError as error:  # presumed abort: whoever comes next rolls it back
                self._still_prepared[target.tenant] = error
                return
            self.work.runtime.telemetry.emit("target.rolled_back", self.work.operation, target.tenant)

        # Whose vote failed may still have been prepared, the answer lost: these too.
        tried = [t for t in self.targets if t.tenant in self.prepared or t.tenant in self.refused]
        await self._each(tried, roll_back)
        await self._let_go()
        results = await self._close([self._rolled_back(target, reason) for target in self.targets])
        return Verdict(committed=False, results=results, reason=reason, stop=self._stop)

    async def _let_go(self) -> None:
        for ballot in self.ballots.values():
            await ballot.let_go()

    def _reason(self) -> str:
        if self.refused:
            named = ", ".join(target.database for target in list(self.refused.values())[:5])
            more = f" and {len(self.refused) - 5} more" if len(self.refused) > 5 else ""
            return f"{len(self.refused)} of {len(self.targets)} said no: {named}{more}"
        return REASONS.get(self._stop, REASONS[Stop.TAKEN_OVER])

    def _rolled_back(self, target: TargetRecord, reason: str) -> TargetRecord:
        if target.tenant in self.refused:
            return self.refused[target.tenant]
        if target.tenant in self.prepared:
            seconds = self._seconds.get(target.tenant, 0.0)
            detail = f"would have worked; rolled back: {reason}"
            stuck = self._still_prepared.get(target.tenant)
            if stuck is not None:
                detail = f"{detail}; still prepared, which `manor operation recover` ends: {stuck.message}"
            return ended(target, Status.ROLLED_BACK, seconds=seconds, detail=detail)
        return ended(target, Status.NOT_STARTED, detail=f"not begun: {reason}")
