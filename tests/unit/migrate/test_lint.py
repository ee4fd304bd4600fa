"""The rules: what they say, where, and when they are silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.migrate.lint import RULES, lint, unpreparable
from manor.control.migrate.lint_facts import Severity
from manor.control.migrate.model import Section
from manor.control.migrate.statements import split
from manor.errors import Place


def section(text: str, *, transaction: bool = True) -> Section:
    return Section(text=text, place=Place("m.sql", 1, 1), transaction=transaction)


def rules(text: str, *, transaction: bool = True) -> list[str]:
    return [f"{hit.severity}:{hit.rule}" for hit in lint(section(text, transaction=transaction)).hits]


ERRORS = [
    ("BEGIN", "transaction-control"),
    ("START TRANSACTION", "transaction-control"),
    ("COMMIT", "transaction-control"),
    ("END", "transaction-control"),
    ("ROLLBACK TO x", "transaction-control"),
    ("SAVEPOINT x", "transaction-control"),
    ("PREPARE TRANSACTION 'x'", "transaction-control"),
    ("COMMIT PREPARED 'x'", "transaction-control"),
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "transaction-isolation"),
    ("SET ROLE x", "session-role"),
    ("SET LOCAL ROLE x", "session-role"),
    ("SELECT set_config('role', 'x', false)", "session-role"),
    ("SELECT pg_catalog . set_config ( 'Session_Authorization', 'x', true)", "session-role"),
    ("SET SESSION AUTHORIZATION x", "session-role"),
    ("CREATE INDEX CONCURRENTLY x ON t (a)", "outside-transaction"),
    ("VACUUM t", "outside-transaction"),
    ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "outside-transaction"),
    ("DROP TABLE schema_migrations", "manor-tables"),
    ("DELETE FROM public.schema_migrations", "manor-tables"),
    ("ALTER TABLE manor_lock ADD x int", "manor-tables"),
    ('UPDATE "manor_lock" SET a = 1 WHERE true', "manor-tables"),
    ("INSERT INTO t SELECT * FROM schema_migrations", "manor-tables"),
    ("DROP SCHEMA public CASCADE", "manor-tables"),
    ("DROP OWNED BY x", "drop-owned"),
    ("ALTER DATABASE x SET work_mem = '5MB'", "names-a-database"),
    ("GRANT CONNECT ON DATABASE x TO PUBLIC", "opens-the-database"),
    ("grant all privileges on database x, y to z with grant option", "opens-the-database"),
    ("REVOKE GRANT OPTION FOR CREATE ON DATABASE x FROM y", "opens-the-database"),
    ("ALTER SYSTEM SET x = 1", "alter-system"),
    ("ALTER TYPE mood ADD VALUE 'calm'; UPDATE t SET m = 'calm' WHERE a", "enum-value-used"),
]


@pytest.mark.parametrize(("sql", "rule"), ERRORS, ids=[row[0] for row in ERRORS])
def test_what_cannot_work_is_an_error(sql: str, rule: str) -> None:
    assert f"error:{rule}" in rules(sql)


WARNINGS = [
    ("ALTER TABLE t ADD x uuid DEFAULT gen_random_uuid()", "volatile-default"),
    ("ALTER TABLE t ADD x int GENERATED ALWAYS AS IDENTITY", "add-serial"),
    ("ALTER TABLE t ADD x int GENERATED ALWAYS AS (a) STORED", "stored-generated"),
    ("ALTER TABLE t ADD x int NOT NULL", "required-column"),
    ("ALTER TABLE t ADD x int NOT NULL DEFAULT NULL", "required-column"),
    ("ALTER TABLE t ADD x int UNIQUE", "unique-without-index"),
    ("ALTER TABLE t ALTER a TYPE bigint", "column-type"),
    ("ALTER TABLE t ALTER a SET NOT NULL", "set-not-null"),
    ("ALTER TABLE t ADD CHECK (a > 0)", "check-without-not-valid"),
    ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u", "foreign-key-without-not-valid"),
    ("ALTER TABLE t ADD PRIMARY KEY (a)", "unique-without-index"),
    ("ALTER TABLE t ADD EXCLUDE USING gist (a WITH =)", "exclusion-constraint"),
    ("ALTER TABLE t DROP a", "drop-column"),
    ("ALTER TABLE t RENAME a TO b", "rename-column"),
    ("ALTER TABLE t RENAME TO u", "rename-table"),
    ("ALTER TABLE t SET LOGGED", "table-moved"),
    ("ALTER TABLE t ATTACH PARTITION p FOR VALUES IN (1)", "attach-partition"),
    ("ALTER TABLE t DETACH PARTITION p", "detach-partition"),
    (
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c",
        "validate-in-same-transaction",
    ),
    ("CREATE INDEX ON t (a)", "index-without-concurrently"),
    ("DROP INDEX x", "drop-index-without-concurrently"),
    ("REINDEX TABLE t", "reindex"),
    ("CLUSTER t", "cluster"),
    ("DROP TABLE t", "drop-table"),
    ("TRUNCATE t", "truncate"),
    ("LOCK t", "lock-table"),
    ("REFRESH MATERIALIZED VIEW v", "refresh-without-concurrently"),
    ("UPDATE t SET a = 1", "whole-table-change"),
    ("DELETE FROM t", "whole-table-change"),
    ("ALTER ROLE x LOGIN", "server-wide"),
    ("SET search_path = x", "session-setting"),
    ("SELECT pg_catalog.set_config('search_path', '', false)", "session-setting"),
    ("SET lock_timeout = '1h'", "timeout-setting"),
    ("RESET ALL", "timeout-setting"),
    ("DO $$ BEGIN CREATE TEMP TABLE x (a int); END $$", "block-temporary"),
    ("DO $$ BEGIN COMMIT; END $$", "block-transaction-control"),
    ("DO $$ BEGIN DELETE FROM schema_migrations; END $$", "manor-tables"),
    ("COPY t FROM '/tmp/x'", "server-file"),
    ("FOO BAR", "unknown-statement"),
    ("INSERT users VALUES (1)", "unknown-statement"),
    ("CREATE TABEL x (a int)", "unknown-statement"),
    ("ALTER TABLE t ADD COLUMN", "unknown-statement"),
    ("ALTER TABLE t", "unknown-statement"),
    ("ALTER TABLE t DROP a, MODIFY b int", "unknown-statement"),
    ("this is no SQL at all", "unknown-statement"),
    ("DROP VIEW v", "drop-schema-object"),
]


@pytest.mark.parametrize(("sql", "rule"), WARNINGS, ids=[row[0] for row in WARNINGS])
def test_what_may_hurt_is_a_warning_that_can_be_allowed(sql: str, rule: str) -> None:
    assert f"warning:{rule}" in rules(sql)
    last = split(sql).statements[-1].text
    assert f"warning:{rule}" not in rules(sql.replace(last, f"\n-- manor:allow {rule}\n{last}"))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (a int PRIMARY KEY); CREATE INDEX ON x (a); ALTER TABLE x ADD CHECK (a > 0), ALTER a SET NOT NULL",
        "CREATE TABLE x (a int); UPDATE x SET a = 1; DROP TABLE x",
        'CREATE TABLE "x" (a int); CREATE INDEX ON public.x (a)',
        "ALTER TABLE t ADD x int, ADD y text NOT NULL DEFAULT '', ADD z timestamptz DEFAULT now()",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
        "ALTER TABLE t VALIDATE CONSTRAINT c",
        "ALTER TABLE t ADD x int REFERENCES u",
        "UPDATE t SET a = 1 WHERE b = 2",
        "SET LOCAL search_path = x",
        "SELECT set_config('search_path', '', true)",
        "SELECT t.manor_id, manor_name FROM t WHERE note = 'DROP TABLE schema_migrations'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN COMMIT; NOTIFY x; END $$",
        "GRANT SELECT ON t TO x; COMMENT ON TABLE t IS 'BEGIN'; CREATE VIEW v AS SELECT 1",
        "SELECT '(', $$[$$ -- )\n, \"odd ]\"; SELECT (ARRAY[[1], [2]])[1]",
        "ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b; ALTER FOREIGN TABLE t ALTER a OPTIONS (SET b 'c')",
        "CREATE TRUSTED PROCEDURAL LANGUAGE x; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x; (SELECT 1); VALUES (1)",
        "CREATE UNLOGGED SEQUENCE s; CREATE OR REPLACE RECURSIVE VIEW v (a) AS SELECT 1; CREATE FOREIGN DATA WRAPPER w",
        "SELECT 'set_config(''role'', ''x'', false)'",
        "",
    ],
)
def test_what_is_harmless_is_passed_over(sql: str) -> None:
    assert rules(sql) == []


def test_what_refuses_a_transaction_is_fine_without_one() -> None:
    assert rules("CREATE INDEX CONCURRENTLY x ON t (a); VACUUM t", transaction=False) == []
    for useless in ("SET work_mem = '1GB'", "SET LOCAL lock_timeout = '1s'", "CREATE TEMP TABLE x (id int)"):
        assert rules(useless, transaction=False) == ["warning:no-effect-outside-transaction"]
    assert rules("ALTER TYPE m ADD VALUE 'x'; UPDATE t SET m = 'x' WHERE a", transaction=False) == ["notice:enum-value"]


def test_hits_name_their_place_and_become_findings() -> None:
    (hit,) = lint(Section(text="\nSELECT 1;\n  DROP TABLE t;", place=Place("m.sql", 4, 1))).hits
    assert (hit.place, hit.statement, hit.severity) == (Place("m.sql", 6, 3), "drop table", Severity.WARNING)
    assert str(hit.finding()).startswith(
        "m.sql:6:3: the running application may still use it, and its rows are gone [drop-table]"
    )


def test_allow_takes_several_rules_and_reports_those_that_do_not_exist() -> None:
    text = (
        "-- manor:allow drop-column, required-column\n-- why\nALTER TABLE t DROP a, ADD b int NOT NULL;\nALTER TABLE t DROP c;"
    )
    assert rules(text) == ["warning:drop-column"]
    assert rules("-- manor:allow drop-colum\nSELECT 1") == ["notice:unknown-rule"]
    assert rules("SELECT 1; -- manor:allow drop-table\nDROP TABLE t") == ["warning:drop-table"]


def test_sql_that_cannot_be_told_apart_is_a_hit() -> None:
    (hit,) = lint(section("SELECT 1;\nSELECT 'x")).hits
    assert (hit.rule, str(hit.place)) == ("not-closed", "m.sql:2:8")


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT 1;\nCREATE TABLE t\n  (id int;\nCREATE TABLE u (id int);", "m.sql:3:3"),
        ("SELECT 1; INSERT INTO t VALUES (1)) ON CONFLICT DO NOTHING", "m.sql:1:35"),
        ("SELECT a[1", "m.sql:1:9"),
        ("SELECT (a[1)]", "m.sql:1:12"),
    ],
)
def test_a_bracket_without_a_partner_is_an_error_at_its_place(sql: str, place: str) -> None:
    (hit,) = lint(section(sql)).hits
    assert (hit.rule, hit.severity, str(hit.place)) == ("not-closed", Severity.ERROR, place)


def test_every_rule_that_speaks_has_a_name_that_can_be_allowed() -> None:
    spoken = {hit.rule for sql, _ in [*ERRORS, *WARNINGS] for hit in lint(section(sql)).hits}
    assert spoken <= RULES
    assert {rule for _, rule in [*ERRORS, *WARNINGS]} <= RULES
    assert all(rule == rule.lower() and " " not in rule for rule in RULES)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TEMP TABLE x (a int)", "create temporary object cannot be prepared: it makes a temporary object"),
        ("CREATE TABLE pg_temp.z (i int)", "create temporary object cannot be prepared: it makes a temporary object"),
        (
            'CREATE TABLE IF NOT EXISTS "pg_temp".z ()',
            "create temporary object cannot be prepared: it makes a temporary object",
        ),
        ("DO $$ BEGIN CREATE TABLE pg_temp.z (); END $$", "run a block cannot be prepared: its block makes a temporary object"),
        ("SELECT 1; NOTIFY x", "notify cannot be prepared: it uses LISTEN, UNLISTEN or NOTIFY"),
        ("SELECT pg_catalog.pg_notify('a', 'b')", "select cannot be prepared: it calls pg_notify()"),
        ("VACUUM t", "vacuum cannot be prepared: it refuses to run in a transaction"),
        (
            "DO $$ BEGIN PERFORM 1; SELECT 1 INTO TEMP y; END $$",
            "run a block cannot be prepared: its block makes a temporary object",
        ),
        (
            "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
            "refresh view concurrently cannot be prepared: it works with a temporary table",
        ),
    ],
)
def test_atomic_is_told_what_cannot_be_prepared(sql: str, said: str) -> None:
    (hit,) = unpreparable(section(sql))
    assert hit.message == said


def test_atomic_is_told_of_sections_without_a_transaction_and_of_nothing_else() -> None:
    (hit,) = unpreparable(section("SELECT 1", transaction=False))
    assert "transaction:false" in hit.message
    assert unpreparable(section("CREATE TABLE x (a int); ALTER TYPE m ADD VALUE 'x'; CREATE EXTENSION y; TRUNCATE t")) == []


_WORDS = st.sampled_from(
    """ALTER TABLE t ADD COLUMN x int DROP SET NOT NULL DEFAULT ( ) , ; CREATE INDEX CONCURRENTLY ON VACUUM FULL CONSTRAINT
    CHECK REFERENCES WITH UPDATE 'a' $$b$$ LOCK IN MODE SHARE TYPE text RENAME TO PARTITION OF GENERATED AS SELECT INTO TEMP DO
    "q" """.split()  # noqa: SIM905 - a list of fifty strings is harder to read
)


@given(st.lists(_WORDS, max_size=25).map(" ".join))
def test_no_statement_makes_the_lint_fail(text: str) -> None:
    lint(section(text))
    unpreparable(section(text, transaction=False))
