"""An expression against what the caller passes with it: every value there, none too many, each of a type that can work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from manor.data.documents.faults import ExpressionError, ValueRefused
from manor.data.documents.query.expression import Expression
from manor.data.documents.query.nodes import (
    And,
    BeginsWith,
    Between,
    Compare,
    Condition,
    HasType,
    Node,
    Not,
    Operand,
    Or,
    Projection,
    Ref,
    Update,
)
from manor.data.documents.query.parser import nearest
from manor.data.documents.values import ORDERED_TYPES, SET_TYPES, TYPE_NAMES, Value, admit, type_of

OWN_VALUES = ":manor_"
"""What the names of values begin with that the layer and its drivers add to the caller's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The value ``ref`` must be of one of these types, because of ``where``."""

    ref: str
    types: frozenset[str]
    where: str


@dataclass(frozen=True, slots=True)
class Demands:
    """What an expression asks of its values. ``ranges``: the ends of BETWEEN; ``type_names``: values of attribute_type."""

    rules: tuple[Rule, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()
    type_names: tuple[str, ...] = ()


def admit_values(values: Mapping[str, Any] | None) -> dict[str, Value]:
    """A deep copy of the caller's ``expression_values`` in canonical form. Raises ``ExpressionError``, ``ValueRefused``."""
    if values is not None and not isinstance(values, Mapping):
        raise ExpressionError(f"expression_values is a dict, not {type(values).__name__}")
    admitted = {}
    for name, value in (values or {}).items():
        if not isinstance(name, str) or not name.startswith(":"):
            raise ExpressionError(f"expression_values: {name!r} does not begin with a colon", hint=f"write ':{name}'")
        if name.startswith(OWN_VALUES):
            raise ExpressionError(f"expression_values: names that begin with {OWN_VALUES} are taken: {name}", hint="rename it")
        try:
            admitted[name] = admit(value)
        except ValueRefused as error:
            raise error.inside(f"expression_values[{name!r}]") from error.__cause__
    return admitted


def check(expressions: Iterable[Expression[Any]], values: Mapping[str, Value], names: Mapping[str, str] | None) -> None:
    """Raise ``ExpressionError`` unless the expressions of one request use all of ``values`` and ``names``, and only those."""
    used: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    for expression in expressions:
        if not expression.refs <= values.keys():
            _fail_missing(expression, values)
        used |= expression.refs
        aliases |= expression.names
        demands = expression.compiled(demands_of)
        if demands is not NOTHING:
            _check_demands(expression, demands, values)
    if len(used) != len(values):
        _fail_unused("expression_values", values.keys() - used)
    if names and len(aliases) != len(names):
        _fail_unused("expression_names", names.keys() - aliases)


def _fail_missing(expression: Expression[Any], values: Mapping[str, Value]) -> None:
    missing = sorted(expression.refs - values.keys())[0]
    raise ExpressionError(
        f"{expression.kind}: the value {missing} is not in expression_values",
        expression=expression.text,
        position=expression.text.find(missing) + 1,
        hint=nearest(missing, values, "did you mean") or f"pass expression_values={{'{missing}': …}}",
    )


def _fail_unused(parameter: str, unused: Iterable[object]) -> None:
    told = ", ".join(sorted(map(str, unused)))
    raise ExpressionError(f"{parameter}: no expression uses {told}", hint="remove it, or correct its name")


def _check_demands(expression: Expression[Any], demands: Demands, values: Mapping[str, Value]) -> None:
    for rule in demands.rules:
        if type_of(values[rule.ref]) not in rule.types:
            _fail_type(expression, rule.ref, f"{rule.where} cannot take {type_of(values[rule.ref])}")
    for ref in demands.type_names:
        if values[ref] not in TYPE_NAMES:
            _fail_type(expression, ref, f"attribute_type() takes one of {', '.join(sorted(TYPE_NAMES))}")
    for low, high in demands.ranges:
        if type_of(values[low]) != type_of(values[high]):
            _fail_type(expression, high, "the two ends of BETWEEN are of different types")
        if values[low] > values[high]:
            _fail_type(expression, high, "the upper end of BETWEEN is below the lower one")


def _fail_type(expression: Expression[Any], ref: str, problem: str) -> None:
    position = expression.text.find(ref) + 1
    raise ExpressionError(f"{expression.kind}: {ref}: {problem}", expression=expression.text, position=position)


NOTHING = Demands()
_TEXTS = frozenset({"S", "B"})


def demands_of(expression: Expression[Node]) -> Demands:
    """What the values must be, read from the nodes; ``NOTHING`` where there is no rule."""
    node = expression.node
    if isinstance(node, Update):
        rules = [Rule(one.value.name, SET_TYPES | {"N"}, "ADD") for one in node.adds]
        rules += [Rule(one.value.name, SET_TYPES, "DELETE") for one in node.deletes]
        return Demands(rules=tuple(rules)) if rules else NOTHING
    if isinstance(node, Projection):
        return NOTHING
    found = _Collector()
    found.visit(node)
    demands = Demands(rules=tuple(found.rules), ranges=tuple(found.ranges), type_names=tuple(found.type_names))
    return demands if demands != NOTHING else NOTHING


class _Collector:
    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.ranges: list[tuple[str, str]] = []
        self.type_names: list[str] = []

    def visit(self, node: Condition) -> None:
        match node:
            case And(parts) | Or(parts):
                for part in parts:
                    self.visit(part)
            case Not(part):
                self.visit(part)
            case Compare(op, left, right) if op not in {"=", "<>"}:
                self.need(ORDERED_TYPES, f"the operator {op}", left, right)
            case Between(operand, low, high):
                self.need(ORDERED_TYPES, "BETWEEN", operand, low, high)
                if isinstance(low, Ref) and isinstance(high, Ref):
                    self.ranges.append((low.name, high.name))
            case BeginsWith(operand, prefix):
                self.need(_TEXTS, "begins_with()", operand, prefix)
            case HasType(_, ref):
                self.need(frozenset({"S"}), "attribute_type()", ref)
                self.type_names.append(ref.name)
            case _:
                pass

    def need(self, types: frozenset[str], where: str, *operands: Operand) -> None:
        self.rules += [Rule(operand.name, types, where) for operand in operands if isinstance(operand, Ref)]
