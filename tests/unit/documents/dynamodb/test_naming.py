"""Names and keys on the server: as the reference has them where that is possible, and never the same for two things."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from manor.data.documents.dynamodb.codec import decode_item, encode_item
from manor.data.documents.dynamodb.naming import index_name, shared_table_name, table_name
from manor.data.documents.dynamodb.shared import partition_text, partition_value, tenant_text
from manor.data.documents.faults import KeyRefused
from manor.data.documents.values import same
from manor.errors import InputError
from manor.testing.documents import strategies
from manor.testing.documents.samples import SAMPLE

TENANTS = st.text("ab-_.2D#/é ", min_size=1, max_size=6) | st.text(min_size=1, max_size=20).filter(str.isprintable)
TABLES = st.text("ab-_.2D", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("tenant", "table", "name"),
    [
        ("acme", "chats", "acme-chats"),
        ("001", "chat_logs", "001-chat_logs"),
        ("a.b", "c", "a.b-c"),
        ("acme-italy", "chats", "acme_2Ditaly--chats"),
        ("acme", "chat-logs", "acme--chat_2Dlogs"),
        ("a_b-c", "d", "a_5Fb_2Dc--d"),
        ("日本", "t", "_E6_97_A5_E6_9C_AC--t"),
    ],
)
def test_a_tables_name_is_the_references_or_escaped(tenant: str, table: str, name: str) -> None:
    assert table_name(tenant, table) == name


@given(TENANTS, TABLES, TENANTS, TABLES, TABLES)
def test_no_two_pairs_of_tenant_and_table_have_one_name(
    tenant: str, table: str, other: str, other_table: str, shared: str
) -> None:
    first, second = table_name(tenant, table), table_name(other, other_table)
    assert (first == second) == ((tenant, table) == (other, other_table))
    assert re.fullmatch(r"[A-Za-z0-9_.-]{3,255}", first)
    assert first != shared_table_name("ab", shared)


@given(TENANTS, TENANTS)
def test_a_policy_by_prefix_covers_one_tenant(tenant: str, other: str) -> None:
    """IAM policies name tables by ``{prefix}*``; what begins a tenant's names begins nobody else's."""
    assume(tenant != other)
    prefix = re.match(r"[^-]*-", table_name(tenant, "t"))
    assert prefix is not None
    if "_" not in tenant + other:  # "_" stands for itself in plain names, and for an escape in others
        assert not table_name(other, "t").startswith(prefix[0])


def test_a_name_that_would_be_too_long_is_refused() -> None:
    assert len(table_name("a" * 200, "t" * 54)) == 255
    with pytest.raises(InputError, match="256"):
        table_name("a" * 200, "t" * 55)


@given(st.text("ab.-", min_size=1, max_size=8), st.text("ab.-", min_size=1, max_size=8))
def test_indexes_have_names_of_three_characters_and_stay_apart(name: str, other: str) -> None:
    assert len(index_name(name)) >= 3
    assert (index_name(name) == index_name(other)) == (name == other)


VALUES = st.text(max_size=5) | st.binary(max_size=5) | st.integers(-99, 99)


@given(TENANTS, VALUES, TENANTS, VALUES)
def test_no_two_partitions_of_a_shared_table_are_one(tenant: str, value: object, other: str, other_value: object) -> None:
    text = partition_text(tenant, value)
    assert (text == partition_text(other, other_value)) == (tenant == other and same(value, other_value))
    assert same(partition_value(tenant, text), value)
    assert text.startswith(tenant_text(other)) == (tenant == other)


def test_a_partition_key_that_is_too_long_with_its_tenant_is_refused() -> None:
    partition_text("t", "x" * 2045)
    with pytest.raises(KeyRefused, match="2049"):
        partition_text("t", "x" * 2046)


@given(strategies.items())
def test_items_come_back_as_they_were_sent(item: dict[str, object]) -> None:
    assert same(decode_item(encode_item(item)), item)


def test_binary_comes_back_from_bytes_and_from_base64() -> None:
    assert same(decode_item(encode_item(SAMPLE)), SAMPLE)
    assert decode_item({"b": {"B": "AP8="}, "s": {"BS": ["AP8="]}}) == {"b": b"\x00\xff", "s": {b"\x00\xff"}}
    assert decode_item({"n": {"N": "1.50"}, "m": {"N": "1E+2"}}) == {"n": decode_item({"n": {"N": "1.5"}})["n"], "m": 100}
