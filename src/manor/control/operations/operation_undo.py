"""``manor operation retry|undo``: a new release about exactly the tenants that another one left, or changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manor.control.catalog.kept import KeptRecord
from manor.control.catalog.records import DatabaseRecord, ReleaseRecord, TargetRecord
from manor.control.migrate.cohort import Cohort, Scripts, StepPlan
from manor.control.migrate.model import Migration
from manor.control.migrate.plan import ReleasePlan
from manor.control.operations.migrate import MigrateRequest, carry_out_draft, migrate
from manor.control.operations.operation_put_back import NothingChanged, refuse_where_forbidden
from manor.control.operations.operation_resume import scripts_of, snapshots_of
from manor.control.operations.release_draft import Draft, Selection, arrange, label_of
from manor.control.operations.release_sources import ReleaseSources
from manor.control.rollout.release.course import Course
from manor.control.rollout.release.settle import release_lock
from manor.control.rollout.release.switch_back import cohort_back
from manor.control.rollout.release.whose import is_changed_by_its_release
from manor.control.rollout.report import Report
from manor.control.rollout.strategy import Kind, Strategy
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import Finding, InvalidInput, RefusedError, counted

LEFT = frozenset({"error", "not_started", "rolled_back", "needs_decision", "pending", "in_progress"})


async def retry(runtime: Runtime, project: Path, operation: str) -> Report:
    """Release again, by the same strategy, what an operation left; tenants that it changed are not touched."""
    release = await _ended(runtime, operation)
    targets = await runtime.catalog.operation_targets(operation)
    left = tuple(target.tenant for target in targets if target.status in LEFT)
    if not left:
        raise RefusedError(f"operation {operation} left nothing: all its targets are done")
    course = Course.from_json(release.plan)
    if course.undoes:
        undone = await _undone(runtime, release)
        return await undo(runtime, project, undone, only=frozenset(left), parent=operation)
    options = release.operation.arguments.get("options", {})
    named = tuple(options.get("migration") or ())
    scripts = await scripts_of(runtime, course) if named else {}
    request = MigrateRequest(
        selection=Selection(tenants=left), strategy=str(course.kind), verb=release.operation.verb, parent=operation
    )
    return await migrate(runtime, project, request.with_options(options, scripts[named] if named else None))


async def undo(
    runtime: Runtime,
    project: Path,
    operation: str,
    *,
    discard_writes: bool = False,
    only: frozenset[str] | None = None,
    parent: str = "",
) -> Report:
    """Take back what a release did, for exactly the tenants that it changed: by switching back to the databases that it kept
    (blue-green; or snapshots, where there is no down section), else by the migrations' down sections. An undo is taken back by
    switching again, and by nothing else. Who stands between two versions is not of them: see ``operation_put_back``.

    Raises ``InvalidInput`` where there is neither, ``RefusedError`` where later releases stand upon this one, or where an undo
    kept nothing: then nothing is touched. ``discard_writes``: switch back also where somebody has written since.
    """
    release = await _ended(runtime, operation)
    course = Course.from_json(release.plan)
    refuse_where_forbidden(project, course)
    records = {str(record.tenant): record for record in await runtime.catalog.databases()}
    targets = await runtime.catalog.operation_targets(operation)
    erased = {one.tenant for one in await runtime.catalog.erasures()}
    changed = [
        t for t in targets if is_changed_by_its_release(t) and (only is None or t.tenant in only) and t.tenant not in erased
    ]
    if not changed:
        raise NothingChanged(
            f"operation {operation} changed no tenant: there is nothing to undo",
            hint=f"`manor operation show {operation}` tells what became of each",
        )
    taken_back = await runtime.catalog.undone_tenants(operation)
    changed = [t for t in changed if t.tenant not in taken_back or not _is_back(t, course, records)]
    if not changed:
        raise NothingChanged(f"operation {operation} is undone already", hint="`manor operation list` shows by which")
    kept = {one.tenant: one for one in await runtime.catalog.kept_databases(operation=operation)}
    scripts = {**await scripts_of(runtime, course), **_mended(project, course.cohorts)}
    is_kept = all(target.tenant in kept for target in changed)
    if course.undoes and not is_kept:
        raise _kept_nothing(operation)
    switches = is_kept and (
        course.undoes or course.kind is Kind.BLUE_GREEN or any(_without_down(cohort, scripts) for cohort in course.cohorts)
    )
    back = _Back(course=course, operation=operation, kept=kept if switches else {}, scripts=scripts)
    draft = _draft(back, changed, records, discard_writes=discard_writes)
    gone = sorted(target.tenant for target in targets if target.tenant in erased)
    if gone:
        draft = replace(draft, notices=(*draft.notices, f"left out, because they were erased since: {', '.join(gone)}"))
    copied = await snapshots_of(runtime, operation)
    between = [t.tenant for t in targets if t.status == Status.NEEDS_DECISION and t.tenant not in copied]
    if between:
        left = f"left as they are, because they need a decision (`manor operation resume {operation}`): {', '.join(between)}"
        draft = replace(draft, notices=(*draft.notices, left))
    return await carry_out_draft(runtime, project, draft, verb="undo", parent=parent or operation)


async def _undone(runtime: Runtime, release: ReleaseRecord) -> str:
    """The operation that an undo takes back. Where its plan does not say, it is the release that its parents lead to."""
    course = Course.from_json(release.plan)
    while course.undoes and not course.undone:
        release = await runtime.catalog.release(release.parent)
        course = Course.from_json(release.plan)
    return course.undone or release.operation.id


def _kept_nothing(operation: str) -> RefusedError:
    return RefusedError(
        f"operation {operation} is an undo, and no databases are kept that it replaced: there is nothing to switch to",
        hint="`manor tenant migrate` releases again what it took back",
    )


def _is_back(target: TargetRecord, course: Course, records: Mapping[str, DatabaseRecord]) -> bool:
    """Whether a tenant stands where it was before the release."""
    cohorts = {cohort.number: cohort for cohort in course.cohorts}
    record = records.get(target.tenant)
    return record is not None and target.cohort is not None and record.golden == cohorts[target.cohort].golden_from


async def _ended(runtime: Runtime, operation: str) -> ReleaseRecord:
    release = await runtime.catalog.release(operation)
    if release.lock != release_lock(operation):
        raise RefusedError(f"operation {operation} is a {release.operation.verb}, not a release")
    if release.operation.state in ("running", "paused"):
        raise RefusedError(
            f"operation {operation} is {release.operation.state}", hint="let it end, or `manor operation abort` it, first"
        )
    return release


@dataclass(frozen=True, slots=True, kw_only=True)
class _Back:
    """The way back of one release."""

    course: Course
    operation: str
    kept: Mapping[str, KeptRecord]
    """By tenant, what to switch back to; empty: down sections are run."""
    scripts: Scripts

    def cohort(self, old: Cohort, number: int, tenant: str) -> Cohort:
        """The cohort that leads back from where ``old`` led."""
        if self.kept:
            return _switched(old, number, self.kept[tenant].fingerprint)
        return _back(old, number)


def _draft(
    back: _Back, changed: Sequence[TargetRecord], records: Mapping[str, DatabaseRecord], *, discard_writes: bool
) -> Draft:
    course, scripts = back.course, back.scripts
    old = {cohort.number: cohort for cohort in course.cohorts}
    cohorts: dict[tuple[int, str], Cohort] = {}
    members: dict[str, int] = {}
    findings: list[Finding] = []
    moved: list[TargetRecord] = []
    for target in changed:
        cohort, record = old[target.cohort or 0], records.get(target.tenant)
        if record is None or record.golden != cohort.golden_to:
            moved.append(target)
            continue
        key = (cohort.number, record.server)
        if key not in cohorts:
            cohorts[key] = back.cohort(cohort, len(cohorts), target.tenant)
            findings += [] if back.kept else _without_down(cohort, scripts)
        members[target.tenant] = cohorts[key].number
    if moved:
        raise _moved_on(moved, records)
    if findings:
        raise InvalidInput(list(dict.fromkeys(findings)))
    plan = ReleasePlan(cohorts=tuple(cohorts.values()), members=members, troubles=(), scripts=scripts)
    kind = Kind.ATOMIC if course.kind is Kind.ATOMIC and not back.kept else Kind.ROLLING
    chosen = [records[target.tenant] for target in changed]
    strategy = Strategy(kind=kind, batch_size=max(1, len(chosen)))
    placed, _ = arrange(chosen, plan, strategy, held=frozenset())
    way = replace(
        course,
        kind=kind,
        cohorts=plan.cohorts,
        conduct=replace(course.conduct, snapshot=False),
        undoes=True,
        undone=back.operation,
        label=label_of(plan.cohorts),
        soak_seconds={},
        gate=None,
        windows=(),
        back_of=back.operation if back.kept else "",
        discard_writes=discard_writes,
    )
    sources = tuple(sorted({cohort.source for cohort in plan.cohorts}))
    return Draft(course=way, targets=placed, records=records, scripts=scripts, sources=sources)


def _moved_on(moved: Sequence[TargetRecord], records: Mapping[str, DatabaseRecord]) -> RefusedError:
    record = records.get(moved[0].tenant)
    at = f"at {record.version or 'no version'} now" if record is not None else "gone"
    return RefusedError(
        f"{counted(len(moved), 'tenant')} of it moved on since, or back: {moved[0].tenant} is {at}",
        hint="`manor operation list` shows what came after it: undo that first, if it is not undone already",
    )


def _mended(project: Path, cohorts: Iterable[Cohort]) -> Scripts:
    """Down sections as the files have them now, where the up sections are still those that were run."""
    sources = ReleaseSources(project)
    found: dict[tuple[str, str], Migration] = {}
    for cohort in cohorts:
        chain = sources.chains([(cohort.source, cohort.template)])[cohort.source, cohort.template]
        found.update({(m.version, m.checksum): m for m in chain.migrations})
    return found


def _back(cohort: Cohort, number: int) -> Cohort:
    kinds = {"up": "down", "record": "forget"}
    steps = tuple(
        StepPlan(version=s.version, checksum=s.checksum, name=s.name, kind=kinds[s.kind]) for s in reversed(cohort.steps)
    )
    return replace(cohort, number=number, golden_from=cohort.golden_to, before=cohort.after, steps=steps, fingerprint="")


def _switched(cohort: Cohort, number: int, fingerprint: str) -> Cohort:
    """The same by switching: what an undo took out of the history comes back into it."""
    kinds = {step.version: "record" for step in cohort.steps if step.takes_back}
    back = cohort_back(cohort, number, fingerprint)
    return replace(back, steps=tuple(replace(step, kind=kinds.get(step.version, step.kind)) for step in back.steps))


def _without_down(cohort: Cohort, scripts: Scripts) -> list[Finding]:
    missing = [
        scripts[step.version, step.checksum]
        for step in cohort.steps
        if step.kind == "up" and scripts[step.version, step.checksum].down is None
    ]
    return [
        Finding(
            message=f"{migration.label} has no down section",
            place=migration.place,
            hint="write one below -- migrate:down; --backup-first and blue_green can be undone without",
        )
        for migration in missing
    ]
