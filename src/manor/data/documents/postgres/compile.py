"""Conditions in PostgreSQL's SQL, on ``jsonb``. Pure.

``->`` is NULL where there is nothing; JSON's null is a value. ``CASE`` stands wherever a cast would fail for another type,
because the sides of AND are evaluated in any order. Bytes can be compared for equality only, as text.
"""

from __future__ import annotations

import json

from manor.data.documents.query.nodes import Path, Ref
from manor.data.documents.relational.codec import stored_name
from manor.data.documents.relational.compile import NOTHING_IS, ODD, Compiler, NotExactError

JSON, NUMBER, TEXT, ELEMENT = "json", "number", "text", "element"
"""Forms of parameters: encoded as in an item, a number, a string, and the text of a number in a set."""
_CASTS = {JSON: "jsonb", NUMBER: "numeric", TEXT: "text", ELEMENT: "text"}
_SETS = ("$ss", "$ns", "$bs")


class PostgresCompiler(Compiler):
    """See ``Compiler``. Its parameters are the first of the statement."""

    def placeholder(self, position: int, form: str) -> str:
        """``$1::jsonb``."""
        return f"${position + 1}::{_CASTS[form]}"

    def exists(self, path: Path) -> str:
        """Whether the path leads to something."""
        return f"({_at(path)}) IS NOT NULL"

    def has_type(self, path: Path, ref: Ref) -> str:
        """By the type of JSON, and by the name in the object that stands for what JSON lacks."""
        found = _at(path)
        tagged = " ".join(f"WHEN {found} ? '{tag}' THEN '{tag[1:].upper()}'" for tag in (*_SETS, "$b"))
        return (
            f"(CASE jsonb_typeof({found}) WHEN 'string' THEN 'S' WHEN 'number' THEN 'N' WHEN 'boolean' THEN 'BOOL'"
            f" WHEN 'null' THEN 'NULL' WHEN 'array' THEN 'L' WHEN 'object' THEN CASE {tagged} ELSE 'M' END END"
            f" IS NOT DISTINCT FROM {self.bound(ref, TEXT)})"
        )

    def equals_value(self, path: Path, ref: Ref, kind: str) -> str:  # noqa: ARG002 - jsonb compares any type
        """``jsonb`` equality is ours: of one type, maps without order, numbers by value; sets are sorted in the text."""
        return f"({_at(path)} IS NOT DISTINCT FROM {self.bound(ref, JSON)})"

    def equals_path(self, left: Path, right: Path) -> str:
        """Nothing is not equal to nothing."""
        return f"COALESCE({_at(left)} = {_at(right)}, false)"

    def compares(self, op: str, path: Path, ref: Ref, kind: str) -> str:
        """Text by code point, numbers as numbers."""
        if kind == "S":
            return _of_type(path, "string", f'{_text(path)} COLLATE "C" {op} {self.bound(ref, TEXT)}')
        if kind == "N":
            return _of_type(path, "number", f"({_at(path)})::numeric {op} {self.bound(ref, NUMBER)}")
        raise NotExactError

    def size_compares(self, op: str, path: Path, ref: Ref) -> str:
        """Missing where the type has no size."""
        return f"COALESCE(({_size(path)}) {op} {self.bound(ref, NUMBER)}, false)"

    def begins_with(self, path: Path, ref: Ref, kind: str) -> str:
        """Of text."""
        if kind in {"B", ODD}:
            raise NotExactError
        if kind != "S":
            return NOTHING_IS
        return _of_type(path, "string", f"starts_with({_text(path)}, {self.bound(ref, TEXT)})")

    def contains(self, path: Path, ref: Ref, kind: str) -> str:
        """A piece of text, an element of a list, an element of a set."""
        if kind == "B":
            raise NotExactError
        found, cases = _at(path), ""
        if kind == "S":
            value = self.bound(ref, TEXT)
            cases = f" WHEN 'string' THEN strpos({_text(path)}, {value}) > 0 {_in_set(found, '$ss', value)}"
        elif kind == "N":
            cases = " " + _in_set(found, "$ns", self.bound(ref, ELEMENT))
        element = f"EXISTS (SELECT 1 FROM jsonb_array_elements({found}) e WHERE e = {self.bound(ref, JSON)})"  # noqa: S608
        return f"(CASE jsonb_typeof({found}) WHEN 'array' THEN {element}{cases} ELSE false END)"


def _at(path: Path) -> str:
    """What is at the path. A position needs JSON's path language, in which a scalar is no list of one."""
    names = [part if isinstance(part, int) else _name(part) for part in path.parts]
    if all(isinstance(part, str) for part in names):
        return "i.body" + "".join(f" -> {_literal(str(name))}" for name in names)
    words = "".join(f"[{part}]" if isinstance(part, int) else "." + json.dumps(part, ensure_ascii=False) for part in names)
    return f"jsonb_path_query_first(i.body, {_literal('strict $' + words)}, '{{}}', true)"


def _name(name: str) -> str:
    if "\0" in name:
        raise NotExactError
    return stored_name(name)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text(path: Path) -> str:
    return f"({_at(path)} #>> '{{}}')"


def _of_type(path: Path, kind: str, condition: str) -> str:
    return f"(CASE WHEN jsonb_typeof({_at(path)}) = '{kind}' THEN {condition} ELSE false END)"


def _in_set(found: str, tag: str, value: str) -> str:
    return f"WHEN 'object' THEN COALESCE(({found} -> '{tag}') ? {value}, false)"


def _size(path: Path) -> str:
    found = _at(path)
    lengths = " ".join(f"WHEN {found} ? '{tag}' THEN jsonb_array_length({found} -> '{tag}')" for tag in _SETS)
    bytes_ = f"WHEN {found} ? '$b' THEN length(rtrim({found} ->> '$b', '=')) * 3 / 4"
    members = f"(SELECT count(*) FROM jsonb_object_keys({found}))"  # noqa: S608 - names are quoted
    return (
        f"CASE jsonb_typeof({found}) WHEN 'string' THEN char_length({_text(path)})"
        f" WHEN 'array' THEN jsonb_array_length({found}) WHEN 'object' THEN CASE {lengths} {bytes_} ELSE {members} END END"
    )
