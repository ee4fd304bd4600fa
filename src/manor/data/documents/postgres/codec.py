"""How items look in PostgreSQL: its ``jsonb`` holds and compares numbers exactly. Pure.

A whole number beyond 38 digits comes back with all its zeros, so it is not plain.
"""

from __future__ import annotations

from manor.data.documents.numbers import Number
from manor.data.documents.relational.codec import JsonForm
from manor.data.documents.relational.keys import KeyForm

LONGEST_NAME = 48
LONGEST_PARTITION = 112


def is_plain(number: Number) -> bool:
    """Whether ``jsonb`` gives it back as it was."""
    if isinstance(number, int):
        return True
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent < 0


FORM = JsonForm(is_plain=is_plain)
KEYS = KeyForm(longest_partition=LONGEST_PARTITION)
"""An entry of an index may have 2,704 bytes: two sort keys of 1024, a tenant of 255, two names and two partition keys."""
