"""Builds the databases of one wave: intent, copies, rows, names, record, in this order for all of them together; the user's
hooks run before the intent and after the record.

What a kill leaves behind at each point, and what the next deploy makes of it:

=============  =========================================  ===========================================
killed after   left behind                                next deploy
=============  =========================================  ===========================================
hooks before   nothing                                    runs them again
intent         catalog entries ``pending``                builds them
copied         databases with provisional names           drops these, builds anew
restricted     the same, closed to everybody              the same
filled         the same, with rows                        the same (rows are never loaded twice)
published      finished databases, entries ``pending``    finds them by their marker, records them
recorded       nothing                                    verifies them; hooks after are not made up for
=============  =========================================  ===========================================
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import Fill, IsolatedColumn, Login, Marker, Publication, ServerDriver
from manor.control.rollout.build import Build, creation_event, is_transient_error, outcome_of, to_be_followed_up
from manor.control.rollout.build import Golden as Golden  # its users know it from here
from manor.control.rollout.hooks import HookRunner
from manor.control.rollout.provision_hooks import ProvisionHooks
from manor.control.rollout.retry import is_transient, retrying, until_recorded
from manor.control.runtime import Runtime, operation_token
from manor.control.steps import Outcome, Status, Step, Target
from manor.control.templates.model import Template, bind_cell, bind_dataset, varying_columns
from manor.errors import Code, EngineError, ManorError
from manor.tenancy import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one rollout."""

    parallel: int = 20
    timeout_seconds: float = 300
    attempts: int = 3


def provisional_name(catalog: str, tenant: TenantId, operation: str) -> str:
    """The name under which an operation builds a tenant's database. Never the one of another operation, which could be built
    upon or published by mistake; leftovers are found by the prefix."""
    return f"manor_new_{catalog}_{hashlib.sha256(str(tenant).encode()).hexdigest()[:16]}_{operation_token(operation)}"


def isolated_columns(template: Template, variables: object) -> tuple[IsolatedColumn, ...]:
    """``data_models`` of the template for one target."""
    return tuple(
        IsolatedColumn(table=i.table, column=i.column, value=bind_cell(i.value, variables))  # type: ignore[arg-type]
        for i in template.isolation
    )


class WaveBuilder:
    """Builds waves on one server for one operation."""

    def __init__(
        self,
        runtime: Runtime,
        server: ServerDriver,
        limits: Limits,
        *,
        source: str,
        hooks: HookRunner | None = None,
        taken_back: Status = Status.ERROR,
    ) -> None:
        """``taken_back``: how a target ends that failed after it was begun, and of which nothing is left."""
        self.runtime = runtime
        self.server = server
        self.limits = limits
        self.source = source
        self.taken_back = taken_back
        self._slots = asyncio.Semaphore(limits.parallel)
        self._hooks = ProvisionHooks(runtime, hooks or HookRunner.none(), parallel=limits.parallel)

    async def build(self, steps: Sequence[Step], templates: dict[str, Template], goldens: dict[str, Golden]) -> list[Outcome]:
        """Build every step's database; one outcome per step, in the same order, whatever happens to each.

        Raises only for what concerns all of them: the catalog is gone, or the task was cancelled.
        """
        builds = [self._plan(step, templates[step.target.recipe], goldens[step.target.recipe]) for step in steps]
        admitted = await self._admitted(builds) if self._hooks.come_before else builds
        if admitted:
            await self._make(admitted)
        outcomes = await self._record(builds)
        if self._hooks.follow:
            outcomes = await self._follow_up(builds, outcomes)
        self._tell_ends(outcomes)
        return outcomes

    async def _make(self, builds: Sequence[Build]) -> None:
        """From the intent to the final names; what fails stays with its build."""
        await until_recorded(
            self.runtime, lambda: self.runtime.catalog.record_intent([b.record for b in builds], self.runtime.operation)
        )
        self._tell("intent", builds)
        await self._take_from_pool(builds)
        roles = asyncio.ensure_future(self._together(builds, self._create_roles))
        try:
            await self._each(self._alive(builds), self._copy)
            self._give_up_unstarted(builds)
            await self._together([b for b in self._alive(builds) if b.copied], self._restrict)
            self._tell("restricted", self._alive(builds))
            await self._each(self._alive(builds), self._fill)
        finally:
            await roles
        failed = [b for b in builds if b.error is not None and is_transient_error(b.error)]
        if failed and self.limits.attempts > 1:
            await self.runtime.still_alone()  # raises where the server stays away: nothing can be built then
            await self._each(failed, self._again)
        await self._together(self._alive(builds), self._publish)
        swept = [b for b in builds if b.error is not None]
        if swept:
            await self.runtime.still_alone()
        await self._each(swept, self._sweep)

    async def _admitted(self, builds: Sequence[Build]) -> list[Build]:
        """Those whose hooks before let them be begun."""
        said = await self._hooks.before([build.step.target for build in builds])
        for build, admission in zip(builds, said, strict=True):
            build.hooks, build.error = admission.runs, admission.error
        return self._alive(builds)

    async def _follow_up(self, builds: Sequence[Build], outcomes: Sequence[Outcome]) -> list[Outcome]:
        by_tenant = {build.step.target.tenant: build for build in builds}

        async def url(target: Target) -> str:
            return by_tenant[target.tenant].record.url

        return await self._hooks.after(outcomes, url, attempts={str(t): build.attempts for t, build in by_tenant.items()})

    def _plan(self, step: Step, template: Template, golden: Golden) -> Build:
        target, catalog = step.target, self.runtime.catalog.id
        login = Login(role=target.database, password=self.runtime.new_password())
        isolation = isolated_columns(template, target.variables)
        record = DatabaseRecord(
            tenant=target.tenant,
            database=target.database,
            server=target.server,
            group=target.group,
            template=target.template,
            state="pending",
            role=login.role,
            url=self.server.url(target.database, login),
            golden=golden.digest,
            version=template.version,
            fingerprint=golden.fingerprint,
            source=self.source,
            name=target.title or target.database,
            config={
                **({} if target.declared else {"declared": False}),
                "isolation": [[i.table, i.column, i.value] for i in isolation],
                **bind_cell(dict(template.config), target.variables),
            },
            variables=target.variables,
        )
        marker = Marker(
            catalog=catalog,
            kind="building",
            tenant=str(target.tenant),
            template=target.template,
            digest=golden.digest,
            operation=self.runtime.operation,
        )
        return Build(
            step=step,
            template=template,
            golden=golden,
            login=login,
            marker=marker,
            building=provisional_name(catalog, target.tenant, self.runtime.operation),
            record=record,
        )

    async def _take_from_pool(self, builds: Sequence[Build]) -> None:
        empty: set[str] = set()
        for build in builds:
            if build.golden.digest in empty or self.runtime.stop.requested:
                continue
            take = functools.partial(self.runtime.catalog.pool_take, self.server.name, build.golden.digest)
            taken = await until_recorded(self.runtime, take)
            if taken is None:
                empty.add(build.golden.digest)
                continue
            build.building, build.copied = taken, True
            self._tell("taken", [build])

    async def _copy(self, build: Build) -> None:
        if build.copied:
            return
        if self.runtime.stop.requested:
            return
        await self.server.clone(build.golden.database, build.building)
        build.copied = True
        self._tell("cloned", [build])

    def _give_up_unstarted(self, builds: Sequence[Build]) -> None:
        if self.runtime.stop.requested:
            for build in builds:
                if not build.copied and build.error is None:
                    build.error = EngineError("stopped before it was begun", code=Code.INTERRUPTED)

    async def _create_roles(self, builds: Sequence[Build]) -> None:
        await self.runtime.still_alone()  # a role of a successor would get our password
        await self.server.create_roles([b.login for b in builds])
        for build in builds:
            build.has_role = True
        self.runtime.telemetry.emit("roles.created", self.runtime.operation, self.server.name, roles=len(builds))

    async def _restrict(self, builds: Sequence[Build]) -> None:
        await self.server.restrict({b.building: b.marker for b in builds})

    async def _fill(self, build: Build) -> None:
        if not build.copied:
            return
        template, variables = build.template, build.step.target.variables
        rows = tuple(bind_dataset(dataset, variables) for dataset in template.tenant_rows)
        fill = Fill(
            schema=template.schema,
            isolation=isolated_columns(template, variables),
            rows=rows,
            varying=varying_columns(template.tenant_rows),
        )
        await self.server.fill(build.building, fill)
        self._tell("filled", [build])

    async def _again(self, build: Build) -> None:
        """Everything once more from the start: a copy or a fill whose end is unknown is not built upon."""

        async def once() -> None:
            build.attempts += 1
            build.copied = False
            await self.runtime.still_alone()
            await self.server.drop_database(build.building)
            await self.server.create_roles([build.login])
            build.has_role = True
            await self._copy(build)
            if not build.copied:
                raise EngineError("stopped before it was begun", code=Code.INTERRUPTED)
            await self._restrict([build])
            await self._fill(build)

        build.error = None
        await retrying(once, attempts=self.limits.attempts - 1)

    async def _publish(self, builds: Sequence[Build]) -> None:
        await self.runtime.still_alone()  # before each try: a successor may have built the same names meanwhile
        names = [
            Publication(
                building=b.building,
                database=b.step.target.database,
                role=b.login.role,
                marker=Marker(
                    catalog=b.marker.catalog,
                    kind="tenant",
                    tenant=b.marker.tenant,
                    template=b.marker.template,
                    digest=b.marker.digest,
                    operation=b.marker.operation,
                ),
            )
            for b in builds
        ]
        await self.server.publish(names)
        for build in builds:
            build.published = True
        self._tell("published", builds)

    async def _sweep(self, build: Build) -> None:
        """Leave nothing of a failed build; what cannot be dropped now is found by the next operation."""
        failed, begun = build.error, build.copied or build.has_role
        with contextlib.suppress(ManorError):
            await self.server.drop_database(build.building)
            if build.has_role:  # otherwise it may be somebody else's
                await self.server.drop_role(build.login.role)
            build.taken_back = begun
        build.error = failed

    async def _each(self, builds: Sequence[Build], work: Callable[[Build], Awaitable[None]]) -> None:
        """Run ``work`` for each build, ``limits.parallel`` at a time, within the time limit; an error stays with its build."""

        async def one(build: Build) -> None:
            async with self._slots:
                began = time.monotonic()
                try:
                    async with asyncio.timeout(self.limits.timeout_seconds):
                        await work(build)
                except TimeoutError:
                    build.error = EngineError(
                        f"not done within {self.limits.timeout_seconds:g} s",
                        hint="raise operations.batch_settings.timeout_seconds",
                        code=Code.TIMEOUT,
                    )
                except ManorError as error:
                    build.error = error
                build.seconds += time.monotonic() - began

        await asyncio.gather(*(one(build) for build in builds))

    async def _together(self, builds: Sequence[Build], work: Callable[[Sequence[Build]], Awaitable[None]]) -> None:
        """Run ``work`` for all in one transaction; where one is to blame, one by one, so that only the culprit is out."""
        if not builds:
            return
        try:
            await retrying(lambda: work(builds), attempts=self.limits.attempts)
        except ManorError as error:
            if len(builds) == 1 or is_transient(error):  # a server that is away is nobody's fault: asking for each takes hours
                for build in builds:
                    build.error = error
                return
            for build in builds:
                await self._together([build], work)

    @staticmethod
    def _alive(builds: Sequence[Build]) -> list[Build]:
        return [b for b in builds if b.error is None]

    def _tell(self, step: str, builds: Sequence[Build]) -> None:
        for build in builds:
            self.runtime.telemetry.emit(f"target.{step}", self.runtime.operation, str(build.step.target.tenant))

    async def _record(self, builds: Sequence[Build]) -> list[Outcome]:
        outcomes = [outcome_of(build, taken_back=self.taken_back) for build in builds]
        ready = [b.record for b in builds if b.published]
        audit = [creation_event(self.runtime.actor, o) for o in outcomes if o.status is not Status.NOT_STARTED]
        recorded = [to_be_followed_up(o) for o in outcomes] if self._hooks.follow else outcomes
        await until_recorded(
            self.runtime,
            lambda: self.runtime.catalog.record_results(self.runtime.operation, recorded, ready=ready, audit=audit),
        )
        self._tell("recorded", [b for b in builds if b.published])
        return outcomes

    def _tell_ends(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.runtime.telemetry.emit(
                "target.ended", self.runtime.operation, str(outcome.target.tenant), status=str(outcome.status)
            )
