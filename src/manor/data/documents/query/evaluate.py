"""What a condition means: true or false of an item and values. Every driver is compared with this.

- A path that leads to nothing is *missing*, which is not ``NULL``. Every comparison, ``IN``, ``BETWEEN``, ``begins_with`` and
  ``contains`` with a missing operand is false, but ``<>``: it is always the opposite of ``=``, so true.
- Values of different types are never equal; ``<``, ``<=``, ``>``, ``>=`` and ``BETWEEN`` are false unless both sides are
  numbers, both strings (by code point, which is the order of UTF-8) or both bytes.
- ``size`` of a number, boolean or NULL is missing. There is no third truth value: ``NOT`` turns false into true.

Source: Amazon DynamoDB Developer Guide, "Condition and filter expressions, operators, and functions".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

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
    Not,
    Operand,
    Or,
    Path,
    Ref,
)
from manor.data.documents.values import SET_TYPES, Item, Value, comparable, same, type_of

Values = Mapping[str, Value]


class Missing:
    """The type of ``MISSING``."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()
"""Where a path leads to nothing."""


def lookup(item: Item, path: Path) -> Value | Missing:
    """What is at the path, or ``MISSING``."""
    found: Any = item
    for part in path.parts:
        if isinstance(part, int):
            if type(found) is not list or part >= len(found):
                return MISSING
            found = found[part]
        else:
            if type(found) is not dict or part not in found:
                return MISSING
            found = found[part]
    return found


def evaluate(condition: Condition, item: Item, values: Values) -> bool:
    """Whether the condition holds for the item; an item that does not exist is ``{}``."""
    match condition:
        case Compare():
            return _compare(condition, item, values)
        case And():
            return all(evaluate(part, item, values) for part in condition.parts)
        case Or():
            return any(evaluate(part, item, values) for part in condition.parts)
        case Not():
            return not evaluate(condition.part, item, values)
        case Exists():
            return lookup(item, condition.path) is not MISSING
        case _:
            return _evaluate_operands(condition, item, values)


def _evaluate_operands(condition: Between | In | HasType | BeginsWith | Contains, item: Item, values: Values) -> bool:
    match condition:
        case Between(operand, low, high):
            found, least, most = (_value(one, item, values) for one in (operand, low, high))
            return _ordered(operator.ge, found, least) and _ordered(operator.le, found, most)
        case In(operand, options):
            found = _value(operand, item, values)
            return any(_equal(found, _value(option, item, values)) for option in options)
        case HasType(path, ref):
            found = lookup(item, path)
            return found is not MISSING and type_of(found) == values[ref.name]
        case BeginsWith(operand, prefix):
            return _begins_with(_value(operand, item, values), _value(prefix, item, values))
        case Contains(operand, part):
            return _contains(_value(operand, item, values), _value(part, item, values))


def _value(operand: Operand, item: Item, values: Values) -> Value | Missing:
    match operand:
        case Ref(name):
            return values[name]
        case Path():
            return lookup(item, operand)
        case _:
            return size_of(lookup(item, operand.path))


def size_of(value: Value | Missing) -> int | Missing:
    """What ``size()`` says of a value."""
    if value is MISSING or not hasattr(value, "__len__"):
        return MISSING
    return len(value)


_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _compare(condition: Compare, item: Item, values: Values) -> bool:
    left, right = _value(condition.left, item, values), _value(condition.right, item, values)
    if condition.op == "=":
        return _equal(left, right)
    if condition.op == "<>":
        return not _equal(left, right)
    return _ordered(_ORDERINGS[condition.op], left, right)


def _equal(left: Value | Missing, right: Value | Missing) -> bool:
    return left is not MISSING and right is not MISSING and same(left, right)


def _ordered(compare: Callable[[Any, Any], bool], left: Value | Missing, right: Value | Missing) -> bool:
    return left is not MISSING and right is not MISSING and comparable(left, right) and compare(left, right)


def _begins_with(value: Value | Missing, prefix: Value | Missing) -> bool:
    if type(value) is not type(prefix) or not isinstance(value, str | bytes):
        return False
    return value.startswith(prefix)  # type: ignore[arg-type]


def _contains(value: Value | Missing, part: Value | Missing) -> bool:
    if isinstance(value, Missing) or isinstance(part, Missing):
        return False
    kind = type_of(value)
    if kind in {"S", "B"}:
        return type(value) is type(part) and part in value
    if kind in SET_TYPES:
        return type_of(part) == kind[0] and part in value
    return kind == "L" and any(same(part, element) for element in value)
