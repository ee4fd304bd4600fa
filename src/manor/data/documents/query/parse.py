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
    return _condition(text, tuple(names.items()) if names else (), kind)


def parse_update(text: str, names: Mapping[str, str] | None = None) -> UpdateExpression:
    """An update expression. Raises ``ExpressionError``."""
    return _update(text, tuple(names.items()) if names else ())


def parse_projection(text: str, names: Mapping[str, str] | None = None) -> ProjectionExpression:
    """A projection expression. Raises ``ExpressionError``."""
    return _projection(text, tuple(names.items()) if names else ())


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
        raise ExpressionError(f"{kind} is a str, not {type(text).__name__}")
    return text


def _expression(kind: str, parser: Parser, node: N) -> Expression[N]:
    return Expression(
        kind,
        parser.text,
        node,
        refs=frozenset(parser.refs),
        names=frozenset(parser.aliases),
        bare=frozenset(parser.bare),
        paths=tuple(parser.paths),
        redundant=parser.redundant,
    )
