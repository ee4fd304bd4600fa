"""Rows of the catalog as values. Times are aware UTC datetimes; secrets are plain only inside the process."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manor.tenancy import TenantId


def shared(text: Any) -> Any:
    """One copy of a text that stands in thousands of rows (a group, a server, a digest); anything else as it is."""
    return sys.intern(text) if type(text) is str else text


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRecord:
    """One tenant database that Manor made or is about to make."""

    tenant: TenantId
    database: str
    server: str
    group: str
    template: str
    state: str
    """``pending`` (intent recorded), ``ready`` (published) or ``failed`` (last try failed; the next deploy tries again)."""
    role: str
    url: str = field(repr=False, default="")
    """Decrypted; empty where a listing did not ask for it."""
    golden: str = ""
    """Digest of the golden database it was cloned from."""
    fingerprint: str = ""
    version: str = ""
    """Its newest migration; empty where it has seen none."""
    source: str = ""
    """The registry that declared it: path relative to the project."""
    name: str = ""
    """Display name of the tenant (the reference's ``tenants.name``)."""
    is_active: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenRecord:
    """One golden database of one server."""

    server: str
    template: str
    digest: str
    database: str
    fingerprint: str
    created_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """One run of a plan over the fleet. ``state``: running, paused, succeeded, failed, interrupted, aborted, needs_decision."""

    id: str
    verb: str
    state: str
    source: str
    digest: str
    started_at: dt.datetime
    finished_at: dt.datetime | None = None
    actor: str = ""
    """``user@host`` and process id."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log. ``mac`` chains it to the one before."""

    sequence: int
    at: dt.datetime
    actor: str
    action: str
    subject: str
    """Tenant id, registry path or server that it is about."""
    operation: str
    details: Mapping[str, Any]
    mac: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What is to become one line of the audit log. ``details`` must hold no secrets; what looks like one is masked."""

    actor: str
    action: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmRecord:
    """One pre-built database that waits for its tenant."""

    server: str
    digest: str
    """Digest of the golden database it was cloned from."""
    database: str
    created_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """What was seen of one server last. ``url`` is redacted."""

    name: str
    engine: str
    url: str
    version: str
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """One release as the journal has it."""

    operation: OperationRecord
    lock: str
    token: int
    """Fencing: the highest one counts."""
    wanted: str
    """``pause``, ``abort`` or empty."""
    decision: str
    """``commit``, ``rollback`` or empty (not decided: whatever is prepared is rolled back)."""
    decided_at: dt.datetime | None
    plan: Mapping[str, Any]
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """One target of an operation as the journal has it."""

    tenant: str
    database: str
    server: str
    group: str
    template: str
    status: str
    duration_seconds: float
    error: Mapping[str, str] | None
    detail: str
    facts: Mapping[str, Any]
    position: int | None = None
    wave: int | None = None
    cohort: int | None = None
    attempt: int = 0
    at: dt.datetime | None = None

    @classmethod
    def of(cls, record: DatabaseRecord) -> TargetRecord:
        """A recorded database as a target that is pending."""
        return cls(
            tenant=str(record.tenant),
            database=record.database,
            server=record.server,
            group=record.group,
            template=record.template,
            status="pending",
            duration_seconds=0.0,
            error=None,
            detail="",
            facts={},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a golden's digest is made of."""

    digest: str
    base: str
    """Digest of the template."""
    history: tuple[tuple[str, str, str], ...]
    """(version, checksum, name) of the migrations run upon it, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """A tenant that an operation holds."""

    tenant: str
    operation: str
    verb: str
    state: str
    actor: str
    since: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspensionRecord:
    """One tenant that nobody may enter for now."""

    tenant: str
    reason: str
    since: dt.datetime
    actor: str
    operation: str
    erase_after: dt.datetime | None = None
    """When it may be erased; None where nobody asked for that."""
    final_export: Mapping[str, Any] | None = None
    """What the customer was given, where that was done already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRecord:
    """One tenant that must not be erased."""

    tenant: str
    reason: str
    since: dt.datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRecord:
    """One tenant that is being erased, or was: then ``certificate`` is the signed document, and the rest of it is gone."""

    tenant: str
    state: str
    """``erasing`` or ``erased``."""
    operation: str
    actor: str
    begun_at: dt.datetime
    reason: str = ""
    subject: Mapping[str, Any] = field(default_factory=dict)
    """What must be known to go on."""
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By name, what each step that is done has to tell."""
    erased_at: dt.datetime | None = None
    certificate: str = ""
    """JSON text."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be erased."""
        return self.state == "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """One source of tenants that was synced."""

    name: str
    generation: int
    """Number of syncs that changed something."""
    tenants: int
    """How many it had when that was last so."""
    operation: str
    changed_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class DirectoryMark:
    """What tells whether a tenant changed."""

    digest: str
    config_digest: str
    state: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRecord:
    """One tenant as its source told of it last."""

    source: str
    tenant: str
    """Its id in the source."""
    values: Mapping[str, Any]
    """The fields of ``TenantInfo`` as JSON has them."""
    config: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    config_digest: str = ""
    state: str = "present"
    """``present`` or ``gone``."""
    operation: str = ""
    first_seen_at: dt.datetime | None = None
    changed_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryChange:
    """What one sync found to be different about one tenant."""

    source: str
    tenant: str
    kind: str
    """``new``, ``changed``, ``suspended``, ``returned`` or ``gone``."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """By name, (before, after)."""
    operation: str = ""
    at: dt.datetime | None = None
