"""Values: numbers in order and in their one form, sizes, exact JSON, declarations."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.data.documents import Index, Key, Table
from manor.data.documents.faults import ValueRefused
from manor.data.documents.numbers import add, canonical, from_sort_text, number_text, parse_number, sort_text, subtract
from manor.data.documents.tagged import from_tagged, item_from_tagged, item_to_tagged, text_of, to_tagged
from manor.data.documents.values import admit_item, copied, item_size, same
from manor.errors import InputError
from manor.testing.documents import strategies
from manor.testing.documents.samples import SAMPLE

many_numbers = st.builds(
    lambda negative, digits, exponent: canonical(Decimal((negative, digits, exponent))),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=38).map(tuple),
    st.integers(-120, 80),
)


@given(many_numbers, many_numbers)
def test_sort_text_sorts_as_numbers_do(one: Any, other: Any) -> None:
    """And gives the number back."""
    assert (sort_text(one) < sort_text(other)) == (one < other)
    assert (sort_text(one) == sort_text(other)) == (one == other)
    assert same(from_sort_text(sort_text(one)), one)


@given(many_numbers)
def test_a_number_has_one_form_and_one_text(number: Any) -> None:
    """Whatever it came as."""
    assert same(parse_number(number_text(number)), number)
    assert same(canonical(Decimal(number) * 1), number) or len(Decimal(number).as_tuple().digits) > 28
    assert number_text(Decimal(number)) == number_text(number)


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [
        (1, 2, 3),
        (Decimal("0.1"), Decimal("0.2"), Decimal("0.3")),
        (10**38 - 1, 1, 10**38),
        (Decimal("1E+125"), Decimal("-1E+125"), 0),
        (Decimal("1.5"), Decimal("0.5"), 2),
    ],
)
def test_sums_are_exact(left: Any, right: Any, total: Any) -> None:
    """In their one form."""
    assert same(add(left, right), canonical(total))
    assert same(subtract(total, right), canonical(left))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (10**38 - 1, 2),
        (10**37, Decimal("0.1")),
        (Decimal("9.9E+125"), Decimal("1E+125")),
        (Decimal("1.1E-130"), Decimal("-1E-130")),
    ],
)
def test_sums_that_would_be_rounded_are_refused(left: Any, right: Any) -> None:
    """Beyond 38 digits, beyond the largest, below the smallest."""
    with pytest.raises(ValueRefused):
        add(left, right)


@given(strategies.items())
def test_tagged_values_are_exact_both_ways(item: dict[str, Any]) -> None:
    """And equal items have equal texts."""
    admitted, size = admit_item(item)
    assert same(item_from_tagged(item_to_tagged(admitted)), admitted)
    assert text_of(item_to_tagged(copied(admitted))) == text_of(item_to_tagged(admitted))
    assert item_size(admitted) == size


@pytest.mark.parametrize(
    "tagged",
    [
        None,
        "x",
        {},
        {"S": 1},
        {"N": 1},
        {"N": "x"},
        {"N": "NaN"},
        {"B": "%"},
        {"X": 1},
        {"S": "a", "N": "1"},
        {"SS": []},
        {"SS": "ab"},
        {"L": 5},
        {"M": [1]},
        {"BOOL": "true"},
        {"N": "1" * 39},
    ],
)
def test_what_is_no_tagged_value_is_refused(tagged: Any) -> None:
    """Never read as something else."""
    with pytest.raises(ValueRefused):
        from_tagged(tagged)


def test_tagged_values_of_any_depth_are_refused_and_not_followed() -> None:
    """Ten thousand lists in each other are one refusal, not the end of the stack."""
    deep: Any = {"S": "x"}
    for _ in range(10_000):
        deep = {"L": [deep]}
    with pytest.raises(ValueRefused, match="32"):
        from_tagged(deep)
    plain: Any = "x"
    for _ in range(10_000):
        plain = [plain]
    with pytest.raises(ValueRefused, match="32"):
        admit_item({"a": plain})


def test_a_value_is_never_the_one_that_was_passed() -> None:
    """Lists, maps and sets are copied on their way in."""
    given_item = {"l": [1], "m": {"a": [2]}, "s": {3}}
    admitted, _ = admit_item(given_item)
    given_item["l"].append(9)
    given_item["m"]["a"].append(9)  # type: ignore[call-overload, index]
    given_item["s"].add(9)
    assert admitted == {"l": [1], "m": {"a": [2]}, "s": {3}}


def test_an_items_size_counts_names_and_values() -> None:
    """UTF-8 bytes of names and text, half a byte for a digit, three for a list or map and one for each element."""
    assert admit_item({"é": "日"})[1] == 2 + 3
    assert admit_item({"n": 1234})[1] == 1 + 3
    assert admit_item({"n": -12})[1] == 1 + 3
    assert admit_item({"b": b"123", "x": None, "y": True})[1] == 4 + 2 + 2
    assert admit_item({"l": ["a", "b"]})[1] == 1 + 3 + 2 + 2
    assert admit_item({"m": {"k": "v"}})[1] == 1 + 3 + 1 + 2
    assert admit_item({"s": {"ab", "c"}})[1] == 1 + 3
    assert 0 < admit_item(SAMPLE)[1] < 500


def test_equality_is_of_one_type() -> None:
    """Where Python thinks otherwise."""
    assert not same(True, 1)
    assert not same([True], [1])
    assert not same({"a": 0}, {"a": False})
    assert same(Decimal("1.0"), 1)
    assert not same({1}, {"1"})
    assert to_tagged(True) == {"BOOL": True}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Key("", "S"),
        lambda: Key("a", "BOOL"),
        lambda: Table(name="a b", partition_key="PK"),
        lambda: Table(name="t", partition_key="PK", sort_key="PK"),
        lambda: Table(name="t", partition_key="PK", ttl_attribute="PK"),
        lambda: Table(name="t", partition_key="PK", indexes=(Index(name="i", partition_key=Key("PK", "N")),)),
        lambda: Table(
            name="t", partition_key="PK", indexes=(Index(name="i", partition_key="a"), Index(name="i", partition_key="b"))
        ),
        lambda: Table(name="t", partition_key="PK", indexes=(Index(name="i", partition_key="a", local=True),)),
        lambda: Index(name="i", partition_key="a", projection="SOME"),
    ],
)
def test_a_table_that_cannot_be_is_refused_where_it_is_declared(wrong: Any) -> None:
    """Not where it is made."""
    with pytest.raises(InputError):
        wrong()


def test_what_an_index_must_keep() -> None:
    """Keys, what it projects, and the time of expiry; everything where it projects all."""
    keys_only = Index(name="k", partition_key="u", projection="KEYS_ONLY")
    some = Index(name="s", partition_key="u", sort_key=Key("n", "N"), projection=("title",))
    everything = Index(name="e", partition_key="u")
    table = Table(name="t", partition_key="PK", sort_key="SK", ttl_attribute="ttl", indexes=(keys_only, some, everything))
    assert table.visible(keys_only) == {"PK", "SK", "u"}
    assert table.stored(keys_only) == {"PK", "SK", "u", "ttl"}
    assert table.visible(some) == {"PK", "SK", "u", "n", "title"}
    assert table.visible(everything) is None
    assert table.stored(everything) is None
