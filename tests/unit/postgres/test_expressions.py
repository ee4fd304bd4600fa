"""Defaults, conditions and queries of both dialects become PostgreSQL's; what is PostgreSQL's already is not touched."""

from __future__ import annotations

import pytest

from manor.control.engines.postgres.expressions import (
    Default,
    backticks_to_quotes,
    compile_default,
    query_tables,
    translate_expression,
    translate_generated,
    translate_query,
)
from manor.control.engines.postgres.types import translate_type
from manor.control.templates.model import Column
from manor.errors import InputError, Place


@pytest.mark.parametrize(
    ("type_", "written", "expression"),
    [
        ("TIMESTAMP", "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        ("TIMESTAMP", "NOW()", "CURRENT_TIMESTAMP"),
        ("DATETIME(6)", "NOW(6)", "CURRENT_TIMESTAMP(6)"),
        ("DATETIME", "(now())", "CURRENT_TIMESTAMP"),
        ("DATE", "(CURRENT_DATE)", "CURRENT_DATE"),
        ("DATE", "CURRENT_TIMESTAMP", "CURRENT_DATE"),
        ("CHAR(36)", "UUID()", "gen_random_uuid()"),
        ("UUID", "(uuid())", "gen_random_uuid()"),
        ("UUID", "gen_random_uuid()", "gen_random_uuid()"),
        ("VARCHAR(5)", "'it''s'", "'it''s'"),
        ("VARCHAR(5)", '"active"', "'active'"),
        ("INT", "-5", "-5"),
        ("DECIMAL(5,2)", "1.50", "1.50"),
        ("BOOLEAN", "TRUE", "true"),
        ("TINYINT(1)", "1", "true"),
        ("TINYINT(1)", "'0'", "false"),
        ("BIT(1)", "b'0'", "false"),
        ("BIT(4)", "b'0101'", "B'0101'"),
        ("INT", "b'101'", "5"),
        ("JSON", "'[]'", "'[]'"),
        ("JSON", "(JSON_OBJECT())", "'{}'"),
        ("SET('a','b','c')", "'a,c'", "ARRAY['a', 'c']::text[]"),
        ("TEXT[]", "'{}'", "'{}'"),
        ("TEXT", "lower('X')", "lower('X')"),
        ("TEXT", "'a' || 'b'", "'a' || 'b'"),
        ("INT", "NULL", None),
        ("INT", None, None),
    ],
)
def test_default(type_: str, written: str | None, expression: str | None) -> None:
    """Each way to write a default means one expression."""
    column = Column(name="c", type=type_, default=written)
    assert compile_default(column, translate_type(column)) == Default(expression=expression)


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ("CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        ("CURRENT_TIMESTAMP(6) on update current_timestamp(6)", "CURRENT_TIMESTAMP(6)"),
        ("ON UPDATE NOW()", None),
        ("NULL ON UPDATE CURRENT_TIMESTAMP", None),
    ],
)
def test_on_update_is_told_apart_from_the_default(written: str, expression: str | None) -> None:
    """ON UPDATE is not part of the default."""
    column = Column(name="c", type="DATETIME", default=written)
    assert compile_default(column, translate_type(column)) == Default(expression=expression, on_update=True)


def test_a_bare_word_is_refused_with_the_way_to_quote_it() -> None:
    """A text without quotes is the likeliest slip of all: it gets a hint that can be copied."""
    column = Column(name="c", type="TEXT", default="active", place=Place("schema.yaml", 3, 7))
    with pytest.raises(InputError, match="not an SQL expression") as caught:
        compile_default(column, translate_type(column))
    assert "\"'active'\"" in caught.value.hint
    assert caught.value.place == column.place


@pytest.mark.parametrize(
    ("written", "translated"),
    [
        ("a + b", "a + b"),
        ("tags @> ARRAY['x']", "tags @> ARRAY['x']"),
        ("payload @? '$.a'", "payload @? '$.a'"),
        ("`a` > 1", '("a" > 1)'),
        ("IFNULL(a, 0) > 1", "(COALESCE(a, 0) > 1)"),
        ('NEW.status = "active"', "NEW.status = 'active'"),
        ('NEW."status" = "it\'s"', "NEW.\"status\" = 'it''s'"),
        ("a = 'x -- \"y\"'", "a = 'x -- \"y\"'"),
    ],
)
def test_expression(written: str, translated: str) -> None:
    """PostgreSQL's own text stays as it is; MySQL's backticks, strings and functions are translated."""
    assert translate_expression(written) == translated


def test_a_double_quoted_column_stays_a_name() -> None:
    """A double-quoted word that names a column is that column."""
    assert translate_expression('"order" > "x"', names={"order"}) == "\"order\" > 'x'"


@pytest.mark.parametrize("written", ["(a", "a)", "'a", 'b "'])
def test_an_open_quote_or_parenthesis_is_refused(written: str) -> None:
    """Text that would swallow the rest of its statement never gets into one."""
    with pytest.raises(InputError, match="cannot be read"):
        translate_expression(written)


def test_concat_becomes_immutable() -> None:
    """CONCAT in a generated column is written with ||, with every part as text."""
    assert translate_generated("CONCAT(a, ' ', b)") == "((CAST((a) AS TEXT) || ' ' || CAST((b) AS TEXT)))"


def test_query_is_translated_only_where_it_must_be() -> None:
    """A view's query keeps its letters unless it is MySQL's."""
    own = "SELECT a,b   FROM t -- note\nWHERE a IS NOT NULL"
    assert translate_query(own + ";\n", name="v") == own
    assert translate_query('SELECT `a` FROM `t` WHERE b = "x"', name="v") == 'SELECT "a" FROM "t" WHERE b = \'x\''


@pytest.mark.parametrize("written", ["DROP TABLE t", "SELECT 1; DROP TABLE t -- '", "SELECT ("])
def test_what_is_no_query_is_refused(written: str) -> None:
    """A view is one query."""
    with pytest.raises(InputError, match="view 'v'"):
        translate_query(written, name="v")


def test_tables_of_a_query() -> None:
    """The tables that a query reads are found, in joins and subqueries too."""
    assert {"a", "b", "c"} <= query_tables("SELECT * FROM a JOIN b USING (id) WHERE x IN (SELECT x FROM c)")


def test_backticks_inside_strings_stay() -> None:
    """A backtick in a string is a character of it."""
    assert backticks_to_quotes("`a``b` = '`'") == "\"a`b\" = '`'"
