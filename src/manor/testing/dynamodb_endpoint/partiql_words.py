"""PartiQL text into words, and the literals in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from manor.testing.dynamodb_endpoint.faults import WireError, invalid

Tagged = dict[str, Any]


class Word(NamedTuple):
    """``kind``: ``name`` (bare), ``quoted`` (in double quotes), ``text``, ``number``, ``parameter``, ``sign`` or ``end``."""

    kind: str
    text: str


_WORD = re.compile(
    r"""\s*(?:
        "(?P<quoted>(?:[^"]|"")+)" | '(?P<text>(?:[^']|'')*)' | (?P<parameter>\?)
        | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?) | (?P<name>[^\W\d][\w-]*)
        | (?P<sign><<|>>|<>|!=|<=|>=|[=<>(){}\[\],.:*+\-])
    )""",
    re.VERBOSE,
)


def words_of(text: str) -> list[Word]:
    """All words, closed by ``end``. Raises ``WireError``."""
    found, position, end = [], 0, len(text.rstrip().rstrip(";").rstrip())
    while position < end:
        match = _WORD.match(text, position)
        if match is None:
            raise not_formed(f"Unexpected character at {position + 1}")
        kind = match.lastgroup or ""
        found.append(Word(kind, match[kind].replace("''", "'") if kind == "text" else match[kind].replace('""', '"')))
        position = match.end()
    return [*found, Word("end", "")]


def not_formed(problem: str) -> WireError:
    """A statement that cannot be read."""
    return invalid(f"Statement wasn't well formed, can't be processed: {problem}")


class Words:
    """A cursor over the words of a statement, which also reads literals; ``?`` takes the next parameter."""

    def __init__(self, text: str, parameters: Sequence[Tagged]) -> None:
        self.words = words_of(text)
        self.at = 0
        self.parameters = list(parameters)
        self.taken = 0

    @property
    def word(self) -> Word:
        """The next word."""
        return self.words[self.at]

    @property
    def following(self) -> Word:
        """The one after it."""
        return self.words[min(self.at + 1, len(self.words) - 1)]

    def take(self) -> Word:
        """The next word, which is then behind us."""
        word = self.word
        self.at = min(self.at + 1, len(self.words) - 1)
        return word

    def is_keyword(self, *keywords: str) -> bool:
        """Whether the next word is one of these."""
        return self.word.kind == "name" and self.word.text.upper() in keywords

    def is_sign(self, *signs: str) -> bool:
        """Whether the next word is one of these signs."""
        return self.word.kind == "sign" and self.word.text in signs

    def skip(self, text: str) -> bool:
        """Take the keyword or sign if it is there."""
        if self.is_keyword(text) or self.is_sign(text):
            self.take()
            return True
        return False

    def expect(self, text: str) -> None:
        """Take it, or fail."""
        if not self.skip(text):
            raise not_formed(f"Expected {text}, found {self.word.text or 'the end'}")

    def name(self) -> str:
        """A table, index or attribute."""
        word = self.take()
        if word.kind not in {"name", "quoted"}:
            raise not_formed(f"Expected a name, found {word.text or 'the end'}")
        return word.text

    # Literals

    def is_literal(self) -> bool:
        """Whether a value stands here."""
        if self.is_sign("-", "[", "{", "<<") or self.is_keyword("TRUE", "FALSE", "NULL"):
            return True
        return self.word.kind in {"text", "number", "parameter"}

    def literal(self) -> Tagged:
        """A value, typed."""
        word = self.take()
        match word.kind:
            case "parameter":
                return self._parameter()
            case "text":
                return {"S": word.text}
            case "number":
                return {"N": word.text}
            case "name":
                return self._word_literal(word.text.upper())
        return self._sign_literal(word.text)

    def _parameter(self) -> Tagged:
        if self.taken >= len(self.parameters):
            raise invalid("Number of parameters in request and statement don't match.")
        self.taken += 1
        return self.parameters[self.taken - 1]

    def _word_literal(self, word: str) -> Tagged:
        if word not in {"TRUE", "FALSE", "NULL"}:
            raise not_formed(f"Expected a value, found {word}")
        return {"NULL": True} if word == "NULL" else {"BOOL": word == "TRUE"}

    def _sign_literal(self, sign: str) -> Tagged:
        match sign:
            case "-":
                return {"N": f"-{self.take().text}"}
            case "[":
                return {"L": self._elements("]")}
            case "<<":
                return self._set(self._elements(">>"))
            case "{":
                return {"M": self._members()}
        raise not_formed(f"Expected a value, found {sign or 'the end'}")

    def _elements(self, end: str) -> list[Tagged]:
        found: list[Tagged] = []
        while not self.skip(end):
            if found:
                self.expect(",")
            found.append(self.literal())
        return found

    def _set(self, elements: list[Tagged]) -> Tagged:
        kinds = {kind for element in elements for kind in element}
        if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
            raise not_formed("A set holds values of one type")
        (kind,) = kinds
        return {f"{kind}S": [element[kind] for element in elements]}

    def _members(self) -> dict[str, Tagged]:
        found: dict[str, Tagged] = {}
        while not self.skip("}"):
            if found:
                self.expect(",")
            word = self.take()
            if word.kind not in {"text", "quoted", "name"}:
                raise not_formed(f"Expected the name of an attribute, found {word.text or 'the end'}")
            self.expect(":")
            found[word.text] = self.literal()
        return found
