"""What a release has to say: before it begins (a plan) and after. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manor.control.catalog.records import TargetRecord
from manor.control.operations.release_draft import Draft
from manor.control.rollout.release.capacity import Room
from manor.control.rollout.release.opening import Opening
from manor.control.rollout.report import Report
from manor.control.rollout.windows import is_open
from manor.control.steps import Failure, Outcome, Status, Target
from manor.errors import Code
from manor.tenancy import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a release ended."""

    state: str
    targets: tuple[TargetRecord, ...]
    """As the journal has them."""
    problems: tuple[Failure, ...] = ()
    notices: tuple[str, ...] = ()
    window_seconds: float | None = None
    """Atomic: how long the fleet was of two versions."""
    prepare_seconds: float | None = None


def outcome_of(target: TargetRecord) -> Outcome:
    """A target of the journal as an outcome of a report."""
    code, group, short = target.tenant.split("/", 2)
    error = target.error
    failure = Failure(code=Code(error["code"]), message=error["message"], hint=error["hint"]) if error else None
    facts = {**target.facts, **({"wave": target.wave} if target.wave is not None else {})}
    return Outcome(
        target=Target(
            tenant=TenantId(code, group, short),
            database=target.database,
            group=target.group,
            kind="tenant_group",
            template=target.template,
            server=target.server,
            variables={},
            order=target.position or 0,
        ),
        status=Status(target.status),
        duration_seconds=target.duration_seconds,
        failure=failure,
        detail=target.detail,
        facts=facts,
    )


def report_of(
    operation: str,
    draft: Draft,
    ended: Ended | None,
    *,
    verb: str,
    started_at: dt.datetime | None = None,
    seconds: float = 0.0,
    room: Mapping[str, Room] | None = None,
) -> Report:
    """The report of a release; ``ended`` is None where only the plan is shown."""
    targets = draft.targets if ended is None else ended.targets
    release = _release_json(draft, ended, room or {})
    return Report(
        operation=operation,
        verb=verb,
        dry_run=ended is None,
        digest=draft.digest,
        source=", ".join(draft.sources),
        started_at=started_at,
        duration_seconds=seconds,
        outcomes=tuple(outcome_of(target) for target in targets),
        notices=(*draft.notices, *_notices(draft, ended, room or {})),
        problems=ended.problems if ended is not None else (),
        extra={"release": release},
    )


def _release_json(draft: Draft, ended: Ended | None, room: Mapping[str, Room]) -> dict[str, Any]:
    course = draft.course
    document: dict[str, Any] = {
        "strategy": str(course.kind),
        "release": course.label,
        "state": ended.state if ended is not None else "planned",
        "waves": max((target.wave or 0 for target in draft.targets), default=0),
        "cohorts": [
            {
                "template": cohort.template,
                "server": cohort.server,
                "from": cohort.version_before,
                "to": cohort.version,
                "steps": [f"{step.kind} {step.version}" for step in cohort.steps],
            }
            for cohort in course.cohorts
        ],
        "lint": [
            {"rule": hit.rule, "severity": str(hit.severity), "place": str(hit.place), "message": hit.message}
            for hit in draft.hits
        ],
    }
    if ended is None:
        document["statements"] = statements_of(draft)
        document["kept_connections"] = {
            name: found.kept(course.conduct.parallel, course.conduct.atomic_connections) for name, found in room.items()
        }
    if ended is not None and ended.window_seconds is not None:
        document["mixed_version_window_seconds"] = round(ended.window_seconds, 4)
    if ended is not None and ended.prepare_seconds is not None:
        document["prepare_seconds"] = round(ended.prepare_seconds, 3)
    return document


def statements_of(draft: Draft) -> list[dict[str, Any]]:
    """What each statement of the release locks and rewrites."""
    from manor.control.migrate.lint import lint  # has hundreds of patterns, which only a look needs

    found = []
    for migration in draft.scripts.values():
        for judged in lint(migration.up).statements:
            found.append(
                {
                    "version": migration.version,
                    "place": str(judged.statement.place),
                    "kind": judged.kind,
                    "table": judged.table,
                    "lock": str(judged.lock) if judged.lock else "",
                    "rewrites": judged.rewrites,
                    "scans": judged.scans,
                }
            )
    return found


def _notices(draft: Draft, ended: Ended | None, room: Mapping[str, Room]) -> list[str]:
    notices = []
    if draft.course.label and draft.pending:
        notices.append(f"release, {draft.course.kind}: {draft.course.label}")
    if ended is None:
        notices += _when(draft)
        notices += [f"{hit.place}: {hit.message} [{hit.rule}]" for hit in draft.hits if hit.severity == "warning"]
        conduct = draft.course.conduct
        for name, found in room.items():
            kept = found.kept(conduct.parallel, conduct.atomic_connections)
            notices.append(_window(name, found.targets, kept))
    if ended is not None and ended.window_seconds is not None:
        notices.append(f"the fleet was of two versions for {ended.window_seconds:.3f} s")
    if ended is not None:
        notices += ended.notices
    if ended is not None and ended.state in ("paused", "interrupted", "needs_decision", "running", "aborted"):
        notices.append(f"the operation is {ended.state}; `manor operation show` lists its targets")
    return notices


def _when(draft: Draft) -> list[str]:
    """Waves, and windows that are closed now."""
    sizes = Counter(target.wave for target in draft.pending if target.wave is not None)
    notices = []
    if len(sizes) > 1:
        shown = ", ".join(str(size) for _, size in sorted(sizes.items())[:12])
        more = f" and {len(sizes) - 12} more" if len(sizes) > 12 else ""
        notices.append(f"{len(sizes)} waves of {shown}{more} tenants")
    opening = Opening.of(draft.course.windows, draft.records)
    now = dt.datetime.now(dt.UTC)
    closed = [target for target in draft.pending if not is_open(now, opening.about(target))]
    if closed:
        opens = opening.opens(closed, now)
        notices.append(f"the window of {len(closed)} tenants is closed; the next one opens at {opens:%Y-%m-%d %H:%M} UTC")
    return notices


_COMMIT_SECONDS, _RECONNECT_SECONDS = 0.001, 0.004
"""Per target, measured (docs/how-atomic-works.md): over a kept connection, and by connecting anew."""


def _window(server: str, targets: int, kept: int) -> str:
    seconds = kept * _COMMIT_SECONDS + (targets - kept) * _RECONNECT_SECONDS
    return f"server {server}: {kept} of {targets} connections stay open; expected mixed-version window {seconds:.2f} s"
