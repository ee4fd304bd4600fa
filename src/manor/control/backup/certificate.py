"""The erasure certificate: what was erased, what holds data still and until when, and what was found afterwards. Pure.

The document holds no rows, no display name and none of the texts that were searched for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manor.control.backup.scan import Hit, Where

FORMAT = 1
KIND = "manor.erasure"

CONTENT, IDENTIFIERS = "content", "identifiers"
"""What a place that remains holds: rows of the tenant, or only names (database, role, tenant id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """One place that holds something of an erased tenant still."""

    kind: Where
    where: str
    """``server main: pg_wal``; hits whose place begins so are explained by it."""
    holds: str
    until: dt.datetime | None = None
    """When retention removes it; None: ``why`` says when, or that it stays."""
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the certificate."""
        until = self.until.isoformat() if self.until else None
        return {"kind": str(self.kind), "where": self.where, "holds": self.holds, "until": until, "why": self.why}

    def explains(self, hit: Hit) -> bool:
        """Whether a hit is no surprise."""
        return hit.kind is self.kind and hit.where.startswith(self.where) and (self.holds == CONTENT or hit.is_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """What a search found."""

    at: dt.datetime
    terms: tuple[str, ...]
    """Labels of what was searched for."""
    searched: tuple[str, ...]
    """Places, in words."""
    unsearched: tuple[str, ...] = ()
    """Places that could not be searched, and why."""
    hits: tuple[Hit, ...] = ()

    def unexplained(self, remaining: Sequence[Remaining]) -> list[Hit]:
        """Hits in places that no longer should hold it."""
        return [hit for hit in self.hits if not any(one.explains(hit) for one in remaining)]

    def to_json(self, remaining: Sequence[Remaining]) -> dict[str, Any]:
        """For the certificate."""
        elsewhere = self.unexplained(remaining)
        return {
            "at": self.at.isoformat(),
            "result": self._result(elsewhere),
            "terms": list(self.terms),
            "searched": list(self.searched),
            "not_searched": list(self.unsearched),
            "hits": [hit.to_json() for hit in self.hits],
            "hits_elsewhere": [hit.to_json() for hit in elsewhere],
        }

    def _result(self, elsewhere: Sequence[Hit]) -> str:
        if not self.searched:
            return "not searched"
        return "hits elsewhere" if elsewhere else "hits in named places only" if self.hits else "no hits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """One thing that is gone."""

    kind: str
    where: str
    at: str
    """ISO time."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For the certificate."""
        return {"kind": self.kind, "where": self.where, "at": self.at, **self.facts}


def certificate(
    *,
    tenant: str,
    database: Mapping[str, str],
    installation: str,
    operation: str,
    actor: str,
    reason: str,
    begun_at: dt.datetime,
    erased_at: dt.datetime,
    erased: Sequence[Erased],
    remaining: Sequence[Remaining],
    scan: ScanResult,
    final_export: Mapping[str, Any] | None,
    manor_version: str,
) -> dict[str, Any]:
    """The document, to be signed."""
    return {
        "format": FORMAT,
        "kind": KIND,
        "tenant": tenant,
        "database": dict(database),
        "installation": installation,
        "manor_version": manor_version,
        "operation": operation,
        "actor": actor,
        "reason": reason,
        "begun_at": begun_at.isoformat(),
        "erased_at": erased_at.isoformat(),
        "final_export": dict(final_export) if final_export else None,
        "erased": [one.to_json() for one in erased],
        "remaining": [one.to_json() for one in remaining],
        "scan": scan.to_json(remaining),
    }
