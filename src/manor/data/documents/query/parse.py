"""Text to expression, once: what was seen before costs a dictionary look-up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

from manor.data.documents.faults import ExpressionError
from manor.data.documents.query.expression import ConditionExpression, Expression, ProjectionExpression, UpdateExpression
from manor.data.documents.query.nodes import Condition
from manor.data.documents.query.parse_condition import ConditionParser
from manor.data.documents.query.parse_update import ProjectionParser, UpdateParser
from manor.data.documents.query.parser import Parser

CACHED_EXPRESSIONS = 4096

CONDITION = "condition_expression"
FILTER = "filter_expression"
KEY_CONDITION = "key_condition"
UPDATE = "update_expression"
PROJECTION = "projection_expression"

Names = tuple[tuple[str, str], ...]
N = TypeVar("N")


def parse_condition(text: str, names: Mapping[str, str] | None = None, *, kind: str = CONDITION) -> ConditionExpression:
    """A condition, filter or key condition (``kind`` is the word for it in errors). Raises ``ExpressionError``."""
    try:
        return _condition(text, tuple(names.items()) if names else (), kind)
    except (TypeError, AttributeError) as error:
        raise (_mistyped(text, names, kind) or error) from error


def parse_update(text: str, names: Mapping[str, str] | None = None) -> UpdateExpression:
    """An update expression. Raises ``ExpressionError``."""
    try:
        return _update(text, tuple(names.items()) if names else ())
    except (TypeError, AttributeError) as error:
        raise (_mistyped(text, names, UPDATE) or error) from error


def parse_projection(text: str, names: Mapping[str, str] | None = None) -> ProjectionExpression:
    """A projection expression. Raises ``ExpressionError``."""
    try:
        return _projection(text, tuple(names.items()) if names else ())
    except (TypeError, AttributeError) as error:
        raise (_mistyped(text, names, PROJECTION) or error) from error


@lru_cache(CACHED_EXPRESSIONS)
def _condition(text: str, names: Names, kind: str) -> ConditionExpression:
    parser = ConditionParser(_as_text(text, kind), kind, dict(names))
    node: Condition = parser.whole()
    return _expression(kind, parser, node)


@lru_cache(CACHED_EXPRESSIONS)
def _update(text: str, names: Names) -> UpdateExpression:
    parser = UpdateParser(_as_text(text, UPDATE), UPDATE, dict(names))
    return _expression(UPDATE, parser, parser.whole())


@lru_cache(CACHED_EXPRESSIONS)
def _projection(text: str, names: Names) -> ProjectionExpression:
    parser = ProjectionParser(_as_text(text, PROJECTION), PROJECTION, dict(names))
    return _expression(PROJECTION, parser, parser.whole())


def _as_text(text: object, kind: str) -> str:
    if not isinstance(text, str):
        raise _no_text(text, kind)
    return text


def _no_text(text: object, kind: str) -> ExpressionError:
    return ExpressionError(f"{kind} is a str, not {type(text).__name__}")


def _mistyped(text: object, names: object, kind: str) -> ExpressionError | None:
    """What is wrong with parameters that could not even be looked up; None where it is not their types."""
    if not isinstance(text, str):
        return _no_text(text, kind)
    if names and not isinstance(names, Mapping):
        return ExpressionError(f"expression_names is a dict, not {type(names).__name__}")
    for alias, name in names.items() if isinstance(names, Mapping) else ():
        if not isinstance(name, str):
            return ExpressionError(f"expression_names: {alias} stands for {type(name).__name__}", hint="a name is a str")
    return None


def _expression(kind: str, parser: Parser, node: N) -> Expression[N]:
    return Expression(
        kind,
        parser.text,
        node,
        refs=frozenset(parser.refs),
        names=frozenset(parser.aliases),
        bare=frozenset(parser.bare),
        paths=tuple(parser.paths),
        positions=tuple(parser.positions),
        redundant=parser.redundant,
    )
