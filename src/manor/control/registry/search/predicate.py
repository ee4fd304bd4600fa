"""What a search means: SQL's three-valued logic over the values of one tenant. This is the meaning; SQL is compared with it.

None is SQL's NULL. A value inside of JSON takes part in a comparison if it is of the constant's type: text with text, numbers
with numbers, true and false with those. Text that is a number, ``true`` or ``false`` counts as that too, because variables are
always text. Everything else is NULL.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, assert_never

from manor.control.registry.search.fields import FieldTable, Kind, fold
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
    references,
)
from manor.errors import InputError
from manor.scan import suggest

NUMBER_TEXT = "[+-]?[0-9]{1,30}([.][0-9]{1,30})?"
"""Text inside of JSON that counts as a number; a regular expression that Python and PostgreSQL read alike."""

_NUMBER_TEXT = re.compile(NUMBER_TEXT)
_LIST_INDEX = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]{1,10}")
_LARGEST_INDEX = 2**31
_WILDCARDS = re.compile(r"\\(?P<plain>.)|(?P<wild>[%_])|(?P<other>[^\\%_]+)", re.DOTALL)

_COMPARE: dict[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.UNEQUAL: operator.ne,
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A checked search. ``str`` gives it in its plainest form, which parses to an equal tree."""

    text: str
    """As it was written."""
    root: Node
    fields: FieldTable[Any]

    def __str__(self) -> str:
        return str(self.root)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether the tenant with these values (see ``record_values``) is found; neither false nor NULL is."""
        return truth(self.root, self.fields, record) is True

    @property
    def bare_names(self) -> tuple[Reference, ...]:
        """References to names that are no fields, in the order of the text."""
        return tuple(one for one in references(self.root) if one.name not in self.fields.fields)

    def require_known(self, names: Iterable[str]) -> None:
        """Refuse a bare name that no tenant has, which is more often a slip than a wish.

        ``names``: the keys that tenants have, in any case. Raises ``InputError`` with the place of the first unknown one.
        """
        known = {fold(name) for name in names}
        for reference in self.bare_names:
            if reference.name not in known:
                near = suggest(reference.name, known | self.fields.fields.keys())
                message = f"{reference.name} is neither a field nor a variable or config key of any tenant"
                raise InputError(message, place=reference.place, hint=near or "manor tenant show lists what a tenant has")


def truth(node: Node, fields: FieldTable[Any], record: Mapping[str, Any]) -> bool | None:
    """True, false or, as SQL's NULL, None."""
    match node:
        case And():
            return _all(truth(operand, fields, record) for operand in node.operands)
        case Or():
            return _any(truth(operand, fields, record) for operand in node.operands)
        case Not():
            inner = truth(node.operand, fields, record)
            return None if inner is None else not inner
        case IsNull():
            return _found(node.reference, fields, record) is None
        case Among():
            return _any(_is(node.reference, constant, fields, record) for constant in node.constants)
        case Compare():
            value = _value(node.reference, type(node.constant), fields, record)
            return None if value is None else _COMPARE[node.comparison](value, node.constant)
        case Between():
            value = _value(node.reference, type(node.low), fields, record)
            return None if value is None else bool(node.low <= value <= node.high)
        case Like():
            value = _value(node.reference, str, fields, record)
            return None if value is None else like(value, node.pattern, any_case=node.any_case)
        case _:
            assert_never(node)


def _all(truths: Iterable[bool | None]) -> bool | None:
    found = list(truths)
    return False if False in found else None if None in found else True


def _any(truths: Iterable[bool | None]) -> bool | None:
    found = list(truths)
    return True if True in found else None if None in found else False


def _is(reference: Reference, constant: Constant | None, fields: FieldTable[Any], record: Mapping[str, Any]) -> bool | None:
    if constant is None:
        return None
    value = _value(reference, type(constant), fields, record)
    return None if value is None else bool(value == constant)


def _value(reference: Reference, wanted: type, fields: FieldTable[Any], record: Mapping[str, Any]) -> Any:
    """The value to be compared with a constant of type ``wanted``, or None."""
    found = _found(reference, fields, record)
    return _VALUES[wanted](found) if fields.kind_of(reference.name) is Kind.JSON else found


def _found(reference: Reference, fields: FieldTable[Any], record: Mapping[str, Any]) -> Any:
    if reference.name in fields.fields:
        return _follow(record[reference.name], reference.path)
    holders = (_bare(record[holder], reference.name) for holder in fields.bare_names_in)
    return _follow(next((value for value in holders if value is not None), None), reference.path)


def _bare(mapping: Mapping[str, Any], name: str) -> Any:
    """The value of the key that is ``name`` in any case; of several the first in byte order that is not null."""
    keys = (key for key, value in mapping.items() if value is not None and fold(key) == name)
    key = min(keys, default=None)
    return None if key is None else mapping[key]


def _follow(value: Any, path: Iterable[str]) -> Any:
    """As PostgreSQL's ``#>`` does: a step is a key of an object or the number of a list's item, from the end if negative."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple):
            value = _item(value, step)
        else:
            return None
    return value


def _item(items: list[Any] | tuple[Any, ...], step: str) -> Any:
    index = int(step) if _LIST_INDEX.fullmatch(step) else _LARGEST_INDEX
    return items[index] if -len(items) <= index < len(items) else None


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_number(value: Any) -> Decimal | None:
    if isinstance(value, str):
        return Decimal(value) if _NUMBER_TEXT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _as_truth(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(fold(value))
    return value if isinstance(value, bool) else None


_VALUES: dict[type, Callable[[Any], Any]] = {str: _as_text, Decimal: _as_number, bool: _as_truth, dt.datetime: _as_text}


def like(text: str, pattern: str, *, any_case: bool) -> bool:
    """SQL's LIKE with a backslash as escape; ``any_case`` looks over the case of ASCII letters."""
    if any_case:
        text, pattern = fold(text), fold(pattern)
    return _like_expression(pattern).fullmatch(text) is not None


def _like_expression(pattern: str) -> re.Pattern[str]:
    """Between two ``%`` the first place that fits is kept (an atomic group), so that time stays linear in each part."""
    parts = [""]
    for match in _WILDCARDS.finditer(pattern):
        if match["wild"] == "%":
            parts.append("")
        else:
            parts[-1] += "." if match["wild"] else re.escape(match["plain"] or match["other"])
    if len(parts) == 1:
        return re.compile(parts[0], re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in parts[1:-1] if part)
    return re.compile(f"{parts[0]}{middle}.*{parts[-1]}", re.DOTALL)
