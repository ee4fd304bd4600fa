"""From nodes back to text that DynamoDB accepts: every name an alias, no doubled parentheses, values as they were."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field

from manor.data.documents.limits import EXPRESSION_BYTES
from manor.data.documents.query.expression import Expression
from manor.data.documents.query.nodes import (
    And,
    Arithmetic,
    BeginsWith,
    Between,
    Compare,
    Condition,
    Contains,
    Exists,
    HasType,
    IfNotExists,
    In,
    ListAppend,
    Node,
    Not,
    Operand,
    Or,
    Path,
    Projection,
    Ref,
    SetValue,
    Size,
    Update,
)

_PREFIXES = {
    "condition_expression": "#c",
    "filter_expression": "#f",
    "key_condition": "#k",
    "update_expression": "#u",
    "projection_expression": "#p",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """``text`` with aliases, and what they stand for. Aliases of different kinds of expressions never collide."""

    text: str
    names: dict[str, str] = field(default_factory=dict)


def spell(expression: Expression[Node]) -> Spelling:
    """The text of an expression; use ``expression.compiled(spell)``, which remembers it."""
    found = _spelled(expression, _Speller(_PREFIXES[expression.kind]))
    if len(found.text) <= EXPRESSION_BYTES:
        return found
    return _spelled(expression, _TightSpeller(_PREFIXES[expression.kind], expression.bare))


def _spelled(expression: Expression[Node], speller: _Speller) -> Spelling:
    text = speller.node(expression.node)
    return Spelling(text=text, names={alias: name for name, alias in speller.names.items()})


class _Speller:
    comma, equals, space = ", ", " = ", " "
    inside_or: tuple[type, ...] = (Or, And)
    """What stands in parentheses where it is a part of OR."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.names: dict[str, str] = {}

    def node(self, node: Node) -> str:
        if isinstance(node, Update):
            return self.update(node)
        if isinstance(node, Projection):
            return self.comma.join(map(self.path, node.paths))
        return self.condition(node)

    def condition(self, node: Condition) -> str:
        match node:
            case And(parts):
                return " AND ".join(self.part(part, Or, And) for part in parts)
            case Or(parts):
                return " OR ".join(self.part(part, *self.inside_or) for part in parts)
            case Not(Exists(path)):
                return f"attribute_not_exists({self.path(path)})"
            case Not(part):
                return f"NOT {self.part(part, And, Or, Not)}"
            case _:
                return self.simple(node)

    def part(self, node: Condition, *wrapped: type) -> str:
        text = self.condition(node)
        absent = isinstance(node, Not) and isinstance(node.part, Exists)
        return f"({text})" if isinstance(node, wrapped) and not absent else text

    def simple(self, node: Compare | Between | In | Exists | HasType | BeginsWith | Contains) -> str:
        match node:
            case Compare(op, left, right):
                return f"{self.operand(left)}{self.space}{op}{self.space}{self.operand(right)}"
            case Between(operand, low, high):
                return f"{self.operand(operand)} BETWEEN {self.operand(low)} AND {self.operand(high)}"
            case In(operand, options):
                return f"{self.operand(operand)} IN ({self.comma.join(map(self.operand, options))})"
            case Exists(path):
                return f"attribute_exists({self.path(path)})"
            case HasType(path, ref):
                return f"attribute_type({self.path(path)}{self.comma}{ref.name})"
            case BeginsWith(operand, prefix):
                return f"begins_with({self.operand(operand)}{self.comma}{self.operand(prefix)})"
            case Contains(operand, part):
                return f"contains({self.operand(operand)}{self.comma}{self.operand(part)})"

    def operand(self, operand: Operand) -> str:
        match operand:
            case Ref(name):
                return name
            case Size(path):
                return f"size({self.path(path)})"
            case Path():
                return self.path(operand)

    def path(self, path: Path) -> str:
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{self.alias(part)}" for part in path.parts)
        return text.removeprefix(".")

    def alias(self, name: str) -> str:
        return self.names.setdefault(name, f"{self.prefix}{len(self.names)}")

    def update(self, node: Update) -> str:
        clauses = {
            "SET": [f"{self.path(one.path)}{self.equals}{self.value(one.value)}" for one in node.sets],
            "REMOVE": [self.path(path) for path in node.removes],
            "ADD": [f"{self.path(one.path)} {one.value.name}" for one in node.adds],
            "DELETE": [f"{self.path(one.path)} {one.value.name}" for one in node.deletes],
        }
        return " ".join(f"{word} {self.comma.join(actions)}" for word, actions in clauses.items() if actions)

    def value(self, value: SetValue) -> str:
        match value:
            case Ref(name):
                return name
            case Path():
                return self.path(value)
            case IfNotExists(path, default):
                return f"if_not_exists({self.path(path)}{self.comma}{self.value(default)})"
            case ListAppend(first, second):
                return f"list_append({self.value(first)}{self.comma}{self.value(second)})"
            case Arithmetic(op, left, right):
                return f"{self.value(left)}{self.space}{op}{self.space}{self.value(right)}"


_LETTERS = string.digits + string.ascii_letters + "_"
_SINGLES = {
    "#u": string.ascii_lowercase,
    "#f": string.ascii_lowercase,
    "#c": string.ascii_uppercase,
    "#p": string.ascii_uppercase,
}
"""Aliases of one character: of kinds that can stand in one request, no two have the same."""
_BARE = re.compile(r"[A-Za-z]|[A-Za-z][A-Za-z0-9]?[0-9]")
"""Short names that are no words of DynamoDB's: these have neither one letter nor digits."""


class _TightSpeller(_Speller):
    """For what would be longer than DynamoDB takes: without the spaces, parentheses and aliases that are not needed."""

    comma, equals, space = ",", "=", ""
    inside_or = (Or,)

    def __init__(self, prefix: str, bare: frozenset[str]) -> None:
        super().__init__(prefix)
        self.bare = frozenset(name for name in bare if _BARE.fullmatch(name))
        singles = [f"#{letter}" for letter in _SINGLES.get(prefix, "")]
        doubles = [f"{prefix}{letter}" for letter in _LETTERS]
        self.free = iter([*singles, *doubles, *(f"{prefix}{number}" for number in range(100, EXPRESSION_BYTES))])

    def alias(self, name: str) -> str:
        if name in self.bare:
            return name
        if name not in self.names:
            self.names[name] = next(self.free)
        return self.names[name]
