"""Searches over a bound table as conditions of SQLAlchemy. Whatever was written goes in as a parameter.

What a server cannot answer as the predicate would (parts of JSON outside of PostgreSQL, points in time that are texts, ILIKE of
MySQL) is left out in such a way that the condition lets too many through, never too few; ``exact`` says whether it did.
"""

from __future__ import annotations

import datetime as dt
import itertools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from manor.control.registry.search.fields import Field, FieldTable, Kind
from manor.control.registry.search.nodes import (
    Among,
    And,
    Between,
    Compare,
    Comparison,
    Constant,
    IsNull,
    Leaf,
    Like,
    Node,
    Not,
    Or,
)
from manor.control.registry.search.predicate import Search
from manor.control.registry.search.sql import compile_sql
from manor.control.registry.sql_table.columns import BoundField, BoundFields, Expression

Condition = sa.ColumnElement[bool]
_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]
_OPERATORS: dict[Comparison, Callable[[Any, Any], Any]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.UNEQUAL: operator.ne,
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What the server is asked; where it is not ``exact``, the predicate looks over what comes."""

    condition: Condition
    exact: bool


def compile_condition(search: Search | None, fields: BoundFields, dialect: str) -> Compiled:
    """``dialect``: ``postgresql``, ``mysql`` or ``sqlite``."""
    if search is None:
        return Compiled(condition=sa.true(), exact=True)
    compiler = _Compiler(fields=fields, dialect=dialect)
    condition = compiler.true_of(search.root)
    return Compiled(condition=condition, exact=compiler.exact)


def in_order(bound: BoundField, dialect: str) -> Expression:
    """A text as it sorts: byte by byte, so that equal ones stand together whatever the column's collation."""
    return _by_bytes(bound.expression, dialect)


def equal_text(bound: BoundField, text: str, dialect: str) -> Condition:
    """Exactly equal, with the column's own comparison beside it, for which there may be an index."""
    return sa.and_(bound.expression == text, _by_bytes(bound.expression, dialect) == _given(text, dialect))


def _by_bytes(expression: Expression, dialect: str) -> Expression:
    """PostgreSQL and SQLite by collation. MySQL's binary collations differ between versions and pad with blanks, so its texts
    are compared as the bytes of UTF-8, whose order is that of the characters."""
    if dialect == "mysql":
        return sa.cast(sa.cast(expression, mysql.CHAR(charset="utf8mb4")), sa.BINARY())
    return sa.collate(expression, "C" if dialect == "postgresql" else "BINARY")


def _given(text: str, dialect: str) -> Any:
    return text.encode() if dialect == "mysql" else text


@dataclass(slots=True, kw_only=True)
class _Compiler:
    fields: BoundFields
    dialect: str
    exact: bool = True
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def true_of(self, node: Node) -> Condition:
        """Holds wherever the search is true."""
        match node:
            case And():
                return sa.and_(*(self.true_of(operand) for operand in node.operands))
            case Or():
                return sa.or_(*(self.true_of(operand) for operand in node.operands))
            case Not():
                return self.false_of(node.operand)
            case _:
                leaf = self.leaf(node)
                return sa.true() if leaf is None else leaf

    def false_of(self, node: Node) -> Condition:
        """Holds wherever the search is false, and not where it is NULL."""
        match node:
            case And():
                return sa.or_(*(self.false_of(operand) for operand in node.operands))
            case Or():
                return sa.and_(*(self.false_of(operand) for operand in node.operands))
            case Not():
                return self.true_of(node.operand)
            case _:
                leaf = self.leaf(node)
                return sa.true() if leaf is None else sa.not_(leaf)

    def leaf(self, node: Leaf) -> Condition | None:
        """None where the server would not mean the same."""
        bound = self.fields[node.reference.name]
        made = self.made(node, bound) if bound.comparable else None
        self.exact = self.exact and made is not None
        return made

    def made(self, node: Leaf, bound: BoundField) -> Condition | None:
        if bound.kind is Kind.JSON:
            return self.json(node, bound)
        match node:
            case IsNull():
                return bound.expression.is_(None)
            case Like():
                return self.like(node, bound)
            case Among():
                equal = (self.compare(bound, Comparison.EQUAL, one) for one in node.constants)
                return sa.or_(sa.false(), *equal).self_group()
            case Compare():
                return self.compare(bound, node.comparison, node.constant)
            case Between():
                low = self.compare(bound, Comparison.AT_LEAST, node.low)
                return sa.and_(low, self.compare(bound, Comparison.AT_MOST, node.high)).self_group()
            case _:
                assert_never(node)

    def compare(self, bound: BoundField, comparison: Comparison, constant: Constant | None) -> Condition:
        if constant is None:
            return sa.null() == bound.expression
        if bound.kind is Kind.TIME and isinstance(constant, dt.datetime):
            moment = constant if bound.zoned else constant.replace(tzinfo=None)
            return _typed(_OPERATORS[comparison](bound.expression, moment))
        text = str(constant)
        if comparison is Comparison.EQUAL:
            return equal_text(bound, text, self.dialect).self_group()
        return _typed(_OPERATORS[comparison](_by_bytes(bound.expression, self.dialect), _given(text, self.dialect)))

    def like(self, node: Like, bound: BoundField) -> Condition | None:
        if self.dialect == "sqlite":
            # LIKE of SQLite looks over the case of ASCII letters, which is ILIKE.
            return bound.expression.like(node.pattern, escape="\\") if node.any_case else self.sqlite_like(node, bound)
        if self.dialect == "mysql":
            return None if node.any_case else self.mysql_like(node, bound)
        text = _by_bytes(bound.expression, self.dialect)
        return _typed(text.op("ILIKE" if node.any_case else "LIKE", is_comparison=True)(node.pattern))

    def sqlite_like(self, node: Like, bound: BoundField) -> Condition:
        return sa.func.manor_like(bound.expression, node.pattern, type_=sa.Boolean()) == 1

    def mysql_like(self, node: Like, bound: BoundField) -> Condition:
        text = sa.collate(sa.cast(bound.expression, mysql.CHAR(charset="utf8mb4")), "utf8mb4_bin")
        return text.like(node.pattern, escape="\\")

    def json(self, node: Leaf, bound: BoundField) -> Condition:
        """As the catalog is asked; names of parameters are this leaf's own."""
        column = str(bound.expression.compile(dialect=_POSTGRES)).replace(":", "\\:")
        table: FieldTable[Any] = FieldTable.of(
            (Field(name=bound.name, kind=Kind.JSON, sql=f"CAST({column} AS jsonb)", read=_nothing),)
        )
        prefix = f"json{next(self.numbers)}_"
        search = Search(text="", root=node, fields=table)
        statement, parameters = compile_sql(search, parameter=f":{prefix}{{name}}")
        named = {f"{prefix}{name}": value for name, value in parameters.items()}
        return sa.type_coerce(sa.text(statement).bindparams(**named), sa.Boolean())


def _nothing(_: Any) -> None:
    return None


def _typed(condition: Any) -> Condition:
    return condition  # type: ignore[no-any-return]  # SQLAlchemy's operators are typed for their operands only
