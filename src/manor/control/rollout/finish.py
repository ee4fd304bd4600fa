"""Records databases that are complete on the server and that the catalog has not heard of: an operation died in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.driver import Login, ServerDriver
from manor.control.provision.plan import Survey
from manor.control.rollout.provision import isolated_columns
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status, Step, Target
from manor.control.templates.model import Template
from manor.errors import ManorError


async def finish(
    runtime: Runtime,
    steps: Sequence[Step],
    survey: Survey,
    templates: Mapping[str, Template],
    *,
    source: str,
) -> list[Outcome]:
    """One outcome per step. The password that the intent recorded is set again: it is the only one that anybody knows."""
    outcomes = []
    for step in steps:
        await runtime.still_alone()
        try:
            outcomes.append(await _finish(runtime, step, survey, templates, source))
        except ManorError as error:
            failure = Failure.of(error)
            outcomes.append(Outcome(target=step.target, status=Status.ERROR, failure=failure, detail=failure.message))
        runtime.telemetry.emit("target.ended", runtime.operation, str(step.target.tenant), status=str(outcomes[-1].status))
    return outcomes


async def _finish(runtime: Runtime, step: Step, survey: Survey, templates: Mapping[str, Template], source: str) -> Outcome:
    target = step.target
    server = runtime.servers[target.server]
    login = Login(role=target.database, password=runtime.new_password())
    known = survey.records.get(str(target.tenant)) or await _unrecorded(
        server, target, survey, templates[target.recipe], source
    )
    complete = replace(known, url=server.url(target.database, login))
    await until_recorded(runtime, lambda: runtime.catalog.record_intent([complete], runtime.operation))
    runtime.telemetry.emit("target.intent", runtime.operation, str(target.tenant))
    await server.set_password(login, target.database)
    runtime.telemetry.emit("target.unlocked", runtime.operation, str(target.tenant))
    outcome = Outcome(target=target, status=Status.SUCCESS, detail="finished what an earlier run had built")
    event = AuditEvent(
        actor=runtime.actor,
        action="database.create",
        subject=str(target.tenant),
        details={"database": target.database, "server": target.server, "finished": True},
    )
    await until_recorded(
        runtime, lambda: runtime.catalog.record_results(runtime.operation, [outcome], ready=[complete], audit=[event])
    )
    runtime.telemetry.emit("target.recorded", runtime.operation, str(target.tenant))
    return outcome


async def _unrecorded(server: ServerDriver, target: Target, survey: Survey, template: Template, source: str) -> DatabaseRecord:
    """A record for a database that only its own marker speaks of."""
    isolation = isolated_columns(template, target.variables)
    fingerprint, _ = await server.fingerprint(target.database, isolation)
    marker = survey.servers[target.server].databases[target.database].marker
    return DatabaseRecord(
        tenant=target.tenant,
        database=target.database,
        server=target.server,
        group=target.group,
        template=target.template,
        state="pending",
        role=target.database,
        golden=marker.digest if marker else template.digest,
        version=template.version if marker is None or marker.digest == template.digest else "",
        fingerprint=fingerprint,
        source=source,
        name=target.database,
        config={"isolation": [[i.table, i.column, i.value] for i in isolation]},
        variables=target.variables,
    )
