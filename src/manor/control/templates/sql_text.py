"""Values inside SQL that a schema's author wrote: quoted where the author put quotes, else names and numbers only. Pure.

Assumes that quotes are ``'…'`` with ``''`` inside; the text between dollar quotes is SQL like the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from manor.control.templates.opaque import Value, as_text
from manor.errors import InputError

_WORD = re.compile(r"[A-Za-z0-9_]*")
_STEP = re.compile(r"--|/\*|['\"`]")
_ENDS = {"--": "\n", "/*": "*/"}


def join_sql(parts: Iterable[str | tuple[Value]]) -> str:
    """The SQL that ``parts`` make: author's text as it is, values (in tuples) as data.

    Raises ``InputError`` for a value that would become SQL itself.
    """
    made: list[str] = []
    state = ""
    for part in parts:
        if isinstance(part, str):
            made.append(part)
            state = _follow(part, state)
        else:
            made.append(_inserted(part[0], state))
    return "".join(made)


def _follow(text: str, state: str) -> str:
    """What stands open at the end of ``text`` where ``state`` stood open before it: a quote, ``--``, ``/*``, or nothing."""
    position = 0
    while position < len(text):
        if state:
            end = _ENDS.get(state, state)
            found = text.find(end, position)
            if found < 0:
                return state
            position, state = found + len(end), ""
        else:
            match = _STEP.search(text, position)
            if match is None:
                return ""
            position, state = match.end(), match.group(0)
    return state


def _inserted(value: Value, state: str) -> str:
    text = as_text(value)
    number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    if number or _WORD.fullmatch(text):
        return text
    if state == "'" and "\\" not in text and "\0" not in text:
        return text.replace("'", "''")
    if state == "'":
        raise InputError("a value with a backslash cannot stand in SQL: engines read it differently")
    raise InputError(f"the value {text!r} would become SQL", hint="put single quotes around it, or use safe_identifier")
