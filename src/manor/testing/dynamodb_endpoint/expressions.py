"""Expressions of a request: parsed by our parser, judged by the service's rules and told in its words. Pure.

Our own layer is more lenient in three points that the service refuses: reserved words, doubled parentheses and names that
are given though no expression stands in the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from manor.data.documents.faults import ExpressionError, PathsOverlap
from manor.data.documents.query.check import Demands, demands_of
from manor.data.documents.query.expression import Expression
from manor.data.documents.query.nodes import Path
from manor.data.documents.query.parse import CONDITION, FILTER, KEY_CONDITION, parse_condition, parse_projection, parse_update
from manor.data.documents.values import Item, type_of
from manor.testing.dynamodb_endpoint.faults import WireError, invalid
from manor.testing.dynamodb_endpoint.typed import item_of, shown

Names = Mapping[str, str]
_PARSERS: dict[str, Callable[[str, Names], Expression[Any]]] = {
    "UpdateExpression": parse_update,
    "ConditionExpression": lambda text, names: parse_condition(text, names, kind=CONDITION),
    "KeyConditionExpression": lambda text, names: parse_condition(text, names, kind=KEY_CONDITION),
    "FilterExpression": lambda text, names: parse_condition(text, names, kind=FILTER),
    "ProjectionExpression": parse_projection,
}
NAMES, VALUES = "ExpressionAttributeNames", "ExpressionAttributeValues"
_NAME_KEY = re.compile(r"#[A-Za-z0-9_]+")
_VALUE_KEY = re.compile(r":[A-Za-z0-9_]+")
_WORD = re.compile(r"[#:]?\w+|<>|<=|>=|\S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expressions:
    """What a request says, checked: texts as our layer takes them, with their names and values, and the parsed ones."""

    texts: Mapping[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    values: Item = field(default_factory=dict)
    parsed: Mapping[str, Expression[Any]] = field(default_factory=dict)

    def text(self, parameter: str) -> str | None:
        """The expression of this parameter, or None."""
        return self.texts.get(parameter)


@cache
def reserved_words() -> frozenset[str]:
    """The words that cannot be attribute names without an alias, in capitals (Developer Guide, Reserved words)."""
    return frozenset(resources.files(__package__).joinpath("reserved_words.txt").read_text().split())


def read_expressions(request: Mapping[str, Any], *parameters: str) -> Expressions:
    """The expressions of these parameters. Raises ``WireError``."""
    texts = {name: request[name] for name in parameters if request.get(name) is not None}
    names, values = _names(request, texts), _values(request, texts, parameters)
    parsed = {name: _parsed(name, text, names) for name, text in texts.items()}
    _check_used(parsed.values(), names, values)
    for name, expression in parsed.items():
        _check_types(name, expression, values, request.get(VALUES) or {})
    return Expressions(texts=texts, names=names, values=values, parsed=parsed)


def _names(request: Mapping[str, Any], texts: Mapping[str, str]) -> Names:
    names = request.get(NAMES)
    if names is None:
        return {}
    if not texts:
        raise invalid(f"{NAMES} can only be specified when using expressions")
    if not names:
        raise invalid(f"{NAMES} must not be empty")
    for key in names:
        if not _NAME_KEY.fullmatch(key):
            raise invalid(f'{NAMES} contains invalid key: Syntax error; key: "{key}"')
    return dict(names)


def _values(request: Mapping[str, Any], texts: Mapping[str, str], parameters: tuple[str, ...]) -> Item:
    values = request.get(VALUES)
    if values is None:
        return {}
    allowed = [name for name in parameters if name != "ProjectionExpression"]
    if not any(name in texts for name in allowed):
        told = f"{' and '.join(allowed)} {'is' if len(allowed) == 1 else 'are'} null"
        raise invalid(f"{VALUES} can only be specified when using expressions: {told}")
    if not values:
        raise invalid(f"{VALUES} must not be empty")
    for key in values:
        if not _VALUE_KEY.fullmatch(key):
            raise invalid(f'{VALUES} contains invalid key: Syntax error; key: "{key}"')
    try:
        return item_of(values)
    except WireError as error:
        if error.message.startswith("Supplied"):
            raise invalid(f"{VALUES} contains invalid value: {error.message}") from error
        raise


# One expression


def _parsed(parameter: str, text: str, names: Names) -> Expression[Any]:
    if not text.strip():
        raise _bad(parameter, "The expression can not be empty;")
    undefined = [word for word in re.findall(r"#\w+", text) if word not in names]
    try:
        expression = _PARSERS[parameter](text, names)
    except PathsOverlap as error:
        raise _bad(parameter, _overlap_words(*error.paths)) from error
    except ExpressionError as error:
        raise _bad(parameter, _syntax_words(error, text, undefined)) from error
    for word in sorted(expression.bare, key=text.find):
        if word.upper() in reserved_words():
            raise _bad(parameter, f"Attribute name is a reserved keyword; reserved keyword: {word}")
    if expression.redundant:
        raise _bad(parameter, "The expression has redundant parentheses;")
    return expression


def _bad(parameter: str, problem: str) -> WireError:
    return invalid(f"Invalid {parameter}: {problem}")


def _overlap_words(one: Path, other: Path) -> str:
    is_conflict = len(one.parts) > 1 and len(other.parts) > 1 and not _inside(one, other) and not _inside(other, one)
    verb = "conflict" if is_conflict else "overlap"
    told = [", ".join(f"[{part}]" if isinstance(part, int) else part for part in path.parts) for path in (one, other)]
    return (
        f"Two document paths {verb} with each other; must remove or rewrite one of these paths; "
        f"path one: [{told[0]}], path two: [{told[1]}]"
    )


def _inside(one: Path, other: Path) -> bool:
    return other.parts[: len(one.parts)] == one.parts


_SECTION = re.compile(r"update_expression: (\w+) stands twice")
_FUNCTION = re.compile(r"there is no function (\w+)\(\)")
_ITSELF = re.compile(r"(\S+) compares (\S+) with itself")
_ARGUMENTS = re.compile(r"because (\w+)\(\) takes (\d) arguments?, found '?([^']*)'?")


def _syntax_words(error: ExpressionError, text: str, undefined: list[str]) -> str:
    """The service tells a few faults apart; everything else is a syntax error near a word."""
    if undefined:
        return f"An expression attribute name used in the document path is not defined; attribute name: {undefined[0]}"
    if found := _SECTION.search(error.problem):
        return f'The "{found[1]}" section can only be used once in an update expression;'
    if found := _FUNCTION.search(error.problem):
        return f"Invalid function name; function: {found[1]}"
    if found := _ITSELF.search(error.problem):
        return (
            "The first operand must be distinct from the remaining operands for this operator or function; "
            f"operator: {found[1]}, first operand: [{found[2]}]"
        )
    if "compares" in error.problem or ("operand" in error.problem and "IN has" not in error.problem and not error.position):
        return error.problem
    return f"Syntax error; {_near(text, error.position)}"


def _near(text: str, position: int) -> str:
    """``token: "x", near: "a x b"``: the word at the position (from 1), and its neighbours."""
    words = [(found.start(), found[0]) for found in _WORD.finditer(text)]
    at = next((index for index, (start, _) in enumerate(words) if start >= position - 1), len(words))
    token = words[at][1] if at < len(words) else "<EOF>"
    first, last = max(0, at - 1), min(len(words) - 1, at + 1)
    near = text[words[first][0] : words[last][0] + len(words[last][1])] if words else ""
    return f'token: "{token}", near: "{near}"'


# All expressions of a request together


def _check_used(expressions: Any, names: Names, values: Item) -> None:
    used: set[str] = set()
    aliases: set[str] = set()
    for expression in expressions:
        parameter = _PARAMETERS[expression.kind]
        for ref in sorted(expression.refs - values.keys()):
            raise _bad(parameter, f"An expression attribute value used in expression is not defined; attribute value: {ref}")
        used |= expression.refs
        aliases |= expression.names
    if unused := [name for name in names if name not in aliases]:
        raise invalid(f"Value provided in {NAMES} unused in expressions: keys: {{{', '.join(unused)}}}")
    if unused := [name for name in values if name not in used]:
        raise invalid(f"Value provided in {VALUES} unused in expressions: keys: {{{', '.join(unused)}}}")


_PARAMETERS = {
    "condition_expression": "ConditionExpression",
    "filter_expression": "FilterExpression",
    "key_condition": "KeyConditionExpression",
    "update_expression": "UpdateExpression",
    "projection_expression": "ProjectionExpression",
}
_TYPE_WORDS = {
    "S": "STRING", "N": "NUMBER", "B": "BINARY", "BOOL": "BOOLEAN", "NULL": "NULL", "L": "LIST", "M": "MAP",
    "SS": "STRING_SET", "NS": "NUMBER_SET", "BS": "BINARY_SET",
}  # fmt: skip


def _check_types(parameter: str, expression: Expression[Any], values: Item, tagged: Mapping[str, Any]) -> None:
    demands: Demands = expression.compiled(demands_of)
    for rule in demands.rules:
        kind = type_of(values[rule.ref])
        if kind not in rule.types:
            raise _bad(parameter, _operand_words(rule.where, kind))
    for ref in demands.type_names:
        if values[ref] not in _TYPE_WORDS:
            raise _bad(
                parameter,
                f"Invalid attribute type name found; type: {values[ref]}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}",
            )
    for low, high in demands.ranges:
        _check_range(parameter, low, high, values, tagged)


def _operand_words(where: str, kind: str) -> str:
    if where in {"ADD", "DELETE"}:
        allowed = f"ALLOWED_FOR_{where}_OPERAND"
        return (
            "Incorrect operand type for operator or function; "
            f"operator: {where}, operand type: {_TYPE_WORDS[kind]}, typeSet: {allowed}"
        )
    name = where.removeprefix("the operator ").removesuffix("()")
    return f"Incorrect operand type for operator or function; operator or function: {name}, operand type: {kind}"


def _check_range(parameter: str, low: str, high: str, values: Item, tagged: Mapping[str, Any]) -> None:
    told = (
        f"lower bound operand: AttributeValue: {shown(tagged[low])}, upper bound operand: AttributeValue: {shown(tagged[high])}"
    )
    if type_of(values[low]) != type_of(values[high]):
        raise _bad(parameter, f"The BETWEEN operator requires same data type for lower and upper bounds; {told}")
    if values[low] > values[high]:
        raise _bad(parameter, f"The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {told}")
