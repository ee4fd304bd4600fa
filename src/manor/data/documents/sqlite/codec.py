"""How items look in SQLite: which numbers its JSON functions compare exactly. Pure.

Whole numbers of 64 bits are exact. A fraction becomes a double; those of 15 digits and moderate size keep their order and their
identity then, all others are not plain.
"""

from __future__ import annotations

from manor.data.documents.numbers import Number
from manor.data.documents.relational.codec import JsonForm

_LARGEST = 2**63
_DIGITS = 15
_EXPONENT = 30


def is_plain(number: Number) -> bool:
    """Whether SQLite can be trusted with it."""
    if isinstance(number, int):
        return -_LARGEST <= number < _LARGEST
    _, digits, exponent = number.as_tuple()
    return len(digits) <= _DIGITS and isinstance(exponent, int) and -_EXPONENT <= exponent < 0


FORM = JsonForm(is_plain=is_plain, suspect=r"[:\[,-]\d{19}")
