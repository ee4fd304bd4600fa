"""``manor multi-tenant add-tenants``: a group of the registry grows, unless that would make the registry a wrong one."""

from __future__ import annotations

from pathlib import Path

from manor.control.registry.resolve import resolve
from manor.control.registry.yaml_files import LoadedRegistry, TenantCountChange
from manor.control.registry.yaml_files import add_tenants as edit
from manor.errors import Finding, InvalidInput


def add_tenants(registry: Path, group: str, count: int, *, dry_run: bool, shown_as: str) -> TenantCountChange:
    """Raises as ``yaml_files.add_tenants`` does, and ``InvalidInput`` where the new tenants' names are too long, taken or not
    allowed. What was wrong before is no hindrance."""
    return edit(registry, group, count, dry_run=dry_run, shown_as=shown_as, compare=_refuse_new_findings)


def _refuse_new_findings(before: LoadedRegistry, after: LoadedRegistry) -> None:
    known = {finding.message for finding in _findings(before)}
    new = [finding for finding in _findings(after) if finding.message not in known]
    if new:
        raise InvalidInput(new)


def _findings(registry: LoadedRegistry) -> tuple[Finding, ...]:
    """Of the registry's own names: its templates and servers do not change with a number of tenants."""
    return resolve(registry, None, [""], source="", deployment="").findings
