"""What is left of a registry with errors in it, so that one pass can say everything that is wrong and not only the first layer.

Pure. The result is for looking only: a registry with findings is never acted on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from manor.control.registry.model import Registry
from manor.errors import Place
from manor.typed_input import Path, Problem, check

_NOT_DATA = ("string_type", "string_pattern_mismatch")
_DATA = (("variables",), ("customer_info",))
"""Whose values are variables: an empty one in place of a faulty one keeps those who refer to it from being blamed."""

Kept = Mapping[str, tuple[int, ...]]


def salvage(value: Any, problems: Sequence[Problem]) -> tuple[Registry | None, Kept]:
    """A model of the parts without an error, and for fixed groups that lost entries the indexes of those that stayed.

    First every faulty value is mended or taken out; what then still lacks something goes as a whole.
    """
    if not isinstance(value, dict):
        return None, {}
    mended = copy.deepcopy(value)
    for problem in problems:
        _mend(mended, problem)
    model, remaining = check(Registry, mended, _Nowhere())
    if model is not None:
        return model, {}
    kept = _drop_entries(mended, [problem.path for problem in remaining])
    return check(Registry, mended, _Nowhere())[0], kept


class _Nowhere:
    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:  # noqa: ARG002 - the port's signature
        return Place("")


def _mend(root: dict[str, Any], problem: Problem) -> None:
    path = problem.path
    if path == ("registry_version",):
        root["registry_version"] = "2.0"
        return
    parent = _parent(root, path)
    if not isinstance(parent, dict) or path[-1] not in parent:
        return
    found = parent[path[-1]]
    if problem.kind == "string_type" and isinstance(found, (int, Decimal)):
        parent[path[-1]] = str(found)
    elif problem.kind in _NOT_DATA and path[-2:-1] in _DATA and not problem.of_key:
        parent[path[-1]] = ""
    else:
        del parent[path[-1]]


def _parent(root: Any, path: Path) -> Any:
    current = root
    for step in path[:-1]:
        if isinstance(current, dict):
            current = current.get(step)
        elif isinstance(current, list) and isinstance(step, int) and step < len(current):
            current = current[step]
        else:
            return None
    return current if path else None


def _drop_entries(root: dict[str, Any], paths: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    groups = root.get("database_groups")
    if not isinstance(groups, dict):
        return {}
    entries: dict[str, set[int]] = {}
    for path in paths:
        if len(path) < 2 or path[0] != "database_groups":
            continue
        if len(path) > 3 and path[2] == "databases" and isinstance(path[3], int):
            entries.setdefault(str(path[1]), set()).add(path[3])
        else:
            groups.pop(path[1], None)
    return {name: _keep(groups[name], dropped) for name, dropped in entries.items() if name in groups}


def _keep(group: dict[str, Any], dropped: set[int]) -> tuple[int, ...]:
    kept = tuple(index for index in range(len(group["databases"])) if index not in dropped)
    group["databases"] = [group["databases"][index] for index in kept]
    return kept
