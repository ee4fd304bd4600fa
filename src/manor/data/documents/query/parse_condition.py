"""The grammar of condition, filter and key-condition expressions. OR binds weakest, then AND, then NOT."""

from __future__ import annotations

from manor.data.documents.limits import IN_OPERANDS
from manor.data.documents.query.nodes import (
    And,
    BeginsWith,
    Between,
    Compare,
    Condition,
    Contains,
    Exists,
    HasType,
    In,
    Not,
    Operand,
    Or,
    Path,
    Size,
)
from manor.data.documents.query.parser import CONDITION_FUNCTIONS, UPDATE_FUNCTIONS, Parser, nearest
from manor.data.documents.query.tokens import Token

COMPARATORS = ("=", "<>", "<", "<=", ">", ">=")


class ConditionParser(Parser):
    """A recursive descent, one method per rule."""

    def whole(self) -> Condition:
        """The whole text as one condition."""
        found = self._or()
        self.expect_end()
        return found

    def _or(self) -> Condition:
        parts = [self._and()]
        while self.is_keyword("OR"):
            self.count_operator(self.take())
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(_flat(Or, parts))

    def _and(self) -> Condition:
        parts = [self._not()]
        while self.is_keyword("AND"):
            self.count_operator(self.take())
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(_flat(And, parts))

    def _not(self) -> Condition:
        negative = False
        while self.is_keyword("NOT"):
            self.count_operator(self.take())
            negative = not negative
        found = self._primary()
        return Not(found) if negative else found

    def _primary(self) -> Condition:
        if self.is_sign("(") and not self._is_operand():
            return self._parenthesised()
        word = self.word
        if word.kind == "name" and self.following.text == "(" and word.text != "size":
            return self._function()
        return self._comparison(self._operand())

    def _is_operand(self) -> bool:
        """Whether the parenthesis that opens here is around an operand: ``(a) = :b``."""
        behind = self.words[self._closes_at(self.at) + 1]
        return behind.text in COMPARATORS or behind.text.upper() in {"BETWEEN", "IN"}

    def _parenthesised(self) -> Condition:
        opened = self.take()
        self.enter()
        doubled = self.is_sign("(")
        start = self.at
        found = self._or()
        if not self.skip(")"):
            self.fail(f"expected ')', found {self.shown()}", hint=f"for the '(' at character {opened.position + 1}")
        self.redundant |= doubled and self._closes_at(start) == self.at - 2
        self.leave()
        return found

    def _closes_at(self, start: int) -> int:
        """Where the parenthesis that opens at word ``start`` is closed."""
        depth = 0
        for position in range(start, len(self.words)):
            depth += {"(": 1, ")": -1}.get(self.words[position].text, 0)
            if not depth:
                return position
        return -1

    # Comparisons

    def _comparison(self, left: Operand) -> Condition:
        operator = self.word
        if self.is_sign(*COMPARATORS):
            self.count_operator(self.take())
            right = self._operand()
            self._check_distinct(operator, left, right)
            return Compare(operator.text, left, right)
        if self.is_keyword("BETWEEN"):
            return self._between(left)
        if not self.is_keyword("IN"):
            self.fail(f"expected a comparison (=, <>, <, <=, >, >=, BETWEEN, IN), found {self.shown()}")
        return self._in(left)

    def _between(self, operand: Operand) -> Condition:
        operator = self.take()
        self.count_operator(operator)
        low = self._operand()
        if not self.is_keyword("AND"):
            self.fail(f"expected AND between the two ends of BETWEEN, found {self.shown()}")
        self.take()
        high = self._operand()
        self._check_distinct(operator, operand, low)
        self._check_distinct(operator, operand, high)
        return Between(operand, low, high)

    def _in(self, operand: Operand) -> Condition:
        operator = self.take()
        self.count_operator(operator)
        self.expect("(", "after IN")
        options = [self._operand()]
        while self.skip(","):
            options.append(self._operand())
        self.expect(")", "after the operands of IN")
        if len(options) > IN_OPERANDS:
            self.fail(f"IN has {len(options)} operands, {IN_OPERANDS} are allowed", token=operator)
        return In(operand, tuple(options))

    def _operand(self) -> Operand:
        if self.word.kind == "ref":
            return self.ref("")
        if self.word.text == "size" and self.following.text == "(":
            return self._size()
        if self.is_sign("("):
            return self._parenthesised_operand()
        if self.word.kind == "name" and self.following.text == "(":
            self._fail_function(self.word)
        return self.path()

    def _parenthesised_operand(self) -> Operand:
        self.take()
        self.enter()
        found = self._operand()
        self.expect(")", "after the operand")
        self.leave()
        return found

    def _size(self) -> Size:
        self.count_operator(self.take())
        self.expect("(", "after size")
        if self.word.kind == "ref":
            self.fail("size() takes the path of an attribute, not a value")
        found = Size(self.path())
        self._close("size", 1)
        return found

    def _check_distinct(self, operator: Token, left: Operand, right: Operand) -> None:
        if isinstance(left, Path) and left == right:
            self.fail(f"{operator.text} compares {left} with itself", token=operator)

    # Functions

    def _function(self) -> Condition:
        name = self.take()
        if name.text not in CONDITION_FUNCTIONS:
            self._fail_function(name)
        self.count_operator(name)
        self.take()
        match name.text:
            case "attribute_exists":
                found: Condition = Exists(self._document_path(name))
            case "attribute_not_exists":
                found = Not(Exists(self._document_path(name)))
            case "attribute_type":
                path = self._document_path(name)
                self._comma(name)
                found = HasType(path, self.ref("with the name of a type"))
            case "begins_with":
                found = BeginsWith(*self._two(name))
            case _:
                found = Contains(*self._two(name))
        self._close(name.text, CONDITION_FUNCTIONS[name.text])
        return found

    def _two(self, name: Token) -> tuple[Operand, Operand]:
        first = self._operand()
        self._comma(name)
        second = self._operand()
        self._check_distinct(name, first, second)
        return first, second

    def _comma(self, name: Token) -> None:
        self.expect(",", f"because {name.text}() takes {CONDITION_FUNCTIONS[name.text]} arguments")

    def _document_path(self, name: Token) -> Path:
        if self.word.kind == "ref":
            self.fail(f"{name.text}() takes the path of an attribute, not a value")
        return self.path()

    def _close(self, name: str, arguments: int) -> None:
        noun = "argument" if arguments == 1 else "arguments"
        self.expect(")", f"because {name}() takes {arguments} {noun}")

    def _fail_function(self, name: Token) -> None:
        if name.text in CONDITION_FUNCTIONS:
            self.fail(f"{name.text}() is a condition and cannot be compared", token=name)
        if name.text in UPDATE_FUNCTIONS:
            self.fail(f"{name.text}() belongs to SET of an update expression", token=name)
        self.fail(
            f"there is no function {name.text}()",
            token=name,
            hint=nearest(name.text, CONDITION_FUNCTIONS, "did you mean") or f"functions: {', '.join(CONDITION_FUNCTIONS)}",
        )


def _flat(kind: type[And] | type[Or], parts: list[Condition]) -> tuple[Condition, ...]:
    """``a AND (b AND c)`` is one AND of three, so that the tree is never deep without need."""
    flat: list[Condition] = []
    for part in parts:
        flat += part.parts if isinstance(part, kind) else [part]
    return tuple(flat)
