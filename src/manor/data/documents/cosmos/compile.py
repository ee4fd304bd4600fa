"""Conditions as SQL of Cosmos DB. Pure.

In Cosmos DB's SQL a comparison of two types is *undefined*, and so is NOT of it; here everything is true or false. So every
leaf first asks for the type. What SQL cannot say exactly (sizes, two attributes compared, sets and maps compared, strings above
U+D7FF put in order) is left out: the text then holds for more items than the condition does, ``exact`` is false, and the driver
evaluates what it read. Source: "Equality and comparison operators in Azure Cosmos DB", learn.microsoft.com.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from manor.data.documents import numbers
from manor.data.documents.cosmos.codec import LARGEST_WHOLE, encode
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
    Or,
    Path,
    Ref,
)
from manor.data.documents.values import Value, type_of

Values: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Parameter:
    """The value of a reference, in one of ``FORMS``."""

    ref: str
    form: str


Piece: TypeAlias = str | Parameter
Pieces: TypeAlias = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """``pieces`` make the text, empty for none; ``exact`` says whether it means what the condition means, no more."""

    pieces: Pieces = ()
    exact: bool = False

    def with_parameters(self, values: Values) -> tuple[str, list[dict[str, Any]]]:
        """The text of a query and its parameters."""
        names: dict[Parameter, str] = {}
        text = "".join(piece if isinstance(piece, str) else names.setdefault(piece, f"@v{len(names)}") for piece in self.pieces)
        return text, [{"name": name, "value": bound(one, values)} for one, name in names.items()]

    def with_literals(self, values: Values) -> str:
        """The text of a predicate, which cannot have parameters."""
        return "".join(piece if isinstance(piece, str) else literal(bound(piece, values)) for piece in self.pieces)


def literal(value: Any) -> str:
    """A JSON value in SQL: ASCII only, whatever is in it."""
    return json.dumps(value)


def bound(parameter: Parameter, values: Values) -> Any:
    """The JSON value of a parameter."""
    return FORMS[parameter.form](values[parameter.ref])


def _whole(round_it: Callable[[Any], int]) -> Callable[[Any], int]:
    """A bound for whole numbers that doubles tell apart; beyond them all there is only beyond."""
    return lambda number: max(-LARGEST_WHOLE - 1, min(LARGEST_WHOLE + 1, round_it(number)))


FORMS: dict[str, Callable[[Any], Any]] = {
    "json": encode,
    "text": numbers.sort_text,
    "base64": lambda value: encode(value)["$b"],
    "floor": _whole(math.floor),
    "ceil": _whole(math.ceil),
}


def compile_condition(expression: ConditionExpression, values: Values) -> Compiled:
    """The SQL of a condition for values of these kinds; remembered for the next values of the same kinds."""
    kinds = tuple(sorted((name, kind_of(values[name])) for name in expression.refs))
    return expression.compiled_for(("cosmos", kinds), lambda: _Compiler(dict(kinds)).top(expression.node))


def kind_of(value: Value) -> str:
    """What the SQL depends on: the type, how a number is kept, how far up the characters of a string go. The names of types
    are kinds of their own, because ``attribute_type`` asks for them."""
    kind = type_of(value)
    if kind == "N":
        return "N" if type(encode(value)) is int else "N$"
    if kind == "S":
        if value in _TYPE_TESTS:
            return f"S={value}"
        return "S" if value.isascii() or max(value) < "\ud7ff" else "S+"
    return kind


_TYPE_TESTS: dict[str, str] = {
    "S": "IS_STRING({0})",
    "BOOL": "IS_BOOL({0})",
    "NULL": "IS_NULL({0})",
    "L": "IS_ARRAY({0})",
    "N": '(IS_NUMBER({0}) OR IS_DEFINED({0}["$n"]))',
    "B": 'IS_DEFINED({0}["$b"])',
    "SS": 'IS_DEFINED({0}["$ss"])',
    "NS": 'IS_DEFINED({0}["$ns"])',
    "BS": 'IS_DEFINED({0}["$bs"])',
    "M": "(IS_OBJECT({0})" + "".join(f' AND NOT IS_DEFINED({{0}}["${tag}"])' for tag in ("n", "b", "ss", "ns", "bs")) + ")",
}

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_FALSE = Compiled(("false",), True)
_UNSAID = Compiled()


def path_text(path: Path) -> str:
    """``c.a["name"][0]``."""
    return "c.a" + "".join(
        f"[{part}]" if isinstance(part, int) else f"[{json.dumps('$' + part if part.startswith('$') else part)}]"
        for part in path.parts
    )


class _Compiler:
    def __init__(self, kinds: dict[str, str]) -> None:
        self.kinds = kinds

    def top(self, node: Condition) -> Compiled:
        match node:
            case And(parts):
                return self.every(map(self.top, parts))
            case Or(parts):
                return self.any(map(self.top, parts))
            case Not(part):
                inner = self.top(part)
                return _negated(inner) if inner.exact else _UNSAID
            case Exists(path):
                return _exact(f"IS_DEFINED({path_text(path)})")
            case HasType(path, ref):
                kind = self.kinds[ref.name]
                return _exact(_TYPE_TESTS[kind[2:]].format(path_text(path)))
            case _:
                return self.leaf(node)

    def leaf(self, node: Compare | Between | In | BeginsWith | Contains) -> Compiled:
        match node:
            case Compare(op, Path() as path, Ref(ref)):
                return self.compare(op, path_text(path), ref)
            case Compare(op, Ref(ref), Path() as path):
                return self.compare(_FLIPPED[op], path_text(path), ref)
            case Between(Path() as path, Ref(low), Ref(high)):
                text = path_text(path)
                return self.every([self.compare(">=", text, low), self.compare("<=", text, high)])
            case In(Path() as path, options):
                text = path_text(path)
                return self.any(
                    self.compare("=", text, option.name) if isinstance(option, Ref) else _UNSAID for option in options
                )
            case BeginsWith(Path() as path, Ref(ref)):
                return self.begins_with(path_text(path), ref)
            case Contains(Path() as path, Ref(ref)):
                return self.contains(path_text(path), ref)
        return _UNSAID

    def every(self, parts: Iterable[Compiled]) -> Compiled:
        them = list(parts)
        said = [one for one in them if one.pieces]
        return Compiled(_joined(said, " AND "), all(one.exact for one in them))

    def any(self, parts: Iterable[Compiled]) -> Compiled:
        them = list(parts)
        if not all(one.pieces for one in them):
            return _UNSAID
        return Compiled(_joined(them, " OR "), all(one.exact for one in them))

    def compare(self, op: str, path: str, ref: str) -> Compiled:
        if op == "<>":
            equal = self.compare("=", path, ref)
            return _negated(equal) if equal.exact else _UNSAID
        kind = self.kinds[ref]
        if op == "=":
            return self.equal(path, ref, kind)
        if kind in {"N", "N$"}:
            return self.number_order(op, path, ref)
        if is_text(kind) and kind != "S+":
            return _exact(f"(IS_STRING({path}) AND {path} {op} ", Parameter(ref, "json"), ")")
        return _UNSAID if kind in {"S+", "B"} else _FALSE

    def equal(self, path: str, ref: str, kind: str) -> Compiled:
        match kind:
            case "N":
                return _exact(f"(IS_NUMBER({path}) AND {path} = ", Parameter(ref, "json"), ")")
            case "N$":
                return _exact(f'(IS_STRING({path}["$n"]) AND {path}["$n"] = ', Parameter(ref, "text"), ")")
            case "B":
                return _exact(f'(IS_STRING({path}["$b"]) AND {path}["$b"] = ', Parameter(ref, "base64"), ")")
            case "BOOL":
                return _exact(f"(IS_BOOL({path}) AND {path} = ", Parameter(ref, "json"), ")")
            case "NULL":
                return _exact(f"IS_NULL({path})")
            case _ if is_text(kind):
                return _exact(f"(IS_STRING({path}) AND {path} = ", Parameter(ref, "json"), ")")
        return _UNSAID

    def number_order(self, op: str, path: str, ref: str) -> Compiled:
        form = "ceil" if op in {"<", ">="} else "floor"
        return _exact(
            f"((IS_NUMBER({path}) AND {path} {op} ", Parameter(ref, form), ")",
            f' OR (IS_STRING({path}["$n"]) AND {path}["$n"] {op} ', Parameter(ref, "text"), "))",
        )  # fmt: skip

    def begins_with(self, path: str, ref: str) -> Compiled:
        kind = self.kinds[ref]
        if is_text(kind):
            return _exact(f"(IS_STRING({path}) AND STARTSWITH({path}, ", Parameter(ref, "json"), "))")
        return _UNSAID if kind == "B" else _FALSE

    def contains(self, path: str, ref: str) -> Compiled:
        kind, value = self.kinds[ref], Parameter(ref, "json")
        in_list: Pieces = (f"(IS_ARRAY({path}) AND ARRAY_CONTAINS({path}, ", value, "))")
        match kind:
            case "N" | "N$":
                return _exact("(", *in_list, *_in_set(path, "$ns", value), ")")
            case "BOOL" | "NULL":
                return _exact(*in_list)
            case _ if is_text(kind):
                piece: Pieces = (f" OR (IS_STRING({path}) AND CONTAINS({path}, ", value, "))")
                return _exact("(", *in_list, *_in_set(path, "$ss", value), *piece, ")")
        return _UNSAID


def is_text(kind: str) -> bool:
    """Whether a kind is one of strings."""
    return kind in {"S", "S+"} or kind.startswith("S=")


def _in_set(path: str, tag: str, value: Parameter) -> Pieces:
    return (f' OR (IS_ARRAY({path}["{tag}"]) AND ARRAY_CONTAINS({path}["{tag}"], ', value, "))")


def _exact(*pieces: Piece) -> Compiled:
    return Compiled(pieces, True)


def _negated(inner: Compiled) -> Compiled:
    return Compiled(("(NOT ", *inner.pieces, ")"), True)


def _joined(parts: list[Compiled], word: str) -> Pieces:
    if len(parts) < 2:
        return parts[0].pieces if parts else ()
    pieces: list[Piece] = ["("]
    for position, part in enumerate(parts):
        pieces += [word] if position else []
        pieces += part.pieces
    return (*pieces, ")")
