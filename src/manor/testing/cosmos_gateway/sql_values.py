"""What operators and functions of Cosmos DB's SQL do: comparisons of different types, and of nothing, are *undefined*.

Source: "Equality and comparison operators", "Type checking functions", learn.microsoft.com.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any


class Undefined:
    """The type of ``UNDEFINED``."""

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED = Undefined()

_KINDS = {Undefined: 0, type(None): 1, bool: 2, int: 3, float: 3, str: 4, list: 5, dict: 6}
SCALARS = {2, 3, 4}


def kind_of(value: Any) -> int:
    """Types in the order in which ORDER BY puts them."""
    return _KINDS[type(value)]


def by_utf16(text: str) -> Any:
    """How .NET compares: nobody has said how the service does, so a driver must do with either."""
    return text.encode("utf-16-be", "surrogatepass")


def by_utf8(text: str) -> Any:
    """The order of code points."""
    return text


class Operators:
    """Comparisons, with one order of strings."""

    def __init__(self, text_order: Callable[[str], Any]) -> None:
        self.text_order = text_order

    def equal(self, left: Any, right: Any) -> Any:
        """``=``."""
        kind = kind_of(left)
        if kind == 0 or kind != kind_of(right):
            return UNDEFINED
        return same(left, right)

    def unequal(self, left: Any, right: Any) -> Any:
        """``!=``."""
        found = self.equal(left, right)
        return found if found is UNDEFINED else not found

    def ordered(self, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
        """``<`` and the others."""

        def run(left: Any, right: Any) -> Any:
            if kind_of(left) != kind_of(right) or kind_of(left) not in SCALARS:
                return UNDEFINED
            return compare(self.place(left)[1], self.place(right)[1])

        return run

    def place(self, value: Any) -> tuple[int, Any]:
        """Where ORDER BY puts a value."""
        kind = kind_of(value)
        if kind == 4:
            return kind, self.text_order(value)
        return kind, value if kind in SCALARS else 0

    def table(self) -> dict[str, Callable[[Any, Any], Any]]:
        """All of them by their signs."""
        return {
            "=": self.equal,
            "!=": self.unequal,
            "<>": self.unequal,
            "<": self.ordered(operator.lt),
            "<=": self.ordered(operator.le),
            ">": self.ordered(operator.gt),
            ">=": self.ordered(operator.ge),
        }


def same(left: Any, right: Any) -> bool:
    """Equal in value and type, all the way down."""
    kind = kind_of(left)
    if kind != kind_of(right):
        return False
    if kind == 5:
        return len(left) == len(right) and all(map(same, left, right))
    if kind == 6:
        return left.keys() == right.keys() and all(same(one, right[name]) for name, one in left.items())
    return bool(left == right)


def both(left: Any, right: Any) -> Any:
    """AND of three truth values."""
    if left is False or right is False:
        return False
    return True if left is True and right is True else UNDEFINED


def either(left: Any, right: Any) -> Any:
    """OR of three truth values."""
    if left is True or right is True:
        return True
    return False if left is False and right is False else UNDEFINED


def negated(value: Any) -> Any:
    """NOT."""
    return not value if type(value) is bool else UNDEFINED


def _of_texts(test: Callable[[str, str], bool]) -> Callable[[Any, Any], Any]:
    return lambda text, part: test(text, part) if type(text) is type(part) is str else UNDEFINED


def _array_contains(array: Any, wanted: Any) -> Any:
    if type(array) is not list or wanted is UNDEFINED:
        return UNDEFINED
    return any(same(element, wanted) for element in array)


def _is(*kinds: int) -> Callable[[Any], bool]:
    return lambda value: kind_of(value) in kinds


FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "IS_DEFINED": (1, lambda value: value is not UNDEFINED),
    "IS_NULL": (1, _is(1)),
    "IS_BOOL": (1, _is(2)),
    "IS_NUMBER": (1, _is(3)),
    "IS_STRING": (1, _is(4)),
    "IS_ARRAY": (1, _is(5)),
    "IS_OBJECT": (1, _is(6)),
    "STARTSWITH": (2, _of_texts(str.startswith)),
    "CONTAINS": (2, _of_texts(lambda text, part: part in text)),
    "ARRAY_CONTAINS": (2, _array_contains),
}
"""Name → how many arguments, and what it does."""
