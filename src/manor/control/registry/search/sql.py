"""A search as a condition of PostgreSQL. Nothing that a user wrote gets into it: names, paths and constants are parameters.

Assumes the aliases of ``fields`` and a database whose texts compare byte by byte (LOCALE 'C').
"""

from __future__ import annotations

import datetime as dt
import string
from decimal import Decimal
from typing import Any, assert_never

from manor.control.registry.search.fields import FieldTable, Kind
from manor.control.registry.search.nodes import (
    Among,
    And,
    Between,
    Compare,
    Constant,
    IsNull,
    Like,
    Node,
    Not,
    Or,
    Reference,
)
from manor.control.registry.search.predicate import NUMBER_TEXT, Search

_TYPES = {str: "text", Decimal: "numeric", bool: "boolean", dt.datetime: "timestamptz"}

# {0} is a jsonb; of another type than the wanted one is NULL.
_FROM_JSON = {
    str: "CASE jsonb_typeof({0}) WHEN 'string' THEN {0} #>> '{{}}' END",
    Decimal: "CASE WHEN jsonb_typeof({0}) = 'number' OR jsonb_typeof({0}) = 'string' AND {0} #>> '{{}}' ~ '^"
    + NUMBER_TEXT.replace("{", "{{").replace("}", "}}")
    + "$' THEN ({0} #>> '{{}}')::numeric END",
    bool: "CASE WHEN jsonb_typeof({0}) = 'boolean'"
    " OR jsonb_typeof({0}) = 'string' AND lower({0} #>> '{{}}') IN ('true', 'false') THEN ({0} #>> '{{}}')::boolean END",
}
# Of keys that differ in case only, the one in capitals is the first in byte order: with it the look through all keys is spared.
_BARE = (
    "nullif({holder} -> {capitals}, 'null'), (SELECT entry.value FROM jsonb_each({holder}) AS entry (key, value)"
    " WHERE lower(entry.key) = {name} AND entry.value <> 'null' ORDER BY entry.key LIMIT 1)"
)
# OFFSET 0 keeps PostgreSQL from looking a name up for each mention of its value.
_ONCE = "(SELECT {value} FROM (SELECT {json} AS value OFFSET 0) AS found)"
_CAPITALS = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def compile_sql(search: Search, *, parameter: str = "%({name})s") -> tuple[str, dict[str, Any]]:
    """(condition, parameters): the condition in brackets; ``parameter`` spells the names ``p1`` and so on in it."""
    compiler = _Compiler(search.fields, parameter)
    return f"({compiler.condition(search.root)})", compiler.parameters


class _Compiler:
    def __init__(self, fields: FieldTable[Any], parameter: str) -> None:
        self._fields = fields
        self._spelling = parameter
        self.parameters: dict[str, Any] = {}

    def condition(self, node: Node) -> str:
        match node:
            case And():
                return " AND ".join(f"({self.condition(operand)})" for operand in node.operands)
            case Or():
                return " OR ".join(f"({self.condition(operand)})" for operand in node.operands)
            case Not():
                return f"NOT ({self.condition(node.operand)})"
            case IsNull():
                return self._is_null(node.reference)
            case Among():
                return self._among(node)
            case Compare():
                return f"{self._value(node.reference, type(node.constant))} {node.comparison} {self._bound(node.constant)}"
            case Between():
                value = self._value(node.reference, type(node.low))
                return f"{value} BETWEEN {self._bound(node.low)} AND {self._bound(node.high)}"
            case Like():
                word = "ILIKE" if node.any_case else "LIKE"
                return f"{self._value(node.reference, str)} {word} {self._bound(node.pattern)}"
            case _:
                assert_never(node)

    def _among(self, node: Among) -> str:
        """One array for each type of constant; a NULL goes into each."""
        kinds = dict.fromkeys(type(constant) for constant in node.constants if constant is not None)
        return " OR ".join(self._any_of(node, kind) for kind in kinds) or "NULL::boolean"

    def _any_of(self, node: Among, kind: type) -> str:
        values = [constant for constant in node.constants if constant is None or type(constant) is kind]
        return f"{self._value(node.reference, kind)} = ANY ({self._parameter(values, _TYPES[kind] + '[]')})"

    def _is_null(self, reference: Reference) -> str:
        if self._fields.kind_of(reference.name) is Kind.JSON:
            return f"coalesce({self._json(reference)}, 'null') = 'null'"
        return f"({self._fields.fields[reference.name].sql}) IS NULL"

    def _value(self, reference: Reference, wanted: type) -> str:
        if reference.name not in self._fields.fields:
            return _ONCE.format(value=_FROM_JSON[wanted].format("found.value"), json=self._json(reference))
        if self._fields.kind_of(reference.name) is Kind.JSON:
            return f"({_FROM_JSON[wanted].format(self._json(reference))})"
        return f"({self._fields.fields[reference.name].sql})"

    def _json(self, reference: Reference) -> str:
        """Names no parameter twice: ``psycopg`` sends one value for all uses of a name."""
        known = self._fields.fields.get(reference.name)
        start = known.sql if known is not None else self._bare(reference.name)
        return f"({start} #> {self._parameter(list(reference.path), 'text[]')})" if reference.path else start

    def _bare(self, name: str) -> str:
        names = {"name": self._parameter(name, "text"), "capitals": self._parameter(name.translate(_CAPITALS), "text")}
        holders = (self._fields.fields[holder].sql for holder in self._fields.bare_names_in)
        return f"coalesce({', '.join(_BARE.format(holder=holder, **names) for holder in holders)})"

    def _bound(self, constant: Constant) -> str:
        return self._parameter(constant, _TYPES[type(constant)])

    def _parameter(self, value: Any, sql_type: str) -> str:
        name = f"p{len(self.parameters) + 1}"
        self.parameters[name] = value
        return f"CAST({self._spelling.format(name=name)} AS {sql_type})"
