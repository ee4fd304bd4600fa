"""What the relational drivers share: JSON that is exact both ways, keys that sort, and the SQL of conditions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.data.documents.driver import Query
from manor.data.documents.postgres.codec import FORM as POSTGRES
from manor.data.documents.postgres.compile import PostgresCompiler
from manor.data.documents.query.parse import parse_condition
from manor.data.documents.relational.codec import JsonForm, decode
from manor.data.documents.relational.compile import Compiler, Filter, compiled_filter
from manor.data.documents.relational.keys import KeyForm, key_bytes, short_name, successor
from manor.data.documents.relational.paging import plan
from manor.data.documents.sqlite.codec import FORM as SQLITE
from manor.data.documents.sqlite.compile import SQLiteCompiler
from manor.data.documents.tables import Table
from manor.data.documents.values import Item, admit_item, same
from manor.testing.documents import strategies

FORMS = {"sqlite": SQLITE, "postgresql": POSTGRES}
FIRST_OF_A = "jsonb_path_query_first(i.body, 'strict $.\"a\"[0]', '{}', true)"
THINGS = Table(name="things", partition_key="PK", sort_key="SK")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(item=strategies.items())
def test_an_item_comes_back_as_it_was(form: JsonForm, item: Item) -> None:
    """Whatever is in it."""
    admitted, _ = admit_item(item)
    assert same(decode(form.encode(admitted).text), admitted)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "value",
    [
        {"$": 1, "$ss": [1], "$$": 2, "$0": 3, "$n": "1"},
        {"$b": "AA=="},
        {"a": {"$b": "AA=="}},
        {"a": "\0", "b\0": 1, "c": {"x\0y", "z"}},
        {"a": '"$b', "b": "\\u0000", "c": "\\"},
        {"a": 2**63, "b": -(2**63), "c": 10**37, "d": Decimal("1E+40"), "e": Decimal("-1E-130")},
        {"a": [10**20, Decimal("0.1234567890123456789")], "b": {Decimal("1E+50"), 1}},
        {"a": [[], {}, {"b": {b"\xff", b""}}], "c": b""},
    ],
)
def test_what_could_be_mistaken_for_our_own_words_is_not(form: JsonForm, value: Item) -> None:
    """Names with ``$``, U+0000, and numbers at the borders."""
    assert same(decode(form.encode(value).text), value)


@pytest.mark.parametrize(
    ("value", "sqlite", "postgres"),
    [
        (2**63 - 1, False, False),
        (2**63, True, False),
        (Decimal("0.1"), False, False),
        (Decimal("0.1234567890123456"), True, False),
        (Decimal("1E-31"), True, False),
        (Decimal("1E+40"), True, True),
        ("\0", True, True),
        ({"a\0"}, False, False),
        ({b"\0"}, False, False),
        ({Decimal("1E+40")}, False, False),
    ],
)
def test_an_item_that_sql_cannot_judge_is_odd(value: Any, sqlite: bool, postgres: bool) -> None:
    """Only then does every filter look at it in Python."""
    assert SQLITE.encode({"a": [value]}).odd == (sqlite or value == {"a\0"})
    assert POSTGRES.encode({"a": [value]}).odd == (postgres or value == {"a\0"})


# Keys


@given(st.lists(st.one_of(st.text(), st.binary()), min_size=2, max_size=2))
def test_bytes_of_keys_sort_as_keys(pair: list[Any]) -> None:
    """Strings by code point, binary by byte."""
    left, right = pair
    if type(left) is type(right):
        assert (key_bytes(left) < key_bytes(right)) == (left < right)


def test_a_long_partition_key_stays_itself() -> None:
    """No two become one, and none becomes a short one."""
    form = KeyForm(longest_partition=112)
    long = [form.partition("x" * 200 + str(number)) for number in range(100)]
    assert len(set(long)) == 100
    assert {len(key) for key in long} == {112}
    assert form.partition("x" * 111) == b"x" * 111
    assert form.partition("x" * 112) != b"x" * 112
    assert sorted([form.partition("b" * 200), form.partition("a" * 200)]) == [
        form.partition("a" * 200),
        form.partition("b" * 200),
    ]
    names = {short_name("t" * number, 48) for number in range(1, 256)}
    assert len(names) == 255
    assert max(map(len, names)) == 48


@pytest.mark.parametrize(
    ("prefix", "behind"), [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", None), (b"", None), ("日".encode(), b"\xe6\x97\xa6")]
)
def test_what_begins_with_a_prefix_ends_before_its_successor(prefix: bytes, behind: bytes | None) -> None:
    """There is none behind bytes of ones."""
    assert successor(prefix) == behind


# Conditions


def filtered(text: str, values: dict[str, Any], dialect: type[Compiler], form: JsonForm) -> Filter:
    return compiled_filter(parse_condition(text, None), values, form, dialect)


@pytest.mark.parametrize(
    ("text", "values", "sql"),
    [
        ("attribute_exists(a.b)", {}, 'json_type(i.body, \'$."a"."b"\') IS NOT NULL'),
        ("a = :v", {":v": "x"}, "(json_type(i.body, '$.\"a\"') IS 'text' AND json_extract(i.body, '$.\"a\"') IS :v0)"),
        (
            "a[0] > :v",
            {":v": 1},
            "(IFNULL(json_type(i.body, '$.\"a\"[0]') IN ('integer', 'real'), 0)"
            " AND json_extract(i.body, '$.\"a\"[0]') > json_extract(:v0, '$'))",
        ),
        ("NOT a < :v", {":v": None}, "NOT (1 = 0)"),
        ("size(a) = :v", {":v": "3"}, "1 = 0"),
        ("begins_with(a, :v)", {":v": 1}, "1 = 0"),
    ],
)
def test_conditions_in_the_words_of_sqlite(text: str, values: dict[str, Any], sql: str) -> None:
    """Presence and type stand in each of them."""
    assert filtered(text, values, SQLiteCompiler, SQLITE).sql == sql


@pytest.mark.parametrize(
    ("text", "values", "sql"),
    [
        ("attribute_exists(a.b)", {}, "(i.body -> 'a' -> 'b') IS NOT NULL"),
        ("a = :v", {":v": {"x": 1}}, "(i.body -> 'a' IS NOT DISTINCT FROM $1::jsonb)"),
        ("a <> b", {}, "NOT (COALESCE(i.body -> 'a' = i.body -> 'b', false))"),
        (
            "a[0] >= :v",
            {":v": "x"},
            f"(CASE WHEN jsonb_typeof({FIRST_OF_A}) = 'string'"
            f" THEN ({FIRST_OF_A} #>> '{{}}') COLLATE \"C\" >= $1::text ELSE false END)",
        ),
        ("a < :v", {":v": [1]}, "1 = 0"),
    ],
)
def test_conditions_in_the_words_of_postgresql(text: str, values: dict[str, Any], sql: str) -> None:
    """Presence and type stand in each of them."""
    assert filtered(text, values, PostgresCompiler, POSTGRES).sql == sql


@pytest.mark.parametrize(
    ("text", "values", "sqlite", "postgres"),
    [
        ("a = :v", {":v": [1]}, False, True),
        ("a = :v", {":v": {"x"}}, False, True),
        ("a = b", {}, False, True),
        ("a < b", {}, False, False),
        ("a < :v", {":v": b"x"}, False, False),
        ("a = :v", {":v": b"x"}, True, True),
        ("a = :v", {":v": 10**30}, False, True),
        ("a = :v", {":v": "\0"}, False, False),
        ("contains(a, :v)", {":v": b"x"}, False, False),
        ("contains(a, :v)", {":v": True}, False, True),
        ("begins_with(a, :v)", {":v": b"x"}, False, False),
    ],
)
def test_what_has_no_exact_sql_is_judged_in_python(text: str, values: dict[str, Any], sqlite: bool, postgres: bool) -> None:
    """Alone it leaves no SQL; beside others in an AND it leaves theirs."""
    for dialect, form, exact in ((SQLiteCompiler, SQLITE, sqlite), (PostgresCompiler, POSTGRES, postgres)):
        alone = filtered(text, values, dialect, form)
        assert (alone.exact, bool(alone.sql)) == (exact, exact)
        beside = filtered(f"{text} AND attribute_exists(other)", values, dialect, form)
        assert (beside.exact, "other" in beside.sql) == (exact, True)
        assert not filtered(f"{text} OR attribute_exists(other)", values, dialect, form).exact or exact


def test_names_that_sqlite_cannot_spell_are_left_to_python() -> None:
    """Quotes, backslashes and control characters; PostgreSQL spells them."""
    for name in ('a"b', "a\\b", "a\nb"):
        expression = parse_condition("attribute_exists(#n)", {"#n": name})
        assert not compiled_filter(expression, {}, SQLITE, SQLiteCompiler).sql
        assert compiled_filter(expression, {}, POSTGRES, PostgresCompiler).sql


def test_a_page_asks_for_one_row_more_than_it_shows() -> None:
    """So that its end is known; with ``examine``, SQL drops nothing, because every row is counted."""
    exact = filtered("a = :v", {":v": 1}, SQLiteCompiler, SQLITE)
    query = Query(table=THINGS, filter=parse_condition("a = :v", None), values={":v": 1}, limit=5)
    assert plan(query, exact).limit == 6
    counted = plan(Query(table=THINGS, filter=query.filter, values=query.values, limit=5, examine=3), exact)
    assert (counted.limit, counted.filter.sql, counted.counts) == (4, "", True)
    assert plan(query, Filter(exact=False)).limit is None
    assert plan(query, Filter(exact=False), at_once=256).limit == 256
