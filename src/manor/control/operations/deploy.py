"""``manor multi-tenant deploy``: every declared database exists, is filled, locked down, recorded and proved."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from manor.control.audit import anchor_head
from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import AuditEvent, OperationRecord
from manor.control.operations.fleet import Fleet, with_created
from manor.control.operations.heads import Past, at_heads, migrating
from manor.control.operations.survey import take_survey
from manor.control.provision.plan import Rules, ServerLook, Survey, large_change, plan_provision, without_unmade
from manor.control.registry.acted_on import refuse_unsafe
from manor.control.rollout.alone import still_alone
from manor.control.rollout.finish import finish
from manor.control.rollout.goldens import ensure_goldens, retire_goldens, unused_goldens
from manor.control.rollout.hooks import HookRunner
from manor.control.rollout.provision import Golden, Limits, WaveBuilder
from manor.control.rollout.provision_hooks import ProvisionHooks
from manor.control.rollout.recover import forget_unmade, recover
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.release.swap_recovery import drop_expired
from manor.control.rollout.remember import remember_servers
from manor.control.rollout.report import Report
from manor.control.rollout.retry import retrying, until_recorded
from manor.control.rollout.verify import verify_all
from manor.control.rollout.warm_pool import fill_pool, trim_pool
from manor.control.rollout.waves import waves
from manor.control.runtime import Runtime
from manor.control.steps import Action, Failure, Outcome, Plan, Status, Step, Target
from manor.errors import Code, ManorError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployRequest:
    """What the command line or the API asks for."""

    group: str | None = None
    limit: int | None = None
    only: str | None = None
    """Full id of the one tenant that this is about."""
    verb: str = "deploy"
    taken_back: Status = Status.ERROR
    """How a target ends that failed after it was begun, and of which nothing is left."""
    parallel: int | None = None
    plan_digest: str | None = None
    allow_large_change: bool = False
    recreate_missing: bool = False
    lock_wait_seconds: float = 10.0


async def deploy(runtime: Runtime, fleet: Fleet, request: DeployRequest) -> Report:
    """Act. Raises ``RefusedError`` before anything is changed; afterwards every target has its outcome in the report."""
    refuse_unsafe(fleet.resolution.refusals)
    fleet = await with_created(runtime, fleet)
    began, started_at = time.monotonic(), runtime.now()
    wait_seconds = request.lock_wait_seconds
    async with runtime.catalog.lock(FLEET_LOCK, wait_seconds=wait_seconds, holder=runtime.operation) as lock:
        await runtime.catalog.confirm_key()
        runtime = replace(runtime, still_alone=still_alone(runtime, lock))
        await settle_all(runtime)
        await drop_expired(runtime)
        await recover(runtime)
        survey = await take_survey(runtime)
        survey, unmade = without_unmade(survey, fleet.source.shown_as, fleet.declared_of(survey.records.values()))
        past = await Past.read(runtime, survey.records.values())
        fleet, new_heads = at_heads(fleet, past, survey.records.values())
        plan = make_plan(fleet, survey, request)
        check_plan(plan, survey, _rules(fleet, request), request)
        runtime.telemetry.emit("operation.planned", runtime.operation, targets=len(plan.steps), actions=plan.count())
        await _begin(runtime, fleet, plan, started_at, request.verb)
        await forget_unmade(runtime, unmade)
        await remember_servers(runtime, survey.records.values())
        await runtime.catalog.put_new_heads(runtime.operation, new_heads)
        outcomes = await carry_out(runtime, fleet, plan, survey, limits_of(fleet, request), request.taken_back)
        notices = await _refill(runtime, fleet, survey, outcomes)
        notices += await _retire(runtime, fleet)
        report = Report(
            operation=runtime.operation,
            verb=request.verb,
            digest=plan.digest,
            source=fleet.source.shown_as,
            started_at=started_at,
            duration_seconds=time.monotonic() - began,
            outcomes=tuple(outcomes),
            orphans=plan.orphans,
            notices=(*notices_of(fleet), *notices),
        )
        return replace(report, problems=await _end(runtime, report))


async def dry_run(runtime: Runtime | None, fleet: Fleet, request: DeployRequest) -> Report:
    """Look and plan only. ``runtime`` is None where there is no server and no catalog yet: everything would be created.

    Raises ``RefusedError`` where the plan is not the one of ``request.plan_digest``.
    """
    if runtime is not None:
        fleet = await with_created(runtime, fleet)
    survey = await take_survey(runtime) if runtime is not None else empty_survey(fleet)
    survey, _ = without_unmade(survey, fleet.source.shown_as, fleet.declared_of(survey.records.values()))
    past = await Past.read(runtime, survey.records.values()) if runtime is not None else Past()
    fleet, _ = at_heads(fleet, past, survey.records.values())
    plan = make_plan(fleet, survey, request)
    check_digest(plan, request)
    outcomes = [_planned_outcome(step) for step in plan.steps]
    guard = large_change(plan, survey, _rules(fleet, request))
    return Report(
        operation=runtime.operation if runtime is not None else "",
        verb=request.verb,
        dry_run=True,
        digest=plan.digest,
        source=fleet.source.shown_as,
        outcomes=tuple(outcomes),
        orphans=plan.orphans,
        notices=(
            *notices_of(fleet),
            *(f"deploy would be refused: {f.message}" for f in fleet.resolution.refusals),
            *([f"deploy would be refused without --allow-large-change: {guard.message}"] if guard else []),
            *(["there is no catalog yet: no server was looked at"] if runtime is None else []),
        ),
    )


def empty_survey(fleet: Fleet) -> Survey:
    """What is seen where nothing is there yet."""
    nothing = ServerLook(databases={}, roles=frozenset())
    return Survey(catalog="", records={}, servers=dict.fromkeys(fleet.source.deployments, nothing))


def make_plan(fleet: Fleet, survey: Survey, request: DeployRequest) -> Plan:
    """The plan for the selected targets. Pure but for its arguments."""
    targets = fleet.select(group=request.group, limit=request.limit, only=request.only)
    wanted = [target for target in targets if str(target.tenant) not in fleet.aside]
    declared = fleet.declared_of(survey.records.values())
    plan = plan_provision(wanted, fleet.templates, survey, _rules(fleet, request), declared=declared)
    aside = (step for target in targets if (step := fleet.aside.get(str(target.tenant))) is not None)
    return (
        replace(plan, steps=tuple(sorted((*plan.steps, *aside), key=lambda step: step.target.order))) if fleet.aside else plan
    )


def check_plan(plan: Plan, survey: Survey, rules: Rules, request: DeployRequest) -> None:
    """Raise ``RefusedError`` if the plan is not the reviewed one, or changes more than may change unasked."""
    check_digest(plan, request)
    change = large_change(plan, survey, rules)
    if change is not None and not request.allow_large_change:
        raise RefusedError(change.message, hint="--allow-large-change if this is meant")


def check_digest(plan: Plan, request: DeployRequest) -> None:
    """Raise ``RefusedError`` if the plan is not the reviewed one."""
    if request.plan_digest is not None and request.plan_digest != plan.digest:
        raise RefusedError(
            f"the plan is {plan.digest[:12]}…, not the reviewed {request.plan_digest[:12]}…",
            hint="something changed since the review: look again with --dry-run",
        )


def limits_of(fleet: Fleet, request: DeployRequest) -> Limits:
    """``operations.batch_settings``, the command line's word first."""
    batch = fleet.registry.operations.batch_settings
    return Limits(
        parallel=request.parallel or batch.max_parallel,
        timeout_seconds=float(batch.timeout_seconds),
        attempts=1 + batch.retry_attempts,
    )


def hooks_of(runtime: Runtime, fleet: Fleet) -> HookRunner:
    """The registry's hooks; false where it names none."""
    source = fleet.source
    return HookRunner.of_registry(
        fleet.registry, folder=source.registry.parent, project=source.project, telemetry=runtime.telemetry
    )


def notices_of(fleet: Fleet) -> tuple[str, ...]:
    """What must be said once: keys that nothing acts on yet."""
    keys = fleet.resolution.not_acted_on
    return (f"accepted, not acted on yet: {', '.join(keys)}",) if keys else ()


def _rules(fleet: Fleet, request: DeployRequest) -> Rules:
    operations = fleet.registry.operations
    return Rules(
        source=fleet.source.shown_as,
        auto_create=operations.provisioning.auto_create_on_deploy,
        recreate_missing=request.recreate_missing,
        max_change_percent=float(operations.max_change_percent),
    )


async def _begin(runtime: Runtime, fleet: Fleet, plan: Plan, started_at: dt.datetime, verb: str) -> None:
    record = OperationRecord(
        id=runtime.operation,
        verb=verb,
        state="running",
        source=fleet.source.shown_as,
        digest=plan.digest,
        started_at=started_at,
        actor=runtime.actor,
        arguments=plan.count(),
    )
    event = AuditEvent(actor=runtime.actor, action="deploy.begin", subject=fleet.source.shown_as, details=plan.count())
    await runtime.catalog.begin_operation(record, audit=[event])
    runtime.telemetry.emit("operation.started", runtime.operation, fleet.source.shown_as)


async def _end(runtime: Runtime, report: Report) -> tuple[Failure, ...]:
    """Record and anchor the end. What fails here is returned: the targets are done, and their report must appear."""
    try:
        await _record_end(runtime, report)
    except ManorError as error:
        return (Failure.of(error),)
    return ()


async def _record_end(runtime: Runtime, report: Report) -> None:
    await runtime.still_alone()
    state = "succeeded" if report.exit_code == 0 else "failed"
    event = AuditEvent(actor=runtime.actor, action="deploy.end", subject=report.source, details=report.summary)
    await until_recorded(
        runtime, lambda: runtime.catalog.finish_operation(runtime.operation, state=state, summary=report.summary, audit=[event])
    )
    runtime.telemetry.emit("operation.recorded", runtime.operation, report.source, state=state)
    await until_recorded(runtime, lambda: anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation))
    runtime.telemetry.emit("audit.anchored", runtime.operation, report.source)
    runtime.telemetry.emit("operation.ended", runtime.operation, report.source, state=state)


async def carry_out(
    runtime: Runtime, fleet: Fleet, plan: Plan, survey: Survey, limits: Limits, taken_back: Status = Status.ERROR
) -> list[Outcome]:
    """Every step of the plan, and an outcome for each, in the registry's order."""
    by_action = {action: [s for s in plan.steps if s.action is action] for action in Action}
    outcomes = [_planned_outcome(step) for step in (*by_action[Action.SKIP], *by_action[Action.CONFLICT])]
    await _journal(runtime, outcomes)
    hooks = hooks_of(runtime, fleet)
    outcomes += await _finish(runtime, fleet, by_action[Action.FINISH], survey, limits, hooks)
    there = {str(step.target.tenant): step for step in by_action[Action.VERIFY]}
    claimed = await until_recorded(runtime, lambda: runtime.catalog.claims(there))
    claims = {claim.tenant: claim.operation for claim in claimed}
    verified = [_claimed(there[tenant], operation) for tenant, operation in claims.items()]
    verified += await verify_all(
        runtime,
        runtime.servers,
        [step for tenant, step in there.items() if tenant not in claims],
        survey.records,
        parallel=limits.parallel,
        timeout_seconds=limits.timeout_seconds,
        digests={name: template.digest for name, template in fleet.templates.items()},
    )
    await _journal(runtime, verified)
    outcomes += verified
    outcomes += await _create(runtime, fleet, by_action[Action.CREATE], limits, hooks, taken_back)
    return sorted(outcomes, key=lambda o: o.target.order)


async def _goldens(runtime: Runtime, fleet: Fleet, server: str, recipe: str) -> dict[str, Golden]:
    """A template's golden on a server, at its release."""
    migrate = migrating(runtime, fleet.released)
    return await ensure_goldens(runtime, runtime.servers[server], [fleet.templates[recipe]], migrate)


async def _journal(runtime: Runtime, outcomes: Sequence[Outcome]) -> None:
    if outcomes:
        await until_recorded(runtime, lambda: runtime.catalog.record_results(runtime.operation, outcomes, ready=[], audit=[]))


async def _finish(
    runtime: Runtime, fleet: Fleet, steps: Sequence[Step], survey: Survey, limits: Limits, hooks: HookRunner
) -> list[Outcome]:
    """The hooks before them ran in the operation that made them; those after did not come to it."""
    finished = await finish(runtime, steps, survey, fleet.templates, source=fleet.source.shown_as)

    async def url(target: Target) -> str:
        return (await runtime.catalog.urls([target.tenant]))[target.tenant]

    return await ProvisionHooks(runtime, hooks, parallel=limits.parallel).after(finished, url)


async def _create(
    runtime: Runtime, fleet: Fleet, steps: Sequence[Step], limits: Limits, hooks: HookRunner, taken_back: Status
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    goldens: dict[str, dict[str, Golden]] = {}
    broken: dict[tuple[str, str], ManorError] = {}
    for server, recipe in sorted({(s.target.server, s.target.recipe) for s in steps}):
        if runtime.stop.requested:
            break
        try:
            built = await retrying(
                lambda: _goldens(runtime, fleet, server, recipe),  # noqa: B023 - awaited at once
                attempts=limits.attempts,
            )
            goldens.setdefault(server, {}).update(built)
        except ManorError as error:
            broken[server, recipe] = error
    buildable = [s for s in steps if (s.target.server, s.target.recipe) not in broken]
    refused = [_golden_failed(s, broken[s.target.server, s.target.recipe]) for s in steps if s not in buildable]
    await _journal(runtime, refused)
    outcomes += refused
    for wave in waves(buildable):
        if runtime.stop.requested:
            waiting = [_not_begun(step) for step in wave]
            await _journal(runtime, waiting)
            outcomes += waiting
            continue
        server = wave[0].target.server
        runtime.telemetry.emit("wave.started", runtime.operation, server, targets=len(wave))
        builder = WaveBuilder(
            runtime, runtime.servers[server], limits, source=fleet.source.shown_as, hooks=hooks, taken_back=taken_back
        )
        outcomes += await builder.build(wave, dict(fleet.templates), goldens[server])
    return outcomes


def _claimed(step: Step, operation: str) -> Outcome:
    """Its schema is between two versions just now."""
    detail = f"exists; operation {operation} is releasing it, so nothing was compared"
    return Outcome(target=step.target, status=Status.SKIPPED, detail=detail)


def _not_begun(step: Step) -> Outcome:
    return Outcome(target=step.target, status=Status.NOT_STARTED, detail="stopped before it was begun")


def _golden_failed(step: Step, error: ManorError) -> Outcome:
    failure = Failure(
        code=error.code,
        message=f"the golden database of template {step.target.template} cannot be built: {error}",
        hint=error.hint or "correct the template's tables or rows",
    )
    return Outcome(target=step.target, status=Status.ERROR, failure=failure, detail=failure.message)


def _planned_outcome(step: Step) -> Outcome:
    """What a step is before, or without, being acted on."""
    if step.action is Action.CONFLICT:
        failure = Failure(code=Code.CONFLICT, message=step.reason, hint=step.hint)
        return Outcome(target=step.target, status=Status.ERROR, failure=failure, detail=step.reason)
    if step.action in {Action.SKIP, Action.VERIFY}:
        return Outcome(target=step.target, status=Status.SKIPPED, detail=step.reason)
    return Outcome(target=step.target, status=Status.PENDING, detail=step.reason or f"would {step.action}")


async def _retire(runtime: Runtime, fleet: Fleet) -> list[str]:
    """Drop the goldens that were of use before this deploy and no longer are. A failure here is a notice."""
    declared = {template.digest for template in fleet.templates.values()}
    notices: list[str] = []
    for name, server in runtime.servers.items() if not runtime.stop.requested else ():
        try:
            recorded = await runtime.catalog.goldens(name)
            present = await server.databases()
            # In this order, and all of it afresh: releases build goldens that no tenant has come to yet, also during a deploy.
            if await runtime.catalog.running_releases():
                break
            used = declared | {record.golden for record in await runtime.catalog.databases()}
            unused = unused_goldens(present, recorded, runtime.catalog.id, used)
            await retire_goldens(runtime, server, unused)
        except ManorError as error:
            notices.append(f"a golden database on {name} that nothing needs could not be dropped: {error}")
    return notices


async def _refill(runtime: Runtime, fleet: Fleet, survey: Survey, outcomes: Sequence[Outcome]) -> list[str]:
    """Bring the warm pools of the templates in use to their size; schemas of one tenant's own have none. A failure here is a
    notice: every target already has its outcome."""
    foreign = {record.golden for record in survey.records.values() if record.source != fleet.source.shown_as}
    size = fleet.registry.operations.provisioning.warm_pool
    well = [o.target for o in outcomes if o.status in (Status.SUCCESS, Status.SKIPPED)]
    usable = [target for target in well if str(target.tenant) not in fleet.aside]
    in_use = {(target.server, target.template) for target in usable if not target.variant}
    notices: list[str] = []
    for server, name in sorted(in_use) if not runtime.stop.requested else ():
        template = fleet.templates[name]
        try:
            await trim_pool(runtime, runtime.servers[server], name, template.digest, size, foreign=foreign)
            if not size or not template.deployment:
                continue
            goldens = await _goldens(runtime, fleet, server, name)
            made = await fill_pool(runtime, runtime.servers[server], name, goldens[name], size)
        except ManorError as error:
            notices.append(f"the warm pool of template {name} on {server} is not full: {error}")
            continue
        if made:
            notices.append(f"warm pool of template {name} on {server}: {made} made, {size} waiting")
    return notices
