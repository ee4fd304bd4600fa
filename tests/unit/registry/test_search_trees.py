"""Random searches: what is printed parses to the same tree, and text that is no search ends in an error that says where.

The strategies are also what SQL and the predicate are compared with (tests/integration/catalog/test_search.py).
"""

from __future__ import annotations

import datetime as dt
import string
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from manor.control.registry.search.fields import CATALOG, Kind
from manor.control.registry.search.nodes import (
    Among,
    And,
    Between,
    Compare,
    Comparison,
    Constant,
    IsNull,
    Like,
    Node,
    Not,
    Or,
    Reference,
    references,
)
from manor.control.registry.search.parse import parse_search
from manor.errors import InputError

FEW_TEXTS = (
    *(
        "",
        "a",
        "B",
        "ab",
        "aB",
        "b%",
        "_",
        "a\\b",
        "'",
        "é",
        "É",
        "😀",
        "a\nb",
        "0",
        "1",
        "10",
        "-2.5",
        "+1",
        "1.",
        "1e3",
        " 1",
        "0x1",
    ),
    *(
        "01",
        "-1",
        "true",
        "TRUE",
        "false",
        "null",
        "active",
        "ready",
        "2026-01-01",
        "\uffff",
        "z" * 40,
        "٣",
        "1\n",
        "9" * 30,
        "9" * 31,
    ),
)
"""Chosen so that they meet, and so that the borders between types and between alphabets are among them."""
KEYS = ("a", "b", "A", "tier", "TIER", "Tier", "é", "É", "0", "1", "-1", "two words", "q'\"", "select", "")
STORABLE = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
TEXTS = st.sampled_from(FEW_TEXTS) | st.text(STORABLE, max_size=5)
NUMBERS = st.sampled_from(
    [Decimal(text) for text in ("0", "1", "10", "-2.5", "0.1", "1e3", "0.30000000000000004", "9" * 30)]
) | (st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=3))
MOMENTS = st.sampled_from([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)]) | (
    st.datetimes(timezones=st.just(dt.UTC))
)
BARE_NAMES = ("tier", "a", "é", "two words", "select", "q'\"", "%(p1)s")

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-11, 11)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.1, 0.3, 10.0, 1e22, -0.0])
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def constants(draw: st.DrawFn, kind: Kind) -> Constant:
    """A constant that is compared with a field of ``kind``."""
    if kind is Kind.JSON:
        return draw(TEXTS | NUMBERS | st.booleans())
    return draw({Kind.TEXT: TEXTS, Kind.BOOLEAN: st.booleans(), Kind.TIME: MOMENTS}[kind])


@st.composite
def found_references(draw: st.DrawFn) -> Reference:
    """A field, or a bare name, with a path where it is JSON."""
    name = draw(st.sampled_from((*CATALOG.fields, "config", "variables", *BARE_NAMES, *BARE_NAMES)))
    path = draw(st.lists(st.sampled_from(KEYS), max_size=3)) if CATALOG.kind_of(name) is Kind.JSON else []
    return Reference(name=name, path=tuple(path))


@st.composite
def leaves(draw: st.DrawFn) -> Node:
    """One condition that the language has."""
    reference = draw(found_references())
    kind = CATALOG.kind_of(reference.name)
    one = constants(kind)
    constant = draw(one)
    is_ordered = not isinstance(constant, bool) and reference.name != "version"
    forms: list[st.SearchStrategy[Node]] = [
        st.builds(IsNull, reference=st.just(reference)),
        st.builds(
            Compare,
            reference=st.just(reference),
            comparison=st.sampled_from(list(Comparison) if is_ordered else [Comparison.EQUAL, Comparison.UNEQUAL]),
            constant=st.just(constant),
        ),
        st.builds(Among, reference=st.just(reference), constants=st.lists(one | st.none(), min_size=1, max_size=4).map(tuple)),
    ]
    if is_ordered:
        high = one.filter(lambda other: type(other) is type(constant))
        forms.append(st.builds(Between, reference=st.just(reference), low=st.just(constant), high=high))
    if kind in (Kind.TEXT, Kind.JSON):
        forms.append(st.builds(Like, reference=st.just(reference), pattern=patterns(), any_case=st.booleans()))
    return draw(st.one_of(forms))


def patterns() -> st.SearchStrategy[str]:
    """Patterns of LIKE, which never end within an escape."""
    parts = st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "\\a", "a", "b", "B", "é", "1"]) | TEXTS.map(
        lambda t: t.replace("\\", "")
    )
    return st.lists(parts, max_size=5).map("".join)


def joined(kind: type[And] | type[Or], operands: list[Node]) -> Node:
    """As the parser does: no AND directly within an AND."""
    flat: list[Node] = []
    for operand in operands:
        flat += operand.operands if isinstance(operand, kind) else [operand]
    return kind(operands=tuple(flat))


TREES: st.SearchStrategy[Node] = st.recursive(
    leaves(),
    lambda inner: (
        inner.map(lambda node: Not(operand=node))
        | st.builds(joined, st.sampled_from([And, Or]), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=6,
)


def depth(node: Node) -> int:
    """At least as deep as its text is."""
    match node:
        case And() | Or():
            return 1 + max(depth(operand) for operand in node.operands)
        case Not():
            return 2 + depth(node.operand)
        case _:
            return 0


@given(TREES.filter(lambda tree: depth(tree) <= 16))
def test_what_is_printed_parses_to_the_same_tree(tree: Node) -> None:
    """For every tree that the language has."""
    assert parse_search(str(tree)).root == tree


WORDS = st.sampled_from(
    [
        *("id", "config", "tier", "created_at", "is_active", '"x"', "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL"),
        *(
            "TRUE",
            "'a'",
            "'it''s'",
            "'2026-01-01'",
            "1",
            "-1",
            "1.5",
            "=",
            "<>",
            "<",
            ">=",
            "(",
            ")",
            "[",
            "]",
            ".",
            ",",
            "->>",
        ),
        *(
            ";",
            "--",
            "/*",
            "*/",
            "::",
            "$1",
            ":a",
            "%(a)s",
            "SELECT",
            "FROM",
            "CASE",
            "CAST",
            "lower",
            "DATE",
            "E'a'",
            "$$",
            "'",
            '"',
        ),
    ]
)


def check_ends_well(text: str) -> None:
    search = error = None
    try:
        search = parse_search(text)
    except InputError as caught:
        error = caught
    if search is not None:
        assert parse_search(str(search)).root == search.root
        assert all(one.place.file == "--filter" for one in references(search.root))
    if error is not None:
        assert error.hint
        assert error.place is not None
        assert error.place.line >= 1
        assert 1 <= error.place.column <= len(text) + 1


@given(st.lists(WORDS, max_size=25), st.sampled_from(["", " ", "\n"]))
def test_words_in_any_order_are_a_search_or_an_error_with_its_place(words: list[str], between: str) -> None:
    """No other exception, and nothing is accepted that would not mean itself again."""
    check_ends_well(between.join(words))


@given(st.text(max_size=80) | st.text(string.punctuation + string.digits + " aA\n", max_size=200))
def test_any_text_is_a_search_or_an_error_with_its_place(text: str) -> None:
    """Binary rubbish, unicode and punctuation too."""
    check_ends_well(text)


ROWS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "server": TEXTS,
        "template": TEXTS,
        "source": TEXTS,
        "state": st.sampled_from(["pending", "ready", "failed"]),
        "is_active": st.booleans(),
        "version": st.sampled_from(["", "1", "10"]),
        "created_at": MOMENTS,
        "updated_at": MOMENTS,
        "variables": st.dictionaries(st.sampled_from(KEYS), TEXTS | JSON_VALUES, max_size=5),
        "config": st.dictionaries(st.sampled_from(KEYS), JSON_VALUES, max_size=5),
    }
)
"""What differs between tenants, but for their names."""
