"""Key conditions: one partition, and at most one range of its sort key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from manor.data.documents.faults import ExpressionError
from manor.data.documents.query.expression import ConditionExpression
from manor.data.documents.query.nodes import (
    And,
    BeginsWith,
    Between,
    Compare,
    Condition,
    Contains,
    Exists,
    HasType,
    In,
    Path,
    Ref,
)
from manor.data.documents.values import Value

SORT_OPERATORS = ("=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class SortRange:
    """``op`` is ``= < <= > >=``, ``BETWEEN`` or ``begins_with``; ``high`` is the upper end of BETWEEN, else None."""

    op: str
    low: Value
    high: Value = None

    def holds(self, value: Value) -> bool:
        """Whether a sort key of the declared type is in the range."""
        match self.op:
            case "=":
                return bool(value == self.low)
            case "<":
                return bool(value < self.low)
            case "<=":
                return bool(value <= self.low)
            case ">":
                return bool(value > self.low)
            case ">=":
                return bool(value >= self.low)
            case "BETWEEN":
                return bool(self.low <= value <= self.high)
            case _:
                return bool(value.startswith(self.low))


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """The references of a key condition: compile this. ``partition`` names a value; ``sort_op`` is "" without a range."""

    partition: str
    sort_op: str = ""
    low: str = ""
    high: str = ""

    def bind(self, values: Mapping[str, Value]) -> tuple[Value, SortRange | None]:
        """The partition's key and the range, with their values."""
        if not self.sort_op:
            return values[self.partition], None
        return values[self.partition], SortRange(self.sort_op, values[self.low], values[self.high] if self.high else None)


def key_plan(expression: ConditionExpression, partition: str, sort: str | None, *, where: str) -> KeyPlan:
    """Read a key condition for keys of these names; ``where`` names table and index. Raises ``ExpressionError``."""
    return expression.compiled_for(("key_plan", partition, sort), lambda: _Reader(expression, partition, sort, where).plan())


class _Reader:
    def __init__(self, expression: ConditionExpression, partition: str, sort: str | None, where: str) -> None:
        self.expression = expression
        self.partition = partition
        self.sort = sort
        self.where = where

    def plan(self) -> KeyPlan:
        node = self.expression.node
        parts = list(node.parts) if isinstance(node, And) else [node]
        for part in parts:
            self.check_part(part)
        hashes = [part for part in parts if self.name_of(part) == self.partition]
        sorts = [part for part in parts if self.name_of(part) == self.sort]
        partition = self.partition_ref(hashes)
        if not sorts:
            return KeyPlan(partition)
        if len(sorts) > 1:
            raise self.fault(
                f"{self.sort} stands in two conditions",
                sorts[1],
                hint=f"one range is one condition: {self.sort} BETWEEN :a AND :b",
            )
        return self.with_range(partition, sorts[0])

    def partition_ref(self, hashes: list[Condition]) -> str:
        if len(hashes) != 1:
            problem = "stands in two conditions" if hashes else "is missing"
            raise self.fault(
                f"the partition key {self.partition} of {self.where} {problem}",
                hashes[1] if hashes else None,
                hint=f"a query names one partition: {self.partition} = :v",
            )
        match hashes[0]:
            case Compare("=", Path(), Ref(name)):
                return name
            case _:
                raise self.fault(f"the partition key {self.partition} can only be compared by = with a value", hashes[0])

    def check_part(self, part: Condition) -> None:
        name = self.name_of(part)
        if name is None:
            raise self.fault(
                "a key condition holds comparisons of keys, joined by AND",
                part,
                hint="everything else belongs to filter_expression",
            )
        if name not in {self.partition, self.sort}:
            keys = " and ".join(key for key in (self.partition, self.sort) if key)
            raise self.fault(
                f"{name} is no key of {self.where}, whose keys are {keys}",
                part,
                hint="name the index that has it by index_name, or move it to filter_expression",
            )

    def name_of(self, part: Condition) -> str | None:
        match part:
            case Compare(_, Path((str(name),)), _) | Between(Path((str(name),)), _, _) | BeginsWith(Path((str(name),)), _):
                return name
            case (
                In(Path((str(name),)), _)
                | Contains(Path((str(name),)), _)
                | Exists(Path((str(name),)))
                | HasType(Path((str(name),)), _)
            ):
                return name
        return None

    def with_range(self, partition: str, part: Condition) -> KeyPlan:
        match part:
            case Compare(op, _, Ref(low)) if op in SORT_OPERATORS:
                return KeyPlan(partition, op, low)
            case Between(_, Ref(low), Ref(high)):
                return KeyPlan(partition, "BETWEEN", low, high)
            case BeginsWith(_, Ref(low)):
                return KeyPlan(partition, "begins_with", low)
            case _:
                raise self.fault(
                    f"the sort key {self.sort} can be compared by =, <, <=, >, >=, BETWEEN and begins_with() with values",
                    part,
                    hint="everything else belongs to filter_expression",
                )

    def fault(self, problem: str, part: Condition | None, *, hint: str = "") -> ExpressionError:
        """An error at ``part``; at the beginning for what is missing."""
        position, expression = self.position_of(part) if part else 1, self.expression
        return ExpressionError(f"{expression.kind}: {problem}", expression=expression.text, position=position, hint=hint)

    def position_of(self, part: Condition) -> int:
        node = self.expression.node
        before = node.parts[: _place(node.parts, part)] if isinstance(node, And) else ()
        paths = sum(len(_paths(one)) for one in before)
        return self.expression.positions[paths] if _paths(part) else 1


def _place(parts: Sequence[Condition], part: Condition) -> int:
    """Which of them it is: the very one, for two can be equal."""
    return next(place for place, one in enumerate(parts) if one is part)


def _paths(node: Any) -> list[Path]:
    """The paths in a part of a condition, in their order in the text."""
    if isinstance(node, Path):
        return [node]
    if is_dataclass(node):
        node = tuple(getattr(node, one.name) for one in fields(node))
    return [path for one in node for path in _paths(one)] if isinstance(node, tuple) else []
