"""What is looked at after a wave: each of its tenants through its own role, and the user's own checks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from manor.control.catalog.records import TargetRecord
from manor.control.engines.driver import Login
from manor.control.rollout.budget import over_error_rate
from manor.control.rollout.hooks import HookFailed
from manor.control.rollout.release.move import hook_context
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import until_recorded
from manor.control.rollout.strategy import Gate
from manor.control.rollout.verify import recorded_isolation
from manor.control.steps import Status
from manor.errors import ManorError
from manor.tenancy import password_of

GATE = "health_gate"
"""The kind of hook that the registry's own checks are."""


class HealthGate:
    """The gate of one release. ``notices``: where it says what was not healthy and is few enough to go on."""

    def __init__(self, work: Work, gate: Gate, notices: list[str] | None = None) -> None:
        self._work = work
        self._gate = gate
        self._notices = notices if notices is not None else []
        self._slots = asyncio.Semaphore(work.conduct.parallel)

    async def __call__(self, targets: Sequence[TargetRecord]) -> str:
        """Why the next wave must not begin, or nothing: the error rate of this one counts what failed and what is unhealthy."""
        moved = [target for target in targets if target.status == Status.SUCCESS]
        problems = [problem for problem in await asyncio.gather(*(self.check(t) for t in moved)) if problem]
        bad = len(problems) + len(targets) - len(moved)
        self._work.runtime.telemetry.emit("gate.looked", self._work.operation, str(len(targets)), unhealthy=bad)
        said = f"{bad} of {len(targets)} are not healthy: {'; '.join(problems) or 'its targets failed'}"
        if over_error_rate(bad, len(targets), self._gate.max_error_rate):
            return said
        if problems:
            self._notices.append(f"within max_error_rate: {said}")
        return ""

    async def check(self, target: TargetRecord, *, proved: bool = False) -> str:
        """What is wrong with one target, in words, or nothing. ``proved``: its schema is known to be right and cannot
        be compared, as in a clone, where the tenant's right to enter is a stranger's."""
        async with self._slots:
            try:
                login = await self._login(target)
                async with asyncio.timeout(self._gate.timeout_seconds):
                    return await self._look(target, login, proved)
            except TimeoutError:
                return f"{target.database}: the checks took longer than {self._gate.timeout_seconds} s"
            except ManorError as error:
                return f"{target.database}: {error.message}"

    async def _login(self, target: TargetRecord) -> Login:
        record, runtime = self._work.records[target.tenant], self._work.runtime
        urls = await until_recorded(runtime, lambda: runtime.catalog.urls([record.tenant]))
        return Login(role=record.role, password=password_of(urls[record.tenant]))

    async def _look(self, target: TargetRecord, login: Login, proved: bool) -> str:
        record = self._work.records[target.tenant]
        server = self._work.server(target)
        isolation = recorded_isolation(record.config)
        if record.is_active:
            seen = await server.check(target.database, login, isolation, other=None)
            fingerprint, isolated = seen.fingerprint, seen.isolation_ok
        else:  # suspended: its role cannot log in, and what it would see nobody else can tell
            fingerprint, isolated = await server.fingerprint(target.database, isolation)
        released = proved or fingerprint == self._work.cohort(target).fingerprint
        if not released or not isolated:
            return f"{target.database}: its schema is not the released one"
        if not record.is_active:
            return ""
        for query in self._gate.sql:
            if not await server.releases.holds(target.database, login, query):
                return f"{target.database}: {query} is not true"
        runner = self._work.hooks.get(self._work.cohort(target).source)
        if runner is not None and runner.has(GATE):
            try:
                await runner.run(GATE, hook_context(self._work, target, target), None)
            except HookFailed as error:
                return f"{target.database}: {error.message}"
        return ""
