"""What decides over a scalar's meaning: whether it was quoted or tagged, and else ``plain_scalar`` alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.yaml_reader import parse_yaml, plain_scalar

BEGINNINGS = st.sampled_from(
    ["", "y", "No", "true", "~", "null", "-1", "+.inf", "0x1F", "1_000", "1e5", "12:30", "=", "<<", "a", "é", "名"]
)
ENDINGS = st.text(alphabet="abeEnorstuly0123456789._+", max_size=6)


@given(BEGINNINGS, ENDINGS)
def test_plain_text_means_what_yaml_1_2_says(beginning: str, rest: str) -> None:
    """PyYAML's own meaning (YAML 1.1: ``No`` is false, ``1_000`` a number, ``12:30`` is 750) never comes through."""
    value = parse_yaml(f"key: {beginning}{rest}", "x.yaml").value["key"]
    assert repr(value) == repr(plain_scalar(beginning + rest))


@given(BEGINNINGS, ENDINGS)
def test_quoted_text_is_text(beginning: str, rest: str) -> None:
    text = beginning + rest
    assert parse_yaml(f"key: {json.dumps(text)}", "x.yaml").value == {"key": text}
    assert parse_yaml(f"key: '{text}'", "x.yaml").value == {"key": text}


@given(BEGINNINGS, ENDINGS)
def test_text_tagged_as_text_is_text(beginning: str, rest: str) -> None:
    assert parse_yaml(f"key: !!str {beginning}{rest}", "x.yaml").value == {"key": beginning + rest}


@pytest.mark.parametrize(
    ("written", "merged"), [("<<: {a: 1}", {"a": 1}), ("'<<': {a: 1}", {"<<": {"a": 1}}), ("a: <<", {"a": "<<"})]
)
def test_only_a_plain_key_merges(written: str, merged: object) -> None:
    assert parse_yaml(written, "x.yaml").value == merged
