"""Several migrations in one file do what they did one by one."""

from __future__ import annotations

import pytest

from manor.control.migrate.lint import lint
from manor.control.migrate.model import Migration, Section
from manor.control.migrate.squash import squash_text
from manor.errors import Place, RefusedError


def migration(version: str, up: str) -> Migration:
    place = Place(f"{version}.sql", 1, 1)
    return Migration(version=version, name="", up=Section(text=up, place=place), down=None, place=place)


def between(up: str) -> list[str]:
    """What stands between a migration and the next one."""
    text = squash_text([migration("1", up), migration("2", "SELECT 'the next'")])
    lines = text.splitlines()
    return [line for line in lines[: lines.index("SELECT 'the next';")] if line.startswith(("RESET", "SET client"))]


@pytest.mark.parametrize(
    ("up", "resets"),
    [
        ("CREATE SCHEMA app; SET search_path = app; CREATE TABLE a (i int)", ["RESET search_path;"]),
        ("SET LOCAL Search_Path TO app, public; SET SESSION work_mem = '1GB'", ["RESET search_path;", "RESET work_mem;"]),
        ("SET SCHEMA 'app'; SET TIME ZONE 'UTC'", ["RESET search_path;", "RESET timezone;"]),
        ("SELECT pg_catalog.set_config('search_path', '', false)", ["RESET search_path;"]),
        ("SELECT set_config('myapp.user', 'x', true); SET myapp.other = 'y'", ["RESET myapp.user;", "RESET myapp.other;"]),
        ("SET datestyle = 'German'", ["RESET DateStyle; SET DateStyle = ISO;"]),
        ("SELECT 1; SET client_encoding = 'LATIN1'", ["SET client_encoding = 'UTF8';"]),
        ("SELECT 1; RESET datestyle", ["RESET DateStyle; SET DateStyle = ISO;"]),
        ("SET search_path = app; SET search_path = b", ["RESET search_path;"]),
        ("SET search_path = app; RESET search_path", []),
        ("SET lock_timeout = '1s'; SET CONSTRAINTS ALL DEFERRED", []),
        ("CREATE FUNCTION f() RETURNS text SET search_path = x RETURN set_config('a.b', 'c', true)", []),
        ("UPDATE t SET search_path = 'x'; DO $$ BEGIN UPDATE t\nSET a = 1; END $$", []),
    ],
)
def test_what_a_migration_sets_ends_before_the_next_one(up: str, resets: list[str]) -> None:
    """As between two migrations of a release; a limit of time is none of it."""
    assert between(up) == resets


@pytest.mark.parametrize(
    "up",
    [
        "DO $$ BEGIN PERFORM set_config('search_path', 'app', false); END $$",
        "DO $$\nBEGIN\n  SET search_path = app;\nEND $$",
        "DO $$ BEGIN EXECUTE 'SET search_path = app'; END $$",
        "SELECT set_config(name, setting, false) FROM my_settings",
    ],
)
def test_a_setting_that_nobody_can_tell_is_refused_with_its_place(up: str) -> None:
    with pytest.raises(RefusedError) as caught:
        between(f"SELECT 1;\n{up}")
    assert str(caught.value.place) == "1.sql:2:1"
    squash_text([migration("1", "SELECT 1"), migration("2", up)])  # nothing comes after it


def test_the_lint_says_nothing_against_what_a_squash_resets() -> None:
    text = squash_text([migration("1", "SET search_path = app"), migration("2", "SELECT 1")])
    hits = lint(Section(text=text, place=Place("m.sql", 1, 1))).hits
    assert [(hit.rule, hit.place.line) for hit in hits] == [("session-setting", 4)]
