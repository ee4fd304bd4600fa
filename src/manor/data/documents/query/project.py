"""What a projection means, and which attributes of an item an update touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from manor.data.documents.query.evaluate import MISSING, lookup
from manor.data.documents.query.nodes import Path
from manor.data.documents.values import Item, copied


def project(paths: Iterable[Path], item: Item) -> Item:
    """A new item of the parts that the paths lead to. Paths to nothing are left out; elements of lists close ranks."""
    tree: dict[str | int, Any] = {}
    for path in paths:
        found = lookup(item, path)
        if found is not MISSING:
            _plant(tree, path, copied(found))
    return {str(name): _grown(branch) for name, branch in tree.items()}


class _Leaf:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _plant(tree: dict[str | int, Any], path: Path, value: Any) -> None:
    for part in path.parts[:-1]:
        tree = tree.setdefault(part, {})
    tree[path.parts[-1]] = _Leaf(value)


def _grown(branch: Any) -> Any:
    if isinstance(branch, _Leaf):
        return branch.value
    if isinstance(next(iter(branch)), int):
        return [_grown(branch[position]) for position in sorted(branch)]
    return {name: _grown(part) for name, part in branch.items()}
