"""What a search says, as values, and how each is written.

``parse(str(node))`` gives an equal node: operands of AND and OR are never of the same kind as the node itself, so that there is
one tree for one meaning of brackets. Constants already have their field's type.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import assert_never

from manor.errors import Place

Constant = str | Decimal | bool | dt.datetime
"""Text, a number, true or false, an aware point in time."""

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Comparison(enum.StrEnum):
    """How a value is compared with a constant."""

    EQUAL = "="
    UNEQUAL = "<>"
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A field, or a bare name that is none; ``path`` leads into its JSON."""

    name: str
    """In lower case (ASCII), as names without quotes are in SQL."""
    path: tuple[str, ...] = ()
    place: Place = field(compare=False, default=Place("search"))

    def __str__(self) -> str:
        return _name(self.name) + "".join(_step(step) for step in self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """``reference = constant`` and its like."""

    reference: Reference
    comparison: Comparison
    constant: Constant

    def __str__(self) -> str:
        return f"{self.reference} {self.comparison} {_constant(self.constant)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """``reference BETWEEN low AND high``, both included and of one type."""

    reference: Reference
    low: Constant
    high: Constant

    def __str__(self) -> str:
        return f"{self.reference} BETWEEN {_constant(self.low)} AND {_constant(self.high)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Among:
    """``reference IN (…)``; None stands for NULL."""

    reference: Reference
    constants: tuple[Constant | None, ...]

    def __str__(self) -> str:
        return f"{self.reference} IN ({', '.join(_constant(constant) for constant in self.constants)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """``reference LIKE pattern``; with ``any_case`` ILIKE. A backslash in the pattern makes the next character plain."""

    reference: Reference
    pattern: str
    any_case: bool = False

    def __str__(self) -> str:
        return f"{self.reference} {'ILIKE' if self.any_case else 'LIKE'} {_constant(self.pattern)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IsNull:
    """``reference IS NULL``: there is no value, or it is JSON's null."""

    reference: Reference

    def __str__(self) -> str:
        return f"{self.reference} IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """``NOT operand``; ``NOT IN``, ``NOT LIKE`` and ``IS NOT NULL`` are this too."""

    operand: Node

    def __str__(self) -> str:
        return f"NOT {_bracketed(self.operand, And, Or)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class And:
    """All of two or more operands, none of which is an ``And``."""

    operands: tuple[Node, ...]

    def __str__(self) -> str:
        return " AND ".join(_bracketed(operand, Or) for operand in self.operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Or:
    """Any of two or more operands, none of which is an ``Or``."""

    operands: tuple[Node, ...]

    def __str__(self) -> str:
        return " OR ".join(str(operand) for operand in self.operands)


Leaf = Compare | Between | Among | Like | IsNull
Node = Leaf | Not | And | Or


def references(node: Node) -> Iterator[Reference]:
    """Every reference in the order of the text."""
    match node:
        case And() | Or():
            for operand in node.operands:
                yield from references(operand)
        case Not():
            yield from references(node.operand)
        case Compare() | Between() | Among() | Like() | IsNull():
            yield node.reference
        case _:
            assert_never(node)


def _bracketed(node: Node, *kinds: type[Node]) -> str:
    return f"({node})" if isinstance(node, kinds) else str(node)


def _name(name: str) -> str:
    """In quotes always: no name is then mistaken for a word of the language."""
    return '"' + name.replace('"', '""') + '"'


def _step(step: str) -> str:
    return f".{step}" if _PLAIN_NAME.fullmatch(step) else f"[{_text(step)}]"


def _constant(value: Constant | None) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case Decimal():
            return f"{value:f}"
        case dt.datetime():
            return f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'"
        case _:
            assert_never(value)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
