"""Text into words. Positions count characters from 0; errors show them from 1."""

from __future__ import annotations

import re
from typing import NamedTuple

from manor.data.documents.faults import ExpressionError
from manor.data.documents.limits import EXPRESSION_BYTES


class Token(NamedTuple):
    """One word. ``kind``: ``name``, ``alias`` (#n), ``ref`` (:v), ``number``, ``sign`` or ``end``."""

    kind: str
    text: str
    position: int


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>[^\W\d]\w*) | (?P<alias>\#\w+) | (?P<ref>:\w+) | (?P<number>[0-9]+) | (?P<sign><>|<=|>=|[=<>()\[\],.+\-])
    )""",
    re.VERBOSE,
)


def tokens(text: str, kind: str) -> list[Token]:
    """All words of an expression, closed by ``end``. Raises ``ExpressionError``; ``kind`` names the expression in it."""
    if not text.strip():
        raise ExpressionError(f"the {kind} is empty", hint="leave the parameter out where there is nothing to say")
    size = len(text.encode(errors="replace"))
    if size > EXPRESSION_BYTES:
        raise ExpressionError(f"the {kind} has {size} bytes, {EXPRESSION_BYTES} are allowed")
    found, position = [], 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _strange(text, position, kind)
        word = match.lastgroup or ""
        if word in {"alias", "ref"} and not match[word].isascii():
            raise ExpressionError(
                f"{kind}: {match[word]} has other characters than letters A to Z, digits and _",
                expression=text,
                position=match.start(word) + 1,
                hint="DynamoDB takes no others in the names that stand for names and values",
            )
        found.append(Token(word, match[word], match.start(word)))
        position = match.end()
    return [*found, Token("end", "", end)]


_STRANGE = {
    "'": "values are passed apart: write :name and give expression_values={':name': …}",
    '"': "values are passed apart: write :name and give expression_values={':name': …}",
    "!": "not equal is written <>",
    "&": "write AND",
    "|": "write OR",
    "*": "only + and - exist, in SET",
    "/": "only + and - exist, in SET",
    "#": "a # begins the alias of a name, as in #status",
    ":": "a : begins the name of a value, as in :status",
    "`": "write an alias, as in #name, and give expression_names={'#name': …}",
}


def _strange(text: str, position: int, kind: str) -> ExpressionError:
    at = position + len(text[position:]) - len(text[position:].lstrip())
    character = text[at]
    return ExpressionError(
        f"the {kind} holds {character!r}, which has no meaning here",
        expression=text,
        position=at + 1,
        hint=_STRANGE.get(character, "names with other characters are written as aliases: #name, with expression_names"),
    )
