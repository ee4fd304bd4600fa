"""Proves that databases which exist are what their goldens were: one connection and one query each, nothing changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import IsolatedColumn, RoleFault, ServerDriver
from manor.control.rollout.retry import retrying
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status, Step
from manor.errors import Code, EngineError, ManorError

Doors = Mapping[str, "Mapping[str, RoleFault] | ManorError"]
"""By server: faults by role, or why nobody could look."""


def recorded_isolation(config: Mapping[str, Any]) -> tuple[IsolatedColumn, ...]:
    """The isolated columns as they were when the database was made."""
    return tuple(IsolatedColumn(table=t, column=c, value=v) for t, c, v in config.get("isolation", ()))


async def verify_all(
    runtime: Runtime,
    servers: Mapping[str, ServerDriver],
    steps: Sequence[Step],
    records: Mapping[str, DatabaseRecord],
    *,
    parallel: int,
    timeout_seconds: float,
    digests: Mapping[str, str],
) -> list[Outcome]:
    """One outcome per step, in order: skipped with proof, or an error that says what is wrong. A look that takes longer than
    ``timeout_seconds`` (a tenant may hold a lock on its table) is an error too.

    ``digests`` holds the current digest of each template, to tell an old schema from a drifted one.
    """
    slots = asyncio.Semaphore(parallel)
    doors = await look_at_roles(servers, [records[str(step.target.tenant)] for step in steps])

    async def one(step: Step) -> Outcome:
        async with slots:
            if runtime.stop.requested:
                return Outcome(target=step.target, status=Status.NOT_STARTED, detail="stopped before it was begun")
            record = records[str(step.target.tenant)]
            outcome = await _verify(
                servers[record.server],
                step,
                record,
                digests.get(step.target.template, ""),
                doors=doors,
                timeout_seconds=timeout_seconds,
            )
        runtime.telemetry.emit("target.ended", runtime.operation, str(step.target.tenant), status=str(outcome.status))
        return outcome

    return list(await asyncio.gather(*(one(step) for step in steps)))


async def look_at_roles(servers: Mapping[str, ServerDriver], records: Iterable[DatabaseRecord]) -> Doors:
    """What is wrong with the roles of recorded databases: one query per server."""
    by_server: dict[str, dict[str, str]] = {}
    for record in records:
        by_server.setdefault(record.server, {})[record.role] = record.database
    doors: dict[str, Mapping[str, RoleFault] | ManorError] = {}
    for name, roles in by_server.items():
        if name in servers:
            doors[name] = await _role_faults(servers[name], roles)
    return doors


async def _role_faults(server: ServerDriver, roles: Mapping[str, str]) -> Mapping[str, RoleFault] | ManorError:
    try:
        return await retrying(lambda: server.role_faults(roles), attempts=2)
    except ManorError as error:
        return error


def explained(record: DatabaseRecord, error: ManorError, doors: Doors) -> ManorError:
    """Why a tenant's own role could not look: what is wrong with the role, where that is known."""
    fault = faults.get(record.role) if not isinstance(faults := doors.get(record.server, {}), ManorError) else None
    if fault is None:
        return error
    return EngineError(f"database {record.database}: {fault.message} ({error})", hint=fault.hint, code=Code.DRIFT)


def _fault_of(record: DatabaseRecord, doors: Doors) -> RoleFault | None:
    faults = doors.get(record.server, {})
    if isinstance(faults, ManorError):
        raise faults
    return faults.get(record.role)


async def _verify(
    server: ServerDriver, step: Step, record: DatabaseRecord, digest: str, *, doors: Doors, timeout_seconds: float
) -> Outcome:
    began = time.monotonic()
    isolation = recorded_isolation(record.config)
    try:
        async with asyncio.timeout(timeout_seconds):
            fingerprint, isolated = await retrying(lambda: server.fingerprint(record.database, isolation), attempts=2)
        problem = drift_problem(record, fingerprint, isolated, doors)
        if problem is not None:
            raise problem
    except (ManorError, TimeoutError) as caught:
        error = caught if isinstance(caught, ManorError) else too_long(record, timeout_seconds)
        failure = Failure.of(error)
        seconds = time.monotonic() - began
        return Outcome(
            target=step.target, status=Status.ERROR, failure=failure, detail=failure.message, duration_seconds=seconds
        )
    remark = "exists, fingerprint verified"
    if digest and record.golden != digest:
        remark = "exists, verified against the earlier schema it was made from; the template has changed since"
    return Outcome(
        target=step.target,
        status=Status.SKIPPED,
        detail=remark,
        duration_seconds=time.monotonic() - began,
        facts={"fingerprint": fingerprint},
    )


def too_long(record: DatabaseRecord, seconds: float) -> EngineError:
    """What is said of a look that was broken off."""
    return EngineError(
        f"database {record.database} could not be looked at within {seconds:g} s",
        hint="does a session hold a lock on one of its tables?",
        code=Code.TIMEOUT,
    )


def drift_problem(record: DatabaseRecord, fingerprint: str, isolated: bool, doors: Doors) -> EngineError | None:
    """All that is wrong with a database whose fingerprint was just taken, or None. Raises what kept roles from being seen."""
    fault = _fault_of(record, doors)
    messages = [fault.message] if fault else []
    if not isolated:
        messages.append("the value of an isolated column is not this tenant's")
    if fingerprint != record.fingerprint:
        messages.append("its schema is not the one it was made with")
    if not messages:
        return None
    hint = fault.hint if fault else "`manor tenant show TENANT --drift` lists the differences"
    return EngineError(f"database {record.database}: {'; '.join(messages)}", hint=hint, code=Code.DRIFT)
