"""A column type in any spelling is taken apart to what its values must be."""

from __future__ import annotations

import pytest

from manor.control.templates.column_kinds import Family, inline_items, kind_of, numbers_itself


@pytest.mark.parametrize(
    ("declared", "family"),
    [
        ("VARCHAR(100)", Family.TEXT),
        ("character varying(5)", Family.TEXT),
        ("LONGTEXT", Family.TEXT),
        ("INT AUTO_INCREMENT", Family.INTEGER),
        ("int(11) unsigned", Family.INTEGER),
        ("BIGSERIAL", Family.INTEGER),
        ("TINYINT(1)", Family.BOOLEAN),
        ("TINYINT", Family.INTEGER),
        ("BIT", Family.BOOLEAN),
        ("BIT(8)", Family.OTHER),
        ("DECIMAL(10, 2)", Family.DECIMAL),
        ("double precision", Family.FLOAT),
        ("TIMESTAMP(6) WITH TIME ZONE", Family.TIMESTAMP),
        ("DATETIME", Family.TIMESTAMP),
        ("jsonb", Family.JSON),
        ("text[]", Family.ARRAY),
        ("integer ARRAY", Family.ARRAY),
        ("uuid", Family.UUID),
        ("VARBINARY(16)", Family.BINARY),
        ("ENUM('a','b')", Family.ENUM),
        ("set('a')", Family.SET),
        ("vector(3)", Family.OTHER),
        ("mood", Family.OTHER),
        ("((", Family.OTHER),
    ],
)
def test_each_spelling_has_its_family(declared, family) -> None:
    assert kind_of(declared).family is family


def test_sizes_bounds_and_items_are_read() -> None:
    assert kind_of("VARCHAR(100)").length == 100
    assert kind_of("CHAR").length == 1
    assert kind_of("TEXT(500)").length is None
    assert (kind_of("DECIMAL(10,2)").precision, kind_of("DECIMAL(10,2)").scale) == (10, 2)
    assert (kind_of("SMALLINT").lowest, kind_of("INT UNSIGNED").highest) == (-32768, 2**32 - 1)
    assert kind_of("ENUM", ("x",)).items == ("x",)
    assert inline_items("ENUM('it''s', 'b')") == ("it's", "b")
    assert inline_items("VARCHAR(5)") == ()
    element = kind_of("VARCHAR(5)[]").element
    assert element is not None
    assert (element.family, element.length) == (Family.TEXT, 5)


@pytest.mark.parametrize(("declared", "numbers"), [("INT AUTO_INCREMENT", True), ("serial", True), ("INT", False), ("", False)])
def test_types_that_number_rows_are_known(declared, numbers) -> None:
    assert numbers_itself(declared) is numbers
