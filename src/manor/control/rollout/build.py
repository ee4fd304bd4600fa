"""One database on its way through a wave, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.driver import Login, Marker
from manor.control.rollout.hooks import HookRun
from manor.control.rollout.provision_hooks import with_runs
from manor.control.rollout.retry import is_transient
from manor.control.steps import Failure, Outcome, Status, Step
from manor.control.templates.model import Template
from manor.errors import Code, ManorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The golden database that a wave copies from."""

    database: str
    digest: str
    fingerprint: str


@dataclass(slots=True, kw_only=True)
class Build:
    """One target on its way; ``error`` takes it out of the wave."""

    step: Step
    template: Template
    golden: Golden
    login: Login
    marker: Marker
    building: str
    record: DatabaseRecord
    copied: bool = False
    has_role: bool = False
    published: bool = False
    taken_back: bool = False
    """It failed after it was begun, and nothing of it is left."""
    error: BaseException | None = None
    seconds: float = 0.0
    attempts: int = 1
    hooks: tuple[HookRun, ...] = ()
    """Those that ran before it was begun."""


def creation_event(actor: str, outcome: Outcome) -> AuditEvent:
    """The audit log's line on an outcome."""
    target, failure = outcome.target, outcome.failure
    return AuditEvent(
        actor=actor,
        action="database.create" if outcome.status is Status.SUCCESS else "database.create_failed",
        subject=str(target.tenant),
        details={"database": target.database, "server": target.server} | ({"error": str(failure.code)} if failure else {}),
    )


def is_transient_error(error: BaseException) -> bool:
    """``is_transient`` for what a build carries."""
    return isinstance(error, Exception) and is_transient(error)


def to_be_followed_up(outcome: Outcome) -> Outcome:
    """As it is recorded before the hooks after it have run: a kill in between must not look like success."""
    return replace(outcome, status=Status.IN_PROGRESS) if outcome.status is Status.SUCCESS else outcome


def outcome_of(build: Build, *, taken_back: Status = Status.ERROR) -> Outcome:
    """What the making came to, with the hooks before it. ``taken_back``: how one ends that failed and left nothing behind."""
    bare = _made(build, taken_back if build.taken_back else Status.ERROR)
    return replace(bare, facts=with_runs(bare.facts, build.hooks)) if build.hooks else bare


def _made(build: Build, failed: Status) -> Outcome:
    target = build.step.target
    if build.error is None:
        tries = f"after {build.attempts} tries" if build.attempts > 1 else ""
        return Outcome(target=target, status=Status.SUCCESS, duration_seconds=build.seconds, detail=tries)
    if isinstance(build.error, ManorError) and build.error.code is Code.INTERRUPTED:
        return Outcome(target=target, status=Status.NOT_STARTED, detail=build.error.message)
    failure = Failure.of(build.error)
    return Outcome(target=target, status=failed, duration_seconds=build.seconds, failure=failure, detail=failure.message)
