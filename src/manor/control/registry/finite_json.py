"""JSON whose numbers all have a value. The parser makes infinity of ``1e400``, which is no JSON any more when it is written.

Looking for it in the text costs a tenth of reading it; the values themselves are walked over only where one could be.
"""

from __future__ import annotations

import marshal
import math
import struct
from collections.abc import Iterable
from typing import Any, Literal

from pydantic_core import from_json

_FORM = bytes.maketrans(b"123456789E", b"000000000e")
"""All digits become one, so that a pattern is a plain text to look for."""
_PLUS, _MINUS = struct.pack("<d", math.inf), struct.pack("<d", -math.inf)
"""Infinity as ``marshal`` writes it."""
_MANY = 200
_MANY_WHOLE, _MANY_RAISED = b"0" * _MANY + b".", b"0" * _MANY + b"e"
"""There is no infinity without an exponent of three digits, or one of these."""


class TooLarge(ValueError):
    """A number has no value."""


def finite_json(text: str | bytes, *, cache_strings: Literal["all", "keys"] = "all") -> Any:
    """What ``text`` says. Raises ``ValueError`` for what is no JSON, ``TooLarge`` with the path of a number."""
    found = from_json(text, allow_inf_nan=False, cache_strings=cache_strings)
    return checked(found) if may_overflow(text) else found


def may_overflow(text: str | bytes) -> bool:
    """Whether a number in ``text`` could be too large; True now and then where none is."""
    body = (text.encode() if isinstance(text, str) else text).translate(_FORM)
    return b"0e000" in body or b"0e+000" in body or (len(body) > _MANY and (_MANY_WHOLE in body or _MANY_RAISED in body))


def holds_infinity(values: Any) -> bool:
    """Whether a number without a value may be in ``values``, quickly; raises ``ValueError`` for what JSON does not have."""
    written = marshal.dumps(values)
    return _PLUS in written or _MINUS in written


def checked(value: Any) -> Any:
    """``value``, which a driver has read. Raises ``TooLarge``."""
    path = infinity_in(value)
    if path is not None:
        raise TooLarge(f"the number at {path or 'its beginning'} is too large")
    return value


def infinity_in(value: Any) -> str | None:
    """The path of the first number without a value, such as ``a.b[0]``; None where there is none."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, float) and not math.isfinite(one):
            return path
        waiting += _parts(path, one)
    return None


def _parts(path: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    return [(f"{path}[{number}]", item) for number, item in enumerate(value)] if isinstance(value, list) else ()
