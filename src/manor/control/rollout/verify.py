"""Proves that databases which exist are what their goldens were: one connection and one query each, nothing changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import IsolatedColumn, ServerDriver
from manor.control.rollout.doors import Doors, look_at_doors
from manor.control.rollout.retry import retrying
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status, Step
from manor.errors import Code, EngineError, ManorError


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

    ``digests`` holds the current digest of each recipe, to tell an old schema from a drifted one.
    """
    slots = asyncio.Semaphore(parallel)
    doors = await look_at_doors(servers, [records[str(step.target.tenant)] for step in steps])

    async def one(step: Step) -> Outcome:
        async with slots:
            if runtime.stop.requested:
                return Outcome(target=step.target, status=Status.NOT_STARTED, detail="stopped before it was begun")
            record = records[str(step.target.tenant)]
            outcome = await _verify(
                servers[record.server],
                step,
                record,
                digests.get(step.target.recipe, ""),
                doors=doors,
                timeout_seconds=timeout_seconds,
            )
        runtime.telemetry.emit("target.ended", runtime.operation, str(step.target.tenant), status=str(outcome.status))
        return outcome

    return list(await asyncio.gather(*(one(step) for step in steps)))


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
    remark = "exists, fingerprint verified" if record.is_active else "exists, suspended: nobody may enter; fingerprint verified"
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
    fault = doors.fault_of(record)
    messages = [fault.message] if fault else []
    if not isolated:
        messages.append("the value of an isolated column is not this tenant's")
    if fingerprint != record.fingerprint:
        messages.append("its schema is not the one it was made with")
    if not messages:
        return None
    hint = fault.hint if fault else "`manor tenant show TENANT --drift` lists the differences"
    return EngineError(f"database {record.database}: {'; '.join(messages)}", hint=hint, code=Code.DRIFT)
