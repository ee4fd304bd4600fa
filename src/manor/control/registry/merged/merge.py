"""What several sources tell of one tenant, put together field by field. Pure.

A source tells a field if it gave it a value: a default that Manor filled in tells nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manor.control.registry.tenant_info import FIELDS, TenantInfo
from manor.errors import counted

KEPT_CONFLICTS = 1_000
"""How many a report holds; the others are counted."""
_KEY = "tenant_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One source's words."""

    source: str
    info: TenantInfo

    def values(self) -> Iterator[tuple[str, Any]]:
        """The fields that it tells."""
        told = self.info.model_fields_set
        return ((name, value) for name in FIELDS if name in told and (value := getattr(self.info, name)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two sources tell different things of one field."""

    tenant_id: str
    field: str
    kept: tuple[str, Any]
    """(source, value) of the first one, which counts."""
    passed_over: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        others = ", ".join(f"{source} says {value!r}" for source, value in self.passed_over)
        return f"{self.tenant_id}: {self.field} is {self.kept[1]!r} ({self.kept[0]}), {others}"


def merge_tenant(told: Sequence[Told]) -> tuple[TenantInfo, tuple[Conflict, ...]]:
    """``told`` of one tenant, the source that counts most first: each field is the first one's that tells it."""
    by_field: dict[str, list[tuple[str, Any]]] = {}
    for one in told:
        for name, value in one.values():
            by_field.setdefault(name, []).append((one.source, value))
    first = told[0].info
    merged = first if len(told) == 1 else TenantInfo(**{name: values[0][1] for name, values in by_field.items()})
    found = (_conflict(first.tenant_id, name, values) for name, values in by_field.items() if name != _KEY)
    return merged, tuple(conflict for conflict in found if conflict is not None)


def _conflict(tenant_id: str, name: str, values: Sequence[tuple[str, Any]]) -> Conflict | None:
    kept, *others = values
    different = tuple(one for one in others if one[1] != kept[1])
    return Conflict(tenant_id=tenant_id, field=name, kept=kept, passed_over=different) if different else None


def merge_config(told: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings, key by key at the top: a key's value is the first one's that has the key."""
    merged: dict[str, Any] = {}
    for config in told:
        merged = {**config, **merged}
    return merged


@dataclass(slots=True)
class ConflictReport:
    """Where the sources disagreed during one walk."""

    conflicts: list[Conflict] = field(default_factory=list)
    """The first ``KEPT_CONFLICTS``, in the order of the walk."""
    by_field: Counter[str] = field(default_factory=Counter)
    """How many there were of each field."""
    tenants: int = 0
    """How many tenants they are about."""

    def add(self, conflicts: Sequence[Conflict]) -> None:
        """Those of one tenant."""
        self.tenants += bool(conflicts)
        self.by_field.update(conflict.field for conflict in conflicts)
        self.conflicts += conflicts[: KEPT_CONFLICTS - len(self.conflicts)]

    def __str__(self) -> str:
        if not self.tenants:
            return "the sources agree"
        fields = ", ".join(f"{name} ({count})" for name, count in self.by_field.most_common())
        return f"the sources disagree about {counted(self.tenants, 'tenant')}: {fields}"

    def to_json(self) -> dict[str, Any]:
        """For reports."""
        listed = [
            {"tenant_id": one.tenant_id, "field": one.field, "kept": _json(one.kept), "others": [*map(_json, one.passed_over)]}
            for one in self.conflicts
        ]
        return {"tenants": self.tenants, "fields": dict(self.by_field), "conflicts": listed}


def _json(told: tuple[str, Any]) -> dict[str, Any]:
    source, value = told
    plain = isinstance(value, str | bool | Mapping) or value is None
    return {"source": source, "value": value if plain else list(value) if isinstance(value, tuple) else str(value)}
