"""PartiQL for DynamoDB: a statement becomes the expressions of an ordinary request. Pure.

Source: Amazon DynamoDB Developer Guide, "PartiQL statements". Nested SELECT, EXISTS and functions beyond the condition
functions of expressions are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from manor.testing.dynamodb_endpoint.faults import invalid
from manor.testing.dynamodb_endpoint.partiql_words import Tagged, Words, not_formed

_FUNCTIONS = ("ATTRIBUTE_TYPE", "BEGINS_WITH", "CONTAINS")
_COMPARATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One condition of a WHERE, among those that AND joins. ``key`` is the attribute that it compares with values alone (None
    for anything else), ``value`` the value that it must equal, ``names`` all attributes in it."""

    text: str
    names: frozenset[str]
    key: str | None = None
    value: Tagged | None = None


@dataclass(slots=True, kw_only=True)
class Statement:
    """``verb`` is SELECT, INSERT, UPDATE or DELETE. Texts are expressions, with aliases in ``names`` and ``values``."""

    verb: str
    table: str
    index: str | None = None
    projection: str = ""
    where: list[Part] = field(default_factory=list)
    update: str = ""
    item: dict[str, Any] = field(default_factory=dict)
    order: str | None = None
    forward: bool = True
    returns: str = "NONE"
    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, Tagged] = field(default_factory=dict)


def parse_statement(text: str, parameters: Sequence[Tagged] = ()) -> Statement:
    """Read one statement. Raises ``WireError``."""
    reader = _Reader(text, parameters)
    statement = reader.statement()
    if reader.words.word.kind != "end":
        raise not_formed(f"Unexpected {reader.words.word.text}")
    if reader.words.taken != len(parameters):
        raise invalid("Number of parameters in request and statement don't match.")
    return statement


class _Reader:
    def __init__(self, text: str, parameters: Sequence[Tagged]) -> None:
        self.words = Words(text, parameters)
        self.names: dict[str, str] = {}
        self.values: dict[str, Tagged] = {}
        self.used: set[str] = set()

    def statement(self) -> Statement:
        words = self.words
        match words.take().text.upper():
            case "SELECT":
                found = self.select()
            case "INSERT":
                words.expect("INTO")
                found = Statement(verb="INSERT", table=words.name())
                words.expect("VALUE")
                found.item = words.literal().get("M", {})
            case "UPDATE":
                found = self.update()
            case "DELETE":
                words.expect("FROM")
                found = Statement(verb="DELETE", table=words.name())
                self.where(found)
            case word:
                raise not_formed(f"Unexpected {word}")
        self.returning(found)
        found.names, found.values = self.names, self.values
        return found

    def select(self) -> Statement:
        words = self.words
        projection = "" if words.skip("*") else self.paths()
        words.expect("FROM")
        found = Statement(verb="SELECT", table=words.name(), projection=projection)
        if words.skip("."):
            found.index = words.name()
        self.where(found)
        if words.skip("ORDER"):
            words.expect("BY")
            found.order = words.name()
            found.forward = not words.skip("DESC")
            words.skip("ASC")
        return found

    def paths(self) -> str:
        found = [self.path()]
        while self.words.skip(","):
            found.append(self.path())
        return ", ".join(found)

    def update(self) -> Statement:
        words = self.words
        found = Statement(verb="UPDATE", table=words.name())
        sets, removes = [], []
        while words.is_keyword("SET", "REMOVE"):
            clause = words.take().text.upper()
            while True:
                if clause == "SET":
                    path = self.path()
                    words.expect("=")
                    sets.append(f"{path} = {self.assigned()}")
                else:
                    removes.append(self.path())
                if not words.skip(","):
                    break
        clauses = [f"{word} {', '.join(ones)}" for word, ones in (("SET", sets), ("REMOVE", removes)) if ones]
        found.update = " ".join(clauses)
        self.where(found)
        return found

    def assigned(self) -> str:
        """A value, or a path, plus or minus another; list_append and if_not_exists too."""
        words = self.words
        if words.is_keyword("LIST_APPEND", "IF_NOT_EXISTS") and words.following.text == "(":
            name = words.take().text.lower()
            words.take()
            first = self.operand()
            words.expect(",")
            second = self.operand()
            words.expect(")")
            return f"{name}({first}, {second})"
        found = self.operand()
        while words.is_sign("+", "-"):
            sign = words.take().text
            found = f"{found} {sign} {self.operand()}"
        return found

    def returning(self, found: Statement) -> None:
        if self.words.skip("RETURNING"):
            which = self.words.take().text.upper()
            age = self.words.take().text.upper()
            self.words.expect("*")
            found.returns = {"MODIFIED": "UPDATED"}.get(which, which) + f"_{age}"

    # Conditions

    def where(self, found: Statement) -> None:
        if self.words.skip("WHERE"):
            found.where = self.conjunction()

    def conjunction(self) -> list[Part]:
        """The whole condition: parts that AND joins, or one that OR holds together."""
        parts = [self.part()]
        while self.words.is_keyword("AND", "OR"):
            word = self.words.take().text.upper()
            right = self.conjunction() if word == "OR" else [self.part()]
            parts = [*parts, *right] if word == "AND" else [_either(parts, right)]
        return parts

    def part(self) -> Part:
        words = self.words
        if words.skip("NOT"):
            inner = self.part()
            return Part(text=f"NOT {inner.text}", names=inner.names)
        if words.skip("("):
            inner_parts = self.conjunction()
            words.expect(")")
            return inner_parts[0] if len(inner_parts) == 1 else _all(inner_parts)
        self.used = set()
        if words.is_keyword(*_FUNCTIONS) and words.following.text == "(":
            return self.function()
        return self.comparison()

    def function(self) -> Part:
        words = self.words
        name = words.take().text.lower()
        words.take()
        first = self.operand()
        words.expect(",")
        second = self.operand()
        words.expect(")")
        key = self.names.get(first) if name == "begins_with" else None
        return Part(text=f"{name}({first}, {second})", names=frozenset(self.used), key=key)

    def comparison(self) -> Part:
        words = self.words
        left = self.operand()
        if words.skip("IS"):
            return self.presence(left)
        if words.skip("BETWEEN"):
            low = self.operand()
            words.expect("AND")
            text = f"{left} BETWEEN {low} AND {self.operand()}"
            return Part(text=text, names=frozenset(self.used), key=self.names.get(left))
        if words.skip("IN"):
            return self.membership(left)
        if not words.is_sign(*_COMPARATORS):
            raise not_formed(f"Expected a comparison, found {words.word.text or 'the end'}")
        operator = words.take().text.replace("!=", "<>")
        right = self.operand()
        key = self.names.get(left) if right in self.values and operator != "<>" else None
        value = self.values.get(right) if operator == "=" else None
        return Part(text=f"{left} {operator} {right}", names=frozenset(self.used), key=key, value=value)

    def presence(self, left: str) -> Part:
        """``IS [NOT] MISSING``, ``IS [NOT] NULL``."""
        negative = self.words.skip("NOT")
        if self.words.skip("MISSING"):
            text = f"attribute_exists({left})" if negative else f"attribute_not_exists({left})"
        else:
            self.words.expect("NULL")
            text = f"{'NOT ' if negative else ''}attribute_type({left}, {self.value({'S': 'NULL'})})"
        return Part(text=text, names=frozenset(self.used))

    def membership(self, left: str) -> Part:
        end = ")" if self.words.is_sign("(") else "]"
        self.words.expect("(" if end == ")" else "[")
        options = [self.operand()]
        while self.words.skip(","):
            options.append(self.operand())
        self.words.expect(end)
        return Part(text=f"{left} IN ({', '.join(options)})", names=frozenset(self.used))

    # Operands

    def operand(self) -> str:
        words = self.words
        if words.is_keyword("SIZE") and words.following.text == "(":
            words.take()
            words.take()
            path = self.path()
            words.expect(")")
            return f"size({path})"
        return self.value(words.literal()) if words.is_literal() else self.path()

    def value(self, tagged: Tagged) -> str:
        ref = f":p{len(self.values)}"
        self.values[ref] = tagged
        return ref

    def path(self) -> str:
        """``a.b[0]``, in aliases."""
        first = self.words.name()
        self.used.add(first)
        text = self.alias(first)
        while self.words.is_sign(".", "["):
            if self.words.take().text == ".":
                text += f".{self.alias(self.words.name())}"
            else:
                text += f"[{self.words.take().text}]"
                self.words.expect("]")
        return text

    def alias(self, name: str) -> str:
        known = next((alias for alias, one in self.names.items() if one == name), None)
        alias = known or f"#p{len(self.names)}"
        self.names[alias] = name
        return alias


def _all(parts: list[Part]) -> Part:
    return Part(text=f"({' AND '.join(part.text for part in parts)})", names=frozenset().union(*(part.names for part in parts)))


def _either(left: list[Part], right: list[Part]) -> Part:
    texts = [_all(side).text if len(side) > 1 else side[0].text for side in (left, right)]
    names = frozenset().union(*(part.names for part in (*left, *right)))
    return Part(text=f"({' OR '.join(texts)})", names=names)
