"""Cells reach PostgreSQL exactly as they were written, or are refused with table, column and row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from manor.control.engines.postgres import values
from manor.control.engines.postgres.types import translate_type
from manor.control.templates.model import BoundDataset, Column, Sql, Table
from manor.errors import InputError


def _table(*columns: Column) -> Table:
    return Table(schema="main", name="t", columns=columns)


def _dataset(columns: str, *rows: tuple[Any, ...]) -> BoundDataset:
    return BoundDataset(table="t", columns=tuple(columns.split()), rows=rows)


CELLS: list[tuple[str, Any, object]] = [
    ("TEXT", "a", "a"),
    ("VARCHAR(9)", 7, "7"),
    ("VARCHAR(9)", Decimal("1.10"), "1.10"),
    ("TEXT", True, "true"),
    ("TEXT", {"a": [1]}, '{"a": [1]}'),
    ("INT", 7, 7),
    ("INT", "007", 7),
    ("INT", True, 1),
    ("BIGINT UNSIGNED", 2**64 - 1, 2**64 - 1),
    ("INT", Decimal("7.0"), 7),
    ("DECIMAL(20,10)", Decimal("0.1000000001"), Decimal("0.1000000001")),
    ("DECIMAL(5,2)", "1.50", Decimal("1.50")),
    ("DOUBLE", 3, 3),
    ("BOOLEAN", 1, True),
    ("TINYINT(1)", 0, False),
    ("BOOLEAN", "True", True),
    ("TIMESTAMP", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("DATE", "2024-01-01", "2024-01-01"),
    ("JSON", {"a": Decimal("0.10"), "b": [None, True, "日"]}, '{"a": 0.10, "b": [null, true, "日"]}'),
    ("JSON", [1, 2], "[1, 2]"),
    ("JSON", '{"a":  1}', '{"a":  1}'),
    ("JSON", "plain", '"plain"'),
    ("JSON", "7", '"7"'),
    ("JSON", 7, "7"),
    ("JSON", False, "false"),
    ("BLOB", b"\x00\xff", b"\x00\xff"),
    ("BLOB", "\\x00ff", b"\x00\xff"),
    ("BLOB", "日", "日".encode()),
    ("UUID", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
    ("TEXT[]", ["a", 'b"\\', None, "NULL", ""], '{"a","b\\"\\\\",NULL,"NULL",""}'),
    ("INT[]", [[1, 2], [3, 4]], '{{"1","2"},{"3","4"}}'),
    ("TEXT[]", "{a,b}", "{a,b}"),
    ("JSONB[]", [{"a": 1}, [2]], '{"{\\"a\\": 1}","[2]"}'),
    ("SET('a','b')", "a, b", '{"a","b"}'),
    ("SET('a','b')", ["b"], '{"b"}'),
    ("vector(3)", [1, Decimal("2.5"), 3], "[1, 2.5, 3]"),
    ("INET", "10.0.0.1", "10.0.0.1"),
    ("INTERVAL", "1 day", "1 day"),
]


@pytest.mark.parametrize(("type_", "cell", "sent"), CELLS)
def test_cell(type_: str, cell: Any, sent: object) -> None:
    """What is sent for a cell, with its exact Python type."""
    shaped = values.shape_cell(translate_type(Column(name="c", type=type_)), cell)
    assert (shaped, type(shaped)) == (sent, type(sent))


@pytest.mark.parametrize(
    ("type_", "cell", "says"),
    [
        ("INT", "x", "not a whole number"),
        ("INT", Decimal("1.5"), "not a whole number"),
        ("INT", Decimal("NaN"), "not a whole number"),
        ("INT", [1], "not a whole number"),
        ("DECIMAL(5,2)", "abc", "not a number"),
        ("BOOLEAN", "maybe", "neither true nor false"),
        ("BOOLEAN", 2, "neither true nor false"),
        ("DATE", 20240101, "not a date"),
        ("DATETIME", "0000-00-00 00:00:00", "no year 0000"),
        ("TEXT", "a\0b", "NUL"),
        ("JSON", {"a": "x\0"}, "NUL"),
        ("JSON", "{broken", "not JSON"),
        ("JSON", {"a": Decimal("NaN")}, "no number NaN"),
        ("ENUM('a','b')", "c", "'c' is not allowed"),
        ("SET('a','b')", "a,c", "'c' is not allowed"),
        ("TEXT[]", "a", "not a list"),
        ("BLOB", 7, "neither bytes nor text"),
    ],
)
def test_a_wrong_cell_is_named(type_: str, cell: Any, says: str) -> None:
    """The error names table, column, row and what is wrong."""
    table = _table(Column(name="c", type=type_))
    with pytest.raises(InputError, match=says) as caught:
        values.insert_statement(table, _dataset("c", (None,), (cell,)))
    assert "t.c, row 2" in caught.value.message


def test_insert_is_one_statement_with_parameters() -> None:
    """Values are parameters, expressions stand in their place, and percent signs are psycopg-safe."""
    table = _table(Column(name="a%", type="TEXT"), Column(name="b", type="TIMESTAMP"))
    dataset = _dataset("a% b", ("x", Sql("now()")), (Sql("'50%'"), None))
    [(statement, parameters)] = values.insert_statement(table, dataset)
    assert statement == 'INSERT INTO "t" ("a%%", "b") VALUES\n(%s, (now())),\n((\'50%%\'), %s)'
    assert parameters == ["x", None]


def test_no_number_means_the_next_number() -> None:
    """NULL in a counting column counts, as in MySQL."""
    table = _table(Column(name="id", type="SERIAL"), Column(name="a", type="TEXT"))
    [(statement, parameters)] = values.insert_statement(table, _dataset("id a", (None, "x"), (5, "y")))
    assert statement.endswith("OVERRIDING SYSTEM VALUE VALUES\n(DEFAULT, %s),\n(%s, %s)")
    assert parameters == ["x", 5, "y"]


@pytest.mark.parametrize(("columns", "rows", "statements"), [(1, 2500, 3), (100, 1300, 3), (1, 0, 0)])
def test_large_datasets_come_in_pieces(columns: int, rows: int, statements: int) -> None:
    """At most 1,000 rows and 60,000 parameters a statement, and every row once."""
    names = [f"c{n}" for n in range(columns)]
    table = _table(*(Column(name=name, type="INT") for name in names))
    dataset = BoundDataset(table="t", columns=tuple(names), rows=tuple((n,) * columns for n in range(rows)))
    made = values.insert_statement(table, dataset)
    assert len(made) == statements
    assert sum(len(parameters) for _, parameters in made) == rows * columns
    assert all(len(parameters) <= 60_000 for _, parameters in made)


def test_generated_columns_take_no_value() -> None:
    """A generated column without values is left out, one with a value is refused."""
    table = _table(Column(name="a", type="INT"), Column(name="g", type="INT", expression="a + 1"))
    [(statement, parameters)] = values.insert_statement(table, _dataset("a g", (1, None)))
    assert (statement, parameters) == ('INSERT INTO "t" ("a") VALUES\n(%s)', [1])
    with pytest.raises(InputError, match="generated by the database"):
        values.insert_statement(table, _dataset("a g", (1, 2)))


def test_unknown_column() -> None:
    """A column that the table does not have is refused with a suggestion."""
    with pytest.raises(InputError, match="no column 'emial'") as caught:
        values.insert_statement(_table(Column(name="email", type="TEXT")), _dataset("emial", ("x",)))
    assert "email" in caught.value.hint


def test_copy() -> None:
    """COPY gives the same values; it cannot hold expressions, nor a counting column with gaps."""
    table = _table(Column(name="id", type="SERIAL"), Column(name="a", type="JSON"))
    dataset = _dataset("id a", (1, {"x": 1}))
    assert values.copy_statement(table, dataset) == 'COPY "t" ("id", "a") FROM STDIN'
    assert list(values.copy_lines(table, dataset)) == [(1, '{"x": 1}')]
    assert values.can_copy(dataset)
    assert not values.can_copy(_dataset("a", (Sql("now()"),)))
    with pytest.raises(InputError, match="has no value"):
        list(values.copy_lines(table, _dataset("id a", (None, 1))))


def test_a_type_that_only_the_server_knows_takes_text() -> None:
    """A domain of a schema.sql is not known here: the server reads the text."""
    table = _table(Column(name="c", type="email_address"))
    assert values.insert_statement(table, _dataset("c", ("a@b.c",)))[0][1] == ["a@b.c"]


def test_rows_without_values_are_an_insert_each() -> None:
    """PostgreSQL has no INSERT of several rows without columns, and COPY without columns does not exist."""
    table = _table(Column(name="id", type="SERIAL"))
    dataset = _dataset("", (), (), ())
    assert values.insert_statement(table, dataset) == [('INSERT INTO "t" DEFAULT VALUES', [])] * 3
    assert not values.can_copy(dataset)
