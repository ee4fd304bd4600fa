"""What an item may hold, how large it is, when two values are the same and which comes first. Pure.

Types and their names in expressions: ``S`` str, ``N`` int or Decimal, ``B`` bytes, ``BOOL``, ``NULL`` None, ``L`` list,
``M`` dict with str keys, ``SS``/``NS``/``BS`` non-empty sets of one kind. Nothing else: floats and tuples are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from manor.data.documents import numbers
from manor.data.documents.faults import ItemTooLarge, ValueRefused
from manor.data.documents.limits import ITEM_BYTES, NESTING

Value: TypeAlias = Any
Item: TypeAlias = dict[str, Any]

TYPE_NAMES = frozenset({"S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"})
SET_TYPES = frozenset({"SS", "NS", "BS"})
ORDERED_TYPES = frozenset({"S", "N", "B"})

_TYPES: dict[type, str] = {
    str: "S", int: "N", Decimal: "N", bytes: "B", bool: "BOOL", type(None): "NULL", list: "L", dict: "M",
}  # fmt: skip


def type_of(value: Value) -> str:
    """The name of an admitted value's type, as ``attribute_type`` knows it."""
    return _TYPES.get(type(value)) or _set_type(value)


def _set_type(value: set[Any]) -> str:
    return _TYPES[type(next(iter(value)))] + "S"


# Admission: a deep copy in canonical form, and its size


def admit_item(item: Mapping[str, Any]) -> tuple[Item, int]:
    """A deep copy of the caller's ``item`` in canonical form, and its size in bytes.

    Raises ``ValueRefused`` (which says where) and ``ItemTooLarge``.
    """
    if not isinstance(item, Mapping):
        raise ValueRefused(f"an item is a dict, not {type(item).__name__}")
    copy, size = _map(item if type(item) is dict else dict(item), 0)
    size -= 3 + len(copy)  # what a map costs, an item does not
    if size > ITEM_BYTES:
        raise ItemTooLarge(
            f"the item has {size} bytes, {ITEM_BYTES} are allowed", hint="keep large content in object storage and its key here"
        )
    return copy, size


def admit(value: Any) -> Value:
    """A deep copy of one value in canonical form, as an attribute of an item holds it. Raises ``ValueRefused``."""
    return _admit(value, 1)[0]


def _admit(value: Any, depth: int) -> tuple[Value, int]:
    found = _ADMITTERS.get(type(value)) or _admitter_of(value)
    return found(value, depth)


def _text(value: str, _depth: int) -> tuple[Value, int]:
    if value.isascii():
        return value, len(value)
    try:
        return value, len(value.encode())
    except UnicodeEncodeError as error:
        raise ValueRefused("the text holds half of a surrogate pair", hint="decode it with errors='replace'") from error


def _number(value: int | Decimal, _depth: int) -> tuple[Value, int]:
    number = numbers.canonical(value)
    return number, numbers.size_bytes(number)


def _binary(value: bytes, _depth: int) -> tuple[Value, int]:
    return bytes(value), len(value)


def _plain(value: bool | None, _depth: int) -> tuple[Value, int]:
    return value, 1


def _list(value: list[Any], depth: int) -> tuple[Value, int]:
    _check_depth(depth)
    copy, size = [], 3 + len(value)
    for position, element in enumerate(value):
        try:
            admitted, element_size = _admit(element, depth + 1)
        except ValueRefused as error:
            raise error.inside(f"[{position}]") from error.__cause__
        copy.append(admitted)
        size += element_size
    return copy, size


def _map(value: dict[Any, Any], depth: int) -> tuple[Item, int]:
    _check_depth(depth)
    copy, size = {}, 3 + len(value)
    for name, element in value.items():
        try:
            size += _name_size(name)
            copy[name], element_size = _admit(element, depth + 1)
        except ValueRefused as error:
            raise error.inside(str(name)) from error.__cause__
        size += element_size
    return copy, size


def _name_size(name: Any) -> int:
    if type(name) is not str:
        raise ValueRefused(f"names of attributes are str, not {type(name).__name__}")
    if not name:
        raise ValueRefused("the name of an attribute is empty")
    return _text(name, 0)[1]


def _check_depth(depth: int) -> None:
    if depth > NESTING:
        raise ValueRefused(f"lists and maps stand more than {NESTING} deep in each other")


def _set(value: set[Any] | frozenset[Any], _depth: int) -> tuple[Value, int]:
    if not value:
        raise ValueRefused("a set is empty", hint="leave the attribute out instead")
    copy, size, kinds = set(), 0, set()
    for element in value:
        kind = _kind(element)
        if kind not in ORDERED_TYPES:
            raise ValueRefused("sets hold strings, numbers or bytes", hint="use a list")
        admitted, element_size = _admit(element, 0)
        copy.add(admitted)
        kinds.add(kind)
        size += element_size
    if len(kinds) > 1:
        raise ValueRefused("a set mixes strings, numbers and bytes", hint="use a list")
    return copy, size


def _kind(value: Any) -> str:
    return next((_TYPES[base] for base in type(value).__mro__ if base in _TYPES), "")


_Admitter: TypeAlias = Callable[[Any, int], tuple[Value, int]]
_ADMITTERS: dict[type, _Admitter] = {
    str: _text, int: _number, Decimal: _number, bytes: _binary, bool: _plain, type(None): _plain,
    list: _list, dict: _map, set: _set, frozenset: _set, bytearray: _binary,
}  # fmt: skip
_HINTS = {
    float: "floats are not exact: use Decimal('0.1') or int",
    tuple: "use a list",
}


def _admitter_of(value: Any) -> _Admitter:
    """For subclasses, such as the members of an ``enum.StrEnum``: what they are made of is stored."""
    for base in type(value).__mro__:
        if base in _ADMITTERS and base is not object:
            return lambda value, depth: _ADMITTERS[base](_plainly(base, value), depth)
    raise ValueRefused(
        f"an item cannot hold {type(value).__name__}",
        hint=_HINTS.get(type(value), "use str, int, Decimal, bool, None, bytes, list, dict or a set"),
    )


def _plainly(base: type, value: Any) -> Any:
    return str.__str__(value) if base is str else base(value)


# Values that are admitted already


def copied(value: Value) -> Value:
    """A deep copy of an admitted value."""
    kind = type(value)
    if kind is dict:
        return {name: copied(element) for name, element in value.items()}
    if kind is list:
        return [copied(element) for element in value]
    return set(value) if kind is set else value


def same(left: Value, right: Value) -> bool:
    """Whether two admitted values are equal: of one type, and equal in it (``True`` is not ``1``; sets have no order)."""
    if left is right:
        return True
    kind = type_of(left)
    if kind != type_of(right):
        return False
    if kind == "L":
        return len(left) == len(right) and all(map(same, left, right))
    if kind == "M":
        return left.keys() == right.keys() and all(same(element, right[name]) for name, element in left.items())
    return bool(left == right)


def comparable(left: Value, right: Value) -> bool:
    """Whether ``<`` has a meaning: two numbers, two strings (by code point, as UTF-8 sorts) or two bytes."""
    kind = type_of(left)
    return kind in ORDERED_TYPES and kind == type_of(right)


def item_size(item: Item) -> int:
    """The size in bytes of an item that is admitted already. Raises nothing for one that is too large."""
    return _map(item, 0)[1] - 3 - len(item)
