"""Every spelling of a column type becomes the PostgreSQL type that holds the same values."""

from __future__ import annotations

import pytest

from manor.control.engines.postgres.types import _RULES, Kind, translate_type
from manor.control.templates.column_kinds import KNOWN_WORDS
from manor.control.templates.model import Column
from manor.errors import InputError, Place

SPELLINGS = [
    ("INT", "integer", Kind.INTEGER),
    ("INTEGER", "integer", Kind.INTEGER),
    ("INT(11)", "integer", Kind.INTEGER),
    ("int4", "integer", Kind.INTEGER),
    ("INT UNSIGNED", "bigint", Kind.INTEGER),
    ("INT(10) UNSIGNED ZEROFILL", "bigint", Kind.INTEGER),
    ("INT SIGNED", "integer", Kind.INTEGER),
    ("TINYINT", "smallint", Kind.INTEGER),
    ("TINYINT(4)", "smallint", Kind.INTEGER),
    ("TINYINT(1)", "boolean", Kind.BOOLEAN),
    ("TINYINT UNSIGNED", "smallint", Kind.INTEGER),
    ("SMALLINT", "smallint", Kind.INTEGER),
    ("SMALLINT UNSIGNED", "integer", Kind.INTEGER),
    ("MEDIUMINT", "integer", Kind.INTEGER),
    ("MEDIUMINT UNSIGNED", "integer", Kind.INTEGER),
    ("BIGINT", "bigint", Kind.INTEGER),
    ("BIGINT(20)", "bigint", Kind.INTEGER),
    ("BIGINT UNSIGNED", "numeric(20)", Kind.INTEGER),
    ("YEAR", "smallint", Kind.INTEGER),
    ("YEAR(4)", "smallint", Kind.INTEGER),
    ("DECIMAL", "numeric", Kind.NUMBER),
    ("DECIMAL(10,2)", "numeric(10, 2)", Kind.NUMBER),
    ("DECIMAL(10, 2) UNSIGNED", "numeric(10, 2)", Kind.NUMBER),
    ("NUMERIC(5)", "numeric(5)", Kind.NUMBER),
    ("DOUBLE", "double precision", Kind.NUMBER),
    ("DOUBLE PRECISION", "double precision", Kind.NUMBER),
    ("DOUBLE(8,2)", "double precision", Kind.NUMBER),
    ("FLOAT", "double precision", Kind.NUMBER),
    ("FLOAT(24)", "real", Kind.NUMBER),
    ("FLOAT(53)", "double precision", Kind.NUMBER),
    ("FLOAT4", "real", Kind.NUMBER),
    ("REAL", "double precision", Kind.NUMBER),
    ("BOOLEAN", "boolean", Kind.BOOLEAN),
    ("bool", "boolean", Kind.BOOLEAN),
    ("BIT", "boolean", Kind.BOOLEAN),
    ("BIT(1)", "boolean", Kind.BOOLEAN),
    ("BIT(8)", "bit(8)", Kind.OTHER),
    ("BIT VARYING(8)", "varbit(8)", Kind.OTHER),
    ("CHAR(2)", "char(2)", Kind.TEXT),
    ("NCHAR(2)", "char(2)", Kind.TEXT),
    ("VARCHAR(100)", "varchar(100)", Kind.TEXT),
    ("VARCHAR", "varchar", Kind.TEXT),
    ("CHARACTER VARYING(9)", "varchar(9)", Kind.TEXT),
    ("NATIONAL VARCHAR(9)", "varchar(9)", Kind.TEXT),
    ("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "varchar(20)", Kind.TEXT),
    ("TEXT", "text", Kind.TEXT),
    ("TEXT(500)", "text", Kind.TEXT),
    ("TINYTEXT", "text", Kind.TEXT),
    ("MEDIUMTEXT", "text", Kind.TEXT),
    ("LONGTEXT", "text", Kind.TEXT),
    ("citext", "citext", Kind.TEXT),
    ("BLOB", "bytea", Kind.BYTES),
    ("TINYBLOB", "bytea", Kind.BYTES),
    ("MEDIUMBLOB", "bytea", Kind.BYTES),
    ("LONGBLOB", "bytea", Kind.BYTES),
    ("BINARY(16)", "bytea", Kind.BYTES),
    ("VARBINARY(255)", "bytea", Kind.BYTES),
    ("bytea", "bytea", Kind.BYTES),
    ("JSON", "jsonb", Kind.JSON),
    ("JSONB", "jsonb", Kind.JSON),
    ("UUID", "uuid", Kind.UUID),
    ("DATE", "date", Kind.DATE),
    ("DATETIME", "timestamp", Kind.TIMESTAMP),
    ("DATETIME(6)", "timestamp(6)", Kind.TIMESTAMP),
    ("TIMESTAMP", "timestamptz", Kind.TIMESTAMP),
    ("TIMESTAMP(3)", "timestamptz(3)", Kind.TIMESTAMP),
    ("TIMESTAMP WITHOUT TIME ZONE", "timestamp", Kind.TIMESTAMP),
    ("TIMESTAMP(3) WITHOUT TIME ZONE", "timestamp(3)", Kind.TIMESTAMP),
    ("TIMESTAMP WITH TIME ZONE", "timestamptz", Kind.TIMESTAMP),
    ("TIMESTAMPTZ", "timestamptz", Kind.TIMESTAMP),
    ("TIME", "time", Kind.OTHER),
    ("TIME WITH TIME ZONE", "timetz", Kind.OTHER),
    ("INTERVAL", "interval", Kind.OTHER),
    ("INET", "inet", Kind.OTHER),
    ("cidr", "cidr", Kind.OTHER),
    ("tstzrange", "tstzrange", Kind.OTHER),
    ("tsvector", "tsvector", Kind.OTHER),
    ("vector(3)", "vector(3)", Kind.OTHER),
    ("TEXT[]", "text[]", Kind.ARRAY),
    ("INT[]", "integer[]", Kind.ARRAY),
    ("VARCHAR(5)[][]", "varchar(5)[]", Kind.ARRAY),
    ("INTEGER ARRAY", "integer[]", Kind.ARRAY),
    ("ENUM('a','b')", "text", Kind.TEXT),
    ("SET('a','b')", "text[]", Kind.ARRAY),
]


@pytest.mark.parametrize(("spelling", "sql", "kind"), SPELLINGS)
@pytest.mark.parametrize("change", [str, str.lower, str.upper], ids=["as written", "lower", "upper"])
def test_spelling_means_a_type(spelling: str, sql: str, kind: Kind, change: object) -> None:
    """Each spelling means one type, in any case of letters."""
    found = translate_type(Column(name="c", type=change(spelling)))  # type: ignore[operator]
    assert (found.sql, found.kind, found.identity) == (sql, kind, False)


@pytest.mark.parametrize(
    ("spelling", "sql"),
    [
        ("INT AUTO_INCREMENT", "integer"),
        ("BIGINT UNSIGNED AUTO_INCREMENT", "bigint"),
        ("TINYINT(1) AUTO_INCREMENT", "smallint"),
        ("SERIAL", "integer"),
        ("BIGSERIAL", "bigint"),
        ("SMALLSERIAL", "smallint"),
        ("BIGINT GENERATED BY DEFAULT AS IDENTITY", "bigint"),
    ],
)
def test_counting_columns_are_identities(spelling: str, sql: str) -> None:
    """What counts up by itself is an identity of an integer type."""
    found = translate_type(Column(name="c", type=spelling))
    assert (found.sql, found.identity) == (sql, True)


def test_the_columns_own_flag_makes_an_identity() -> None:
    """auto_increment beside the type says the same as AUTO_INCREMENT in it."""
    assert translate_type(Column(name="c", type="INT UNSIGNED", auto_increment=True)).identity


def test_values_of_enum_and_set_are_kept() -> None:
    """The allowed values come from the type, quotes undone, or from items."""
    assert translate_type(Column(name="c", type="ENUM('it''s', 'a,b)', \"x\")")).allowed == ("it's", "a,b)", "x")
    assert translate_type(Column(name="c", type="ENUM", items=("p", "q"))).allowed == ("p", "q")


def test_types_name_their_extension() -> None:
    """A type of an extension says which; so does an array of it."""
    assert translate_type(Column(name="c", type="vector(3)")).extension == "vector"
    assert translate_type(Column(name="c", type="citext[]")).extension == "citext"


@pytest.mark.parametrize(
    ("spelling", "says", "hint"),
    [
        ("VARCHR(10)", "not a known type", "varchar"),
        ("INT NOT NULL", "does not belong", "nullable"),
        ("VARCHAR(x)", "not a whole number", "VARCHAR(100)"),
        ("VARCHAR(99999999)", "at most", ""),
        ("DATETIME(9)", "at most 6", ""),
        ("UUID(3)", "takes no argument", ""),
        ("ENUM()", "names no values", "items"),
        ("TEXT UNSIGNED", "cannot be UNSIGNED", "sign"),
        ("DATE WITH TIME ZONE", "no time zone", "TIMESTAMP"),
        ("TEXT AUTO_INCREMENT", "cannot count up", "BIGINT"),
        ("(", "cannot be read", "VARCHAR"),
        ("int; DROP TABLE x", "does not belong", "nullable"),
    ],
)
def test_a_wrong_type_is_named_with_its_place(spelling: str, says: str, hint: str) -> None:
    """What is no type is an input error with place, cause and a suggestion."""
    place = Place("schema.yaml", 4, 9)
    with pytest.raises(InputError) as caught:
        translate_type(Column(name="c", type=spelling, place=place))
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.place == place


def test_checking_a_schema_knows_every_type_that_can_be_made() -> None:
    """A type of the documented list is never doubted with a notice."""
    assert set(_RULES) - KNOWN_WORDS == set()
