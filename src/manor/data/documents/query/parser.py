"""What all expressions share: reading words, paths and references, and errors that say where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import NoReturn

from manor.data.documents.faults import ExpressionError
from manor.data.documents.limits import EXPRESSION_NESTING, EXPRESSION_OPERATORS, PATH_ELEMENTS
from manor.data.documents.query.nodes import Path, Ref
from manor.data.documents.query.tokens import Token, tokens

CONDITION_FUNCTIONS = {
    "attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2, "size": 1,
}  # fmt: skip
UPDATE_FUNCTIONS = {"if_not_exists": 2, "list_append": 2}
WORDS = frozenset({"AND", "OR", "NOT", "BETWEEN", "IN"})


class Parser:
    """A cursor over the words of one text; subclasses know one grammar."""

    def __init__(self, text: str, kind: str, names: Mapping[str, str]) -> None:
        self.text = text
        self.kind = kind
        self.names = names
        self.words = tokens(text, kind)
        self.at = 0
        self.depth = 0
        self.operators = 0
        self.refs: set[str] = set()
        self.aliases: set[str] = set()
        self.bare: set[str] = set()
        self.paths: list[Path] = []
        self.positions: list[int] = []
        self.redundant = False

    # Words

    @property
    def word(self) -> Token:
        """The next word."""
        return self.words[self.at]

    @property
    def following(self) -> Token:
        """The word after the next one."""
        return self.words[min(self.at + 1, len(self.words) - 1)]

    def take(self) -> Token:
        """The next word, which is then behind us."""
        word = self.words[self.at]
        if word.kind != "end":
            self.at += 1
        return word

    def is_sign(self, *signs: str) -> bool:
        """Whether the next word is one of these signs."""
        return self.word.kind == "sign" and self.word.text in signs

    def is_keyword(self, *keywords: str) -> bool:
        """Whether the next word is one of these, in upper or lower case."""
        return self.word.kind == "name" and self.word.text.upper() in keywords

    def skip(self, sign: str) -> bool:
        """Take the sign if it is there."""
        if self.is_sign(sign):
            self.at += 1
            return True
        return False

    def expect(self, sign: str, why: str) -> None:
        """Take the sign, or fail with ``why`` it is needed."""
        if not self.skip(sign):
            self.fail(f"expected {sign!r} {why}, found {self.shown()}")

    def expect_end(self) -> None:
        """Fail if anything is left."""
        if self.word.kind != "end":
            hint = "one parenthesis too many" if self.is_sign(")") else ""
            self.fail(f"expected the end of the {self.kind}, found {self.shown()}", hint=hint)

    def shown(self) -> str:
        """The next word, as errors show it."""
        return "the end" if self.word.kind == "end" else repr(self.word.text)

    def fail(self, message: str, *, token: Token | None = None, hint: str = "") -> NoReturn:
        """Raise an error at the word (the next one unless told otherwise)."""
        position = (token or self.word).position + 1
        raise ExpressionError(f"{self.kind}: {message}", expression=self.text, position=position, hint=hint)

    # Limits

    def count_operator(self, token: Token) -> None:
        """One more operator or function."""
        self.operators += 1
        if self.operators > EXPRESSION_OPERATORS:
            self.fail(f"more than {EXPRESSION_OPERATORS} operators and functions", token=token)

    def enter(self) -> None:
        """One level deeper into parentheses."""
        self.depth += 1
        if self.depth > EXPRESSION_NESTING:
            self.fail(f"parentheses and functions stand more than {EXPRESSION_NESTING} deep in each other")

    def leave(self) -> None:
        """One level up again."""
        self.depth -= 1

    # Names and values

    def ref(self, what: str) -> Ref:
        """A value; ``what`` says what it is for."""
        word = self.word
        if word.kind != "ref":
            self.fail(f"expected a value such as :v {what}, found {self.shown()}", hint=self._literal_hint(word))
        self.at += 1
        self.refs.add(word.text)
        return Ref(word.text)

    def path(self) -> Path:
        """A document path: ``a``, ``#a``, ``a.b[2].#c``."""
        first = self.word
        parts: list[str | int] = [self._name()]
        while self.is_sign(".", "["):
            parts.append(self._name() if self.take().text == "." else self._position())
        if len(parts) > PATH_ELEMENTS:
            self.fail(f"a path has {len(parts)} elements, {PATH_ELEMENTS} are allowed", token=first)
        found = Path(tuple(parts))
        self.paths.append(found)
        self.positions.append(first.position + 1)
        return found

    def _name(self) -> str:
        word = self.word
        if word.kind == "alias":
            self.at += 1
            return self._aliased(word)
        if word.kind != "name":
            self.fail(f"expected the name of an attribute, found {self.shown()}", hint=self._literal_hint(word))
        if word.text.upper() in WORDS:
            self.fail(
                f"{word.text} is a word of the language and cannot be an attribute here",
                hint=f"write an alias, as in #{word.text.lower()}, and give expression_names",
            )
        self.at += 1
        self.bare.add(word.text)
        return word.text

    def _aliased(self, word: Token) -> str:
        if word.text not in self.names:
            self.fail(
                f"the name {word.text} is not in expression_names",
                token=word,
                hint=nearest(word.text, self.names, "did you mean"),
            )
        self.aliases.add(word.text)
        name = self.names[word.text]
        if not isinstance(name, str) or not name or any("\ud800" <= character <= "\udfff" for character in name):
            self.fail(f"the name {word.text} stands for {name!r}, which cannot be the name of an attribute", token=word)
        return name

    def _position(self) -> int:
        word = self.take()
        if word.kind != "number":
            self.fail(f"expected a position such as 0 in brackets, found {word.text or 'the end'!r}", token=word)
        self.expect("]", "after the position")
        return int(word.text)

    def _literal_hint(self, word: Token) -> str:
        literal = word.kind == "number" or word.text.lower() in {"true", "false", "null", "none"}
        return "values are passed apart: write :name and give expression_values={':name': …}" if literal else ""


def nearest(word: str, known: Iterable[str], lead: str) -> str:
    """``did you mean begins_with?``, or nothing where no known word is near."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"{lead} {found[0]}?" if found else ""
