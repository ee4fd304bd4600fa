"""How large values may become, and what looking at them costs. Pure, but for the ledger that is paid from.

Expressions run in C, where nobody can stop them: whatever makes or goes through a value of some size is paid for first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from manor.control.templates.opaque import LEDGER
from manor.errors import InputError

MAX_CHARACTERS = 1_000_000
"""Length of one value."""
MAX_ITEMS = 100_000
"""Of one list, those of the lists in it among them."""
MAX_BITS = 4_096
_ITEMS_OF_A_STEP = 10
_CHARACTERS_OF_A_STEP = 500


def spend(steps: int) -> None:
    """Take steps from the rendering that runs here. Raises ``InputError`` where it has no more."""
    ledger = LEDGER.get(None)
    if ledger is not None and steps:
        ledger.spend(steps)


def pay(value: Any) -> Any:
    """``value`` itself, paid for by its size. Raises ``InputError`` where it is too large."""
    if isinstance(value, str):
        spend(len(value) // _CHARACTERS_OF_A_STEP)
    elif isinstance(value, (list, tuple, dict)):
        items, characters = _size(value)
        spend(items // _ITEMS_OF_A_STEP + characters // _CHARACTERS_OF_A_STEP)
    return value


def bounded(value: Any) -> Any:
    """``value`` itself, paid for. Raises ``InputError`` where it is too large, or no number that a document can hold."""
    if isinstance(value, str):
        check_length(len(value))
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise InputError("the number is too large")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError("the number is too large, or none")
    return pay(value)


def listed(value: Any) -> Any:
    """``value``, or a list of what an iterator gives, paid for."""
    return pay(list(value) if isinstance(value, Iterator) else value)


def check_length(characters: int) -> None:
    """Raises ``InputError`` for a text of so many characters where that is too long."""
    if characters > MAX_CHARACTERS:
        raise InputError(f"a text of {characters:,} characters, {MAX_CHARACTERS:,} are allowed")


def _size(value: Any) -> tuple[int, int]:
    """(items, characters), of all that is in it, as often as it is in it."""
    items = characters = 0
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            characters += len(one)
        elif isinstance(one, (list, tuple, dict)):
            items += len(one)
            if items > MAX_ITEMS:
                raise InputError(f"a list of {items:,} items or more, {MAX_ITEMS:,} are allowed")
            left.extend(one.values() if isinstance(one, dict) else one)
    return items, characters
