"""Typed values as they come in: the service's words for each way in which one can be wrong. Pure."""

from __future__ import annotations

import base64
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from manor.data.documents.faults import ItemTooLarge, ValueRefused
from manor.data.documents.limits import NUMBER_DIGITS, NUMBER_MAX_EXPONENT, NUMBER_MIN_EXPONENT
from manor.data.documents.tagged import item_from_tagged
from manor.data.documents.values import TYPE_NAMES, Item, admit_item
from manor.testing.dynamodb_endpoint.faults import TOO_DEEP, WireError, bad_parameter, invalid

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BEYOND = 1000
"""An exponent outside every range."""
_SET_WORDS = {"SS": "string set", "NS": "number set", "BS": "binary set"}


def item_of(tagged: Any) -> Item:
    """An item, key or map of expression values from typed JSON, exact. Raises ``WireError``."""
    for value in tagged.values():
        check_typed(value)
    try:
        return item_from_tagged(tagged)
    except ValueRefused as error:
        raise _refused(error) from error


def whole_item(tagged: Any) -> Item:
    """An item to store: of allowed size too."""
    item = item_of(tagged)
    try:
        admit_item(item)
    except ItemTooLarge as error:
        raise WireError("ValidationException", "Item size has exceeded the maximum allowed size") from error
    except ValueRefused as error:
        raise _refused(error) from error
    return item


def _refused(error: ValueRefused) -> WireError:
    if "deep in each other" in error.problem:
        return invalid(TOO_DEEP)
    return bad_parameter(str(error), static=True)


def check_typed(tagged: Any) -> None:
    """Raise ``WireError`` for a value that the service would refuse."""
    if not isinstance(tagged, dict) or not tagged.keys() & TYPE_NAMES:
        raise invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    if len(tagged) > 1:
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
        )
    ((kind, content),) = tagged.items()
    match kind:
        case "N":
            _check_number(content)
        case "NULL" if content is not True:
            raise bad_parameter("Null attribute value types must have the value of true", static=True)
        case "L":
            for element in content:
                check_typed(element)
        case "M":
            for element in content.values():
                check_typed(element)
        case "SS" | "NS" | "BS":
            _check_set(kind, content)


def _check_set(kind: str, content: Any) -> None:
    if not content:
        raise bad_parameter(f"An {_SET_WORDS[kind]}  may not be empty", static=True)
    if kind == "NS":
        for element in content:
            _check_number(element)
        if len({_number(element) for element in content}) < len(content):
            raise bad_parameter("Input collection contains duplicates", static=True)
    elif len(set(content)) < len(content):
        raise bad_parameter(f"Input collection [{', '.join(map(str, content))}] contains duplicates.", static=True)


def _check_number(text: Any) -> None:
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        if text == "":
            raise invalid("The parameter cannot be converted to a numeric value")
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}")
    number = _number(text)
    if not number:
        return
    if len(_digits(number)) > NUMBER_DIGITS:
        raise invalid("Attempting to store more than 38 significant digits in a Number")
    if number.adjusted() > NUMBER_MAX_EXPONENT:
        raise invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if number.adjusted() < NUMBER_MIN_EXPONENT:
        raise invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")


def _number(text: str) -> Decimal:
    """Exact; infinite (or next to nothing) where even the exponent is beyond what can be counted."""
    try:
        return Decimal(text)
    except InvalidOperation:
        digits, _, exponent = text.lower().partition("e")
        return Decimal(digits).scaleb(-_BEYOND if exponent.startswith("-") else _BEYOND)


def _digits(number: Decimal) -> str:
    return "".join(map(str, number.as_tuple().digits)).strip("0")


def shown(tagged: dict[str, Any]) -> str:
    """``{S:text}``, as messages of the service show a value."""
    ((kind, content),) = tagged.items()
    if kind == "B":
        content = f"java.nio.HeapByteBuffer[pos=0 lim={len(base64.b64decode(content))} cap={len(base64.b64decode(content))}]"
    return f"{{{kind}:{content}}}"
