"""The grammar of update and projection expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from manor.data.documents.faults import PathsOverlap
from manor.data.documents.query.nodes import (
    Arithmetic,
    Assign,
    IfNotExists,
    ListAppend,
    Merge,
    Path,
    Projection,
    SetValue,
    Update,
)
from manor.data.documents.query.parser import CONDITION_FUNCTIONS, UPDATE_FUNCTIONS, Parser, nearest
from manor.data.documents.query.tokens import Token

CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")


class UpdateParser(Parser):
    """``SET … REMOVE … ADD … DELETE …``, each at most once, in any order."""

    def whole(self) -> Update:
        """The whole text as one update."""
        seen: set[str] = set()
        sets: list[Assign] = []
        removes: list[Path] = []
        merges: dict[str, list[Merge]] = {"ADD": [], "DELETE": []}
        while self.word.kind != "end":
            match clause := self._clause(seen):
                case "SET":
                    self._actions(lambda: sets.append(self._assignment()))
                case "REMOVE":
                    self._actions(lambda: removes.append(self.path()))
                case _:
                    self._actions(lambda clause=clause: merges[clause].append(self._merge(clause)))  # type: ignore[misc]
        found = Update(sets=tuple(sets), removes=tuple(removes), adds=tuple(merges["ADD"]), deletes=tuple(merges["DELETE"]))
        check_overlap(self, found.paths())
        return found

    def _clause(self, seen: set[str]) -> str:
        word = self.word
        name = word.text.upper()
        if word.kind != "name" or name not in CLAUSES:
            self.fail(f"expected SET, REMOVE, ADD or DELETE, found {self.shown()}", hint=self._clause_hint(word))
        if name in seen:
            self.fail(f"{name} stands twice", hint="separate its actions by commas")
        seen.add(name)
        self.take()
        return name

    def _clause_hint(self, word: Token) -> str:
        if self.at == 0 and self.following.text == "=":
            return f"did you mean SET {word.text} = …?"
        return nearest(word.text.upper(), CLAUSES, "did you mean") if word.kind == "name" else ""

    def _actions(self, read: Callable[[], None]) -> None:
        read()
        while self.skip(","):
            read()

    def _assignment(self) -> Assign:
        path = self.path()
        self.expect("=", f"after SET {path}")
        return Assign(path, self._sum())

    def _merge(self, clause: str) -> Merge:
        path = self.path()
        if self.is_sign("="):
            self.fail(f"{clause} takes a path and a value without '='")
        return Merge(path, self.ref(f"after {clause} {path}"))

    # Right sides of SET

    def _sum(self) -> SetValue:
        left = self._value()
        if not self.is_sign("+", "-"):
            return left
        operator = self.take()
        self.count_operator(operator)
        if isinstance(left, Arithmetic):
            self._fail_nested(operator)
        found = Arithmetic(operator.text, left, self._operand())
        if self.is_sign("+", "-"):
            self._fail_nested(self.word)
        return found

    def _fail_nested(self, token: Token) -> NoReturn:
        self.fail("only one + or - stands on a right side", token=token, hint="add up the values before passing them")

    def _operand(self) -> SetValue:
        start = self.word
        found = self._value()
        if isinstance(found, Arithmetic):
            self._fail_nested(start)
        return found

    def _value(self) -> SetValue:
        word = self.word
        if word.kind == "ref":
            return self.ref("")
        if self.is_sign("("):
            return self._parenthesised()
        if word.kind == "name" and self.following.text == "(":
            return self._function()
        return self.path()

    def _parenthesised(self) -> SetValue:
        self.take()
        self.enter()
        found = self._sum()
        self.expect(")", "after the value")
        self.leave()
        return found

    def _function(self) -> SetValue:
        name = self.take()
        if name.text not in UPDATE_FUNCTIONS:
            self._fail_function(name)
        self.count_operator(name)
        self.take()
        self.enter()
        if name.text == "if_not_exists" and self.word.kind == "ref":
            self.fail("the first argument of if_not_exists() is the path of an attribute, not a value")
        first = self._operand()
        if name.text == "if_not_exists" and not isinstance(first, Path):
            self.fail("the first argument of if_not_exists() is the path of an attribute", token=name)
        self.expect(",", f"because {name.text}() takes 2 arguments")
        second = self._operand()
        self.expect(")", f"because {name.text}() takes 2 arguments")
        self.leave()
        return (
            IfNotExists(first, second)
            if isinstance(first, Path) and name.text == "if_not_exists"
            else ListAppend(first, second)
        )

    def _fail_function(self, name: Token) -> None:
        if name.text in CONDITION_FUNCTIONS:
            self.fail(f"{name.text}() belongs to conditions, not to SET", token=name)
        hint = nearest(name.text, UPDATE_FUNCTIONS, "did you mean") or f"functions of SET: {', '.join(UPDATE_FUNCTIONS)}"
        self.fail(f"there is no function {name.text}()", token=name, hint=hint)


class ProjectionParser(Parser):
    """Paths, separated by commas."""

    def whole(self) -> Projection:
        """The whole text as one projection."""
        found = [self.path()]
        while self.skip(","):
            found.append(self.path())
        self.expect_end()
        check_overlap(self, tuple(found))
        return Projection(tuple(found))


def check_overlap(parser: Parser, paths: tuple[Path, ...]) -> None:
    """Fail where one path is another or inside it, or one takes for a list what the other takes for a map."""
    ends: set[tuple[str | int, ...]] = set()
    kinds: dict[tuple[str | int, ...], type] = {}
    for path in paths:
        parts = path.parts
        for length in range(1, len(parts)):
            kind = type(parts[length])
            if parts[:length] in ends or kinds.setdefault(parts[:length], kind) is not kind:
                _fail_overlap(parser, paths, path)
        if parts in ends or parts in kinds:
            _fail_overlap(parser, paths, path)
        ends.add(parts)


def _fail_overlap(parser: Parser, paths: tuple[Path, ...], path: Path) -> NoReturn:
    other = next(one for one in paths if _clash(one, path))
    error = PathsOverlap(
        f"{parser.kind}: two paths overlap or contradict each other: {other} and {path}",
        expression=parser.text,
        position=parser.words[0].position + 1,
    )
    error.paths = (other, path)
    raise error


def _clash(one: Path, other: Path) -> bool:
    """Whether the paths are the same up to where one of them ends, or up to where a list is taken for a map."""
    for part, counterpart in zip(one.parts, other.parts, strict=False):
        if part != counterpart:
            return type(part) is not type(counterpart)
    return True
