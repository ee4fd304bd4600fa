"""``manor multi-tenant preview``: the names that a registry means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from manor.control.operations.fleet import Fleet
from manor.control.steps import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The first targets and how many there are beyond."""

    targets: tuple[Target, ...]
    total: int

    @property
    def more(self) -> int:
        """Targets that are not shown."""
        return self.total - len(self.targets)

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            "total": self.total,
            "databases": [
                {
                    "database": t.database,
                    "tenant_id": str(t.tenant),
                    "group": t.group,
                    "template": t.template,
                    "server": t.server,
                    "auto_provision": t.auto_provision,
                    "variables": dict(t.variables),
                }
                for t in self.targets
            ],
        }


def preview_fleet(fleet: Fleet, *, group: str | None, limit: int) -> Preview:
    """The first ``limit`` targets of the registry or of one group. Raises ``NotFoundError`` for an unknown group."""
    chosen = fleet.select(group=group)
    return Preview(targets=chosen[:limit], total=len(chosen))
