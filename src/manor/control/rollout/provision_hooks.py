"""``pre_provision`` and ``post_provision`` around the making of databases.

Before: nothing of the target is begun, no intent is recorded, so a hook that fails leaves nothing behind. After: the database
is ready and recorded; a hook that fails makes the target an error and changes nothing about the database. While the hooks after
it run, the recorded outcome of a database made in this run says ``in_progress``. After a kill the hooks before run again; those
after run if the database was not recorded yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manor.control.catalog.records import AuditEvent
from manor.control.rollout.hook_context import HookContext
from manor.control.rollout.hooks import HookFailed, HookRun, HookRunner
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status, Target
from manor.errors import ManorError

PRE, POST = "pre_provision", "post_provision"
_ONCE = "the database stays, and deploy does not run this hook again: run it by hand once the cause is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the hooks before a target's making said."""

    runs: tuple[HookRun, ...] = ()
    error: ManorError | None = None
    """Why it must not be begun."""


class ProvisionHooks:
    """The provision hooks of one operation; at most ``parallel`` targets' hooks at a time."""

    def __init__(self, runtime: Runtime, runner: HookRunner, *, parallel: int, verb: str = "deploy") -> None:
        self._runtime = runtime
        self._runner = runner
        self._slots = asyncio.Semaphore(parallel)
        self._verb = verb

    @property
    def come_before(self) -> bool:
        """Whether there is anything to run before."""
        return self._runner.has(PRE)

    @property
    def follow(self) -> bool:
        """Whether there is anything to run after."""
        return self._runner.has(POST)

    async def before(self, targets: Sequence[Target]) -> list[Admission]:
        """Run the hooks before, for each target; one admission per target, in the same order. Once a stop is requested no
        further target's hooks begin; those targets are admitted, since nobody will begin them."""
        await self._runtime.still_alone()
        return list(await asyncio.gather(*(self._admit(target) for target in targets)))

    async def after(
        self, outcomes: Sequence[Outcome], url: Callable[[Target], Awaitable[str]], *, attempts: Mapping[str, int] | None = None
    ) -> list[Outcome]:
        """Run the hooks after, for each successful outcome, and record what becomes of it; the same order, the others as they
        are. ``attempts``: tries by tenant id, where it took more than one."""
        if not self.follow:
            return list(outcomes)
        tries = attempts or {}
        ended = await asyncio.gather(
            *(self._follow_up(o, url, tries.get(str(o.target.tenant), 1)) for o in outcomes if o.status is Status.SUCCESS)
        )
        if ended:
            audit = [self._audit(outcome) for outcome in ended if outcome.failure is not None]
            await until_recorded(
                self._runtime,
                lambda: self._runtime.catalog.record_results(self._runtime.operation, ended, ready=[], audit=audit),
            )
        by_tenant = {outcome.target.tenant: outcome for outcome in ended}
        return [by_tenant.get(outcome.target.tenant, outcome) for outcome in outcomes]

    async def _admit(self, target: Target) -> Admission:
        async with self._slots:
            if self._runtime.stop.requested:
                return Admission()
            context = HookContext(operation=self._runtime.operation, verb=self._verb, target=target)
            try:
                return Admission(runs=await self._runner.run(PRE, context))
            except HookFailed as error:
                return Admission(runs=error.runs, error=error)

    async def _follow_up(self, outcome: Outcome, url: Callable[[Target], Awaitable[str]], attempt: int) -> Outcome:
        target = outcome.target
        context = HookContext(
            operation=self._runtime.operation, verb=self._verb, target=target, attempt=attempt, status=outcome.status
        )
        async with self._slots:
            try:
                runs = await self._runner.run(POST, context, lambda: url(target))
            except ManorError as error:
                return _failed_after(outcome, error)
        return replace(outcome, facts=with_runs(outcome.facts, runs))

    def _audit(self, outcome: Outcome) -> AuditEvent:
        details = {"database": outcome.target.database, "server": outcome.target.server, "kind": POST}
        return AuditEvent(actor=self._runtime.actor, action="hook.failed", subject=str(outcome.target.tenant), details=details)


def with_runs(facts: Mapping[str, Any], runs: Sequence[HookRun]) -> dict[str, Any]:
    """``facts`` with these runs behind those that are in ``hooks`` already."""
    if not runs:
        return dict(facts)
    return {**facts, "hooks": [*facts.get("hooks", ()), *(run.to_json() for run in runs)]}


def _failed_after(outcome: Outcome, error: ManorError) -> Outcome:
    runs = error.runs if isinstance(error, HookFailed) else ()
    failure = replace(Failure.of(error), hint=f"{error.hint}; {_ONCE}" if error.hint else _ONCE)
    detail = f"the database is ready, but {failure.message}"
    return replace(outcome, status=Status.ERROR, failure=failure, detail=detail, facts=with_runs(outcome.facts, runs))
