"""What PostgreSQL adds to an error, and what of it may be told."""

from __future__ import annotations

import psycopg
import pytest

from manor.control.engines.postgres.session import translate

TABLES = """
CREATE TEMP TABLE people (id integer PRIMARY KEY, secret text NOT NULL, age integer CHECK (age > 0));
CREATE TEMP VIEW adults AS SELECT * FROM people WHERE age > 18 WITH CHECK OPTION;
INSERT INTO people VALUES (1, 'hunter2', 30)
"""


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("INSERT INTO people VALUES (2, 'hunter2', 0)", "23514"),
        ("UPDATE people SET secret = NULL, age = 4711", "23502"),
        ("INSERT INTO adults VALUES (2, 'hunter2', 3)", "44000"),
    ],
    ids=["check", "not null", "view"],
)
def test_a_row_that_fails_a_constraint_is_not_told(server_url: str, statement: str, state: str) -> None:
    """PostgreSQL would show the whole row ("Failing row contains …"): it stays out of messages and hints."""
    error = refused(server_url, statement)
    assert error.diag.message_detail
    told = translate(error, "server main")
    assert f"[{state}]" in told.message
    assert "Failing row" not in told.message + told.hint
    assert "hunter2" not in told.message + told.hint
    assert "4711" not in told.message + told.hint


def test_a_key_that_is_taken_is_told(server_url: str) -> None:
    """The detail of a unique key is that key alone, and without it nobody finds the row."""
    told = translate(refused(server_url, "INSERT INTO people VALUES (1, 'hunter2', 30)"), "server main")
    assert "(Key (id)=(1) already exists.)" in told.message
    assert "hunter2" not in told.message


def refused(url: str, statement: str) -> psycopg.Error:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement.encode())
    return caught.value
