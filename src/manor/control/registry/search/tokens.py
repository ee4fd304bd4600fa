"""The gate before the parser: which words and signs may stand in a search at all.

sqlglot cuts the text (PostgreSQL dialect). What is not on the list here never reaches its parser: comments, semicolons, casts,
parameters, operators, words of statements, calls. A name with its path (``config.limits['users']``, ``config->'a'->>'b'``)
is read here and handed on as one quoted name, the number of its ``Reference``: no field is then mistaken for a keyword, and the
parser decides nothing but how conditions are put together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from sqlglot import Token, TokenType
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import TokenError

from manor.control.registry.search.fields import fold
from manor.control.registry.search.nodes import Reference
from manor.control.registry.search.source import Source

MAX_CHARACTERS = 20_000
MAX_DEPTH = 16
"""Brackets and NOTs inside each other; the parser below calls itself for each."""
MAX_STEPS = 32
"""Steps of one path into JSON."""

_WORDS = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"})
_SIGNS = frozenset({"(", ")", ",", "=", "<>", "!=", "<", "<=", ">", ">="})
_BEFORE_TEXT = frozenset({"DATE", "TIMESTAMP", "TIMESTAMPTZ"})
# fmt: off
_FOREIGN = frozenset({
    "ALL", "ALTER", "ANY", "ARRAY", "CASE", "CAST", "COLLATE", "CREATE", "CURRENT_DATE", "CURRENT_ROLE", "CURRENT_TIME",
    "CURRENT_TIMESTAMP", "CURRENT_USER", "DELETE", "DISTINCT", "DROP", "ELSE", "END", "ESCAPE", "EXCEPT", "EXISTS",
    "FROM", "INSERT", "INTERSECT", "INTERVAL", "ISNULL", "LOCALTIME", "LOCALTIMESTAMP", "NOTNULL", "OVERLAPS", "ROW",
    "SELECT", "SESSION_USER", "SIMILAR", "SOME", "SYMMETRIC", "THEN", "UNION", "UNKNOWN", "UPDATE", "VALUES", "WHEN",
    "WHERE", "WITH",
})
# fmt: on
_NUMBER = re.compile(r"[0-9]{1,200}(?:\.[0-9]{0,200})?(?:[eE][+-]?[0-9]{1,2})?")
_INDEX = re.compile(r"[0-9]{1,9}")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_LANGUAGE = "a search is made of fields, constants, comparisons, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT and brackets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the parser is given. A token's column is its number in ``tokens``, so that its errors lead back to it."""

    tokens: list[Token]
    references: list[Reference]


def read_tokens(source: Source) -> Reading:
    """Raises ``InputError`` with its place for whatever cannot stand in a search."""
    _check_characters(source)
    try:
        found = Postgres().tokenize(source.text)
    except TokenError:
        raise source.refusal(*_unclosed(source.text)) from None
    _check_gaps(source, found)
    return _Gate(source, found).pass_all()


def _check_characters(source: Source) -> None:
    if len(source.text) > MAX_CHARACTERS:
        message = f"the search has {len(source.text):,} characters, {MAX_CHARACTERS:,} are allowed"
        raise source.refusal(message, MAX_CHARACTERS, "search for what the tenants have in common instead of naming each")
    unstorable = _UNSTORABLE.search(source.text)
    if unstorable:
        raise source.refusal("a character that no text of a tenant can hold", unstorable.start(), "take it out")


def _unclosed(text: str) -> tuple[str, int, str]:
    """What to say of a text that cannot be cut into tokens: it ends inside of something that began at an offset."""
    begun = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<open>['\"]|/\*|\$)|.", re.DOTALL)
    offset = next((match.start() for match in begun.finditer(text) if match["open"]), 0)
    return "what begins here is not closed", offset, "text stands in '…', a quote inside of it is doubled: 'it''s'"


def _check_gaps(source: Source, tokens: list[Token]) -> None:
    """Between tokens there is white space and nothing else: sqlglot takes out comments without a word."""
    starts = [*(token.start for token in tokens), len(source.text)]
    ends = [0, *(token.end + 1 for token in tokens)]
    for end, start in zip(ends, starts, strict=True):
        gap = source.text[end:start]
        if gap.strip():
            offset = end + len(gap) - len(gap.lstrip())
            raise source.refusal("comments are not part of the search language", offset, "take the comment out")
    if not tokens:
        raise source.refusal("the search is empty", 0, "such as status = 'active'")


class _Gate:
    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self._source = source
        self._tokens = tokens
        self._at = 0
        self._reading = Reading(tokens=[], references=[])
        self._brackets: list[int] = []
        self._nots = 0

    def pass_all(self) -> Reading:
        while self._at < len(self._tokens):
            if self._is_name():
                self._pass_reference()
            else:
                self._check_other()
                self._count_depth(self._spelling().upper())
                token = self._tokens[self._at]
                self._hand_on(token.token_type, token.text, token.start, token.end)
                self._at += 1
        return self._reading

    def _spelling(self, ahead: int = 0) -> str:
        """As written; empty beyond the end."""
        if self._at + ahead >= len(self._tokens):
            return ""
        token = self._tokens[self._at + ahead]
        return self._source.text[token.start : token.end + 1]

    def _type(self, ahead: int = 0) -> TokenType | None:
        return self._tokens[self._at + ahead].token_type if self._at + ahead < len(self._tokens) else None

    def _hand_on(self, kind: TokenType, text: str, start: int, end: int) -> None:
        self._reading.tokens.append(Token(kind, text, line=1, col=len(self._reading.tokens), start=start, end=end))

    def _is_name(self) -> bool:
        if self._type() is TokenType.IDENTIFIER:
            return True
        word = self._spelling()
        if not word.isidentifier() or word.upper() in _WORDS:
            return False
        return not (word.upper() in _BEFORE_TEXT and self._type(1) is TokenType.STRING)

    def _check_other(self) -> None:
        spelling, kind = self._spelling(), self._type()
        if spelling in _SIGNS or spelling.upper() in _WORDS or spelling.upper() in _BEFORE_TEXT:
            return
        if kind is TokenType.STRING and spelling.startswith("'"):
            return
        if kind is TokenType.NUMBER and _NUMBER.fullmatch(spelling):
            return
        if spelling == "-" and self._type(1) is TokenType.NUMBER and self._follows_an_operator():
            return
        self._refuse(*_foreign(spelling))

    def _follows_an_operator(self) -> bool:
        """A minus is a sign then, else it is arithmetic."""
        before = self._reading.tokens[-1:]
        return bool(before) and before[0].token_type not in _ENDS_A_VALUE

    def _count_depth(self, spelling: str) -> None:
        if spelling == "(":
            self._brackets.append(1 + self._nots)
        elif spelling == ")" and self._brackets:
            self._brackets.pop()
        self._nots = self._nots + 1 if spelling == "NOT" else 0
        if sum(self._brackets) + self._nots > MAX_DEPTH:
            self._refuse(f"brackets and NOTs stand more than {MAX_DEPTH} deep", "bring it to a flatter form")

    def _pass_reference(self) -> None:
        first = self._tokens[self._at]
        if first.token_type is not TokenType.IDENTIFIER and first.text.upper() in _FOREIGN:
            self._refuse(f"{first.text} is not part of the search language", f'a name like it stands in quotes: "{first.text}"')
        name = fold(self._name())
        path = tuple(self._path())
        if self._spelling() == "(":
            self._refuse_at(first.start, "calls of functions are not part of the search language", _LANGUAGE)
        self._nots = 0
        place = self._source.place(first.start)
        number = str(len(self._reading.references))
        self._reading.references.append(Reference(name=name, path=path, place=place))
        self._hand_on(TokenType.IDENTIFIER, number, first.start, self._tokens[self._at - 1].end)

    def _name(self) -> str:
        """The name that stands here, words of the language included; moves on."""
        token = self._tokens[self._at]
        name = token.text if token.token_type is TokenType.IDENTIFIER else self._spelling()
        if not name:
            self._refuse("a name is empty", "name the field between the quotes")
        self._at += 1
        return name

    def _path(self) -> list[str]:
        steps: list[str] = []
        while (sign := self._spelling()) in {".", "[", "->", "->>"}:
            if len(steps) == MAX_STEPS:
                self._refuse(f"a path has more than {MAX_STEPS} steps", "nothing is that deep")
            self._at += 1
            steps.append(self._dotted() if sign == "." else self._keyed())
            if sign == "[":
                self._close()
        return steps

    def _dotted(self) -> str:
        if self._type() is not TokenType.IDENTIFIER and not self._spelling().isidentifier():
            self._refuse("after a dot stands a name", "other keys are written as config['two words'], items of lists as [0]")
        return self._name()

    def _keyed(self) -> str:
        spelling = self._spelling()
        is_text = self._type() is TokenType.STRING and spelling.startswith("'")
        if not is_text and not _INDEX.fullmatch(spelling):
            self._refuse("a key in quotes or an item's number belongs here", "such as config['plan'] or config.list[0]")
        self._at += 1
        return self._tokens[self._at - 1].text

    def _close(self) -> None:
        if self._spelling() != "]":
            self._refuse("a closing ] belongs here", "a key or a number stands alone: config['plan'], config.list[0]")
        self._at += 1

    def _refuse(self, message: str, hint: str) -> NoReturn:
        last = self._at >= len(self._tokens)
        self._refuse_at(len(self._source.text) if last else self._tokens[self._at].start, message, hint)

    def _refuse_at(self, offset: int, message: str, hint: str) -> NoReturn:
        raise self._source.refusal(message, offset, hint)


_ENDS_A_VALUE = frozenset({TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER, TokenType.R_PAREN})


def _foreign(spelling: str) -> tuple[str, str]:
    """(message, hint) for a token that is not on the list."""
    if spelling == ";":
        return "a search is one condition, without semicolon", "take out what begins here"
    if spelling == "::":
        return "casts are not part of the search language", "constants take the type of the field by themselves"
    if spelling in {"+", "-", "*", "/", "%", "||", "^"}:
        return "arithmetic is not part of the search language", "compare a field with a constant that is computed already"
    if spelling in {":", "?", "@"} or spelling.startswith("$"):
        return "parameters and $-quotes are not part of the search language", "write the constant itself; texts stand in '…'"
    if spelling[:1].isdigit():
        return f"{spelling[:30]} is no number that can be searched for", "numbers are written as 10, 2.5 or 1e6"
    if spelling.endswith("'"):
        return "texts with a prefix are not part of the search language", "plain '…' holds any character as it is"
    return f"{spelling[:30]} is not part of the search language", _LANGUAGE
