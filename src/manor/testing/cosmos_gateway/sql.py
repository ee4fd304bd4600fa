"""The part of Cosmos DB's SQL that the driver speaks: SELECT [TOP n] … FROM c [WHERE …] [ORDER BY …]. Anything else is 501."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from manor.testing.cosmos_gateway.answers import NotKnown, bad
from manor.testing.cosmos_gateway.sql_tokens import tokens_of
from manor.testing.cosmos_gateway.sql_values import FUNCTIONS, UNDEFINED, Operators, both, either, negated

Evaluate: TypeAlias = Callable[[Any], Any]
"""From a document to a value, or ``UNDEFINED``."""
CLAUSES = {"FROM", "WHERE", "ORDER", "GROUP", "OFFSET", "JOIN", "IN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """A query: ``shape`` makes a row of a document, ``order`` has values to sort by and whether they ascend."""

    shape: Evaluate
    where: Evaluate
    order: tuple[tuple[Evaluate, bool], ...] = ()
    top: int | None = None

    def rows(self, documents: Iterable[Any], operators: Operators) -> list[Any]:
        """What it finds among the documents."""
        found = [document for document in documents if self.where(document) is True]
        for value, ascending in reversed(self.order):
            found.sort(key=lambda document, value=value: operators.place(value(document)), reverse=not ascending)  # type: ignore[misc]
        rows = [self.shape(document) for document in found[: self.top]]
        return [row for row in rows if row is not UNDEFINED]


def parse_select(text: str, parameters: Mapping[str, Any], operators: Operators) -> Select:
    """A whole query. Raises ``Answer`` 400 and 501."""
    return _Parser(text, parameters, operators).select()


def parse_predicate(text: str, operators: Operators) -> Evaluate:
    """The condition of a PATCH: ``from c where …``."""
    parser = _Parser(text, {}, operators)
    parser.source()
    where = parser.where()
    parser.finish()
    return where


class _Parser:
    def __init__(self, text: str, parameters: Mapping[str, Any], operators: Operators) -> None:
        self.tokens = tokens_of(text)
        self.position = 0
        self.parameters = parameters
        self.operators = operators.table()
        self.alias = ""

    # Words

    def word(self) -> str:
        kind, value = self.tokens[self.position]
        return value.upper() if kind == "name" else ""

    def take(self, *words: str) -> bool:
        """Go on behind a keyword or sign, if it is next."""
        kind, value = self.tokens[self.position]
        found = kind in {"name", "sign"} and value.upper() in words
        self.position += found
        return found

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise bad(f"syntax error: {word} is missing")

    def next(self, kind: str) -> Any:
        found, value = self.tokens[self.position]
        if found != kind:
            raise bad(f"syntax error: a {kind} is missing")
        self.position += 1
        return value

    def finish(self) -> None:
        if self.tokens[self.position][0] != "end":
            raise NotKnown(f"SQL from {self.tokens[self.position][1]!r} on")

    # Clauses

    def select(self) -> Select:
        self.expect("SELECT")
        if self.word() == "DISTINCT":
            raise NotKnown("DISTINCT")
        top = self.top()
        start = self.position
        self.skip_to_source()
        self.source()
        behind, self.position = self.position, start
        shape = self.shape()
        self.position = behind
        where, order = self.where(), self.order()
        self.finish()
        return Select(shape=shape, where=where, order=order, top=top)

    def top(self) -> int | None:
        if not self.take("TOP"):
            return None
        kind, value = self.tokens[self.position]
        self.position += 1
        found = self.parameters.get(value) if kind == "parameter" else value
        if type(found) is not int:
            raise bad("TOP takes a whole number")
        return found

    def skip_to_source(self) -> None:
        """The names of the source must be known before what is selected of it can be read."""
        while self.word() != "FROM":
            if self.tokens[self.position][0] == "end":
                raise NotKnown("a query without FROM")
            self.position += 1

    def source(self) -> None:
        self.expect("FROM")
        self.alias = self.next("name")
        self.take("AS")
        if self.tokens[self.position][0] == "name" and self.word() not in CLAUSES:
            self.alias = self.next("name")

    def where(self) -> Evaluate:
        return self.any() if self.take("WHERE") else _constant(True)

    def order(self) -> tuple[tuple[Evaluate, bool], ...]:
        if not self.take("ORDER"):
            return ()
        self.expect("BY")
        found = [self.ordered()]
        while self.take(","):
            found.append(self.ordered())
        return tuple(found)

    def ordered(self) -> tuple[Evaluate, bool]:
        value = self.operand()
        if self.take("DESC"):
            return value, False
        self.take("ASC")
        return value, True

    def shape(self) -> Evaluate:
        if self.take("*"):
            return lambda document: document
        if self.take("VALUE"):
            return self.any()
        fields = [self.field()]
        while self.take(","):
            fields.append(self.field())
        return lambda document: {name: value for name, evaluate in fields if (value := evaluate(document)) is not UNDEFINED}

    def field(self) -> tuple[str, Evaluate]:
        start = self.position
        value = self.any()
        kind, last = self.tokens[self.position - 1]
        if self.take("AS"):
            return self.next("name"), value
        if kind != "name" or self.position - start < 3:
            raise NotKnown("a selected value without a name")
        return last, value

    # Conditions

    def any(self) -> Evaluate:
        parts = [self.every()]
        while self.take("OR"):
            parts.append(self.every())
        return _folded(either, parts)

    def every(self) -> Evaluate:
        parts = [self.negation()]
        while self.take("AND"):
            parts.append(self.negation())
        return _folded(both, parts)

    def negation(self) -> Evaluate:
        if self.take("NOT"):
            inner = self.negation()
            return lambda document: negated(inner(document))
        return self.comparison()

    def comparison(self) -> Evaluate:
        left = self.operand()
        if self.take("IN"):
            return self.one_of(left)
        kind, sign = self.tokens[self.position]
        if kind == "sign" and sign in self.operators:
            self.position += 1
            return _joined(self.operators[sign], left, self.operand())
        return left

    def one_of(self, left: Evaluate) -> Evaluate:
        self.expect("(")
        equal = self.operators["="]
        options = [_joined(equal, left, self.operand())]
        while self.take(","):
            options.append(_joined(equal, left, self.operand()))
        self.expect(")")
        return _folded(either, options)

    def operand(self) -> Evaluate:
        kind, value = self.tokens[self.position]
        self.position += 1
        if kind in {"number", "text"}:
            return _constant(value)
        if kind == "parameter":
            if value not in self.parameters:
                raise bad(f"the parameter {value} is missing")
            return _constant(self.parameters[value])
        if kind == "name":
            return self.named(value)
        return self.signed(value)

    def signed(self, sign: Any) -> Evaluate:
        if sign == "(":
            inner = self.any()
            self.expect(")")
            return inner
        if sign == "-":
            return _constant(-self.next("number"))
        if sign == "{":
            return self.object()
        raise bad("syntax error: a value is missing")

    def object(self) -> Evaluate:
        """An object of one value: all that the driver writes."""
        name = self.next("text")
        self.expect(":")
        value = self.operand()
        self.expect("}")
        return lambda document: {name: value(document)}

    def named(self, name: str) -> Evaluate:
        literals = {"true": True, "false": False, "null": None, "undefined": UNDEFINED}
        if name.lower() in literals:
            return _constant(literals[name.lower()])
        if self.take("("):
            return self.call(name.upper())
        if name != self.alias:
            raise NotKnown(f"the name {name}")
        return self.path()

    def call(self, name: str) -> Evaluate:
        if name not in FUNCTIONS:
            raise NotKnown(f"the function {name}")
        count, function = FUNCTIONS[name]
        arguments = [self.any()]
        while self.take(","):
            arguments.append(self.any())
        self.expect(")")
        if len(arguments) != count:
            raise NotKnown(f"{name} with {len(arguments)} arguments")
        return lambda document: function(*(argument(document) for argument in arguments))

    def path(self) -> Evaluate:
        parts: list[Any] = []
        while True:
            if self.take("."):
                parts.append(self.next("name"))
            elif self.take("["):
                kind, part = self.tokens[self.position]
                if kind not in {"text", "number"}:
                    raise NotKnown("a computed name")
                self.position += 1
                parts.append(part)
                self.expect("]")
            else:
                return lambda document: _looked_up(document, parts)


def _constant(value: Any) -> Evaluate:
    return lambda _document: value


def _joined(function: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda document: function(left(document), right(document))


def _folded(function: Callable[[Any, Any], Any], parts: list[Evaluate]) -> Evaluate:
    """Any number of them, without one standing in the other."""
    if len(parts) == 1:
        return parts[0]
    return lambda document: reduce(function, (part(document) for part in parts))


def _looked_up(document: Any, parts: list[Any]) -> Any:
    found = document
    for part in parts:
        named = type(part) is str and type(found) is dict and part in found
        if not named and not (type(part) is int and type(found) is list and part < len(found)):
            return UNDEFINED
        found = found[part]
    return found
