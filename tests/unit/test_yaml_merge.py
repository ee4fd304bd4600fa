"""``<<`` merges mappings as people know it from YAML 1.1, with places, and without a way around the reader's limits."""

from __future__ import annotations

import pytest

from manor.errors import InputError, Place
from manor.yaml_reader import parse_yaml


def test_own_keys_go_before_merged_ones_and_earlier_sources_before_later() -> None:
    document = parse_yaml("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: {<<: [*a, {x: 8, z: 9}]}\n", "f")
    assert document.value["b"] == {"x": 1, "y": 3}
    assert document.value["c"] == {"x": 1, "y": 2, "z": 9}


def test_a_merged_value_stands_where_it_was_written() -> None:
    document = parse_yaml("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n", "f")
    assert document.place(("b", "x")) == Place("f", 1, 11)
    assert document.place(("b", "y")) == Place("f", 4, 6)


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert parse_yaml("a: {'<<': 1}", "f").value == {"a": {"<<": 1}}


@pytest.mark.parametrize("text", ["a: {<<: 1}", "a: {<<: [1]}", "a: {<<: x}"])
def test_only_mappings_can_be_merged(text: str) -> None:
    with pytest.raises(InputError, match="only mappings can be merged"):
        parse_yaml(text, "f")


def test_a_mapping_that_merges_itself_ends_in_an_error() -> None:
    with pytest.raises(InputError, match="nested deeper"):
        parse_yaml("a: &a\n  <<: *a\n", "f")


def test_merges_count_against_the_limit_of_values() -> None:
    lines = ["a0: &a0 {k0: 0}"] + [f"a{n}: &a{n} {{<<: [{', '.join(f'*a{n - 1}' for _ in range(9))}]}}" for n in range(1, 9)]
    with pytest.raises(InputError, match="more than 1,000,000 values"):
        parse_yaml("\n".join(lines), "f")
