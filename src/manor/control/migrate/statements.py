"""SQL text as statements: where each begins, what stands before it, and its words in one spelling for the lint's patterns.

Told apart by sqlglot's tokenizer (PostgreSQL), so that semicolons in strings, comments and dollar quotes end nothing; nor do
those inside parentheses (CREATE RULE) or ``BEGIN ATOMIC … END``. The pieces put together again are the text. Pure.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sqlglot import Token, TokenType
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import TokenError

from manor.errors import InputError, Place

START = Place("", 1, 1)

_BLANK = "\x1f"
"""Stands for a space inside a quoted name, so that words can be joined by spaces."""
_STRINGS = {
    TokenType.STRING,
    TokenType.BYTE_STRING,
    TokenType.NATIONAL_STRING,
    TokenType.UNICODE_STRING,
    TokenType.RAW_STRING,
    TokenType.BIT_STRING,
    TokenType.HEX_STRING,
}
_BRACKETS = {TokenType.L_PAREN, TokenType.R_PAREN, TokenType.L_BRACKET, TokenType.R_BRACKET}
_PAIRS = {")": "(", "]": "["}
_ROUTINE = re.compile(r"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE)\b")
_PARAMETER = re.compile(r"(?<![\w$])\$(?=\d)")
"""The ``$`` of ``$1``, which sqlglot may take for the beginning of a dollar quote. No tag begins with a digit."""
_OFFSET = re.compile(r"from \d+:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement; the semicolon that ends it belongs to what follows."""

    text: str
    before: str
    """Everything since the statement before: semicolon, white space, comments."""
    place: Place = field(compare=False)
    normal: str = field(compare=False)
    """Its words joined by single spaces: capitals, but for quoted names; strings are ``''`` or ``$$``; no comments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The statements of a text in order. ``before`` and ``text`` of each, then ``rest``, are the whole text again."""

    statements: tuple[Statement, ...]
    rest: str = ""


@functools.lru_cache(maxsize=8)
def split(text: str, begins: Place = START) -> Script:
    """The statements of ``text``, which begins at ``begins`` of its file.

    Remembered for the last few texts, since a section is read, linted and run.
    Raises ``InputError`` with the place for a string, comment or quoted name that is not closed.
    """
    statements: list[Statement] = []
    lines, end = Lines(text, begins), 0
    for group in _groups(tokens(text, begins)):
        start, stop = group[0].start, group[-1].end + 1
        place = lines.place(start)
        normal = " ".join(_word(text, token) for token in group)
        statements.append(Statement(text=text[start:stop], before=text[end:start], place=place, normal=normal))
        end = stop
    return Script(statements=tuple(statements), rest=text[end:])


def tokens(text: str, begins: Place = START) -> list[Token]:
    """The tokens of ``text``. Raises ``InputError`` as ``split`` does."""
    try:
        return list(_Tokenizer(dialect="postgres").tokenize(_PARAMETER.sub(":", text)))
    except TokenError as error:
        # sqlglot names the offset at which the unclosed thing begins, in the cause's message only.
        found = _OFFSET.search(f"{error} {error.__cause__}")
        place = Lines(text, begins).place(min(int(found.group(1)), len(text)) if found else len(text))
        raise InputError("the SQL cannot be read: a string, comment or name is not closed", place=place) from error


def reads(text: str) -> bool:
    """Whether ``text`` ends outside any string, comment or quoted name."""
    try:
        tokens(text)
    except InputError:
        return False
    return True


def backslash(text: str) -> int | None:
    """Where the first backslash stands that is in no string, comment or name. Raises ``InputError`` as ``split`` does."""
    if "\\" not in text:
        return None
    return next((token.start for token in tokens(text) if token.token_type is TokenType.BACKSLASH), None)


def unmatched_bracket(statement: Statement) -> Place | None:
    """Where the first parenthesis or bracket stands that has no partner; None where all have one."""
    if _first_alone(statement.normal.split(" ")) is None:
        return None
    # Read anew, as a statement does not keep its tokens: those that are no brackets are left out, a string may look like one.
    found = [token for token in tokens(statement.text, statement.place) if token.token_type in _BRACKETS]
    alone = _first_alone([token.text for token in found])
    return None if alone is None else Lines(statement.text, statement.place).place(found[alone].start)


def _first_alone(words: Sequence[str]) -> int | None:
    """The first bracket among ``words`` that closes none, else the first that is not closed."""
    waiting: list[int] = []
    for number, word in enumerate(words):
        if word in _PAIRS.values():
            waiting.append(number)
        elif word in _PAIRS and (not waiting or words[waiting.pop()] != _PAIRS[word]):
            return number
    return waiting[0] if waiting else None


def show_name(name: str) -> str:
    """A name out of ``Statement.normal`` as people write it: ``S . T`` is ``s.t``."""
    parts = name.split(" . ")
    return ".".join(part.replace(_BLANK, " ") if part.startswith('"') else part.lower() for part in parts)


class Lines:
    """Turns offsets into places of the file in which a text stands; asked in ascending order it is fast."""

    def __init__(self, text: str, begins: Place = START) -> None:
        self._text = text
        self._begins = begins
        self._at = self._line = 0

    def place(self, offset: int) -> Place:
        """Line and column of the character at ``offset``."""
        if offset < self._at:
            self._at = self._line = 0
        self._line += self._text.count("\n", self._at, offset)
        self._at = offset
        column = offset - self._text.rfind("\n", 0, offset)
        if self._line == 0:
            column += self._begins.column - 1
        return Place(self._begins.file, self._begins.line + self._line, column)


class _Tokenizer(Postgres.Tokenizer):
    """sqlglot folds what follows VACUUM, DO and the like into one string; here every word counts."""

    COMMANDS: ClassVar[set[TokenType]] = set()


def _word(text: str, token: Token) -> str:
    if token.token_type in _STRINGS:
        return "''"
    if token.token_type is TokenType.HEREDOC_STRING:
        return "$$"
    raw = text[token.start : token.end + 1]
    if token.token_type is TokenType.IDENTIFIER:
        return re.sub(r"\s", _BLANK, raw)
    return " ".join(raw.upper().split())


def _groups(found: Sequence[Token]) -> list[list[Token]]:
    """Tokens of each statement, without the semicolons between them."""
    groups: list[list[Token]] = []
    current: list[Token] = []
    nesting = _Nesting()
    for token in found:
        if token.token_type is TokenType.SEMICOLON and not nesting.inside:
            groups.append(current)
            current, nesting = [], _Nesting()
            continue
        nesting.follow(token, current)
        current.append(token)
    return [group for group in [*groups, current] if group]


class _Nesting:
    """Whether a semicolon would end the statement. As in psql: parentheses, BEGIN ATOMIC … END, and CASE … END in it."""

    def __init__(self) -> None:
        self._parentheses = 0
        self._blocks = 0

    @property
    def inside(self) -> bool:
        return self._parentheses > 0 or self._blocks > 0

    def follow(self, token: Token, before: Sequence[Token]) -> None:
        kind = token.token_type
        if kind is TokenType.L_PAREN:
            self._parentheses += 1
        elif kind is TokenType.R_PAREN:
            self._parentheses = max(0, self._parentheses - 1)
        elif kind is TokenType.VAR and token.text.upper() == "ATOMIC":
            self._blocks += _begins_body(before)
        elif self._blocks and kind in (TokenType.CASE, TokenType.END) and not _is_label(before):
            self._blocks += 1 if kind is TokenType.CASE else -1


def _begins_body(before: Sequence[Token]) -> bool:
    if not before or before[-1].token_type is not TokenType.BEGIN:
        return False
    return _ROUTINE.match(" ".join(token.text.upper() for token in before[:4])) is not None


def _is_label(before: Sequence[Token]) -> bool:
    """``t.end`` and ``AS end`` are names."""
    return bool(before) and before[-1].token_type in (TokenType.DOT, TokenType.ALIAS)
