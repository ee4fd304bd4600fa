"""The nouns of every fleet verb: Target, Step, Plan, Outcome. Pure values, no I/O."""

from __future__ import annotations

import enum
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manor.errors import Code, ManorError
from manor.tenancy import TenantId


class Status(enum.StrEnum):
    """What a target can be or end as (the reference's ``ProvisioningStatus``, widened for releases)."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    SKIPPED = "skipped"
    ERROR = "error"
    ROLLED_BACK = "rolled_back"
    NOT_STARTED = "not_started"
    NEEDS_DECISION = "needs_decision"


ProvisioningStatus = Status


def recipe_of(template: str, variant: str) -> str:
    """The name of one schema of a template, in maps of one operation; never stored."""
    return f"{template}#{variant}" if variant else template


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One concrete database that should exist; every name is final and nothing downstream renders."""

    tenant: TenantId
    database: str
    group: str
    kind: str
    """``tenant_group`` or ``fixed_group``."""
    template: str
    server: str
    """Name of the deployment that holds it."""
    variables: Mapping[str, str]
    auto_provision: bool = True
    order: int = 0
    """Position in the registry, from 0; keeps reports in the order the user wrote."""
    title: str = ""
    """Display name of the tenant; empty: its database's name."""
    declared: bool = True
    """False for a tenant that ``tenant create`` makes: no registry lists it, and none misses it."""
    variant: str = ""
    """Which of its template's schemas it has, where these differ from tenant to tenant."""

    @property
    def recipe(self) -> str:
        """What it is made from, by the name that ``Template.recipe`` has."""
        return recipe_of(self.template, self.variant)


class Action(enum.StrEnum):
    """What a plan does to one target."""

    CREATE = "create"
    FINISH = "finish"
    """The database is complete on the server, the catalog did not hear of it yet."""
    VERIFY = "verify"
    """It exists and is recorded: compare its fingerprint, change nothing."""
    SKIP = "skip"
    CONFLICT = "conflict"
    """A database or role of that name exists that Manor did not make: never touched, reported as an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One idempotent change to one target."""

    target: Target
    action: Action
    reason: str = ""
    hint: str = ""
    changes: str = ""
    """For a conflict with what was recorded: ``name``, ``server`` or ``template``."""
    content_digest: str = ""
    """Digest of the template's content: schema, rows, isolation values, with variables where the target's values go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A database without a catalog entry, or an entry without a database, or an entry that no source declares any more."""

    database: str
    server: str
    kind: str
    """``unrecorded`` (on the server, made by Manor, not in the catalog), ``missing`` (recorded, not on the server) or
    ``undeclared`` (recorded and there, but no longer in the registry)."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps that turn actual into desired; printable, serialisable, hashed."""

    verb: str
    steps: tuple[Step, ...]
    orphans: tuple[Orphan, ...] = ()

    @property
    def digest(self) -> str:
        """Same steps over the same content on the same servers, same digest; hex, 64 characters."""
        lines = [
            [s.action, str(t.tenant), t.database, t.server, t.template, s.content_digest, sorted(t.variables.items())]
            for s in self.steps
            for t in [s.target]
        ]
        text = json.dumps([self.verb, lines], ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def count(self) -> dict[str, int]:
        """Number of steps per action, actions without a step left out."""
        return dict(Counter(str(s.action) for s in self.steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a target failed: the JSON contract's ``error`` object."""

    code: Code
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Any exception as a failure; those that Manor did not raise itself are ``internal``."""
        if isinstance(error, ManorError):
            return cls(code=error.code, message=str(error), hint=error.hint)
        return cls(
            code=Code.INTERNAL, message=f"{type(error).__name__}: {error}", hint="this is a bug in Manor: please report it"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one target."""

    target: Target
    status: Status
    duration_seconds: float = 0.0
    failure: Failure | None = None
    detail: str = ""
    """A short remark such as why it was skipped."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Measured values of this verb (healthcheck: bytes, connections, fingerprint)."""


def count_statuses(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Number of outcomes per status; the counts add up to ``len(outcomes)``."""
    return dict(Counter(str(o.status) for o in outcomes))
