"""Whether what a deployment strategy says about tenants means any: searches that can be read, tenants that are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from manor.control.registry.model import DeploymentStrategy
from manor.control.registry.resolve import Resolution
from manor.control.registry.search.parse import parse_search
from manor.control.registry.yaml_files import LoadedRegistry
from manor.control.rollout.selection import find_tenants
from manor.errors import Finding, InputError, ManorError

_CONFIG_KEYS = frozenset({"declared", "isolation"})
"""What a record's config may have beside what its template says."""

_Path = tuple[str | int, ...]


def strategy_findings(loaded: LoadedRegistry, resolution: Resolution) -> list[Finding]:
    """One finding per search that cannot be read or asks for what no tenant has; and a warning per tenant id that means nobody,
    as it may be one that ``tenant create`` made."""
    strategy = loaded.model.deployment_strategy if loaded.model is not None else None
    if strategy is None or loaded.findings or not resolution.targets:
        return []
    known = set(_CONFIG_KEYS)
    known.update(name for target in resolution.targets for name in target.variables)
    known.update(name for template in resolution.templates.values() for name in template.config)
    found = []
    for path, text in _searches(strategy).items():
        try:
            parse_search(text, where=_shown(path)).require_known(known)
        except InputError as error:
            found.append(_finding(loaded, path, error))
    tenants = [target.tenant for target in resolution.targets]
    for path, name in _named(strategy):
        try:
            find_tenants([name], tenants, key=_shown(path[:1]))
        except ManorError as error:
            found.append(replace(_finding(loaded, path, error), severity="warning"))
    return found


def _searches(strategy: DeploymentStrategy) -> Mapping[_Path, str]:
    held = strategy.hold_back if isinstance(strategy.hold_back, str) else None
    searches: dict[_Path, str | None] = {("first",): strategy.first, ("hold_back",): held}
    for index, window in enumerate(strategy.maintenance_windows):
        searches["maintenance_windows", index, "where"] = window.where
    return {path: text for path, text in searches.items() if text}


def _named(strategy: DeploymentStrategy) -> Iterator[tuple[_Path, str]]:
    for name in strategy.pins:
        yield ("pins", name), name
    if isinstance(strategy.hold_back, list):
        for index, name in enumerate(strategy.hold_back):
            yield ("hold_back", index), name


def _shown(path: _Path) -> str:
    return ".".join(map(str, path))


def _finding(loaded: LoadedRegistry, path: _Path, error: ManorError) -> Finding:
    return Finding(message=error.message, place=loaded.place(("deployment_strategy", *path)), hint=error.hint)
