"""The words of Cosmos DB's SQL."""

from __future__ import annotations

import json
import re
from typing import Any

from manor.testing.cosmos_gateway.answers import bad

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<parameter>@[A-Za-z0-9_]+)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign><=|>=|<>|!=|[=<>()\[\]{}:.,*-])
    )""",
    re.VERBOSE,
)


def tokens_of(text: str) -> list[tuple[str, Any]]:
    """(kind, value) of each word, and an end. Raises ``Answer`` 400."""
    found: list[tuple[str, Any]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise bad(f"syntax error at character {position + 1}")
        kind = match.lastgroup or ""
        found.append((kind, _value(kind, match[kind])))
        position = match.end()
    return [*found, ("end", None)]


def _value(kind: str, text: str) -> Any:
    if kind == "number":
        return float(text) if set(text) & set(".eE") else int(text)
    if kind == "text":
        inner = text[1:-1] if text[0] == '"' else text[1:-1].replace('"', '\\"').replace("\\'", "'")
        try:
            return json.loads(f'"{inner}"', strict=False)
        except ValueError:
            raise bad("a string has an escape that there is not") from None
    return text
