"""Items as botocore takes them: DynamoDB's typed values, with ``bytes`` as they are; and as DynamoDB gives them, with base64.

Exact both ways. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

from manor.data.documents.numbers import number_text, parse_number
from manor.data.documents.values import Item, Value

Wire: TypeAlias = dict[str, Any]
"""Attributes by name, each ``{"S": "text"}`` and the like."""

_SHORT = 18


def encode_item(item: Item) -> Wire:
    """An admitted item (or key, or values of expressions) as it is sent."""
    return {name: _ENCODERS[type(value)](value) for name, value in item.items()}


def encode(value: Value) -> dict[str, Any]:
    """One admitted value as it is sent. Elements of sets are sorted: equal values make equal requests."""
    return _ENCODERS[type(value)](value)


def _set(value: set[Any]) -> dict[str, Any]:
    first = next(iter(value))
    if type(first) is str:
        return {"SS": sorted(value)}
    if type(first) is bytes:
        return {"BS": sorted(value)}
    return {"NS": [number_text(element) for element in sorted(value)]}


_ENCODERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    str: lambda value: {"S": value},
    int: lambda value: {"N": str(value)},
    bool: lambda value: {"BOOL": value},
    type(None): lambda _: {"NULL": True},
    Decimal: lambda value: {"N": number_text(value)},
    bytes: lambda value: {"B": value},
    list: lambda value: {"L": [encode(element) for element in value]},
    dict: lambda value: {"M": encode_item(value)},
    set: _set,
}


def decode_item(wire: Wire) -> Item:
    """An item as it came, in canonical form."""
    item = {}
    for name, typed in wire.items():
        ((kind, content),) = typed.items()
        item[name] = content if kind == "S" else _DECODERS[kind](content)
    return item


def resent(wire: Wire) -> Wire:
    """What came as it is sent again."""
    return encode_item(decode_item(wire))


def decode(typed: dict[str, Any]) -> Value:
    """One value as it came."""
    ((kind, content),) = typed.items()
    return _DECODERS[kind](content)


def _number(text: str) -> int | Decimal:
    if len(text) <= _SHORT and (text.isdigit() or text[1:].isdigit()):
        return int(text)
    return parse_number(text)


def _binary(content: str | bytes) -> bytes:
    """Answers have base64; errors, which botocore reads, have bytes."""
    return base64.b64decode(content) if isinstance(content, str) else bytes(content)


_DECODERS: dict[str, Callable[[Any], Value]] = {
    "S": str,
    "N": _number,
    "B": _binary,
    "BOOL": bool,
    "NULL": lambda _: None,
    "L": lambda content: [decode(element) for element in content],
    "M": decode_item,
    "SS": set,
    "NS": lambda content: {_number(element) for element in content},
    "BS": lambda content: {_binary(element) for element in content},
}
