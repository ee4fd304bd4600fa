"""Ids, order and values of Cosmos DB: nothing collides, everything sorts, everything comes back."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from manor.data.documents import Key, Table
from manor.data.documents.cosmos import codec
from manor.data.documents.cosmos.compile import compile_condition
from manor.data.documents.numbers import canonical
from manor.data.documents.query.parse import parse_condition
from manor.data.documents.values import same
from manor.testing.documents.strategies import items

TABLE = Table(name="t", partition_key="PK", sort_key="SK")
TEXTS = st.text(min_size=1, max_size=12) | st.text("ab _.!#/\\?\x00\ud7ff\ue000\U0001f600", min_size=1, max_size=4)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9).map(canonical)


def key(pair: tuple[Any, Any]) -> dict[str, Any]:
    return {"PK": pair[0], "SK": pair[1]}


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_ids_are_safe_and_no_two_keys_share_one(a: str, b: str, c: str, d: str) -> None:
    one, other = codec.document_id(TABLE, key((a, b))), codec.document_id(TABLE, key((c, d)))
    assert (one == other) == ((a, b) == (c, d))
    assert not set(one) & set("/\\?#% ")
    assert len(one) <= codec.ID_CHARACTERS


def test_a_long_key_has_an_id_of_its_own_too() -> None:
    long = [codec.document_id(TABLE, key(("x" * 2048, "y" * 1023 + end))) for end in "ab"]
    assert long[0] != long[1]
    assert all(len(one) <= codec.ID_CHARACTERS for one in long)


def test_items_tables_and_tokens_never_share_an_id() -> None:
    table = Table(name="_table", partition_key="PK")
    assert codec.document_id(table, {"PK": "t"}) != codec.table_id(Table(name="t", partition_key="PK"))
    assert codec.token_id("x") != codec.document_id(Table(name="_token", partition_key="PK"), {"PK": "x"})


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=6, unique=True))
def test_places_sort_as_keys_do_however_a_server_compares(pairs: list[tuple[str, str]]) -> None:
    wanted = sorted(pairs)
    assert sorted(pairs, key=lambda pair: codec.table_place(TABLE, key(pair))) == wanted
    assert sorted(pairs, key=lambda pair: codec.table_place(TABLE, key(pair)).encode("utf-16-be")) == wanted
    assert sorted(pairs, key=lambda pair: codec.table_place(TABLE, key(pair)).encode()) == wanted


@given(st.lists(st.tuples(NUMBERS, st.binary(min_size=1, max_size=3)), min_size=2, max_size=6, unique=True))
def test_places_sort_numbers_and_bytes(pairs: list[tuple[Any, bytes]]) -> None:
    table = Table(name="t", partition_key=Key("PK", "N"), sort_key=Key("SK", "B"))
    assert sorted(pairs, key=lambda pair: codec.table_place(table, key(pair))) == sorted(pairs)


@given(items())
def test_items_come_back_through_json_whose_numbers_are_doubles(item: dict[str, Any]) -> None:
    text = json.dumps(codec.encode_item(item))
    assert same(codec.decode_item(json.loads(text, parse_int=lambda digits: float(digits))), item)


def test_what_doubles_hold_is_a_number_and_the_rest_is_text_that_sorts() -> None:
    assert codec.encode(2**53 - 1) == 2**53 - 1
    assert codec.encode(2**53) == {"$n": "55159007199254740992"}
    assert codec.encode(Decimal("0.1")) == {"$n": "54991"}
    assert codec.encode({"$n": "x"}) == {"$$n": "x"}


def test_conditions_are_compiled_as_pinned() -> None:
    table = {
        "attribute_exists(a.b[2])": ({}, 'IS_DEFINED(c.a["a"]["b"][2])', True),
        "attribute_not_exists(a)": ({}, '(NOT IS_DEFINED(c.a["a"]))', True),
        "attribute_type(a, :t)": ({":t": "SS"}, 'IS_DEFINED(c.a["a"]["$ss"])', True),
        "a <> :v": ({":v": True}, '(NOT (IS_BOOL(c.a["a"]) AND c.a["a"] = @v0))', True),
        "a < :v": ({":v": "\U0001f600"}, "", False),
        "a < :v AND b = :w": ({":v": "\U0001f600", ":w": None}, 'IS_NULL(c.a["b"])', False),
        "a < :v OR b = :w": ({":v": "\U0001f600", ":w": None}, "", False),
        "NOT (a = b)": ({}, "", False),
        "size(a) > :v": ({":v": 1}, "", False),
        "a < :b": ({":b": b"x"}, "", False),
        "a > :l": ({":l": [1]}, "false", True),
        ":v = a": ({":v": Decimal("1.5")}, '(IS_STRING(c.a["a"]["$n"]) AND c.a["a"]["$n"] = @v0)', True),
    }  # fmt: skip
    for text, (values, wanted, exact) in table.items():
        compiled = compile_condition(parse_condition(text, None), values)
        assert (compiled.with_parameters(values)[0], compiled.exact) == (wanted, exact), text


def test_a_literal_cannot_leave_its_quotes() -> None:
    evil = '" OR true OR c.a["x"] = "'
    compiled = compile_condition(parse_condition("a = :v", None), {":v": evil})
    assert compiled.with_literals({":v": evil}) == ('(IS_STRING(c.a["a"]) AND c.a["a"] = "\\" OR true OR c.a[\\"x\\"] = \\"")')
