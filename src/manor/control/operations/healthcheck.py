"""``manor multi-tenant healthcheck``: every database seen through its own tenant's eyes.

Looks only. One broken database is one outcome and never hides another.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from manor.control.catalog.records import DatabaseRecord, ErasureRecord
from manor.control.engines.driver import HealthFacts, Login, ServerDriver
from manor.control.operations.fleet import Fleet, with_created
from manor.control.operations.selecting import Selection, select
from manor.control.operations.tenants import server_of
from manor.control.provision.plan import switched_off, tombstone_words
from manor.control.rollout.doors import Doors, look_at_doors
from manor.control.rollout.report import Report
from manor.control.rollout.verify import drift_problem, recorded_isolation, too_long
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status, Target
from manor.errors import Code, EngineError, ManorError
from manor.tenancy import TenantId, password_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRequest:
    """What to look at, and how many at once."""

    group: str | None = None
    limit: int | None = None
    parallel: int = 20
    timeout_seconds: float = 300
    """For one target: a tenant may hold a lock on its table for as long as it likes."""


async def healthcheck_fleet(runtime: Runtime | None, fleet: Fleet, request: HealthRequest) -> Report:
    """One outcome per declared target: success, skipped (not provisioned on purpose) or an error that says what is wrong."""
    if runtime is not None:
        fleet = await with_created(runtime, fleet)
    targets = fleet.select(group=request.group, limit=request.limit)
    not_there = functools.partial(_not_deployed, fleet)
    if runtime is None:
        return _report("", fleet.source.shown_as, [not_there(t) for t in targets], 0.0, None)
    records = await runtime.catalog.databases()
    return await _checked(runtime, targets, records, request, not_there=not_there, source=fleet.source.shown_as)


async def healthcheck_recorded(runtime: Runtime, request: HealthRequest, *, search: str | None = None) -> Report:
    """One outcome per recorded tenant, whoever declared it: those of registries, of sources, and single ones; of one group, or
    that ``search`` finds, if given. Raises ``InputError`` for a search that cannot be read, ``NotFoundError`` for a group that
    nobody is in."""
    records = await runtime.catalog.databases()
    chosen = select(records, Selection(everyone=request.group is None and search is None, group=request.group, search=search))
    targets = [_target(record, order) for order, record in enumerate(chosen[: request.limit])]
    return await _checked(runtime, targets, records, request, not_there=_not_ready, source="")


def _target(record: DatabaseRecord, order: int) -> Target:
    return Target(
        tenant=record.tenant,
        database=record.database,
        group=record.group,
        kind="",
        template=record.template,
        server=record.server,
        variables=record.variables,
        order=order,
        title=record.name,
    )


async def _checked(
    runtime: Runtime,
    targets: Sequence[Target],
    known: Iterable[DatabaseRecord],
    request: HealthRequest,
    *,
    not_there: Callable[[Target], Outcome],
    source: str,
) -> Report:
    began, started_at = time.monotonic(), runtime.now()
    runtime.telemetry.emit("operation.planned", runtime.operation, targets=len(targets))
    records = {str(r.tenant): r for r in known}
    urls = await runtime.catalog.encrypted_urls([t.tenant for t in targets if str(t.tenant) in records])
    present, unseen = await _present(runtime)
    doors = await look_at_doors(
        {name: server for name, server in runtime.servers.items() if name not in unseen},
        [records[str(t.tenant)] for t in targets if str(t.tenant) in records and records[str(t.tenant)].state == "ready"],
    )
    releasing = {claim.tenant: claim.operation for claim in await runtime.catalog.claims(records)}
    check = _Check(
        runtime=runtime,
        not_there=not_there,
        records=records,
        urls=urls,
        neighbours=_neighbours(records, present),
        unseen=unseen,
        doors=doors,
        releasing=releasing,
        timeout_seconds=request.timeout_seconds,
        tombstones={erasure.tenant: erasure for erasure in await runtime.catalog.erasures()},
    )
    slots = asyncio.Semaphore(request.parallel)

    async def one(target: Target) -> Outcome:
        async with slots:
            outcome = await check.run(target)
        runtime.telemetry.emit("target.ended", runtime.operation, str(target.tenant), status=str(outcome.status))
        return outcome

    outcomes = list(await asyncio.gather(*(one(t) for t in targets)))
    runtime.telemetry.emit("operation.ended", runtime.operation, source)
    return _report(runtime.operation, source, outcomes, time.monotonic() - began, started_at)


def _report(operation: str, source: str, outcomes: list[Outcome], seconds: float, started_at: dt.datetime | None) -> Report:
    healthy = sum(o.status is Status.SUCCESS for o in outcomes)
    skipped = sum(o.status is Status.SKIPPED for o in outcomes)
    counts = {"total": len(outcomes), "healthy": healthy, "unhealthy": len(outcomes) - healthy - skipped}
    return Report(
        operation=operation,
        verb="healthcheck",
        source=source,
        started_at=started_at,
        duration_seconds=seconds,
        outcomes=tuple(outcomes),
        notices=(f"{healthy}/{len(outcomes)} healthy",),
        extra={"health": counts},
    )


async def _present(runtime: Runtime) -> tuple[frozenset[tuple[str, str]], dict[str, ManorError]]:
    """(server, database) of all that is there, and by name the servers that do not let us look: their targets fail alone."""
    there: set[tuple[str, str]] = set()
    unseen: dict[str, ManorError] = {}

    async def look(name: str, server: ServerDriver) -> None:
        try:
            there.update((name, database) for database in await server.databases())
        except ManorError as error:
            unseen[name] = error

    await asyncio.gather(*(look(name, server) for name, server in runtime.servers.items()))
    return frozenset(there), unseen


def _neighbours(records: Mapping[str, DatabaseRecord], present: frozenset[tuple[str, str]]) -> dict[str, str]:
    """For each tenant another ready database on its server, the next one in order: together they form a ring. One that is gone
    is no neighbour: failing to enter it would say nothing, and must not be held against the one that tries.
    """
    by_server: dict[str, list[DatabaseRecord]] = {}
    for record in records.values():
        if record.state == "ready" and (record.server, record.database) in present:
            by_server.setdefault(record.server, []).append(record)
    ring: dict[str, str] = {}
    for ready in by_server.values():
        for record, other in zip(ready, [*ready[1:], ready[0]], strict=True):
            if record is not other:
                ring[str(record.tenant)] = other.database
    return ring


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    runtime: Runtime
    not_there: Callable[[Target], Outcome]
    """What becomes of a target without a ready database."""
    records: Mapping[str, DatabaseRecord]
    urls: Mapping[TenantId, str]
    """As they are stored: one that cannot be decrypted is its own target's failure."""
    neighbours: Mapping[str, str]
    unseen: Mapping[str, ManorError]
    doors: Doors
    releasing: Mapping[str, str]
    """By tenant, the release that is changing it: its schema is that of one version or of the next."""
    timeout_seconds: float
    tombstones: Mapping[str, ErasureRecord]

    async def run(self, target: Target) -> Outcome:
        record = self.records.get(str(target.tenant))
        gone = self.tombstones.get(str(target.tenant))
        if gone is not None:
            return Outcome(target=target, status=Status.SKIPPED, detail=tombstone_words(gone))
        if record is None or record.state != "ready":
            return self.not_there(target)
        if not record.is_active:
            return await self._suspended(target, record)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                facts = await self._look(record)
            problem = _problem(record, facts, self.doors)
        except TimeoutError:
            return _failed(target, too_long(record, self.timeout_seconds), time.monotonic() - began)
        except ManorError as error:
            return _failed(target, self.doors.explain(record, error), time.monotonic() - began)
        operation = self.releasing.get(str(target.tenant))
        if operation and problem is not None and facts.fingerprint != record.fingerprint and not facts.reaches_other:
            return Outcome(target=target, status=Status.SKIPPED, detail=f"operation {operation} is releasing it just now")
        if problem is not None:
            return _failed(target, problem, time.monotonic() - began, facts)
        return Outcome(
            target=target,
            status=Status.SUCCESS,
            duration_seconds=time.monotonic() - began,
            facts=_facts(facts),
            detail="healthy",
        )

    async def _suspended(self, target: Target, record: DatabaseRecord) -> Outcome:
        """Seen from outside: nobody gets in, and it is kept as it should be."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                server = server_of(self.runtime, record)
                fingerprint, isolated = await server.fingerprint(record.database, recorded_isolation(record.config))
            problem = drift_problem(record, fingerprint, isolated, self.doors)
        except TimeoutError:
            return _failed(target, too_long(record, self.timeout_seconds), time.monotonic() - began)
        except ManorError as error:
            return _failed(target, error, time.monotonic() - began)
        if problem is not None:
            return _failed(target, problem, time.monotonic() - began)
        detail = "suspended: nobody may enter it; its schema is as recorded"
        facts = {"fingerprint": fingerprint}
        return Outcome(
            target=target, status=Status.SKIPPED, detail=detail, duration_seconds=time.monotonic() - began, facts=facts
        )

    async def _look(self, record: DatabaseRecord) -> HealthFacts:
        server = server_of(self.runtime, record)
        if record.server in self.unseen:
            raise self.unseen[record.server]
        url = self.runtime.catalog.decrypt_url(record.tenant, self.urls[record.tenant])
        login = Login(role=record.role, password=password_of(url))
        other = self.neighbours.get(str(record.tenant))
        return await server.check(record.database, login, recorded_isolation(record.config), other=other)


def _not_deployed(fleet: Fleet, target: Target) -> Outcome:
    """A target without a ready database: skipped where deploy would skip it, for ever, and an error otherwise."""
    auto_create = fleet.registry.operations.provisioning.auto_create_on_deploy
    reason = switched_off(target, fleet.templates[target.template], auto_create=auto_create)
    if reason:
        return Outcome(target=target, status=Status.SKIPPED, detail=reason)
    return _failed(target, EngineError("not deployed yet", hint="manor multi-tenant deploy", code=Code.NOT_FOUND))


def _not_ready(target: Target) -> Outcome:
    """An intent that never became a database, or one that is on its way out."""
    hint = "deploy or provision it again, or `manor tenant delete` goes on with it"
    return _failed(target, EngineError("recorded, but it has no finished database", hint=hint, code=Code.NOT_FOUND))


def _problem(record: DatabaseRecord, facts: HealthFacts, doors: Doors) -> EngineError | None:
    drift = drift_problem(record, facts.fingerprint, facts.isolation_ok, doors)
    if not facts.reaches_other:
        return drift
    message = f"isolation is broken: the role of {record.database} can enter {facts.probed}"
    if drift is not None:  # says which right it is that lets the role in
        return EngineError(f"{message}; {drift.message}", hint=drift.hint, code=Code.DRIFT)
    return EngineError(message, hint=f"REVOKE CONNECT ON DATABASE {facts.probed} FROM PUBLIC", code=Code.DRIFT)


def _facts(facts: HealthFacts) -> dict[str, object]:
    return {
        "bytes": facts.bytes,
        "connections": facts.connections,
        "fingerprint": facts.fingerprint,
        "isolation_probe": "refused" if facts.probed else "nobody to probe",
    }


def _failed(target: Target, error: BaseException, seconds: float = 0.0, facts: HealthFacts | None = None) -> Outcome:
    failure = Failure.of(error)
    measured = _facts(facts) if facts is not None and not facts.reaches_other else {}
    return Outcome(
        target=target, status=Status.ERROR, failure=failure, detail=failure.message, duration_seconds=seconds, facts=measured
    )
