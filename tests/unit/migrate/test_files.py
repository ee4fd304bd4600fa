"""Files become migrations; what cannot be used is named with its place."""

from __future__ import annotations

import pytest

from manor.control.migrate.files import assemble, chain_findings, parse_migration, parse_part
from manor.control.migrate.model import Migration
from manor.errors import Place

DBMATE = """\
-- what this is for

-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY x ON t (a);

-- migrate:down
DROP INDEX x;
"""


def good(content: str | bytes, name: str) -> Migration:
    migration, findings = parse_migration(content, name, shown_as=f"migrations/{name}")
    assert findings == []
    assert migration is not None
    return migration


def bad(content: str | bytes, name: str = "1_a.sql") -> list[str]:
    migration, findings = parse_migration(content, name, shown_as=name)
    assert migration is None
    assert findings
    return [str(finding) for finding in findings]


def test_dbmates_sections_are_read_with_their_options_and_places() -> None:
    migration = good(DBMATE, "20261121093000_add_index.sql")
    assert (migration.version, migration.name) == ("20261121093000", "add_index")
    assert migration.up.text.strip() == "CREATE INDEX CONCURRENTLY x ON t (a);"
    assert migration.up.place == Place("migrations/20261121093000_add_index.sql", 4, 1)
    assert not migration.up.transaction
    assert migration.down is not None
    assert (migration.down.text.strip(), migration.down.transaction, migration.down.place.line) == ("DROP INDEX x;", True, 7)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    plain = good(DBMATE, "1_a.sql")
    windows = good(b"\xef\xbb\xbf" + DBMATE.replace("\n", "\r\n").encode(), "1_a.sql")
    assert windows.checksum == plain.checksum
    assert windows.down is not None


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("1_a.sql", "1", "a"),
        ("20261121_2fa.sql", "20261121", "2fa"),
        ("V1_2__add_plan.sql", "1.2", "add_plan"),
        ("V2026.11.21__x.sql", "2026.11.21", "x"),
        ("V001__.sql", "001", ""),
        ("v2.1.sql", "2.1", ""),
        ("V2.1.sql", "2.1", ""),
        ("v2.1_add_plan.sql", "2.1", "add_plan"),
        ("2.1.sql", "2.1", ""),
        ("5.sql", "5", ""),
        ("2.1_2fa.sql", "2.1", "2fa"),
    ],
)
def test_the_version_is_read_from_the_name(name: str, version: str, words: str) -> None:
    migration = good("-- migrate:up\nSELECT 1;\n", name)
    assert (migration.version, migration.name, migration.up.text) == (version, words, "SELECT 1;\n")


@pytest.mark.parametrize("name", ["V1__a.sql", "v2.1.sql", "2.1_x.sql"])
def test_without_sections_the_whole_text_is_up(name: str) -> None:
    migration = good("SELECT 1;\n", name)
    assert (migration.up.text, migration.up.transaction, migration.down) == ("SELECT 1;\n", True, None)


@pytest.mark.parametrize("name", ["a.sql", "V1_2.sql", "v1_2.sql", "_1.sql", "1-a.sql", "V__a.sql", "٣_a.sql", "1_a.SQL", ""])
def test_a_name_without_a_version_is_refused_with_an_example(name: str) -> None:
    (problem,) = bad("SELECT 1", name)
    assert "is not the name of a migration" in problem
    assert "20261121093000_add_plan.sql" in problem


def test_repeatable_migrations_of_flyway_are_named_as_unsupported() -> None:
    (problem,) = bad("SELECT 1", "R__views.sql")
    assert "repeatable" in problem


def test_an_empty_down_section_says_nothing_about_undoing() -> None:
    assert good("-- migrate:up\nSELECT 1;\n-- migrate:down\n-- cannot be undone\n", "1_a.sql").down is None
    assert good("-- migrate:up\nSELECT 1;\n-- migrate:down", "1_a.sql").down is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("SELECT 1;", "1_a.sql:1:1: there is no line -- migrate:up"),
        ("-- c\n  SELECT 1;\n-- migrate:up\nSELECT 2;", "1_a.sql:2:3: there is SQL before -- migrate:up"),
        ("-- migrate:down\nSELECT 1;\n-- migrate:up\nSELECT 2;", "1_a.sql:1:1: migrate:down cannot stand here"),
        ("-- migrate:up\nSELECT 1;\n-- migrate:up\nSELECT 2;", "1_a.sql:3:1: migrate:up cannot stand here"),
        ("-- migrate:up\nSELECT 1;\n-- migrate:down\nx;\n-- migrate:down\n", "1_a.sql:5:1: migrate:down cannot stand here"),
        ("-- migrate:up transaction:no\nSELECT 1;", "1_a.sql:1:15: 'transaction:no' is no option"),
        (
            "-- migrate:up\nSELECT 1;\n -- Migrate: down\nSELECT 2;",
            "1_a.sql:3:1: this line looks like the beginning of a section",
        ),
        ("-- migrate:up\n\n-- nothing\n", "1_a.sql:2:1: the up section has no SQL to run"),
        ("-- migrate:up", "1_a.sql:1:14: the file has no SQL to run"),
        ("", "1_a.sql:1:1: there is no line -- migrate:up"),
        ("-- migrate:up\nSELECT '\0'", "1_a.sql:2:9: the file has a NUL character"),
        (b"-- migrate:up\nSELECT '\xff'", "1_a.sql:2:9: the file is not UTF-8"),
        ("-- migrate:up\nSELECT 'x", "1_a.sql:2:8: the SQL cannot be read: a string, comment or name is not closed"),
        ("-- migrate:up\n\\i other.sql\nSELECT 1;", "1_a.sql:2:1: a backslash begins a command of psql"),
        ("-- migrate:up\nSELECT 1;\n\\connect it's\n", "1_a.sql:3:1: a backslash begins a command of psql"),
        ("-- migrate:up\nSELECT 1 \\gset\n", "1_a.sql:2:10: a backslash begins a command of psql"),
        (
            "-- migrate:up\nCOPY t (a) FROM stdin;\n1\t\\N\n\\.\nSELECT 1;",
            "1_a.sql:2:1: COPY … FROM STDIN is read by psql only",
        ),
        (
            "-- migrate:up\nSELECT 1;\nCOPY t FROM STDIN WITH CSV;\nit's\n\\.\n",
            "1_a.sql:3:1: COPY … FROM STDIN is read by psql only",
        ),
        ("-- migrate:up\nSELECT 1;\n-- migrate:down\n\\i x\n", "1_a.sql:4:1: a backslash begins a command of psql"),
        ("-- manor:squashes\n-- migrate:up\nSELECT 1;", "1_a.sql:1:1: manor:squashes names no versions"),
        ("-- manor:squashes 1..9\n-- migrate:up\nSELECT 1;", "1_a.sql:1:1: manor:squashes names no versions"),
        ("-- migrate:up\nSELECT 1;\n-- manor:squashes 0.5\n", "1_a.sql:3:1: manor:squashes cannot stand here"),
        ("-- manor:squashes 2\n-- migrate:up\nSELECT 1;", "1_a.sql:1:1: version 1 cannot stand for 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(content: str | bytes, problem: str) -> None:
    assert bad(content)[0].startswith(problem)


def test_psql_commands_in_strings_and_bodies_are_left_alone() -> None:
    good("SELECT E'\\n', '\n\\i x\n';\nDO $$\n\\d\nCOPY t FROM STDIN;\n$$", "v1.sql")


def test_a_plain_or_empty_file_without_sql_is_refused() -> None:
    assert bad("-- nothing\n", "v1.sql")[0].startswith("v1.sql:1:1: the file has no SQL to run")


def test_a_header_says_what_a_squashed_migration_stands_for() -> None:
    content = "-- baseline\n-- manor:squashes 1 2.1, 20260101\n-- manor:squashes 3\n-- migrate:up\nSELECT 1;\n"
    assert good(content, "20261121_base.sql").squashes == ("1", "2.1", "20260101", "3")
    assert good("-- manor:squashes 1\nSELECT 1;", "v2.sql").squashes == ("1",)


def test_flyways_undo_files_are_joined_with_the_versions_that_they_undo() -> None:
    parts = [
        parse_part(text, name, shown_as=name)[0]
        for name, text in [
            ("U1_2__a.sql", "DROP TABLE t;"),
            ("V1.10__b.sql", "SELECT 1;"),
            ("V1_2__a.sql", "CREATE TABLE t ();"),
        ]
    ]
    migrations, findings = assemble([part for part in parts if part is not None])
    assert findings == []
    assert [(m.version, m.down.text if m.down else None) for m in migrations] == [("1.2", "DROP TABLE t;"), ("1.10", None)]


def test_an_undo_file_alone_or_with_sections_is_a_finding() -> None:
    assert "there is no file V3__" in bad("SELECT 1;", "U3__x.sql")[0]
    assert "have no sections" in bad("-- migrate:up\nSELECT 1;", "U3__x.sql")[0]
    assert "has no SQL" in bad("", "U3__x.sql")[0]


def test_a_version_that_stands_twice_is_named_with_both_files() -> None:
    twins = [good("SELECT 1;", "v1.sql"), good("SELECT 2;", "V001__x.sql"), good("SELECT 3;", "1.0.sql")]
    problems = [str(finding) for finding in chain_findings(twins)]
    assert len(problems) == 2
    assert problems[0].startswith(
        "migrations/V001__x.sql:1:1: version 001 stands twice: also in migrations/v1.sql (1 and 001 are"
    )


def test_a_squashed_version_whose_file_is_still_there_is_a_finding() -> None:
    chain = [good("SELECT 1;", "v1.sql"), good("-- manor:squashes 1 0.5\nSELECT 1;", "v2.sql")]
    (problem,) = chain_findings(chain)
    assert "version 1 is squashed into 2, but migrations/v1.sql is still there" in problem.message


def test_the_checksum_is_about_the_up_section_only() -> None:
    one = good(DBMATE, "1_a.sql")
    assert good(DBMATE.replace("DROP INDEX x", "DROP INDEX IF EXISTS x"), "1_b.sql").checksum == one.checksum
    assert good(DBMATE.replace("(a)", "(b)"), "1_a.sql").checksum != one.checksum
    assert good(DBMATE.replace(" transaction:false", ""), "1_a.sql").checksum != one.checksum
