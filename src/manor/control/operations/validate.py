"""``manor multi-tenant validate``: everything that can be known to be wrong before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manor.control.operations.fleet import Examine, FleetSource, all_errors, migration_findings, read_fleet
from manor.errors import Finding, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What validate has to say."""

    source: str
    targets: int
    findings: tuple[Finding, ...]
    refusals: tuple[Finding, ...]
    notices: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether deploy would begin."""
        return not self.findings and not self.refusals

    def summary(self) -> str:
        """The last line for people."""
        if self.findings:
            return f"✗ {self.source}: {counted(len(self.findings), 'finding')}"
        if self.refusals:
            return f"✗ {self.source}: valid, but deploy refuses {counted(len(self.refusals), 'setting')}"
        return f"✓ {self.source} is valid: {counted(self.targets, 'database')} declared"

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            "source": self.source,
            "valid": self.ok,
            "targets": self.targets,
            "findings": [finding_json(f) for f in self.findings],
            "refusals": [finding_json(f) for f in self.refusals],
            "notices": list(self.notices),
        }


def finding_json(finding: Finding) -> dict[str, Any]:
    """One finding as the JSON contract shows it."""
    place = finding.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "message": finding.message,
        "hint": finding.hint,
        "severity": finding.severity,
    }


def validate_fleet(source: FleetSource, examine: Examine, *, also_not_acted_on: Sequence[str] = ()) -> Verdict:
    """Read, resolve, report. ``examine`` knows what the engine can make of a template. Raises ``InputError`` where the registry
    is no YAML at all."""
    registry, resolution = read_fleet(source)
    errors = all_errors(resolution, examine)
    if registry is not None:
        errors += migration_findings(source, registry, resolution)
    keys = [*resolution.not_acted_on, *(f"project.yaml: {key}" for key in also_not_acted_on)]
    places = {finding.place for finding in errors}
    notices = [str(f) for f in resolution.findings if f.severity != "error" and f.place not in places]
    if keys:
        notices.append(f"accepted, not acted on yet: {', '.join(keys)}")
    return Verdict(
        source=source.shown_as,
        targets=len(resolution.targets),
        findings=tuple(errors),
        refusals=resolution.refusals,
        notices=tuple(notices),
    )
