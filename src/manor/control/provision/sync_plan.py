"""What a sync does, decided from what a source says now and what it said last. Pure.

The rule that all others serve: a source only tells. Whoever it no longer has is marked, whoever it suspends is marked, and no
database is touched: `manor tenant suspend`, `resume` and `delete` do that, one by one.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manor.control.catalog.records import DirectoryChange, DirectoryMark, DirectoryRecord
from manor.control.registry.tenant_info import FIELDS, TenantInfo
from manor.errors import ConflictError, InputError, counted

DECIDING = ("customer_code", "region", "tier", "isolation_strategy", "database_prefix", "schema_suffix", "table_prefix")
"""Fields from which an environment's template makes the names of databases and the choice of their template."""

ALWAYS_LEFT = 1
"""So many tenants may go unasked, however few there are."""
_CLOSED = frozenset({"suspended", "terminated", "inactive"})


class Kind(enum.StrEnum):
    """What became of one tenant since the last sync."""

    NEW = "new"
    CHANGED = "changed"
    SUSPENDED = "suspended"
    """It was active, and no longer is."""
    RETURNED = "returned"
    """It was gone."""
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncEntry:
    """One tenant that is not as it was."""

    tenant: str
    kind: Kind
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """By field, (before, after) as JSON has them; ``config.KEY`` for one of its settings. Empty for one that is new (its
    record says it all) or gone."""
    record: DirectoryRecord | None = None
    """What is to be written; None for one that is gone."""

    @property
    def decides(self) -> bool:
        """Whether its databases would get other names, another template, or be fewer."""
        before, after = self.fields.get("instances", ((), ()))
        fewer = bool(set(before) - set(after))
        return self.kind in (Kind.CHANGED, Kind.RETURNED) and (fewer or any(name in self.fields for name in DECIDING))

    @property
    def reopens(self) -> bool:
        """Whether it was closed and no longer is."""
        before, after = self.fields.get("status", ("", ""))
        return before in _CLOSED and after not in _CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """The difference between a source and the directory; printable, serialisable, hashed."""

    source: str
    entries: tuple[SyncEntry, ...]
    """By tenant id."""
    known: int
    """Tenants that were present in the directory."""
    seen: int
    """Tenants that the source has now."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Of a source that is made of others, how many tenants each of them has now."""
    silent: tuple[str, ...] = ()
    """Those of them that had tenants, and have none."""

    @property
    def digest(self) -> str:
        """Same changes from the same source, same digest; hex, 64 characters."""
        lines = [[e.kind, e.tenant, *((e.record.digest, e.record.config_digest) if e.record else ())] for e in self.entries]
        return hashlib.sha256(json.dumps(["sync", self.source, lines], separators=(",", ":")).encode()).hexdigest()

    def count(self) -> dict[str, int]:
        """Number of tenants per kind, ``unchanged`` among them: all that the source has, and those that are gone."""
        counts = Counter(str(entry.kind) for entry in self.entries)
        unchanged = self.seen - sum(counts.values()) + counts[Kind.GONE]
        return dict(counts) | ({"unchanged": unchanged} if unchanged else {})

    def of(self, *kinds: Kind) -> list[str]:
        """The tenants of these kinds."""
        return [entry.tenant for entry in self.entries if entry.kind in kinds]

    def changes(self) -> list[DirectoryChange]:
        """The lines of the history."""
        return [
            DirectoryChange(source=self.source, tenant=e.tenant, kind=str(e.kind), fields=_shown(e.fields))
            for e in self.entries
        ]

    def records(self) -> list[DirectoryRecord]:
        """The rows to be written."""
        return [entry.record for entry in self.entries if entry.record is not None]


@dataclass(slots=True)
class Comparison:
    """A walk over a source, each tenant held against what is known of it; only those that differ are kept."""

    source: str
    marks: Mapping[str, DirectoryMark]
    seen: set[str] = field(default_factory=set)
    differing: dict[str, tuple[TenantInfo, str]] = field(default_factory=dict)
    """By tenant id, those that are new or differ, with their digest."""

    def take(self, info: TenantInfo) -> None:
        """The next one. Raises ``ConflictError`` for one that came before, ``InputError`` for what no catalog can hold."""
        tenant = info.tenant_id
        if tenant in self.seen:
            raise ConflictError(
                f"the source {self.source} has tenant {tenant} twice", hint="tenant_id must be unique in a source"
            )
        self.seen.add(tenant)
        digest = digest_of(info.model_dump(mode="json"), f"tenant {tenant} of {self.source}")
        mark = self.marks.get(tenant)
        if mark is None or mark.digest != digest or mark.state != "present":
            self.differing[tenant] = (info, digest)

    @property
    def gone(self) -> list[str]:
        """Those that were present and did not come."""
        return sorted(t for t, mark in self.marks.items() if mark.state == "present" and t not in self.seen)


def plan_sync(
    walked: Comparison,
    before: Mapping[str, DirectoryRecord],
    configs: Mapping[str, Mapping[str, Any]],
    *,
    parts: Mapping[str, int] | None = None,
    parts_before: Mapping[str, int] | None = None,
) -> SyncPlan:
    """The plan. ``before``: what is known of all that differ and of all in ``configs``; ``configs``: the settings that were
    read, of whom they were read; ``parts``: tenants by part of a source that is made of others, now and at the last sync."""
    named = sorted({*walked.differing, *configs})
    entries = [e for tenant in named if (e := _entry(walked, tenant, before.get(tenant), configs.get(tenant))) is not None]
    entries += [SyncEntry(tenant=tenant, kind=Kind.GONE) for tenant in walked.gone]
    return SyncPlan(
        source=walked.source,
        entries=tuple(sorted(entries, key=lambda entry: entry.tenant)),
        known=sum(mark.state == "present" for mark in walked.marks.values()),
        seen=len(walked.seen),
        parts=parts or {},
        silent=tuple(name for name, count in (parts or {}).items() if not count and (parts_before or {}).get(name)),
    )


def _entry(
    walked: Comparison, tenant: str, before: DirectoryRecord | None, config: Mapping[str, Any] | None
) -> SyncEntry | None:
    info, digest = walked.differing.get(tenant, (None, ""))
    values = info.model_dump(mode="json") if info is not None else dict(before.values if before else {})
    settings = config if config is not None else (before.config if before else {})
    record = DirectoryRecord(
        source=walked.source,
        tenant=tenant,
        values=values,
        config=settings,
        digest=digest or (before.digest if before else ""),
        config_digest=digest_of(settings, f"config of tenant {tenant} of {walked.source}"),
    )
    fields = dict(_differences(before, record)) if before is not None else {}
    kind = _kind(before, record)
    if kind is Kind.CHANGED and not fields:
        return None
    return SyncEntry(tenant=tenant, kind=kind, fields=fields, record=record)


def _kind(before: DirectoryRecord | None, after: DirectoryRecord) -> Kind:
    if before is None:
        return Kind.NEW
    if before.state != "present":
        return Kind.RETURNED
    closes = before.values.get("status") == "active" and after.values["status"] in _CLOSED
    return Kind.SUSPENDED if closes else Kind.CHANGED


def _differences(before: DirectoryRecord, after: DirectoryRecord) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in FIELDS:
        was, now = _plain(name, before.values.get(name)), _plain(name, after.values.get(name))
        if was != now:
            yield name, (was, now)
    had = before.config
    for key in sorted({*had, *after.config}):
        if had.get(key) != after.config.get(key) or (key in had) != (key in after.config):
            yield f"config.{key}", (had.get(key), after.config.get(key))


def _plain(name: str, value: Any) -> Any:
    """Times as one text, however the catalog and the source spell them."""
    if name in ("created_at", "updated_at") and isinstance(value, str):
        return dt.datetime.fromisoformat(value).astimezone(dt.UTC).isoformat()
    return value


def digest_of(value: Any, whose: str) -> str:
    """SHA-256 (hex) of JSON, whatever the order of its keys. Raises ``InputError`` for what PostgreSQL's JSON cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        encoded = text.encode()
    except (ValueError, TypeError) as error:  # UnicodeEncodeError is one
        raise InputError(f"{whose}: a value is no JSON", hint="numbers must be finite, text must be Unicode") from error
    if "\\u0000" in text and any("\0" in part for part in _texts(value)):
        raise InputError(f"{whose}: a text has the character NUL in it", hint="no database holds that: take it out")
    return hashlib.sha256(encoded).hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _shown(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, list[Any]]:
    """As history and reports have them: values of settings that sound secret are masked, that they changed is not."""
    return {name: ["***", "***"] if _sounds_secret(name) else list(pair) for name, pair in fields.items()}


def _sounds_secret(name: str) -> bool:
    return name.startswith("config.") and any(word in name.lower() for word in ("password", "passwd", "secret", "token", "key"))


def large_change(plan: SyncPlan, max_change_percent: float) -> str | None:
    """Why the plan needs an explicit word, or None.

    Whoever is gone, is suspended or no longer is, or changes what names and templates are made of counts, once; new ones never
    do. It trips above ``max_change_percent`` of what the directory knows from the source, and above ``ALWAYS_LEFT`` tenants;
    and where nobody is left, in the source or in one of those that it is made of.
    """
    if plan.known and not plan.seen:
        return f"the source {plan.source} has no tenant at all, and the directory knows {plan.known} from it"
    if plan.silent and plan.entries:
        return f"{', '.join(plan.silent)}, of which {plan.source} is made, told of tenants before and now tells of none"
    gone, closed = len(plan.of(Kind.GONE)), len(plan.of(Kind.SUSPENDED))
    opened = sum(entry.reopens for entry in plan.entries)
    moved = sum(entry.decides and not entry.reopens for entry in plan.entries)
    count = gone + closed + opened + moved
    if count <= ALWAYS_LEFT or count * 100 <= max_change_percent * plan.known:
        return None
    parts = (
        f"{gone} of {counted(plan.known, 'tenant')} are gone from {plan.source}" if gone else "",
        f"{closed} of {plan.known} are suspended there" if closed else "",
        f"{counted(opened, 'tenant')} no longer suspended there" if opened else "",
        f"{moved} of {plan.known} change what their databases' names and template are made of" if moved else "",
    )
    return f"{', '.join(part for part in parts if part)}; {max_change_percent:g} % is the limit"


def followers(plan: SyncPlan, databases: Mapping[str, int]) -> tuple[str, ...]:
    """What is said of the databases of those that are gone or suspended: they stay as they are."""
    return tuple(_follower(plan, kind, databases) for kind in (Kind.GONE, Kind.SUSPENDED) if _sum(plan.of(kind), databases))


def _follower(plan: SyncPlan, kind: Kind, databases: Mapping[str, int]) -> str:
    count = _sum(plan.of(kind), databases)
    what = "`manor tenant delete` erases them" if kind is Kind.GONE else "`manor tenant suspend` closes them"
    return f"{counted(count, 'database')} of tenants that are {kind} stay as they are: {what}"


def _sum(tenants: Sequence[str] | Iterable[str], databases: Mapping[str, int]) -> int:
    return sum(databases.get(tenant, 0) for tenant in tenants)
