"""What a verb has to say at its end, as one value; JSON is a stable contract (DESIGN, Names of commands). Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manor.control.steps import Failure, Orphan, Outcome, Status, count_statuses
from manor.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One operation: its head, one outcome per target, and what else was noticed."""

    operation: str
    verb: str
    dry_run: bool = False
    digest: str = ""
    source: str = ""
    started_at: dt.datetime | None = None
    duration_seconds: float = 0.0
    outcomes: tuple[Outcome, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    notices: tuple[str, ...] = ()
    """Accepted but not acted on, pool fills, and the like: said once, never an error."""
    problems: tuple[Failure, ...] = ()
    """What went wrong beside the targets, an audit log that cannot be anchored for one: makes the exit code 1."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, int]:
        """Number of outcomes per status; the counts add up to the number of targets."""
        return count_statuses(self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 all well, 1 some targets failed or there are problems, 130 stopped before the end."""
        statuses = {o.status for o in self.outcomes}
        taken_back = any(o.status is Status.ROLLED_BACK and o.failure is not None for o in self.outcomes)
        if self.problems or taken_back or Status.ERROR in statuses or Status.NEEDS_DECISION in statuses:
            return EXIT_SOME_FAILED
        # Rolled back without any error: a release to all or none was aborted. Pending after the act: it was paused.
        unfinished = {Status.NOT_STARTED, Status.ROLLED_BACK} | (set() if self.dry_run else {Status.PENDING})
        return EXIT_INTERRUPTED if statuses & unfinished else EXIT_OK

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json`` and ``--report``."""
        return {
            "operation": {
                "id": self.operation,
                "verb": self.verb,
                "dry_run": self.dry_run,
                "digest": self.digest,
                "source": self.source,
                "started_at": self.started_at.isoformat() if self.started_at else None,
                "duration_seconds": round(self.duration_seconds, 3),
            },
            "summary": self.summary,
            "outcomes": [outcome_json(outcome) for outcome in self.outcomes],
            "orphans": [{"database": o.database, "server": o.server, "kind": o.kind, "detail": o.detail} for o in self.orphans],
            "notices": list(self.notices),
            "problems": [_failure_json(problem) for problem in self.problems],
            **self.extra,
        }


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """One outcome as the JSON contract shows it."""
    target, failure = outcome.target, outcome.failure
    document: dict[str, Any] = {
        "database": target.database,
        "tenant_id": str(target.tenant),
        "group": target.group,
        "template": target.template,
        "server": target.server,
        "status": str(outcome.status),
        "duration_seconds": round(outcome.duration_seconds, 3),
        "detail": outcome.detail,
        "error": None,
    }
    if failure is not None:
        document["error"] = _failure_json(failure)
    if outcome.facts:
        document["facts"] = dict(outcome.facts)
    return document


def _failure_json(failure: Failure) -> dict[str, str]:
    return {"code": str(failure.code), "message": failure.message, "hint": failure.hint}
