"""Rows of catalogs become lines: what is left out, what is escaped, in which order they stand."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from manor.control.engines.postgres.fingerprint_facts import FIRST, Facts, facts_of, first_message, second_message
from manor.control.engines.postgres.fingerprint_lines import lines_of

EMPTY = Facts(**{field.name: [] for field in fields(Facts)})
PUBLIC, OTHER, PG = 2200, 20000, 11


def _relation(oid: int, name: str, *, space: int = PUBLIC, kind: str = "r", **changed: Any) -> tuple[Any, ...]:
    facts = {"owner": "o", "grants": None, "persistence": "p", "secured": False, "forced": False, "options": None}
    facts |= {"identity": "d", "part": False} | changed
    return (oid, space, name, kind, *facts.values())


SPACES = [(PUBLIC, "public", "o", ["b=U/o", "a=U/o"]), (OTHER, "other", "o", None), (PG, "pg_catalog", "o", None)]


def test_the_servers_and_manors_own_objects_are_left_out() -> None:
    """Schemas of the server, Manor's tables, members of extensions and what is no relation have no line."""
    facts = replace(
        EMPTY,
        spaces=SPACES,
        relations=[
            _relation(1, "users"),
            _relation(2, "users", space=OTHER),
            _relation(3, "manor_fence"),
            _relation(4, "schema_migrations"),
            _relation(5, "manor_fence", space=OTHER),
            _relation(6, "users_pkey", kind="i"),
            _relation(7, "part_of_an_extension"),
            _relation(8, "pg_thing", space=PG),
        ],
        members=[("pg_class", 7), ("pg_proc", 1)],
    )
    assert lines_of(facts, {})[0] == [
        "schema other\towner=o",
        "schema public\towner=o\tgrants=a=U/o,b=U/o",
        "table other.manor_fence\towner=o",
        "table other.users\towner=o",
        "table users\towner=o",
    ]


def test_columns_are_counted_without_those_that_were_dropped() -> None:
    """A gap in the server's numbers is none in the positions; a line break in a default does not make two lines."""
    facts = replace(
        EMPTY,
        spaces=SPACES,
        relations=[_relation(1, "t"), _relation(2, "s", kind="S")],
        columns=[
            (1, 4, "late", "text", True, "", "", None, 0, None),
            (1, 1, "early", "bigint", False, "", "a", 'pg_catalog."C"', 2, ["x"]),
            (2, 1, "last_value", "bigint", True, "", "", None, 0, None),
        ],
        defaults=[(1, 4, "'a\nb\\c\td'::text")],
    )
    columns = [line for line in lines_of(facts, {})[0] if line.startswith("column")]
    assert columns == [
        'column t.early\tposition=1\ttype=bigint\tidentity=a\tcollation=pg_catalog."C"\tinherited=2\tgrants=x',
        "column t.late\tposition=2\ttype=text\tnot null=yes\tdefault='a\\nb\\\\c\\td'::text",
    ]


def test_a_tenants_value_is_proven_and_hidden() -> None:
    """Only the function without arguments of schema public counts, and only with the right body."""

    def function(oid: int, space: int, count: int, body: str) -> tuple[Any, ...]:
        return (oid, space, "f", "", count, "f", False, "o", None, body, f"CREATE FUNCTION f()\n{body}")

    facts = replace(EMPTY, spaces=SPACES, functions=[function(1, PUBLIC, 0, "RETURN 'a'"), function(2, OTHER, 0, "RETURN 'a'")])
    lines, proven = lines_of(facts, {"f": "RETURN 'a'"})
    assert proven == 1
    assert "function f()\towner=o\tdefinition=CREATE FUNCTION f()\\nRETURN :tenant:" in lines
    assert "function other.f()\towner=o\tdefinition=CREATE FUNCTION f()\\nRETURN 'a'" in lines
    assert lines_of(facts, {"f": "RETURN 'b'"})[1] == 0


def test_a_second_message_asks_only_for_what_is_there() -> None:
    """Nothing rare, no second message; and its rows find their places."""
    found: list[list[tuple[Any, ...]]] = [[] for _ in FIRST]
    assert second_message(found, in_transaction=True) is None
    found[list(FIRST).index("types")] = [(1, PUBLIC, "mood", "e", 0, "o", None, None, False, None)]
    message = second_message([[("said before",)], *found], in_transaction=True)
    assert message is not None
    assert b"pg_enum" in message
    assert b"pg_aggregate" not in message
    facts = facts_of([[("said before",)], *found], [[(1, "'good'")]])
    assert facts.labels == [(1, "'good'")]
    assert facts.members == []


def test_a_message_leaves_the_session_as_it_was() -> None:
    """Outside a transaction it has one of its own; inside one, a savepoint that it goes back to."""
    alone, inside = (first_message("SELECT 1", in_transaction=flag).decode() for flag in (False, True))
    assert alone.startswith("SELECT 1; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ")
    assert alone.endswith("; COMMIT")
    assert inside.startswith("SELECT 1; SAVEPOINT ")
    assert inside.endswith("; RELEASE manor_fingerprint")
