"""Rules for the actions of ALTER TABLE (PostgreSQL manual, ALTER TABLE). Pure."""

from __future__ import annotations

import dataclasses
import re

from manor.control.migrate.lint_facts import NAME, Effect, Lock, Pattern, Remark, notice, row, warning

_FULL = Lock.ACCESS_EXCLUSIVE
_SRE = Lock.SHARE_ROW_EXCLUSIVE
_SUE = Lock.SHARE_UPDATE_EXCLUSIVE

_IN_STEPS = "add it NOT VALID, then VALIDATE CONSTRAINT in a migration of its own"
CHECK = warning("check-without-not-valid", "adding a check reads the whole table while nobody can use it", _IN_STEPS)
FOREIGN_KEY = warning(
    "foreign-key-without-not-valid", "adding a foreign key reads the whole table while nobody can write to it", _IN_STEPS
)
UNIQUE = warning(
    "unique-without-index",
    "adding a unique or primary key builds its index while nobody can use the table",
    "CREATE UNIQUE INDEX CONCURRENTLY (transaction:false), then ADD CONSTRAINT … USING INDEX",
)
EXCLUDE = warning(
    "exclusion-constraint",
    "adding an exclusion constraint builds its index while nobody can use the table",
    "there is no way to do it step by step: plan a maintenance window",
)
NOT_NULL = warning(
    "set-not-null",
    "SET NOT NULL reads the whole table while nobody can use it",
    "ADD CHECK (column IS NOT NULL) NOT VALID, VALIDATE it in a later migration, then SET NOT NULL needs to read nothing",
)
_NOT_NULL_CONSTRAINT = dataclasses.replace(NOT_NULL, message="adding a not-null constraint reads the whole table")
_TYPE = warning(
    "column-type",
    "changing the type writes the whole table anew, unless the old type is known to fit",
    "add a new column, copy in batches, and switch; widening a varchar is free: -- manor:allow column-type",
)
_TO_TEXT = notice("column-type-text", "free if the column was a varchar; any other type writes the whole table anew")
_RENAMED = "expand and contract: add the new one, move the application, drop the old one later"
RENAME_COLUMN = warning("rename-column", "the running application still uses the old name", _RENAMED)
RENAME_TABLE = warning("rename-table", "the running application still uses the old name", _RENAMED)
_DROP_COLUMN = warning(
    "drop-column", "the running application may still use the column, and its values are gone", "move the application first"
)
_DEFAULT = warning(
    "volatile-default",
    "a default that differs per row writes the whole table anew",
    "add the column without it, SET DEFAULT, then fill old rows in batches",
)
_SERIAL = warning(
    "add-serial",
    "a column that numbers itself writes the whole table anew",
    "add a plain column, fill it in batches, then attach the sequence",
)
_STORED = warning("stored-generated", "a stored generated column writes the whole table anew", "fill a plain column in batches")
_REQUIRED = warning(
    "required-column",
    "a column that is NOT NULL without a default fails on every table that has rows",
    "give it a default, or add it nullable and fill it first",
)
_MOVED = warning("table-moved", "this writes the whole table anew while nobody can use it", "plan a maintenance window")
_ATTACH = warning(
    "attach-partition",
    "the whole partition is read while nobody can use it",
    "give it a validated CHECK that says the same as its bounds first: -- manor:allow attach-partition",
)
_DETACH = warning(
    "detach-partition", "nobody can use the whole table meanwhile", "DETACH PARTITION … CONCURRENTLY (transaction:false)"
)

# Functions that are the same for all rows of one statement; any other may differ per row.
_STABLE = re.compile(
    r"ABS|AND|ARRAY|BIT|CAST|CEIL|CHAR|COALESCE|CONCAT|CURRENT_DATABASE|CURRENT_SCHEMA|CURRENT_SETTING|CURRENT_TIME|"
    r"CURRENT_TIMESTAMP|DATE_TRUNC|DECIMAL|DECODE|ENCODE|EXTRACT|FLOOR|GREATEST|HSTORE|IN|INTERVAL|JSONB_BUILD_ARRAY|"
    r"JSONB_BUILD_OBJECT|JSON_BUILD_OBJECT|LEAST|LENGTH|LOCALTIME|LOCALTIMESTAMP|LOWER|MAKE_DATE|MAKE_INTERVAL|MD5|"
    r"NOT|NOW|NULLIF|NUMERIC|OR|REPLACE|ROUND|ROW|STATEMENT_TIMESTAMP|TIME|TIMESTAMP|TIMESTAMPTZ|TIMEZONE|TO_CHAR|"
    r"TO_DATE|TO_JSONB|TO_TIMESTAMP|TO_TSVECTOR|TRANSACTION_TIMESTAMP|TRIM|UPPER|VARCHAR"
)
_CALL = re.compile(r"(\w+) \(")
_DEFAULT_VALUE = re.compile(
    r"(?<!BY )(?<!SET )\bDEFAULT (?P<value>.*?)"
    r"(?= (?:NOT NULL|NULL|CHECK|UNIQUE|PRIMARY KEY|REFERENCES|CONSTRAINT|GENERATED|COLLATE)\b|$)"
)


def _added_column(effect: Effect, match: re.Match[str]) -> Effect:
    """ADD COLUMN by its definition."""
    definition = match["definition"]
    remarks: list[Remark] = []
    default = _DEFAULT_VALUE.search(definition)
    value = default["value"] if default else ""
    stored = re.search(r"\bGENERATED ALWAYS AS \(", definition) and not re.search(r"\bVIRTUAL\b", definition)
    virtual = re.search(r"\bGENERATED ALWAYS AS \(.*\bVIRTUAL\b", definition)
    numbered = re.match(rf"{NAME} (?:SMALL|BIG)?SERIAL[248]?\b", definition) or re.search(r"\bAS IDENTITY\b", definition)
    if any(not _STABLE.fullmatch(call) for call in _CALL.findall(value)):
        remarks.append(_DEFAULT)
    if numbered:
        remarks.append(_SERIAL)
    if stored:
        remarks.append(_STORED)
    rewrites = bool(remarks)
    keyed = re.search(r"\b(?:PRIMARY KEY|UNIQUE)\b", definition)
    required = re.search(r"\bNOT NULL\b|\bPRIMARY KEY\b", definition)
    if required and not (default and value != "NULL") and not (numbered or stored or virtual):
        remarks.append(_REQUIRED)
    if keyed:
        remarks.append(UNIQUE)
    if re.search(r"\bCHECK \(", definition):
        remarks.append(CHECK)
    if re.search(r"\bREFERENCES\b", definition) and default and value != "NULL":
        remarks.append(FOREIGN_KEY)
    scans = any(remark in (UNIQUE, CHECK, FOREIGN_KEY) for remark in remarks)
    return dataclasses.replace(effect, rewrites=rewrites, scans=scans, remarks=tuple(remarks))


_N = r"(?:CONSTRAINT <name> )?"

ACTIONS: tuple[Pattern, ...] = (
    row(rf"ADD {_N}(?:UNIQUE|PRIMARY KEY) USING INDEX\b", "add key using an index", _FULL),
    row(rf"ADD {_N}(?:UNIQUE|PRIMARY KEY)\b", "add key", _FULL, UNIQUE, scans=True),
    row(rf"ADD {_N}CHECK\b.* NOT VALID$", "add check not valid", _FULL),
    row(rf"ADD {_N}CHECK\b.* NOT ENFORCED$", "add check not enforced", _FULL),
    row(rf"ADD {_N}CHECK\b", "add check", _FULL, CHECK, scans=True),
    row(rf"ADD {_N}FOREIGN KEY\b.* NOT (?:VALID|ENFORCED)$", "add foreign key not valid", _SRE),
    row(rf"ADD {_N}FOREIGN KEY\b", "add foreign key", _SRE, FOREIGN_KEY, scans=True),
    row(rf"ADD {_N}EXCLUDE\b", "add exclusion constraint", _FULL, EXCLUDE, scans=True),
    row(rf"ADD {_N}NOT NULL <name> NOT VALID$", "add not-null constraint not valid", _FULL),
    row(rf"ADD {_N}NOT NULL\b", "add not-null constraint", _FULL, _NOT_NULL_CONSTRAINT, scans=True),
    row(
        r"ADD (?:COLUMN )?(?:IF NOT EXISTS )?(?P<definition><name> .*)",
        "add column",
        _FULL,
        refine=_added_column,
    ),
    row(r"DROP CONSTRAINT\b", "drop constraint", _FULL),
    row(r"DROP (?:COLUMN )?(?:IF EXISTS )?<name>", "drop column", _FULL, _DROP_COLUMN),
    row(r"ALTER CONSTRAINT\b", "alter constraint", _FULL),
    row(
        r"ALTER (?:COLUMN )?<name> (?:SET DATA )?TYPE (?:TEXT|VARCHAR|CHARACTER VARYING)(?: COLLATE <name>)?$",
        "change column type",
        _FULL,
        _TO_TEXT,
    ),
    row(r"ALTER (?:COLUMN )?<name> (?:SET DATA )?TYPE\b", "change column type", _FULL, _TYPE, rewrites=True),
    row(r"ALTER (?:COLUMN )?<name> SET NOT NULL", "set not null", _FULL, NOT_NULL, scans=True),
    row(r"ALTER (?:COLUMN )?<name> DROP NOT NULL", "drop not null", _FULL),
    row(r"ALTER (?:COLUMN )?<name> (?:SET|DROP) DEFAULT", "change column default", _FULL),
    row(
        r"ALTER (?:COLUMN )?<name> SET EXPRESSION\b",
        "change generated expression",
        _FULL,
        _STORED,
        rewrites=True,
    ),
    row(
        r"ALTER (?:COLUMN )?<name> (?:ADD GENERATED|DROP EXPRESSION|DROP IDENTITY|SET GENERATED|RESTART)\b",
        "change generation",
        _FULL,
    ),
    row(r"ALTER (?:COLUMN )?(?:<name>|\d+) SET STATISTICS\b", "set statistics", _SUE),
    row(r"ALTER (?:COLUMN )?<name> (?:SET|RESET) \(", "set column options", _SUE),
    row(r"ALTER (?:COLUMN )?<name> SET (?:STORAGE|COMPRESSION)\b", "set column storage", _FULL),
    row(r"VALIDATE CONSTRAINT\b", "validate constraint", _SUE, scans=True),
    row(r"RENAME CONSTRAINT\b", "rename constraint", _FULL),
    row(r"RENAME TO\b", "rename table", _FULL, RENAME_TABLE),
    row(r"RENAME\b", "rename column", _FULL, RENAME_COLUMN),
    row(r"ATTACH PARTITION <name> DEFAULT$", "attach default partition", _SUE, _ATTACH, scans=True),
    row(r"ATTACH PARTITION\b", "attach partition", _SUE, _ATTACH, scans=True),
    row(r"DETACH PARTITION <name> CONCURRENTLY$", "detach partition concurrently", _SUE, alone=True),
    row(r"DETACH PARTITION <name> FINALIZE$", "finish detaching a partition", _SUE),
    row(r"DETACH PARTITION\b", "detach partition", _FULL, _DETACH),
    row(r"(?:ENABLE|DISABLE) (?:REPLICA |ALWAYS )?TRIGGER\b", "switch trigger", _SRE),
    row(r"(?:ENABLE|DISABLE) (?:REPLICA |ALWAYS )?RULE\b", "switch rule", _FULL),
    row(r"(?:NO )?(?:ENABLE|DISABLE|FORCE) ROW LEVEL SECURITY", "switch row security", _FULL),
    row(r"CLUSTER ON\b|SET WITHOUT CLUSTER", "set clustering", _SUE),
    row(r"SET (?:LOGGED|UNLOGGED)", "change logging", _FULL, _MOVED, rewrites=True),
    row(r"SET ACCESS METHOD\b", "change access method", _FULL, _MOVED, rewrites=True),
    row(r"SET TABLESPACE\b", "move to a tablespace", _FULL, _MOVED, rewrites=True),
    row(r"SET SCHEMA\b", "change schema", _FULL, RENAME_TABLE),
    row(r"(?:SET|RESET) \(.*\bUSER_CATALOG_TABLE\b", "set table options", _FULL),
    row(r"(?:SET|RESET) \(", "set table options", _SUE),
    row(r"OWNER TO\b", "change owner", _FULL),
    row(r"(?:NO )?INHERIT\b|(?:NOT )?OF\b|REPLICA IDENTITY\b", "change inheritance or identity", _FULL),
)
