"""Random items, conditions, updates and key conditions for Hypothesis: few names and few values, so that they meet.

What is generated is text in the expression language and values to pass with it: always well formed, often about attributes that
are missing or of another type, as real documents are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from manor.data.documents import Index, Key, Table
from manor.data.documents.values import Item, type_of

NAMES = ("a", "b", "c", "status", "d.e", "日本")
"""Attribute names; two need an alias, one is a reserved word."""
PARTITIONS = ("p", "q", "p#")
SORTS = ("", "a", "a#", "ab", "b", "é", "日")

numbers: st.SearchStrategy[Any] = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([Decimal("0.5"), Decimal("-1.5"), Decimal("1E-20"), Decimal("1.50"), 10**37, 10**38 - 1, 2**53 + 1, 2**53]),
)
texts = st.one_of(
    st.sampled_from(["", "a", "ab", "b", "A", "5", "日本", "%", "_", "null", "\U0001f600"]), st.text("ab", max_size=3)
)
binaries = st.sampled_from([b"", b"a", b"ab", b"\x00", b"\xff", b"\xff\x00"])
scalars = st.one_of(numbers, texts, binaries, st.booleans(), st.none())
sets = st.one_of(
    st.sets(numbers, min_size=1, max_size=3), st.sets(texts, min_size=1, max_size=3), st.sets(binaries, min_size=1, max_size=2)
)
values = st.recursive(
    st.one_of(scalars, sets),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)),
    max_leaves=5,
)
attributes = st.dictionaries(st.sampled_from(NAMES), values, max_size=len(NAMES))


@st.composite
def items(draw: st.DrawFn) -> Item:
    """An item of the table ``things``."""
    key = {"PK": draw(st.sampled_from(PARTITIONS)), "SK": "k" + draw(st.sampled_from(SORTS))}
    return {**draw(attributes), **key}


@dataclass
class Text:
    """An expression under construction: its values and aliases, filled in as it grows."""

    text: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def value(self, value: Any) -> str:
        """A new reference."""
        name = f":v{len(self.values)}"
        self.values[name] = value
        return name

    def name(self, name: str) -> str:
        """The name itself, or its alias where it needs one."""
        if name.isascii() and name.isalpha() and name != "status":
            return name
        alias = f"#n{NAMES.index(name)}"
        self.names[alias] = name
        return alias

    def finished(self, text: str) -> Text:
        """With its text, and without what that does not use after all."""
        used = set(re.findall(r"[:#]\w+", text))
        values = {name: value for name, value in self.values.items() if name in used}
        return Text(text, values, {alias: name for alias, name in self.names.items() if alias in used})


def _path(draw: st.DrawFn, text: Text, *, deep: int = 2) -> str:
    found = text.name(draw(st.sampled_from(NAMES)))
    for _ in range(draw(st.integers(0, deep))):
        step = draw(st.sampled_from(["[0]", "[1]", "[7]", "a", "status"]))
        found += step if step.startswith("[") else f".{text.name(step)}"
    return found


def _operand(draw: st.DrawFn, text: Text, wanted: st.SearchStrategy[Any] = values) -> str:
    kind = draw(st.sampled_from(["path", "path", "value", "value", "size"]))
    if kind == "value":
        return text.value(draw(wanted))
    return _path(draw, text) if kind == "path" else f"size({_path(draw, text)})"


_ORDERED = st.one_of(numbers, texts, binaries)
_TYPES = ["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"]


def _leaf(draw: st.DrawFn, text: Text) -> str:
    match draw(st.sampled_from(["equal", "order", "between", "in", "exists", "type", "begins", "contains"])):
        case "equal":
            return f"{_path(draw, text)} {draw(st.sampled_from(['=', '<>']))} {text.value(draw(values))}"
        case "order":
            left, right = f"size({_path(draw, text)})" if draw(st.booleans()) else _path(draw, text), text.value(draw(_ORDERED))
            return f"{left} {draw(st.sampled_from(['<', '<=', '>', '>=']))} {right}"
        case "between":
            low, high = _ends(draw)
            return f"{_path(draw, text)} BETWEEN {text.value(low)} AND {text.value(high)}"
        case "in":
            options = [text.value(draw(values)) for _ in range(draw(st.integers(1, 3)))]
            return f"{_path(draw, text)} IN ({', '.join(options)})"
        case "exists":
            return f"{draw(st.sampled_from(['attribute_exists', 'attribute_not_exists']))}({_path(draw, text)})"
        case "type":
            return f"attribute_type({_path(draw, text)}, {text.value(draw(st.sampled_from(_TYPES)))})"
        case "begins":
            return f"begins_with({_path(draw, text)}, {text.value(draw(st.one_of(texts, binaries)))})"
        case _:
            return (
                f"contains({_path(draw, text)}, {_operand(draw, text) if draw(st.booleans()) else text.value(draw(scalars))})"
            )


def _ends(draw: st.DrawFn) -> tuple[Any, Any]:
    kind: st.SearchStrategy[Any] = draw(st.sampled_from([numbers, texts, binaries]))
    low, high = sorted([draw(kind), draw(kind)])
    return low, high


def _condition(draw: st.DrawFn, text: Text, depth: int) -> str:
    kind = draw(st.sampled_from(["leaf", "leaf", "and", "or", "not", "paths"])) if depth else "leaf"
    if kind in {"and", "or"}:
        parts = [_condition(draw, text, depth - 1) for _ in range(draw(st.integers(2, 3)))]
        return "(" + f" {kind.upper()} ".join(parts) + ")"
    if kind == "not":
        return f"NOT {_condition(draw, text, depth - 1)}"
    if kind == "paths":
        left, right = _path(draw, text), _path(draw, text)
        if left != right:
            return f"{left} {draw(st.sampled_from(['=', '<>', '<', '>=']))} {right}"
    return _leaf(draw, text)


@st.composite
def conditions(draw: st.DrawFn) -> Text:
    """A condition or filter. Some compare a path with itself, which is refused: ``fuzzing.usable`` leaves them out."""
    text = Text()
    return text.finished(_condition(draw, text, 3))


# Updates

_NUMBER_VALUES: st.SearchStrategy[Any] = numbers.filter(lambda number: abs(number) < 100)


def _right_side(draw: st.DrawFn, text: Text) -> str:
    match draw(st.sampled_from(["value", "value", "path", "default", "sum", "append"])):
        case "value":
            return text.value(draw(values))
        case "path":
            return _path(draw, text)
        case "default":
            return f"if_not_exists({_path(draw, text)}, {text.value(draw(values))})"
        case "sum":
            sign = draw(st.sampled_from(["+", "-"]))
            left = f"if_not_exists({_path(draw, text)}, {text.value(draw(_NUMBER_VALUES))})"
            return f"{left if draw(st.booleans()) else _path(draw, text)} {sign} {text.value(draw(_NUMBER_VALUES))}"
        case _:
            ends = [f"if_not_exists({_path(draw, text)}, {text.value([])})", text.value(draw(st.lists(scalars, max_size=2)))]
            return f"list_append({', '.join(draw(st.permutations(ends)))})"


@st.composite
def updates(draw: st.DrawFn) -> Text:
    """An update of up to four actions. Its paths may overlap, which is refused: ``fuzzing.usable_update``."""
    text = Text()
    clauses: dict[str, list[str]] = {}
    for _ in range(draw(st.integers(1, 4))):
        clause = draw(st.sampled_from(["SET", "SET", "REMOVE", "ADD", "DELETE"]))
        path = _path(draw, text, deep=1 if draw(st.booleans()) else 0)
        action = path
        if clause == "SET":
            action = f"{path} = {_right_side(draw, text)}"
        elif clause != "REMOVE":
            action = f"{path} {text.value(draw(sets if clause == 'DELETE' else st.one_of(sets, _NUMBER_VALUES)))}"
        clauses.setdefault(clause, []).append(action)
    return text.finished(" ".join(f"{clause} {', '.join(actions)}" for clause, actions in clauses.items()))


# Key conditions


@st.composite
def key_conditions(draw: st.DrawFn) -> Text:
    """A key condition of the table ``things``."""
    text = Text()
    parts = [f"PK = {text.value(draw(st.sampled_from(PARTITIONS)))}"]
    sort = st.sampled_from(SORTS).map(lambda sort: "k" + sort)
    match draw(st.sampled_from(["none", "compare", "between", "begins"])):
        case "compare":
            parts.append(f"SK {draw(st.sampled_from(['=', '<', '<=', '>', '>=']))} {text.value(draw(sort))}")
        case "between":
            low, high = sorted([draw(sort), draw(sort)])
            parts.append(f"SK BETWEEN {text.value(low)} AND {text.value(high)}")
        case "begins":
            parts.append(f"begins_with(SK, {text.value(draw(sort))})")
    return text.finished(" AND ".join(draw(st.permutations(parts))))


# Indexes

INDEXED = Table(
    name="indexed",
    partition_key="PK",
    sort_key="SK",
    allow_scans=True,
    indexes=(
        Index(name="ByNumber", partition_key="u", sort_key=Key("n", "N")),
        Index(name="ByText", partition_key="u", sort_key="t", projection=("n",)),
    ),
)
"""Two indexes of which many items have only some of the keys, and many have the same."""
USERS = ("u", "v")
INDEX_TEXTS = ("a", "a#", "ab", "b", "日")


@st.composite
def indexed_items(draw: st.DrawFn) -> Item:
    """An item of ``INDEXED``."""
    item: Item = {"PK": draw(st.sampled_from(PARTITIONS)), "SK": draw(st.sampled_from(["k", "l", "m"])), "x": draw(scalars)}
    choices = {"u": st.sampled_from(USERS), "n": numbers, "t": st.sampled_from(INDEX_TEXTS)}
    item.update((name, draw(values)) for name, values in choices.items() if draw(st.integers(0, 4)))
    return item


@st.composite
def index_conditions(draw: st.DrawFn) -> tuple[str, Text]:
    """An index of ``INDEXED`` and a key condition of it."""
    text = Text()
    index, name, sort = draw(st.sampled_from([("ByNumber", "n", numbers), ("ByText", "t", st.sampled_from(INDEX_TEXTS))]))
    parts = [f"u = {text.value(draw(st.sampled_from(USERS)))}"]
    kind = draw(st.sampled_from(["none", "compare", "between", "begins"]))
    if kind == "compare":
        parts.append(f"{name} {draw(st.sampled_from(['=', '<', '<=', '>', '>=']))} {text.value(draw(sort))}")
    elif kind == "between":
        low, high = sorted([draw(sort), draw(sort)])
        parts.append(f"{name} BETWEEN {text.value(low)} AND {text.value(high)}")
    elif kind == "begins" and name == "t":
        parts.append(f"begins_with(t, {text.value(draw(sort))})")
    return index, text.finished(" AND ".join(draw(st.permutations(parts))))


def kinds(item: Item) -> set[str]:
    """The types that an item holds at its top, for statistics about what was generated."""
    return {type_of(value) for value in item.values()}
