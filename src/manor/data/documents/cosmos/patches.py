"""Updates as PATCH with a predicate: one request, nothing read before. Pure.

Only what PATCH does exactly as an update does: attributes at the top that are set, removed, or counted within what doubles
hold. The predicate is the write's condition and what the plan assumes of the item. Where it fails (412), or the item is not
there (404), nothing has happened and the driver decides by reading: PATCH never answers the question *why* not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from manor.data.documents.cosmos.codec import LARGEST_WHOLE, encode
from manor.data.documents.cosmos.compile import compile_condition, path_text
from manor.data.documents.driver import Returns, Update
from manor.data.documents.limits import ITEM_BYTES
from manor.data.documents.query.nodes import Arithmetic, Assign, IfNotExists, Merge, Path, Ref, SetValue
from manor.data.documents.tables import Table
from manor.data.documents.values import Value, item_size

OPERATIONS = 10
"""What Cosmos DB takes in one PATCH."""
PREDICATE_CHARACTERS = 4000
_COUNT_BYTES = 21
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Patch:
    """``operations`` as the SDK takes them, ``predicate`` as ``from c where …``."""

    operations: list[dict[str, Any]]
    predicate: str


def patch_of(write: Update) -> Patch | None:
    """The PATCH that does ``write``, or None where it cannot be said exactly."""
    if write.update is None or write.returns in {Returns.ALL_OLD, Returns.UPDATED_OLD}:
        return None
    node = write.update.node
    if node.deletes or not _names_are_plain(write.table, node.paths()):
        return None
    plan = _Plan(write.values)
    planned = all([*map(plan.assign, node.sets), *map(plan.add, node.adds), *map(plan.remove, node.removes)])
    condition = _condition(write)
    if not planned or condition is None or len(plan.operations) >= OPERATIONS:
        return None
    predicate = f"from c where {' AND '.join([f'c.z <= {ITEM_BYTES - plan.added}', *plan.assumed, *condition])}"
    if len(predicate) > PREDICATE_CHARACTERS or plan.added > ITEM_BYTES:
        return None
    return Patch([*plan.operations, _operation("incr", "/z", plan.added)], predicate)


def _names_are_plain(table: Table, paths: tuple[Path, ...]) -> bool:
    kept_elsewhere = {key.name for key in table.all_keys()} | {table.ttl_attribute}
    return all(len(path.parts) == 1 and _NAME.fullmatch(path.name) and path.name not in kept_elsewhere for path in paths)


def _condition(write: Update) -> list[str] | None:
    if write.condition is None:
        return []
    compiled = compile_condition(write.condition, write.values)
    return [compiled.with_literals(write.values)] if compiled.exact else None


class _Plan:
    """Collects operations, what they assume of the item, and by how much the item can grow."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.operations: list[dict[str, Any]] = []
        self.assumed: list[str] = []
        self.added = 0

    def assign(self, one: Assign) -> bool:
        match one.value:
            case Ref(ref):
                value = self.values[ref]
                self.added += item_size({one.path.name: value})
                self.operations.append(_operation("set", f"/a/{one.path.name}", encode(value)))
                return True
            case Arithmetic(op, left, Ref(ref)) if _reads(left, one.path):
                return self.count(one.path, self.values[ref], -1 if op == "-" else 1)
        return False

    def add(self, merge: Merge) -> bool:
        return self.count(merge.path, self.values[merge.value.name], 1)

    def count(self, path: Path, step: Value, sign: int) -> bool:
        if type(step) is not int or abs(step) > LARGEST_WHOLE:
            return False
        room, text = LARGEST_WHOLE - abs(step), path_text(path)
        self.assumed.append(f"IS_NUMBER({text}) AND {text} >= {-room} AND {text} <= {room}")
        self.operations.append(_operation("incr", f"/a/{path.name}", sign * step))
        self.added += _COUNT_BYTES
        return True

    def remove(self, path: Path) -> bool:
        self.assumed.append(f"IS_DEFINED({path_text(path)})")
        self.operations.append(_operation("remove", f"/a/{path.name}"))
        return True


def _reads(value: SetValue, path: Path) -> bool:
    """Whether the left side of a sum is the counted attribute, which the predicate wants to be there."""
    return value == path or (isinstance(value, IfNotExists) and value.path == path)


def _operation(op: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **({"value": value[0]} if value else {})}
