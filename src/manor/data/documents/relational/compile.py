"""Conditions as SQL that means what ``evaluate`` means, or that there is no such SQL. Pure.

Every piece of SQL here is true or false, never NULL, so that NOT, AND and OR need no thought. A database's dialect is a
subclass that spells the leaves. What it cannot spell exactly raises ``NotExactError``; of an AND at the top the other parts are
used still, and the rest is judged in Python.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
    Not,
    Operand,
    Or,
    Path,
    Ref,
    Size,
)
from manor.data.documents.relational.codec import JsonForm
from manor.data.documents.values import ORDERED_TYPES, Value, type_of

NOTHING_IS = "1 = 0"
ODD = "odd"
"""Instead of a type: a value that the database's JSON cannot hold as it is."""
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class NotExactError(Exception):
    """This condition has no SQL that always agrees with ``evaluate``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """``sql`` ("" for none) drops items that do not match; where ``exact`` is false it leaves some that do not match either.

    ``parameters`` are pairs of a value's name and the form in which the SQL wants it, in the order of the placeholders.
    """

    sql: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    exact: bool = True


class Compiler(ABC):
    """One condition for one set of types of its values: ``types`` by name, as ``type_of`` or ``ODD``."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self.types = types
        self.parameters: list[tuple[str, str]] = []

    def filter(self, node: Condition) -> Filter:
        """As much of the condition as there is SQL for."""
        parts = node.parts if isinstance(node, And) else (node,)
        compiled = [self._attempt(part) for part in parts]
        spelled = [sql for sql in compiled if sql]
        return Filter(sql=" AND ".join(spelled), parameters=tuple(self.parameters), exact=len(spelled) == len(parts))

    def _attempt(self, node: Condition) -> str:
        before = len(self.parameters)
        try:
            return self.condition(node)
        except NotExactError:
            del self.parameters[before:]
            return ""

    def bound(self, ref: Ref, form: str) -> str:
        """The placeholder of a value, in one of the dialect's forms."""
        if self.types[ref.name] == ODD:
            raise NotExactError
        wanted = (ref.name, form)
        if wanted not in self.parameters:
            self.parameters.append(wanted)
        return self.placeholder(self.parameters.index(wanted), form)

    # Conditions

    def condition(self, node: Condition) -> str:
        """A boolean in SQL. Raises ``NotExactError``."""
        match node:
            case And(parts):
                return "(" + " AND ".join(map(self.condition, parts)) + ")"
            case Or(parts):
                return "(" + " OR ".join(map(self.condition, parts)) + ")"
            case Not(part):
                return f"NOT ({self.condition(part)})"
            case Exists(path):
                return self.exists(path)
            case HasType(path, ref):
                return self.has_type(path, ref)
            case _:
                return self._of_operands(node)

    def _of_operands(self, node: Compare | Between | In | BeginsWith | Contains) -> str:
        match node:
            case Compare("=", left, right):
                return self.equal(left, right)
            case Compare("<>", left, right):
                return f"NOT ({self.equal(left, right)})"
            case Compare(op, left, right):
                return self.ordered(op, left, right)
            case Between(operand, low, high):
                return f"({self.ordered('>=', operand, low)} AND {self.ordered('<=', operand, high)})"
            case In(operand, options):
                return "(" + " OR ".join(self.equal(operand, option) for option in options) + ")"
            case BeginsWith(Path() as path, Ref() as ref):
                return self.begins_with(path, ref, self.types[ref.name])
            case Contains(Path() as path, Ref() as ref):
                return self.contains(path, ref, self.types[ref.name])
        raise NotExactError

    def equal(self, left: Operand, right: Operand) -> str:
        """``left = right``."""
        match left, right:
            case Path(), Ref():
                return self.equals_value(left, right, self.types[right.name])
            case Ref(), Path() | Size():
                return self.equal(right, left)
            case Size(path), Ref():
                return self._size("=", path, right)
            case Path(), Path():
                return self.equals_path(left, right)
        raise NotExactError

    def ordered(self, op: str, left: Operand, right: Operand) -> str:
        """``left op right`` for one of ``< <= > >=``."""
        match left, right:
            case Path(), Ref():
                kind = self.types[right.name]
                return self.compares(op, left, right, kind) if kind in {*ORDERED_TYPES, ODD} else NOTHING_IS
            case Size(path), Ref():
                return self._size(op, path, right)
            case Ref(), Path() | Size():
                return self.ordered(_FLIPPED[op], right, left)
        raise NotExactError

    def _size(self, op: str, path: Path, ref: Ref) -> str:
        kind = self.types[ref.name]
        return self.size_compares(op, path, ref) if kind in {"N", ODD} else NOTHING_IS

    # What a dialect spells

    @abstractmethod
    def placeholder(self, position: int, form: str) -> str:
        """The placeholder of the parameter at ``position`` (from 0)."""

    @abstractmethod
    def exists(self, path: Path) -> str:
        """Whether the path leads to something."""

    @abstractmethod
    def has_type(self, path: Path, ref: Ref) -> str:
        """Whether what is there has the type that the value names."""

    @abstractmethod
    def equals_value(self, path: Path, ref: Ref, kind: str) -> str:
        """Whether what is there is the value, of type ``kind``."""

    @abstractmethod
    def equals_path(self, left: Path, right: Path) -> str:
        """Whether the same is at both."""

    @abstractmethod
    def compares(self, op: str, path: Path, ref: Ref, kind: str) -> str:
        """Order; ``kind`` is N, S, B or ``ODD``."""

    @abstractmethod
    def size_compares(self, op: str, path: Path, ref: Ref) -> str:
        """``size(path) op :number``."""

    @abstractmethod
    def begins_with(self, path: Path, ref: Ref, kind: str) -> str:
        """Whether the string or the bytes begin with the value."""

    @abstractmethod
    def contains(self, path: Path, ref: Ref, kind: str) -> str:
        """Whether the string, list or set has the value in it."""


def compiled_filter(
    expression: ConditionExpression | None,
    values: Mapping[str, Value],
    form: JsonForm,
    dialect: Callable[[Mapping[str, str]], Compiler],
) -> Filter:
    """The filter of a query; computed once for each expression and types of its values."""
    if expression is None:
        return NO_FILTER
    types = tuple((name, kind_of(values[name], form)) for name in sorted(expression.refs))
    return expression.compiled_for((dialect, types), lambda: dialect(dict(types)).filter(expression.node))


NO_FILTER = Filter()


def kind_of(value: Any, form: JsonForm) -> str:
    """The type of a value, or ``ODD``."""
    kind = type_of(value)
    if kind == "S":
        return ODD if "\0" in value else kind
    if kind == "N":
        return kind if form.is_plain(value) else ODD
    return ODD if kind in {"L", "M", "SS"} and form.encode(value).odd else kind
