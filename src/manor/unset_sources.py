"""Sources whose settings name variables that are not set: they are known, and whoever opens one is told what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from manor.errors import Finding
from manor.fleet_settings import SourceSettings
from manor.settings_files import KeyPath, Unexpanded


def hold_back(value: Any, left: Iterable[Unexpanded]) -> tuple[dict[str, SourceSettings], list[Finding]]:
    """Take those sources out of a ``project.yaml`` that have variables which are not set: only who uses them needs them.

    Returns (by name, the sources that were taken out; what is wrong with the rest).
    """
    found: dict[str, SourceSettings] = {}
    places: dict[str, KeyPath] = {}
    findings: list[Finding] = []
    for one in left:
        at, name, provider = _source_at(value, one.path)
        if not one.unset or not name or places.setdefault(name, at) != at:
            findings.append(one.finding)
            continue
        before = found[name].unset if name in found else ()
        found[name] = SourceSettings(name=name, provider=provider, config=None, unset=(*before, one.finding))
    for at in places.values():
        block = value
        for key in at[:-1]:
            block = block[key]
        del block[at[-1]]
    return found, findings


def _source_at(value: Any, path: KeyPath) -> tuple[KeyPath, str, str]:
    """(path, name and provider of the source in whose settings a path leads); empty for any other path."""
    match path:
        case ("multi_tenant", "tenant_registry", "config" | "cache", *_):
            provider = value["multi_tenant"]["tenant_registry"].get("provider")
            return (path[:2], provider, provider) if isinstance(provider, str) else ((), "", "")
        case ("multi_tenant", "sources", str(name), "config" | "cache", *_):
            provider = value["multi_tenant"]["sources"][name].get("provider")
            return (path[:3], name, provider) if isinstance(provider, str) else ((), "", "")
    return (), "", ""
