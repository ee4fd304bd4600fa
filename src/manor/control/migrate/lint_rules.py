"""Rules for statements other than ALTER TABLE, in the order in which they are tried; the first that matches speaks. Pure.

What cannot be prepared: PostgreSQL manual, PREPARE TRANSACTION, and measured on PostgreSQL 18.
"""

from __future__ import annotations

import dataclasses
import re

from manor.control.migrate.lint_alter import RENAME_TABLE
from manor.control.migrate.lint_facts import NAME, Effect, Lock, Pattern, error, notice, row, warning
from manor.control.migrate.statements import show_name

_FULL = Lock.ACCESS_EXCLUSIVE
_SRE = Lock.SHARE_ROW_EXCLUSIVE
_SUE = Lock.SHARE_UPDATE_EXCLUSIVE
_RE = Lock.ROW_EXCLUSIVE

_CONTROL = error(
    "transaction-control", "Manor begins and ends the transaction itself", "leave it out; use transaction:false to run outside"
)
_INDEX = warning(
    "index-without-concurrently",
    "nobody can write to the table while the index is built",
    "CREATE INDEX CONCURRENTLY in a migration with transaction:false",
)
_DROP_INDEX = warning(
    "drop-index-without-concurrently",
    "waits for everybody that uses the table, and they for it",
    "DROP INDEX CONCURRENTLY in a migration with transaction:false",
)
_REINDEX = warning("reindex", "nobody can write to the table meanwhile", "REINDEX … CONCURRENTLY with transaction:false")
_CLUSTER = warning("cluster", "writes the whole table anew while nobody can use it", "plan a maintenance window")
_VACUUM_FULL = warning("vacuum-full", "writes the whole table anew while nobody can use it", "plan a maintenance window")
_DROP_TABLE = warning(
    "drop-table", "the running application may still use it, and its rows are gone", "move the application first; back up"
)
_DROP_OTHER = warning("drop-schema-object", "the running application may still use it", "move the application first")
_DROP_OWNED = error("drop-owned", "this drops Manor's own tables as well", "drop what should go by name")
_TRUNCATE = warning("truncate", "all rows are gone, and nobody can use the table meanwhile", "back up first")
_LOCK = warning("lock-table", "the lock is kept to the end of the transaction", "leave it out if a weaker lock will do")
_REFRESH = warning(
    "refresh-without-concurrently",
    "nobody can read the view while it is filled",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY (it needs a unique index)",
)
_WHOLE = warning(
    "whole-table-change",
    "changes every row in one transaction: their locks and their old versions stay until it ends",
    "fill large tables in batches, outside the release",
)
_SHARED = warning(
    "server-wide",
    "this concerns the whole server: the second tenant on it would do it again",
    "do it once, outside the release",
    concerns_rows=False,
)
_ROLE_MADE = error(
    "makes-a-role",
    "roles belong to the whole server: the second tenant on it would find it made already",
    "make it once, outside the release",
)
_DATABASE = error(
    "names-a-database", "a migration runs in every tenant's database, whose names differ", "do it outside the release"
)
_DOORS = error(
    "opens-the-database",
    "who may enter a tenant's database is Manor's to say: a right given here is given in all of them",
    "leave it out; rights on tables and schemas are a migration's to give",
)
_SYSTEM = error("alter-system", "this changes the server's settings for all tenants", "do it once, outside the release")
ROLE = error(
    "session-role", "Manor could not write its history in the same transaction", "use GRANT, or ALTER … OWNER TO, instead"
)
_SETTING = warning(
    "session-setting",
    "Manor resets it after this migration; other tools keep it on for what they run after this",
    "write SET LOCAL",
    concerns_rows=False,
)
_TIMEOUT = warning(
    "timeout-setting",
    "this overrides the limits that Manor sets",
    "set them in the deployment strategy instead",
    concerns_rows=False,
)
_ISOLATION = error("transaction-isolation", "Manor has already read in this transaction", "leave it out")
_DISCARD = error("discard", "this throws away what Manor keeps in its session", "leave it out")
_ENUM = notice("enum-value", "the new value cannot be used before this transaction has ended", "use it in a later migration")
_TEMPORARY = "it makes a temporary object"
_NOTIFY = "it uses LISTEN, UNLISTEN or NOTIFY"
_COPY_FILE = warning(
    "server-file",
    "this reads or writes a file, or runs a program, on the server",
    "write the rows as INSERT",
    concerns_rows=False,
)


def _lock_mode(effect: Effect, match: re.Match[str]) -> Effect:
    mode = match["mode"] or "ACCESS EXCLUSIVE"
    return dataclasses.replace(effect, lock=Lock(mode)) if mode in set(Lock) else effect


def _changed_rows(effect: Effect, match: re.Match[str]) -> Effect:
    """UPDATE and DELETE without WHERE."""
    return effect if re.search(r"\bWHERE\b", match.string) else dataclasses.replace(effect, remarks=(_WHOLE,))


def _parent(effect: Effect, match: re.Match[str]) -> Effect:
    """A new partition locks its parent, a new child its own."""
    text = match.string
    if found := re.search(rf"\bPARTITION OF ({NAME})", text):
        return dataclasses.replace(effect, kind="create partition", table=show_name(found[1]), lock=_FULL)
    if found := re.search(rf"\bREFERENCES ({NAME})", text):
        return dataclasses.replace(effect, table=show_name(found[1]), lock=_SRE)
    return effect


_IF = r"(?:IF EXISTS )?"
_IF_NOT = r"(?:IF NOT EXISTS )?"
_TEMP = r"(?:(?:GLOBAL|LOCAL) )?TEMP(?:ORARY)?"

_LIMITS = "LOCK_TIMEOUT|STATEMENT_TIMEOUT|TRANSACTION_TIMEOUT|IDLE_IN_TRANSACTION_SESSION_TIMEOUT"

CONTROL: tuple[Pattern, ...] = (
    row(r"(?:BEGIN|START TRANSACTION|COMMIT|END|ROLLBACK|ABORT)\b", "transaction control", None, _CONTROL),
    row(r"(?:SAVEPOINT|RELEASE|PREPARE TRANSACTION)\b", "transaction control", None, _CONTROL),
    row(r"SET (?:SESSION CHARACTERISTICS AS )?TRANSACTION\b", "set transaction", None, _ISOLATION),
    row(r"SET (?:LOCAL |SESSION )?TRANSACTION_ISOLATION\b", "set transaction", None, _ISOLATION),
    row(
        r"(?:SET (?:LOCAL |SESSION )?(?:ROLE|SESSION AUTHORIZATION)|RESET (?:ROLE|SESSION AUTHORIZATION))\b",
        "set role",
        None,
        ROLE,
    ),
    row(
        rf"SET (?:LOCAL |SESSION )?(?:{_LIMITS})\b",
        "set timeout",
        None,
        _TIMEOUT,
    ),
    row(r"SET (?:LOCAL|CONSTRAINTS)\b", "set for this transaction"),
    row(r"SET\b", "set for the session", None, _SETTING),
    row(rf"RESET (?:ALL|{_LIMITS})\b", "reset setting", None, _TIMEOUT),
    row(r"RESET\b", "reset setting"),
    row(r"DISCARD\b", "discard", None, _DISCARD, alone=True),
    row(r"(?:LISTEN|UNLISTEN|NOTIFY)\b", "notify", unpreparable=_NOTIFY),
    row(r"DECLARE\b.*\bWITH HOLD\b", "declare cursor with hold", unpreparable="it opens a cursor WITH HOLD"),
    row(r"LOCK (?:TABLE )?(?:ONLY )?<table>(?: IN (?P<mode>[A-Z ]+) MODE)?", "lock table", _FULL, _LOCK, refine=_lock_mode),
)

SERVER: tuple[Pattern, ...] = (
    row(r"(?:CREATE|DROP) DATABASE\b", "create or drop database", None, _DATABASE, alone=True),
    row(r"ALTER DATABASE\b.* SET TABLESPACE\b", "alter database", None, _DATABASE, alone=True),
    row(r"(?:ALTER|COMMENT ON) DATABASE\b", "alter database", None, _DATABASE),
    row(r"(?:GRANT|REVOKE)\b.* ON DATABASE\b", "grant or revoke on the database", None, _DOORS),
    row(r"(?:CREATE|DROP) TABLESPACE\b", "create or drop tablespace", None, _SHARED, alone=True),
    row(r"ALTER SYSTEM\b", "alter system", None, _SYSTEM, alone=True),
    row(r"CREATE (?:ROLE|USER|GROUP)\b(?! MAPPING)", "create role", None, _ROLE_MADE),
    row(r"(?:ALTER|DROP) (?:ROLE|USER|GROUP)\b(?! MAPPING)", "alter or drop role", None, _SHARED),
    row(r"(?:CREATE|ALTER|DROP) SUBSCRIPTION\b", "create or alter subscription", None, _SHARED, alone=True),
    row(r"(?:DROP|REASSIGN) OWNED\b", "drop or reassign owned", None, _DROP_OWNED),
)

INDEXES: tuple[Pattern, ...] = (
    row(
        rf"CREATE (?:UNIQUE )?INDEX CONCURRENTLY {_IF_NOT}(?:(?!ON )<name> )?ON (?:ONLY )?<table>",
        "create index concurrently",
        _SUE,
        alone=True,
    ),
    row(
        rf"CREATE (?:UNIQUE )?INDEX {_IF_NOT}(?:(?!ON )<name> )?ON (?:ONLY )?<table>",
        "create index",
        Lock.SHARE,
        _INDEX,
        scans=True,
    ),
    row(r"DROP INDEX CONCURRENTLY\b", "drop index concurrently", _SUE, alone=True),
    row(r"DROP INDEX\b", "drop index", _FULL, _DROP_INDEX),
    row(r"ALTER INDEX\b.* RENAME TO\b", "rename index", _SUE),
    row(r"ALTER INDEX\b.* SET TABLESPACE\b", "move index", _FULL, rewrites=True),
    row(r"ALTER INDEX\b", "alter index", _SUE),
    row(r"REINDEX(?: \( [^)]*\))? (?:SCHEMA|DATABASE|SYSTEM)\b.*", "reindex many tables", Lock.SHARE, _REINDEX, alone=True),
    row(r"REINDEX(?: \( [^)]*\))? \w+ CONCURRENTLY\b|REINDEX \( [^)]*CONCURRENTLY", "reindex concurrently", _SUE, alone=True),
    row(r"REINDEX(?: \( [^)]*\))? TABLE <table>", "reindex", Lock.SHARE, _REINDEX, scans=True),
    row(r"REINDEX\b", "reindex", Lock.SHARE, _REINDEX, scans=True),
    row(r"CLUSTER(?: VERBOSE| \( [^)]*\))?$", "cluster all tables", _FULL, _CLUSTER, rewrites=True, alone=True),
    row(r"CLUSTER (?:VERBOSE |\( [^)]*\) )?<table>", "cluster", _FULL, _CLUSTER, rewrites=True),
    row(
        r"VACUUM (?:\( [^)]*\bFULL\b(?! FALSE| OFF)[^)]*\)|FULL)(?: (?:FREEZE|VERBOSE|ANALYZE))*(?: <table>)?",
        "vacuum full",
        _FULL,
        _VACUUM_FULL,
        rewrites=True,
        alone=True,
    ),
    row(r"VACUUM(?: \( [^)]*\))?(?: (?:FREEZE|VERBOSE|ANALYZE)\b)*(?: <table>)?", "vacuum", _SUE, alone=True),
    row(r"ANALY[SZ]E(?: \( [^)]*\))?(?: VERBOSE)?(?: <table>)?", "analyze", _SUE),
)

TABLES: tuple[Pattern, ...] = (
    row(rf"CREATE {_TEMP} (?:RECURSIVE )?(?:TABLE|VIEW|SEQUENCE)\b", "create temporary object", unpreparable=_TEMPORARY),
    row(rf"CREATE OR REPLACE {_TEMP} ", "create temporary object", unpreparable=_TEMPORARY),
    row(
        rf'CREATE (?:OR REPLACE )?(?:TABLE|VIEW|SEQUENCE|FUNCTION|PROCEDURE|TYPE|DOMAIN) {_IF_NOT}(?:PG_TEMP|"pg_temp") \. ',
        "create temporary object",
        unpreparable=_TEMPORARY,
    ),
    row(rf"CREATE (?:UNLOGGED )?TABLE {_IF_NOT}<name>", "create table", refine=_parent),
    row(rf"SELECT\b.*\bINTO {_TEMP}\b", "select into temporary table", unpreparable=_TEMPORARY),
    row(rf"DROP TABLE {_IF}<table>", "drop table", _FULL, _DROP_TABLE),
    row(r"TRUNCATE (?:TABLE )?(?:ONLY )?<table>", "truncate", _FULL, _TRUNCATE),
    row(r"(?:WITH\b.* )?INSERT INTO <table>", "insert", _RE),
    row(r"UPDATE (?:ONLY )?<table>", "update", _RE, refine=_changed_rows),
    row(r"DELETE FROM (?:ONLY )?<table>", "delete", _RE, refine=_changed_rows),
    row(r"MERGE INTO (?:ONLY )?<table>", "merge", _RE),
    row(r"WITH\b.*? (?:UPDATE|DELETE FROM|MERGE INTO) (?:ONLY )?<table>", "change rows", _RE),
    row(r"COPY <table>(?: \( [^)]*\))? FROM\b", "copy from a file", _RE, _COPY_FILE),
    row(r"COPY\b", "copy to a file", Lock.ACCESS_SHARE, _COPY_FILE),
    row(r"(?:SELECT|WITH)\b.* FOR (?:NO KEY )?(?:UPDATE|SHARE|KEY SHARE)\b", "select for update", Lock.ROW_SHARE),
    row(r"(?:SELECT|VALUES|TABLE|WITH)\b", "select", Lock.ACCESS_SHARE),
)

OBJECTS: tuple[Pattern, ...] = (
    row(r"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER\b.*? ON <table>", "create trigger", _SRE),
    row(r"DROP TRIGGER\b.*? ON <table>", "drop trigger", _FULL),
    row(r"ALTER TRIGGER\b.*? ON <table>", "alter trigger", _FULL),
    row(r"CREATE (?:OR REPLACE )?RULE\b.*? TO <table>", "create rule", _FULL),
    row(r"DROP RULE\b.*? ON <table>", "drop rule", _FULL),
    row(r"(?:CREATE|ALTER|DROP) POLICY\b.*? ON <table>", "change policy", _FULL),
    row(r"CREATE STATISTICS\b.* FROM <table>", "create statistics", _SUE),
    row(r"CREATE OR REPLACE (?:RECURSIVE )?VIEW <table>", "replace view", _FULL),
    row(
        r"REFRESH MATERIALIZED VIEW CONCURRENTLY <table>",
        "refresh view concurrently",
        Lock.EXCLUSIVE,
        unpreparable="it works with a temporary table",
    ),
    row(r"REFRESH MATERIALIZED VIEW <table>", "refresh view", _FULL, _REFRESH, rewrites=True),
    row(rf"DROP (?:MATERIALIZED )?VIEW {_IF}<table>", "drop view", _FULL, _DROP_OTHER),
    row(r"DROP (?:SCHEMA|TYPE|FUNCTION|PROCEDURE|SEQUENCE|DOMAIN|EXTENSION)\b", "drop object", None, _DROP_OTHER),
    row(rf"ALTER (?:MATERIALIZED )?VIEW {_IF}<table> RENAME TO\b", "rename view", _FULL, RENAME_TABLE),
    row(rf"ALTER (?:MATERIALIZED )?VIEW {_IF}<table>", "alter view", _FULL),
    row(rf"ALTER SEQUENCE {_IF}<table>", "alter sequence", _SRE),
    row(r"ALTER TYPE <name> ADD VALUE\b", "add enum value", None, _ENUM),
    row(r"COMMENT ON TABLE <table>", "comment", _SUE),
    row(r"DO\b", "run a block"),
    row(r"CALL\b", "call a procedure"),
)

STATEMENTS: tuple[Pattern, ...] = (*CONTROL, *SERVER, *INDEXES, *TABLES, *OBJECTS)
