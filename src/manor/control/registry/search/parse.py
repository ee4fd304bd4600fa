"""From text to a checked search: the tokens pass the gate, sqlglot's parser puts them together, and what it gives is taken over
node by node. A kind of node, or a part of one, that is not named here is refused, whatever later versions of sqlglot may add.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NoReturn

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ParseError

from manor.control.registry.search.constants import Marked, Misfit, fit
from manor.control.registry.search.fields import CATALOG, FieldTable, Kind
from manor.control.registry.search.nodes import (
    Among,
    And,
    Between,
    Compare,
    Comparison,
    Constant,
    IsNull,
    Like,
    Node,
    Not,
    Or,
    Reference,
)
from manor.control.registry.search.predicate import Search
from manor.control.registry.search.source import Source
from manor.control.registry.search.tokens import MAX_DEPTH, Reading, read_tokens
from manor.errors import InputError
from manor.scan import suggest

_COMPARISONS: dict[type[exp.Expr], Comparison] = {
    exp.EQ: Comparison.EQUAL,
    exp.NEQ: Comparison.UNEQUAL,
    exp.LT: Comparison.LESS,
    exp.LTE: Comparison.AT_MOST,
    exp.GT: Comparison.GREATER,
    exp.GTE: Comparison.AT_LEAST,
}
_UNORDERED = frozenset({Comparison.EQUAL, Comparison.UNEQUAL})
_MARKS = frozenset({"DATE", "TIMESTAMP", "TIMESTAMPTZ"})


def parse_search(text: str, fields: FieldTable[Any] = CATALOG, *, where: str = "--filter") -> Search:
    """The search that ``text`` says; ``where`` is the option's name for messages.

    Raises ``InputError`` with line, column and hint for whatever is not of the language, names no field, or compares a field
    with a constant of another type.
    """
    source = Source(text=text, where=where)
    reading = read_tokens(source)
    root = _Conversion(source, reading, fields).condition(_parsed(source, reading))
    return Search(text=text, root=root, fields=fields)


def _parsed(source: Source, reading: Reading) -> exp.Expr:
    try:
        (found,) = Postgres().parser().parse_into(exp.Condition, reading.tokens, source.text)
    except ParseError as error:
        raise _unreadable(source, reading, error) from None
    except RecursionError:
        raise source.refusal(f"brackets stand too deep; {MAX_DEPTH} are allowed", 0, "bring it to a flatter form") from None
    if found is None:
        raise source.refusal("there is no condition", 0, "such as status = 'active'")
    return found


def _unreadable(source: Source, reading: Reading, error: ParseError) -> InputError:
    """sqlglot knows at which token it gave up, and whether that one is too much or something is missing behind it."""
    first = error.errors[0] if error.errors else {}
    number = min(first.get("col") or 0, len(reading.tokens) - 1)
    hint = "something is missing behind it: a constant, a condition or a closing bracket"
    if "Unexpected" in first.get("description", ""):
        hint = "conditions are put together by AND and OR; texts stand in '…', names without quotes or in \"…\""
    return source.refusal("the search cannot be read from here on", reading.tokens[number].start, hint)


class _Conversion:
    def __init__(self, source: Source, reading: Reading, fields: FieldTable[Any]) -> None:
        self._source = source
        self._references = reading.references
        self._fields = fields

    # Conditions

    def condition(self, node: exp.Expr) -> Node:
        node = node.unnest()
        kind = type(node)
        if kind in (exp.And, exp.Or):
            operands = tuple(self.condition(operand) for operand in self._operands(node, kind))
            return And(operands=operands) if kind is exp.And else Or(operands=operands)
        if kind is exp.Not:
            self._only(node, "this")
            return Not(operand=self.condition(node.this))
        if kind in _COMPARISONS:
            return self._compare(node, _COMPARISONS[kind])
        if kind is exp.Column:
            return self._alone(node)
        if kind not in _PREDICATES:
            self._refuse("a condition belongs here", node, "such as status = 'active'")
        predicate = _PREDICATES[kind](self, node)
        return Not(operand=predicate) if node.args.get("negate") else predicate

    def _operands(self, node: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
        """Of a chain, which may be longer than calls can be nested."""
        waiting, found = [node], []
        while waiting:
            current = waiting.pop().unnest()
            if type(current) is kind:
                self._only(current, "this", "expression")
                waiting += [current.expression, current.this]
            else:
                found.append(current)
        return found

    def _compare(self, node: exp.Expr, comparison: Comparison) -> Node:
        self._only(node, "this", "expression")
        reference = self._reference(node.this)
        constant = self._constant(node.expression, reference)
        if comparison not in _UNORDERED:
            self._check_order(reference, constant, node)
        return Compare(reference=reference, comparison=comparison, constant=constant)

    def _alone(self, node: exp.Expr) -> Node:
        reference = self._reference(node)
        if self._kind(reference) is not Kind.BOOLEAN:
            self._refuse(f"{reference.name} alone is not a condition", node, f"compare it: {reference} = …")
        return Compare(reference=reference, comparison=Comparison.EQUAL, constant=True)

    def _between(self, node: exp.Expr) -> Node:
        self._only(node, "this", "low", "high")
        reference = self._reference(node.this)
        low, high = (self._constant(node.args[end], reference) for end in ("low", "high"))
        self._check_order(reference, low, node)
        if type(low) is not type(high):
            self._refuse("BETWEEN takes two constants of one type", node.args["high"], "such as BETWEEN 10 AND 20")
        return Between(reference=reference, low=low, high=high)

    def _among(self, node: exp.Expr) -> Node:
        self._only(node, "this", "expressions")
        reference = self._reference(node.this)
        if not node.expressions:
            self._refuse("IN takes at least one constant", node, "such as tier IN ('premium', 'enterprise')")
        constants = tuple(
            None if isinstance(item.unnest(), exp.Null) else self._constant(item, reference) for item in node.expressions
        )
        return Among(reference=reference, constants=constants)

    def _like(self, node: exp.Expr) -> Node:
        self._only(node, "this", "expression")
        reference = self._reference(node.this)
        if self._kind(reference) not in (Kind.TEXT, Kind.JSON):
            self._refuse(f"{reference.name} is {self._kind(reference).value}; LIKE is for text", node, "compare it by =")
        pattern = self._constant(node.expression, reference)
        if not isinstance(pattern, str):
            self._refuse("a pattern is text", node.expression, "such as LIKE 'acme-%'")
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            self._refuse("a pattern cannot end in a single backslash", node.expression, r"a backslash itself is written as \\")
        return Like(reference=reference, pattern=pattern, any_case=type(node) is exp.ILike)

    def _is_null(self, node: exp.Expr) -> Node:
        self._only(node, "this", "expression")
        if not isinstance(node.expression, exp.Null):
            self._refuse("after IS stands NULL or NOT NULL", node, "true and false are compared by =: is_active = true")
        return IsNull(reference=self._reference(node.this))

    # Their parts

    def _reference(self, node: exp.Expr) -> Reference:
        node = node.unnest()
        if type(node) is not exp.Column or not node.this.quoted:  # not quoted: a word of the language in a name's place
            self._refuse("a field stands on the left side", node, "such as status = 'active'")
        self._only(node, "this")
        reference = self._references[int(node.name)]
        self._check_name(reference)
        return reference

    def _check_name(self, reference: Reference) -> None:
        known = self._fields.fields
        if reference.name in known:
            if reference.path and known[reference.name].kind is not Kind.JSON:
                message = f"{reference.name} is {known[reference.name].kind.value} and has no parts"
                raise InputError(message, place=reference.place, hint=f"compare {reference.name} itself")
        elif not self._fields.bare_names_in:
            hint = suggest(reference.name, known) or f"known here: {', '.join(sorted(known))}"
            raise InputError(f"there is no field {reference.name}", place=reference.place, hint=hint)

    def _kind(self, reference: Reference) -> Kind:
        return self._fields.kind_of(reference.name)

    def _constant(self, node: exp.Expr, reference: Reference) -> Constant:
        try:
            return fit(self._literal(node.unnest()), self._kind(reference), reference.name)
        except Misfit as misfit:
            self._refuse(misfit.message, node, misfit.hint)

    def _literal(self, node: exp.Expr) -> Constant | Marked:  # noqa: RET503 - the other cases never return
        match node:
            case exp.Literal(is_string=True):
                return str(node.this)
            case exp.Literal():
                return Decimal(node.this)
            case exp.Neg(this=exp.Literal(is_string=False) as number):
                return Decimal(number.this).copy_negate()
            case exp.Boolean():
                return bool(node.this)
            case exp.Cast(this=exp.Literal(is_string=True) as text, to=exp.DataType() as to) if to.this.name in _MARKS:
                return Marked(word=to.this.name, text=text.this)
            case exp.Null():
                self._refuse("nothing is equal to NULL", node, "write IS NULL or IS NOT NULL")
            case exp.Column():
                self._refuse("a field is compared with a constant only", node, "texts stand in single quotes: 'active'")
            case _:
                self._refuse("a constant belongs here", node, "a text in '…', a number, true or false, DATE '2026-11-20'")

    def _check_order(self, reference: Reference, constant: Constant, node: exp.Expr) -> None:
        if isinstance(constant, bool):
            self._refuse("true and false have no order", node, "compare by = or <>")
        known = self._fields.fields.get(reference.name)
        if known is not None and not known.ordered:
            self._refuse(
                f"{reference.name} is not ordered as text", node, f"name the ones that you mean: {reference.name} IN (…)"
            )

    def _only(self, node: exp.Expr, *parts: str) -> None:
        """Nothing hangs on the node but these parts (and ``negate``, which is looked at elsewhere)."""
        present = {part for part, value in node.args.items() if value is not None and value is not False and value != []}
        if present - {*parts, "negate"} or any(part not in present for part in parts if part != "expressions"):
            self._refuse("this is not part of the search language", node, "such as status = 'active' AND tier IN ('a', 'b')")

    def _refuse(self, message: str, node: exp.Expr, hint: str) -> NoReturn:
        raise self._source.refusal(message, self._offset(node), hint)

    def _offset(self, node: exp.Expr | None) -> int:
        """Where ``node`` begins, or what it belongs to: true, false and NULL do not know."""
        while node is not None:
            starts: list[int] = [part.meta["start"] for part in node.walk() if "start" in part.meta]
            if starts:
                return min(starts)
            node = node.parent
        return 0


_PREDICATES = {
    exp.Between: _Conversion._between,
    exp.In: _Conversion._among,
    exp.Like: _Conversion._like,
    exp.ILike: _Conversion._like,
    exp.Is: _Conversion._is_null,
}
