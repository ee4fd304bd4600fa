"""Everything that was settled about a release before it began, as one value that the journal keeps: whoever resumes it, on
whatever machine, needs neither the command line nor the registry as they were. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Self
from zoneinfo import ZoneInfo

from manor.control.migrate.cohort import Cohort
from manor.control.rollout.release.conduct import Conduct
from manor.control.rollout.strategy import Gate, Kind
from manor.control.rollout.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How one release goes. ``cohorts`` get their fingerprints once the goldens are built."""

    kind: Kind
    cohorts: tuple[Cohort, ...]
    conduct: Conduct
    soak_seconds: Mapping[int, float] = field(default_factory=dict)
    """By wave: pause after it."""
    gate: Gate | None = None
    windows: tuple[Window, ...] = ()
    """Maintenance windows; none: always open."""
    label: str = ""
    """For people: which versions it brings."""
    undoes: bool = False
    undone: str = ""
    """The operation that this one takes back, also where it retries an undo; empty in plans of before this was recorded."""
    back_of: str = ""
    """The operation whose kept databases this one switches back to; empty: it runs migrations."""
    discard_writes: bool = False
    """Whether it switches back also where somebody has written since."""
    protected: frozenset[str] = frozenset()
    """Tenants that are pinned or held back: they do not keep new tenants from the new version."""

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        gate = None
        if self.gate is not None:
            gate = {**asdict(self.gate), "max_error_rate": str(self.gate.max_error_rate)}
        return {
            "kind": str(self.kind),
            "cohorts": [cohort.to_json() for cohort in self.cohorts],
            "conduct": asdict(self.conduct),
            "soak_seconds": {str(wave): seconds for wave, seconds in self.soak_seconds.items()},
            "gate": gate,
            "windows": [
                {
                    "days": sorted(window.days),
                    "opens": window.opens.isoformat(),
                    "closes": window.closes.isoformat(),
                    "zone": window.zone.key,
                    "where": window.where,
                }
                for window in self.windows
            ],
            "label": self.label,
            "undoes": self.undoes,
            "undone": self.undone,
            "back_of": self.back_of,
            "discard_writes": self.discard_writes,
            "protected": sorted(self.protected),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        gate = document["gate"]
        if gate is not None:
            gate = Gate(
                sql=tuple(gate["sql"]),
                scripts=tuple(gate["scripts"]),
                max_error_rate=Decimal(gate["max_error_rate"]),
                timeout_seconds=gate["timeout_seconds"],
            )
        return cls(
            kind=Kind(document["kind"]),
            cohorts=tuple(map(Cohort.from_json, document["cohorts"])),
            conduct=Conduct(**document["conduct"]),
            soak_seconds={int(wave): seconds for wave, seconds in document["soak_seconds"].items()},
            gate=gate,
            windows=tuple(map(_window, document["windows"])),
            label=document["label"],
            undoes=document["undoes"],
            undone=document.get("undone", ""),
            back_of=document["back_of"],
            discard_writes=document["discard_writes"],
            protected=frozenset(document["protected"]),
        )


def _window(document: Mapping[str, Any]) -> Window:
    return Window(
        days=frozenset(document["days"]),
        opens=dt.time.fromisoformat(document["opens"]),
        closes=dt.time.fromisoformat(document["closes"]),
        zone=ZoneInfo(document["zone"]),
        where=document["where"],
    )
