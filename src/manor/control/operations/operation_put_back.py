"""``manor operation decide --as undone``, and the same in an undo: tenants that a release left between two versions go back to
the snapshots that it took of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from manor.control.operations.operation_resume import Decision, resume, snapshots_of
from manor.control.operations.release_sources import ReleaseSources
from manor.control.rollout.release.course import Course
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.control.steps import Outcome, Status
from manor.errors import Place, RefusedError


class NothingChanged(RefusedError):
    """There is nothing to undo among the tenants that came to the end of the release."""


async def between_with_snapshot(runtime: Runtime, operation: str) -> tuple[str, ...]:
    """The tenants that ``operation`` left between two versions and that have a snapshot to go back to."""
    kept = await snapshots_of(runtime, operation)
    targets = await runtime.catalog.operation_targets(operation)
    return tuple(t.tenant for t in targets if t.status == Status.NEEDS_DECISION and t.tenant in kept)


async def put_back(runtime: Runtime, project: Path, tenants: tuple[str, ...], *, discard_writes: bool) -> Report:
    """Put tenants of the release whose id ``runtime.operation`` is back to their snapshots, and report about these alone.

    Raises as ``resume``, and ``RefusedError`` where the registry forbids to take anything back. One that was written to since
    is left as it is, unless ``discard_writes``; its outcome says so.
    """
    release = await runtime.catalog.release(runtime.operation)
    if release.plan.get("cohorts"):
        refuse_where_forbidden(project, Course.from_json(release.plan))
    decision = Decision(tenants=tenants, undone=True, discard_writes=discard_writes)
    report = await resume(runtime, project, decision)
    about = {str(o.target.tenant): o for o in report.outcomes}
    named = {t for t in about for name in tenants if name in (t, about[t].target.database) or t.endswith(f"/{name}")}
    return replace(report, verb="undo", outcomes=tuple(_told(about[t]) for t in about if t in named))


def _told(outcome: Outcome) -> Outcome:
    """The journal calls it rolled back; for whoever asked for that it is a success."""
    return replace(outcome, status=Status.SUCCESS) if outcome.status is Status.ROLLED_BACK else outcome


def refuse_where_forbidden(project: Path, course: Course) -> None:
    """Raise ``RefusedError`` where a registry of the release allows no way back."""
    sources = ReleaseSources(project)
    for name in sorted({cohort.source for cohort in course.cohorts}):
        config = sources.source(name).registry.migration_config
        if config is not None and not config.rollback_enabled:
            raise RefusedError(
                "migration_config says rollback_enabled: false", place=Place(name), hint="write a new migration instead"
            )
