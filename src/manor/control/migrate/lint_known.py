"""How PostgreSQL's statements begin (manual of PostgreSQL 18, SQL Commands), for those that no rule speaks about. Pure.

What begins otherwise is most likely misspelled. The lint is no parser: what comes later in a statement is the rehearsal's.
"""

from __future__ import annotations

import re

from manor.control.migrate.lint_facts import warning

UNKNOWN = warning(
    "unknown-statement",
    "PostgreSQL knows no statement that begins so",
    "is it spelled right? The release tries it on a copy of the golden database before any tenant",
    concerns_rows=False,
)

_THINGS = (
    r"ACCESS METHOD|AGGREGATE|CAST|COLLATION|CONVERSION|DATABASE|DOMAIN|EVENT TRIGGER|EXTENSION|FOREIGN DATA WRAPPER|"
    r"FOREIGN TABLE|FUNCTION|GROUP|INDEX|(?:PROCEDURAL )?LANGUAGE|MATERIALIZED VIEW|OPERATOR(?: CLASS| FAMILY)?|POLICY|"
    r"PROCEDURE|PUBLICATION|ROLE|RULE|SCHEMA|SEQUENCE|SERVER|STATISTICS|SUBSCRIPTION|TABLESPACE|"
    r"TEXT SEARCH (?:CONFIGURATION|DICTIONARY|PARSER|TEMPLATE)|TRANSFORM|TRIGGER|TYPE|USER(?: MAPPING)?|VIEW"
)
_MADE = (
    r"(?:OR REPLACE )?(?:(?:GLOBAL |LOCAL )?TEMP(?:ORARY)? |UNLOGGED |UNIQUE |CONSTRAINT |DEFAULT |TRUSTED |RECURSIVE )*"
    rf"(?:TABLE|{_THINGS})"
)
_ALTERED = rf"{_THINGS}|DEFAULT PRIVILEGES|LARGE OBJECT|ROUTINE|SYSTEM"
_DROPPED = rf"{_THINGS}|TABLE|OWNED|ROUTINE"
_VERBS = (
    r"ABORT|ANALY[SZ]E|BEGIN|CHECKPOINT|CLOSE|CLUSTER|COMMIT|COPY|DEALLOCATE|DECLARE|DELETE FROM|DISCARD|DO|END|EXECUTE|"
    r"EXPLAIN|FETCH|GRANT|INSERT INTO|LISTEN|LOAD|LOCK|MERGE INTO|MOVE|NOTIFY|PREPARE|RELEASE|RESET|REVOKE|ROLLBACK|SAVEPOINT|"
    r"SELECT|SET|SHOW|TABLE|TRUNCATE|UNLISTEN|UPDATE|VACUUM|VALUES|WITH|\(|CALL|COMMENT ON|IMPORT FOREIGN SCHEMA|"
    r"REASSIGN OWNED|REFRESH MATERIALIZED VIEW|REINDEX|SECURITY LABEL|START TRANSACTION"
)
_BEGINNING = re.compile(rf"(?:{_VERBS}|CREATE {_MADE}|ALTER (?:{_ALTERED})|DROP (?:{_DROPPED}))(?: |$)")
_ACTION = re.compile(r"SET WITHOUT OIDS$|IN TABLESPACE |(?:ALTER (?:COLUMN )?\S+ )?OPTIONS \(")


def is_known(normal: str) -> bool:
    """Whether a statement, in its normal spelling, begins as one of PostgreSQL's; ALTER TABLE has actions instead."""
    return _BEGINNING.match(normal) is not None


def is_known_action(action: str) -> bool:
    """Whether it is an action of ALTER TABLE that locks as most of them do, so that no rule speaks about it."""
    return _ACTION.match(action) is not None
