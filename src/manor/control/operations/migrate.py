"""``manor tenant migrate``, ``manor batch deploy-schema``: a release goes through the fleet, by the chosen strategy."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manor.control.catalog.records import AuditEvent, OperationRecord
from manor.control.migrate.cohort import migration_from, script_json
from manor.control.migrate.history import Chain
from manor.control.migrate.model import Migration
from manor.control.migrate.plan import Wanted, lone_only, plan_release
from manor.control.operations.release_draft import (
    Draft,
    Selection,
    arrange,
    course_of,
    held_back,
    judge,
    pins_of,
    refuse_closed,
    refuse_errors,
    refuse_troubles,
    refuse_unknown_names,
    refuse_unpreparable,
    select,
    strategy_for,
)
from manor.control.operations.release_report import Ended, report_of
from manor.control.operations.release_servers import not_needed, refuse_away, refuse_unknown_servers
from manor.control.operations.release_sources import ReleaseSources
from manor.control.operations.verify_heads import VerifiedHeads, refuse_astray, verify_heads
from manor.control.rollout.alone import release_still_alone
from manor.control.rollout.hooks import HookRunner
from manor.control.rollout.release.capacity import Room, look_for_room, refuse_without_room
from manor.control.rollout.release.gate import GATE
from manor.control.rollout.release.move import UPDATE_KINDS
from manor.control.rollout.release.settle import release_lock, settle_all
from manor.control.rollout.release.swap_recovery import drop_expired
from manor.control.rollout.report import Report
from manor.control.rollout.strategy import Kind, Overrides
from manor.control.runtime import Runtime
from manor.errors import InputError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateRequest:
    """What the command line or the API asks for."""

    selection: Selection
    strategy: str | None = None
    overrides: Overrides = field(default_factory=Overrides)
    to: str | None = None
    baseline: str | None = None
    """Up to this version nothing is run, only recorded (``migration baseline``); None: what each registry says."""
    allow_out_of_order: bool = False
    parallel: int | None = None
    migration: Migration | None = None
    """One migration for all chosen tenants, whatever their folders hold (``batch deploy-schema``)."""
    plan_digest: str | None = None
    backup_first: bool = False
    """Copy each database before it is changed; ``backup_before_update`` of a registry asks for it too."""
    verify: bool = False
    """Look into every chosen database first, instead of believing the catalog."""
    verb: str = "migrate"
    parent: str = ""
    """The operation that this one retries."""

    def options(self) -> dict[str, Any]:
        """What was said beyond the strategy and the tenants, for the journal: ``with_options`` says it again."""
        said = {name: list(value) if isinstance(value, tuple) else value for name, value in self.overrides.said().items()}
        found = {
            "overrides": said,
            "to": self.to,
            "parallel": self.parallel,
            "allow_out_of_order": self.allow_out_of_order,
            "backup_first": self.backup_first,
            "baseline": self.baseline,
            "migration": [self.migration.version, self.migration.checksum] if self.migration else None,
        }
        return {name: value for name, value in found.items() if value}

    def with_options(self, options: Mapping[str, Any], migration: Migration | None) -> MigrateRequest:
        """The same with what ``options`` recorded. ``migration``: the one that it names."""
        return replace(
            self,
            overrides=Overrides(**options.get("overrides", {})),
            to=options.get("to"),
            parallel=options.get("parallel"),
            allow_out_of_order=bool(options.get("allow_out_of_order")),
            backup_first=bool(options.get("backup_first")),
            baseline=options.get("baseline"),
            migration=migration,
        )


async def migrate(runtime: Runtime, project: Path, request: MigrateRequest) -> Report:
    """Act. Raises before anything is changed for what cannot be released at all; afterwards every tenant has its outcome."""
    began, started_at = time.monotonic(), runtime.now()
    async with runtime.catalog.lock(release_lock(runtime.operation), wait_seconds=0, holder=runtime.operation) as lock:
        runtime = replace(runtime, still_alone=release_still_alone(runtime, lock))
        await runtime.catalog.confirm_key()
        notices = [f"operation {s.operation} had died: {s.state}" for s in await settle_all(runtime)]
        await drop_expired(runtime)
        seen = await verify_heads(runtime, request.selection, parallel=request.parallel) if request.verify else None
        draft = await draft_release(runtime, ReleaseSources(project), request, seen)
        check_digest(draft, request.plan_digest)
        draft = replace(draft, notices=(*draft.notices, *notices, *not_needed(runtime, draft)))
        return await _carry_out(runtime, project, draft, request, began, started_at)


async def carry_out_draft(runtime: Runtime, project: Path, draft: Draft, *, verb: str, parent: str) -> Report:
    """Act on a draft that was made otherwise. Raises as ``migrate``."""
    began, started_at = time.monotonic(), runtime.now()
    async with runtime.catalog.lock(release_lock(runtime.operation), wait_seconds=0, holder=runtime.operation) as lock:
        runtime = replace(runtime, still_alone=release_still_alone(runtime, lock))
        await runtime.catalog.confirm_key()
        request = MigrateRequest(selection=Selection(), verb=verb, parent=parent)
        return await _carry_out(runtime, project, draft, request, began, started_at)


async def _carry_out(
    runtime: Runtime, project: Path, draft: Draft, request: MigrateRequest, began: float, started_at: dt.datetime
) -> Report:
    await refuse_impossible(runtime, draft)
    runtime.telemetry.emit("operation.planned", runtime.operation, targets=len(draft.targets))
    ended: Ended | None = None
    if runtime.jobs is not None and draft.course.kind in (Kind.ATOMIC, Kind.BLUE_GREEN):
        note = f"a release by {draft.course.kind} is carried out here, not by workers"
        draft = replace(draft, notices=(*draft.notices, note))
    if draft.pending:
        for server in runtime.servers.values():
            server.limit(draft.course.conduct.parallel)
        from manor.control.operations.release_run import ReleaseRun  # all that acts: mostly there is nothing to do

        token = await begin(runtime, draft, request, started_at)
        run = ReleaseRun(
            runtime=runtime,
            token=token,
            course=draft.course,
            scripts=draft.scripts,
            records=draft.records,
            hooks=hooks_of(runtime, ReleaseSources(project), draft.sources, project),
        )
        ended = await run.carry_out(draft.targets)
    return report_of(
        runtime.operation if ended else "",
        draft,
        ended or Ended(state="nothing to do", targets=draft.targets),
        verb=request.verb,
        started_at=started_at,
        seconds=time.monotonic() - began,
    )


async def dry_run(runtime: Runtime, project: Path, request: MigrateRequest) -> Report:
    """Look and plan only. Raises as ``migrate`` does before it begins."""
    draft = await draft_release(runtime, ReleaseSources(project), request)
    check_digest(draft, request.plan_digest)
    room = await refuse_impossible(runtime, draft)
    return report_of(runtime.operation, draft, None, verb=request.verb, room=room)


async def draft_release(
    runtime: Runtime, sources: ReleaseSources, request: MigrateRequest, seen: VerifiedHeads | None = None
) -> Draft:
    """What would be done. ``seen``: what was found in the databases.

    Raises ``InvalidInput`` for folders, histories and migrations that cannot be right.
    """
    if request.to == "":
        raise InputError("--to names no version", hint="leave it out to release everything")
    everything = await runtime.catalog.databases()
    selected = select(everything, request.selection)
    sources.refuse_unsafe(record.source for record in selected)
    strategy = strategy_for(sources, selected, request.strategy, request.overrides)
    refuse_unknown_names(strategy, everything)
    lineages = await runtime.catalog.lineages(record.golden for record in everything)
    extra = await _recorded_scripts(runtime, [row for lineage in lineages.values() for row in lineage.history])
    chains = sources.chains((record.source, record.template) for record in selected)
    if request.migration is not None:
        chains = {place: _only(request.migration) for place in chains}
    else:
        extra = lone_only(extra, sources.shown_folders(chains))
    wanted = Wanted(
        to=request.to,
        pins=pins_of(strategy, everything),
        baseline=sources.baselines()
        if request.baseline is None
        else dict.fromkeys({r.source for r in selected}, request.baseline),
        allow_out_of_order=request.allow_out_of_order,
    )
    astray = seen.astray if seen is not None else {}
    ready = [r for r in selected if r.state == "ready" and str(r.tenant) not in astray]
    plan = plan_release(ready, chains, lineages, wanted, extra=extra)
    refuse_troubles(plan)
    held = held_back(strategy, everything, bool(request.selection.tenants))
    targets, soak = arrange(selected, plan, strategy, held=held, pins=wanted.pins)
    if seen is not None:
        targets = seen.told(targets)
        refuse_astray(seen, strategy.kind)
    operations = [sources.source(s).registry.operations for s in sorted({r.source for r in selected})]
    batches = [one.batch_settings for one in operations]
    course = course_of(
        strategy,
        plan,
        soak,
        parallel=request.parallel or min((b.max_parallel for b in batches), default=10),
        attempts=1 + max((b.retry_attempts for b in batches), default=3),
        timeout=float(max((b.timeout_seconds for b in batches), default=300)),
        total=sum(target.status == "pending" for target in targets),
        snapshot=request.backup_first or any(one.provisioning.backup_before_update for one in operations),
        protected=held | frozenset(wanted.pins),
    )
    return Draft(
        course=course,
        targets=targets,
        records={str(record.tenant): record for record in everything},
        scripts=plan.scripts,
        hits=judge(plan.cohorts, plan.scripts),
        sources=tuple(sorted({record.source for record in selected})),
        notices=("no tenant matches --filter",) if request.selection.search is not None and not selected else (),
    )


def _only(migration: Migration) -> Chain:
    """A chain in which nothing is new but ``migration``: what the tenants have seen is found by their lineages."""
    return Chain.of([migration])


async def _recorded_scripts(runtime: Runtime, rows: Sequence[tuple[str, str, str]]) -> Mapping[tuple[str, str], Migration]:
    found = await runtime.catalog.scripts({checksum for _, checksum, _ in rows})
    return {key: migration_from(key[0], body) for key, body in found.items()}


def check_digest(draft: Draft, reviewed: str | None) -> None:
    """Raise ``RefusedError`` if the plan is not the reviewed one."""
    if reviewed is not None and reviewed != draft.digest:
        raise RefusedError(
            f"the plan is {draft.digest[:12]}…, not the reviewed {reviewed[:12]}…",
            hint="something changed since the review: look again with --dry-run",
        )


async def refuse_impossible(runtime: Runtime, draft: Draft) -> Mapping[str, Room]:
    """Raise for what would fail for all: errors that the lint finds, and for all or none what cannot be prepared."""
    refuse_unknown_servers(runtime, draft)
    refuse_errors(draft.hits)
    if draft.course.kind is not Kind.ATOMIC or not draft.pending:
        return {}
    refuse_unpreparable(draft.course.cohorts, draft.scripts)
    refuse_closed(draft, runtime.now())
    refuse_away(runtime, draft)
    room = await look_for_room(runtime.servers, [target.server for target in draft.pending])
    refuse_without_room(room)
    return room


async def begin(runtime: Runtime, draft: Draft, request: MigrateRequest, started_at: dt.datetime) -> int:
    """Write the release into the journal and claim its tenants; returns its token."""
    source = ", ".join(draft.sources)
    record = OperationRecord(
        id=runtime.operation,
        verb=request.verb,
        state="running",
        source=source,
        digest=draft.digest,
        started_at=started_at,
        actor=runtime.actor,
        arguments={"strategy": str(draft.course.kind), "release": draft.course.label, "options": request.options()},
    )
    details = {"strategy": str(draft.course.kind), "targets": len(draft.pending), "release": draft.course.label}
    event = AuditEvent(actor=runtime.actor, action="release.begin", subject=runtime.operation, details=details)
    token = await runtime.catalog.begin_release(
        record,
        lock=release_lock(runtime.operation),
        plan=draft.course.to_json(),
        targets=draft.targets,
        scripts=[script_json(migration) for migration in draft.scripts.values()],
        parent=request.parent,
        audit=[event],
    )
    runtime.telemetry.emit("operation.started", runtime.operation, source)
    return token


def hooks_of(runtime: Runtime, sources: ReleaseSources, names: Sequence[str], project: Path) -> dict[str, HookRunner]:
    """The programs that each registry has run around its updates and as checks of a health gate."""
    found = {}
    for name in names:
        source = sources.source(name)
        registry = source.registry
        strategy = registry.deployment_strategy
        runner = HookRunner(
            folder=source.folder,
            project=project,
            hooks={
                **{kind: getattr(registry.hooks, kind) for kind in UPDATE_KINDS},
                GATE: strategy.health_gate.scripts if strategy else (),
            },
            timeout_seconds=float(registry.operations.batch_settings.timeout_seconds),
            telemetry=runtime.telemetry,
        )
        if runner:
            found[name] = runner
    return found
