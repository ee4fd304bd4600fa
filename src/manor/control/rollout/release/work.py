"""What everything that carries out one release works with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from manor.control.catalog.records import DatabaseRecord, TargetRecord
from manor.control.engines.driver import Marker, ServerDriver
from manor.control.migrate.cohort import Cohort, Scripts, Segment, Terms, segments
from manor.control.rollout.hooks import HookRunner
from manor.control.rollout.release.blockers import BlockerWatch
from manor.control.rollout.release.conduct import Conduct
from manor.control.rollout.release.recorder import Recorder
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Status
from manor.errors import UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One release under way."""

    runtime: Runtime
    token: int
    cohorts: Mapping[int, Cohort]
    scripts: Scripts
    records: Mapping[str, DatabaseRecord]
    """By tenant id."""
    conduct: Conduct
    recorder: Recorder
    watch: BlockerWatch
    hooks: Mapping[str, HookRunner] = field(default_factory=dict)
    """By source."""

    @property
    def operation(self) -> str:
        """The release's id."""
        return self.runtime.operation

    def cohort(self, target: TargetRecord) -> Cohort:
        """What is done to a target."""
        return self.cohorts[target.cohort or 0]

    def server(self, target: TargetRecord) -> ServerDriver:
        """Where it is."""
        return self.runtime.servers[target.server]

    def require_golden(self, target: TargetRecord) -> None:
        """Raise ``UnreachableError`` where there is nothing to prove a target against, because its server was away when the
        goldens were made."""
        if not self.cohort(target).fingerprint:
            raise UnreachableError(
                f"database {target.database}: server {target.server} did not answer when the release began",
                hint="nothing was done there; `manor operation retry` takes it up once the server answers",
            )

    def segments(self, target: TargetRecord) -> list[Segment]:
        """The changes of one target, in order. Raises as ``require_golden``."""
        self.require_golden(target)
        cohort, record = self.cohort(target), self.records[target.tenant]
        marker = Marker(
            catalog=self.runtime.catalog.id,
            kind="tenant",
            tenant=target.tenant,
            template=target.template,
            digest=cohort.golden_to,
            operation=self.operation,
        )
        return segments(cohort, self.scripts, self.terms, marker=marker, isolation=recorded_isolation(record.config))

    @property
    def terms(self) -> Terms:
        """What all its changes have in common."""
        return Terms(
            operation=self.operation,
            token=self.token,
            lock_timeout_seconds=self.conduct.lock_timeout_seconds,
            statement_timeout_seconds=self.conduct.statement_timeout_seconds,
        )

    def moved(self, target: TargetRecord) -> DatabaseRecord:
        """The target's record once its steps are done."""
        cohort = self.cohort(target)
        return replace(
            self.records[target.tenant],
            version=cohort.version,
            golden=cohort.golden_to,
            fingerprint=cohort.fingerprint,
        )


def ended(
    target: TargetRecord,
    status: Status,
    *,
    seconds: float = 0.0,
    failure: Failure | None = None,
    detail: str = "",
    facts: Mapping[str, object] | None = None,
) -> TargetRecord:
    """A target with what became of it."""
    error = {"code": str(failure.code), "message": failure.message, "hint": failure.hint} if failure else None
    return replace(
        target,
        status=str(status),
        duration_seconds=seconds,
        error=error,
        detail=detail or (failure.message if failure else ""),
        facts=facts or {},
    )


def gid_prefix(catalog: str, operation: str = "") -> str:
    """With which the global ids of a catalog's (and an operation's) prepared transactions begin."""
    return f"manor:{catalog}:{operation}:" if operation else f"manor:{catalog}:"


def gid_of(catalog: str, operation: str, tenant: str) -> str:
    """The global id of one tenant's prepared transaction, well below PostgreSQL's 200 bytes."""
    return gid_prefix(catalog, operation) + hashlib.sha256(tenant.encode()).hexdigest()[:32]


def operation_of_gid(gid: str) -> str:
    """The operation that a global id names; empty where it is not one of ours."""
    parts = gid.split(":")
    return parts[2] if len(parts) == 4 and parts[0] == "manor" else ""


def count(targets: Sequence[TargetRecord]) -> dict[str, int]:
    """Number of targets per status; adds up to all of them."""
    counts: dict[str, int] = {}
    for target in targets:
        counts[target.status] = counts.get(target.status, 0) + 1
    return counts


UNDECIDED = "undecided"
"""The fact of a pending target that needed a decision when its release was resumed."""


def closed(targets: Sequence[TargetRecord]) -> list[TargetRecord]:
    """What the targets are once the release has ended, as the journal closes them: what is not done then was not started, but
    one that needed a decision and was not reached needs it still."""
    return [replace(target, status=str(_closed(target))) for target in targets]


def _closed(target: TargetRecord) -> str:
    if target.status == Status.PENDING and target.facts.get(UNDECIDED):
        return Status.NEEDS_DECISION
    return Status.NOT_STARTED if target.status in (Status.PENDING, Status.IN_PROGRESS) else target.status
