"""Numbers of JSON that have no value are found in whatever text they stand."""

from __future__ import annotations

import math

import pytest

from manor.control.registry.finite_json import TooLarge, finite_json, holds_infinity, infinity_in, may_overflow


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1e400}', "a"),
        ('{"a": [0, {"b": -1E+400}]}', "a[1].b"),
        ('{"a": 1.5e0309}', "a"),
        (f'{{"a": {"9" * 309}.0}}', "a"),
        (f'{{"a": {"9" * 250}e99}}', "a"),
        (f'{{"a": {"9" * 250}.5e+99}}', "a"),
        ("1e400", "its beginning"),
    ],
)
def test_a_number_that_is_too_large_is_told_with_its_path(text: str, path: str) -> None:
    """Whether as text or as bytes."""
    for given in (text, text.encode()):
        with pytest.raises(TooLarge, match="is too large") as raised:
            finite_json(given)
        assert f"at {path} is" in str(raised.value)


@pytest.mark.parametrize(
    "text", ['{"a": 1e308, "b": 1e-400, "c": "1e400"}', '"1e400"', f"[{'9' * 400}]", '{"1e400": null}', "[1E+300, -1.7e308]"]
)
def test_what_has_a_value_stays(text: str) -> None:
    """A text that looks like such a number, a small fraction, a whole number of any length."""
    assert infinity_in(finite_json(text)) is None


@pytest.mark.parametrize("digits", range(1, 312, 7))
@pytest.mark.parametrize("written", ["{}e{}", "{}.5e{}", "{}E+{}", "{}.0e0{}"])
def test_no_infinity_is_overlooked(digits: int, written: str) -> None:
    """However digits and exponent share it."""
    text = written.format("9" * digits, max(0, 309 - digits))
    assert math.isinf(float(text))
    assert may_overflow(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [([{"a": [1.0, "inf", 2**80, None, True]}], False), ([{"a": [math.inf]}], True), ({"a": -math.inf}, True)],
)
def test_values_that_were_read_already_are_looked_at_quickly(value: object, expected: bool) -> None:
    """As they are written by marshal."""
    assert holds_infinity(value) is expected


@pytest.mark.parametrize("text", ["{", "NaN", "[Infinity]", ""])
def test_what_is_no_json_is_an_error(text: str) -> None:
    """As the parser says it."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        finite_json(text)
