"""Conditions in SQLite's SQL, on its JSON functions. Pure.

``json_type`` is NULL where there is nothing and never NULL otherwise, so ``IS`` makes every comparison two-valued. Bytes can be
compared for equality only, as text; lists, maps and sets not at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from manor.data.documents.query.nodes import Condition, Path, Ref
from manor.data.documents.relational.codec import stored_name
from manor.data.documents.relational.compile import NOTHING_IS, ODD, Compiler, NotExactError

VALUE, NUMBER, TEXT = "value", "number", "text"
"""Forms of parameters: as it is, a number as JSON, the text that stands in a set (or for bytes)."""
DEEPEST = 16
"""Conditions in each other, the innermost included: AND in OR takes three places of the parser's stack, the largest of all
conditions of one path forty."""
_SETS = ("$ss", "$ns", "$bs")
_NUMBERS = "('integer', 'real')"


class SQLiteCompiler(Compiler):
    """See ``Compiler``. SQLite's parser has a stack of 100: what is nested deeper than it takes is judged in Python."""

    def __init__(self, types: Mapping[str, str]) -> None:
        super().__init__(types)
        self._depth = 0

    def condition(self, node: Condition) -> str:
        """As ``Compiler`` has it, down to ``DEEPEST``."""
        if self._depth == DEEPEST:
            raise NotExactError
        self._depth += 1
        try:
            return super().condition(node)
        finally:
            self._depth -= 1

    def placeholder(self, position: int, form: str) -> str:
        """``:v0``. A number goes through the same conversion as those in the items."""
        return f"json_extract(:v{position}, '$')" if form == NUMBER else f":v{position}"

    def exists(self, path: Path) -> str:
        """Whether the path leads to something."""
        return f"{_type(path)} IS NOT NULL"

    def has_type(self, path: Path, ref: Ref) -> str:
        """By the type of JSON, and by the name in the object that stands for what JSON lacks."""
        tagged = " ".join(f"WHEN {_type(path, tag)} IS NOT NULL THEN '{tag[1:].upper()}'" for tag in (*_SETS, "$b"))
        return (
            f"(CASE {_type(path)} WHEN 'text' THEN 'S' WHEN 'integer' THEN 'N' WHEN 'real' THEN 'N' WHEN 'true' THEN 'BOOL'"
            f" WHEN 'false' THEN 'BOOL' WHEN 'null' THEN 'NULL' WHEN 'array' THEN 'L'"
            f" WHEN 'object' THEN CASE {tagged} ELSE 'M' END END) IS {self.bound(ref, VALUE)}"
        )

    def equals_value(self, path: Path, ref: Ref, kind: str) -> str:
        """Type and value."""
        if kind == "S":
            return f"({_type(path)} IS 'text' AND {_extract(path)} IS {self.bound(ref, VALUE)})"
        if kind == "N":
            return f"({_is_number(path)} AND {_extract(path)} IS {self.bound(ref, NUMBER)})"
        if kind == "BOOL":
            return f"({_type(path)} IS CASE WHEN {self.bound(ref, VALUE)} THEN 'true' ELSE 'false' END)"
        if kind == "NULL":
            return f"({_type(path)} IS 'null')"
        if kind == "B":
            return f"({_extract(path, '$b')} IS {self.bound(ref, TEXT)})"
        raise NotExactError

    def equals_path(self, left: Path, right: Path) -> str:  # noqa: ARG002
        """Not known before the types are."""
        raise NotExactError

    def compares(self, op: str, path: Path, ref: Ref, kind: str) -> str:
        """Text by code point (as UTF-8 sorts), numbers as numbers."""
        if kind == "S":
            return f"({_type(path)} IS 'text' AND {_extract(path)} {op} {self.bound(ref, VALUE)})"
        if kind == "N":
            return f"({_is_number(path)} AND {_extract(path)} {op} {self.bound(ref, NUMBER)})"
        raise NotExactError

    def size_compares(self, op: str, path: Path, ref: Ref) -> str:
        """Missing where the type has no size."""
        return f"IFNULL({_size(path)} {op} {self.bound(ref, NUMBER)}, 0)"

    def begins_with(self, path: Path, ref: Ref, kind: str) -> str:
        """Of text."""
        if kind in {"B", ODD}:
            raise NotExactError
        if kind != "S":
            return NOTHING_IS
        value = self.bound(ref, VALUE)
        return f"({_type(path)} IS 'text' AND substr({_extract(path)}, 1, length({value})) IS {value})"

    def contains(self, path: Path, ref: Ref, kind: str) -> str:
        """A piece of text, an element of a list, an element of a set."""
        if kind == "S":
            value = self.bound(ref, VALUE)
            piece = f"instr({_extract(path)}, {value}) > 0"
            return _contains(path, piece, f"type = 'text' AND value = {value}", ("$ss", f"value = {value}"))
        if kind == "N":
            element = f"type IN {_NUMBERS} AND value = {self.bound(ref, NUMBER)}"
            return _contains(path, "0", element, ("$ns", f"value = {self.bound(ref, TEXT)}"))
        if kind == "NULL":
            return _contains(path, "0", "type = 'null'", None)
        raise NotExactError


def _location(path: Path, tag: str = "") -> str:
    """The path in SQLite's words, as a literal of SQL. Raises ``NotExactError`` for names that it cannot spell."""
    words = "$"
    for part in (*path.parts, tag) if tag else path.parts:
        words += f"[{part}]" if isinstance(part, int) else f'."{part if part == tag else _name(part)}"'
    return "'" + words.replace("'", "''") + "'"


def _name(name: str) -> str:
    if '"' in name or "\\" in name or not name.isprintable():
        raise NotExactError
    return stored_name(name)


def _type(path: Path, tag: str = "") -> str:
    return f"json_type(i.body, {_location(path, tag)})"


def _extract(path: Path, tag: str = "") -> str:
    return f"json_extract(i.body, {_location(path, tag)})"


def _is_number(path: Path) -> str:
    return f"IFNULL({_type(path)} IN {_NUMBERS}, 0)"


def _elements(path: Path, tag: str, condition: str) -> str:
    return f"EXISTS (SELECT 1 FROM json_each(i.body, {_location(path, tag)}) WHERE {condition})"  # noqa: S608 - names are quoted


def _contains(path: Path, piece: str, element: str, of_set: tuple[str, str] | None) -> str:
    object_ = f" WHEN 'object' THEN {_elements(path, *of_set)}" if of_set else ""
    return f"(CASE {_type(path)} WHEN 'text' THEN {piece} WHEN 'array' THEN {_elements(path, '', element)}{object_} ELSE 0 END)"


def _size(path: Path) -> str:
    lengths = " ".join(
        f"WHEN {_type(path, tag)} IS NOT NULL THEN json_array_length(i.body, {_location(path, tag)})" for tag in _SETS
    )
    text = _extract(path, "$b")
    bytes_ = f"WHEN {_type(path, '$b')} IS NOT NULL THEN length(rtrim({text}, '=')) * 3 / 4"
    members = f"(SELECT count(*) FROM json_each(i.body, {_location(path)}))"  # noqa: S608
    return (
        f"CASE {_type(path)} WHEN 'text' THEN length({_extract(path)}) WHEN 'array' THEN json_array_length(i.body, "
        f"{_location(path)}) WHEN 'object' THEN CASE {lengths} {bytes_} ELSE {members} END END"
    )
