"""Numbers of items: exact to 38 digits, from 1E-130 to 9.99E+125, or refused. Never a float."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import TypeAlias

from manor.data.documents.faults import ValueRefused
from manor.data.documents.limits import NUMBER_DIGITS, NUMBER_MAX_EXPONENT, NUMBER_MIN_EXPONENT

Number: TypeAlias = int | Decimal

_WHOLE = 10**NUMBER_DIGITS
_SHIFT = 500
_EXACT = decimal.Context(
    prec=NUMBER_DIGITS,
    Emax=NUMBER_MAX_EXPONENT,
    Emin=NUMBER_MIN_EXPONENT,
    traps=[decimal.Inexact, decimal.Overflow, decimal.Subnormal, decimal.InvalidOperation],
)


def canonical(number: Number) -> Number:
    """The one form of a number: an int if it is whole and has at most 38 digits, else a ``Decimal`` without trailing zeros.

    Raises ``ValueRefused`` for NaN, infinities, more than 38 digits and magnitudes out of range.
    """
    if type(number) is int and -_WHOLE < number < _WHOLE:
        return number
    return _canonical_decimal(Decimal(number))


def _canonical_decimal(number: Decimal) -> Number:
    if not number.is_finite():
        raise ValueRefused("NaN and infinities are no numbers of an item", hint="leave the attribute out, or store None")
    if not number:
        return 0
    try:
        exact = number.normalize(_EXACT)
    except (decimal.Overflow, decimal.Subnormal) as error:
        raise _out_of_range() from error
    except decimal.Inexact as error:
        raise ValueRefused(
            f"a number has more than {NUMBER_DIGITS} significant digits", hint="round it, or store it as a string"
        ) from error
    exponent = exact.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0 and exact.adjusted() < NUMBER_DIGITS:
        return int(exact)
    return exact


def _out_of_range() -> ValueRefused:
    return ValueRefused(
        f"a number's magnitude is outside 1E{NUMBER_MIN_EXPONENT} to 9.99E+{NUMBER_MAX_EXPONENT}", hint="store it as a string"
    )


def parse_number(text: str) -> Number:
    """A number from its text. Raises ``ValueRefused``."""
    try:
        number = Decimal(text)
    except decimal.InvalidOperation as error:
        raise ValueRefused("this is not a number") from error
    return canonical(number)


def number_text(number: Number) -> str:
    """The shortest plain text of a canonical number: ``12``, ``-0.5``, ``1E+40``. Equal numbers have equal texts."""
    return str(canonical(number))


def add(left: Number, right: Number) -> Number:
    """The exact sum. Raises ``ValueRefused`` where it would need more than 38 digits."""
    if type(left) is int and type(right) is int:
        return canonical(left + right)
    return _exactly(Decimal(left), Decimal(right))


def subtract(left: Number, right: Number) -> Number:
    """The exact difference. Raises ``ValueRefused`` where it would need more than 38 digits."""
    return add(left, -right if type(right) is int else Decimal(right).copy_negate())


def _exactly(left: Decimal, right: Decimal) -> Number:
    try:
        return _canonical_decimal(_EXACT.add(left, right))
    except (decimal.Overflow, decimal.Subnormal) as error:
        raise _out_of_range() from error
    except decimal.Inexact as error:
        raise ValueRefused(f"the result of an addition needs more than {NUMBER_DIGITS} digits") from error


def size_bytes(number: Number) -> int:
    """What a number counts towards an item's size: a byte for two digits, one more, and one for a minus sign."""
    digits = len(str(abs(number)).rstrip("0")) or 1 if type(number) is int else len(Decimal(number).as_tuple().digits)
    return (digits + 1) // 2 + 1 + (number < 0)


def sort_text(number: Number) -> str:
    """ASCII text that sorts, byte by byte, as the numbers do. For drivers whose database has no exact number of 38 digits.

    ``5``, exponent and digits for positive ones, ``4`` for zero, ``3`` and all of it complemented (and ``~``) for negative.
    """
    exact = Decimal(number)
    if not exact:
        return "4"
    _, digits, _ = exact.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    if exact > 0:
        return f"5{exact.adjusted() + _SHIFT:03}{text}"
    return f"3{_SHIFT - exact.adjusted():03}{text.translate(_NINES)}~"


_NINES = str.maketrans("0123456789", "9876543210")


def from_sort_text(text: str) -> Number:
    """The number that ``sort_text`` was given."""
    if text == "4":
        return 0
    positive = text[0] == "5"
    exponent = int(text[1:4]) - _SHIFT if positive else _SHIFT - int(text[1:4])
    digits = text[4:] if positive else text[4:-1].translate(_NINES)
    return canonical(Decimal((0 if positive else 1, tuple(map(int, digits)), exponent - len(digits) + 1)))
