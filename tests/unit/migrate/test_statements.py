"""SQL text is told apart into statements, and the pieces are the text again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.migrate.statements import backslash, show_name, split
from manor.errors import InputError, Place


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" -- nothing;\n/* at; all */ ;;", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;;\n;SELECT 2 ; ", ["SELECT 1", "SELECT 2"]),
        (
            "SELECT 'a;b', \"c;d\", E'\\';', U&'x;', n'y;'; SELECT 2",
            ["SELECT 'a;b', \"c;d\", E'\\';', U&'x;', n'y;'", "SELECT 2"],
        ),
        ("SELECT 'a\\'; SELECT 2", ["SELECT 'a\\'", "SELECT 2"]),
        ("/* a /* b; */ c; */ SELECT 1; SELECT 2 -- x;\n", ["SELECT 1", "SELECT 2"]),
        ("DO $$ BEGIN a; b; END $$; SELECT 1", ["DO $$ BEGIN a; b; END $$", "SELECT 1"]),
        ("SELECT $a$ $$;$$ $a$; SELECT v$x;", ["SELECT $a$ $$;$$ $a$", "SELECT v$x"]),
        ("PREPARE p AS SELECT $1 || '', 'b;'; SELECT 1", ["PREPARE p AS SELECT $1 || '', 'b;'", "SELECT 1"]),
        ("DO $a$1; $1 $$ $2$a$; SELECT $$1;$$", ["DO $a$1; $1 $$ $2$a$", "SELECT $$1;$$"]),
        ("VACUUM t; EXPLAIN SELECT ';'; CALL p('a;b')", ["VACUUM t", "EXPLAIN SELECT ';'", "CALL p('a;b')"]),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2 AS end; END; SELECT 3",
            ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2 AS end; END", "SELECT 3"],
        ),
        (
            "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END; SELECT 1",
            ["CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END", "SELECT 1"],
        ),
        ("BEGIN; SELECT 1; END; COMMIT", ["BEGIN", "SELECT 1", "END", "COMMIT"]),
        (
            "CREATE FUNCTION begin_atomic() RETURNS int AS 'x' LANGUAGE c; SELECT 1;",
            ["CREATE FUNCTION begin_atomic() RETURNS int AS 'x' LANGUAGE c", "SELECT 1"],
        ),
    ],
)
def test_semicolons_end_statements_only_where_the_server_says_so(text: str, pieces: list[str]) -> None:
    assert [statement.text for statement in split(text).statements] == pieces


_PIECES = st.sampled_from(
    ["SELECT", " ", "\n", "\r\n", ";", "'a;b'", "$$;$$", "$x$ ' $$ $x$", "-- c;\n", "/* ; /* */ */", '"q;"', "(", ")", "CASE"]
) | st.sampled_from(
    [
        "CREATE FUNCTION f() BEGIN ATOMIC",
        "END",
        "\\x",
        "é",
        "日本",
        "1.5",
        "E'\\''",
        ",",
        "::",
        "$1",
        "\t",
        "DO",
        "VACUUM",
        "a$b",
    ]
)


@given(st.lists(_PIECES).map(" ".join))
def test_the_pieces_put_together_are_the_text(text: str) -> None:
    script = split(text)
    assert "".join(s.before + s.text for s in script.statements) + script.rest == text
    for statement in script.statements:
        line = text.split("\n")[statement.place.line - 1]
        assert line[statement.place.column - 1 :].startswith(statement.text.split("\n")[0])


@given(st.text(alphabet="'\"$-/*;\\ ab\n(){}#é\x01"))
def test_any_text_is_either_split_or_refused_with_a_place(text: str) -> None:
    try:
        script = split(text)
    except InputError as error:
        place = error.place
    else:
        place = Place("", 1, 1)
        assert "".join(s.before + s.text for s in script.statements) + script.rest == text
    assert place is not None
    assert place.line >= 1


def test_places_count_from_where_the_text_begins_in_its_file() -> None:
    first, second = split("SELECT 1;\n  SELECT 2", Place("f.sql", 7, 5)).statements
    assert (first.place, second.place) == (Place("f.sql", 7, 5), Place("f.sql", 8, 3))


def test_what_is_not_closed_is_named_with_the_place_where_it_begins() -> None:
    with pytest.raises(InputError) as caught:
        split("SELECT 1;\nSELECT 'x", Place("f.sql", 3, 1))
    assert caught.value.place == Place("f.sql", 4, 8)


def test_a_backslash_counts_only_outside_strings() -> None:
    assert backslash("SELECT E'\\n', '\\' -- \\d\n") is None
    assert backslash("SELECT 1 \\gset") == 9


def test_names_are_shown_as_people_write_them() -> None:
    (statement,) = split('SELECT S.T, "Odd  Name"."x"').statements
    assert statement.normal.startswith("SELECT S . T , ")
    assert show_name(statement.normal.split(" , ")[1]) == '"Odd  Name"."x"'
    assert show_name("S . T") == "s.t"
