"""Rules that look at the whole text of a statement, or at those before it in the same transaction. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from manor.control.migrate.lint_facts import NAME, Effect, Remark, error, warning
from manor.control.migrate.lint_rules import ROLE
from manor.control.migrate.statements import Statement, show_name

_OURS = r'"?(?:SCHEMA_MIGRATIONS|MANOR_\w+)"?(?! \.)(?![\w$])'
_TOUCHES_OURS = re.compile(
    rf"\b(?:INTO|UPDATE|FROM|JOIN|TABLE|ONLY|EXISTS|TRUNCATE|VIEW|INDEX) (?:{NAME} \. )?{_OURS}", re.IGNORECASE
)
_IS_OURS = re.compile(r'(?:.*\.)?"?(?:schema_migrations|manor_\w+)"?', re.IGNORECASE)
_DROPS_PUBLIC = re.compile(r'DROP SCHEMA (?:IF EXISTS )?(?:.*, )?"?PUBLIC\b', re.IGNORECASE)
_BODY_OURS = re.compile(r"\b(?:schema_migrations|manor_\w+)\b", re.IGNORECASE)
_BODY_TEMPORARY = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:GLOBAL|LOCAL)\s+)?TEMP(?:ORARY)?\b|\bINTO\s+TEMP(?:ORARY)?\b|"
    r"\b(?:TABLE|VIEW|SEQUENCE)\s+pg_temp\s*\.",
    re.IGNORECASE,
)
_BODY_NOTIFY = re.compile(r"\bNOTIFY\s+\w|\bpg_notify\s*\(", re.IGNORECASE)
_BODY_CONTROL = re.compile(r"\b(?:COMMIT|ROLLBACK)\s*(?:AND\s+CHAIN\s*)?;", re.IGNORECASE)
_CALLS_NOTIFY = re.compile(r"\bPG_NOTIFY \(")
_CALLS_EXPORT = re.compile(r"\bPG_EXPORT_SNAPSHOT \(")
_CALLS_SET_CONFIG = re.compile(r"\bSET_CONFIG \( '' , '' , (?:FALSE|'') \)")
_TAKES_SETTING = re.compile(r"\bSET_CONFIG \( ''")
_TAKES_ROLE = re.compile(r"\bset_config\s*\(\s*'(?:role|session_authorization)'", re.IGNORECASE)
_CREATES = re.compile(rf"CREATE (?:(?:UNLOGGED|TEMP|TEMPORARY) )?TABLE (?:IF NOT EXISTS )?({NAME})")
_NOT_VALID = re.compile(rf"\bADD CONSTRAINT ({NAME}) .*?\bNOT VALID\b")
_VALIDATES = re.compile(rf"\bVALIDATE CONSTRAINT ({NAME})")
_ADDS_VALUE = re.compile(
    r"ALTER\s+TYPE\b.*?\bADD\s+VALUE\s+(?:IF\s+NOT\s+EXISTS\s+)?('(?:[^']|'')*')", re.IGNORECASE | re.DOTALL
)

_TABLES = error("manor-tables", "Manor's own tables hold its history; a migration must leave them alone", "leave it out")
_TABLES_IN_BODY = dataclasses.replace(
    warning("manor-tables", "the block names tables of Manor, which must be left alone", "leave it out"), concerns_rows=False
)
_BLOCK_CONTROL = warning(
    "block-transaction-control",
    "COMMIT and ROLLBACK in a block fail inside Manor's transaction",
    "use a migration with transaction:false",
    concerns_rows=False,
)
_BLOCK_TEMPORARY = warning(
    "block-temporary",
    "the block makes a temporary object: an atomic release cannot prepare it",
    "use a WITH query or an array instead",
    concerns_rows=False,
)
_SETTING = warning(
    "session-setting",
    "Manor resets it after this migration; other tools keep it on for what they run after this",
    "pass true as the third argument of set_config",
    concerns_rows=False,
)
_VALIDATE = warning(
    "validate-in-same-transaction",
    "the lock of ADD … NOT VALID is kept while VALIDATE reads the table, so nothing is gained",
    "validate in a migration of its own",
)
_VALUE_USED = error(
    "enum-value-used",
    "a value that ALTER TYPE … ADD VALUE adds cannot be used in the same transaction",
    "use it in a later migration",
)

CONTEXT_RULES = frozenset(
    remark.rule for remark in (_TABLES, _BLOCK_CONTROL, _BLOCK_TEMPORARY, _SETTING, _VALIDATE, _VALUE_USED)
)


def inside(effect: Effect, statement: Statement) -> Effect:
    """``effect`` with what the functions that a statement calls, or its block's text, add to it."""
    if statement.normal.startswith("DO "):
        return _block(effect, statement.text)
    if statement.normal.startswith("CREATE "):
        return effect  # what stands in a function runs later
    reason, remarks = effect.unpreparable, effect.remarks
    if _CALLS_NOTIFY.search(statement.normal):
        reason = reason or "it calls pg_notify()"
    if _CALLS_EXPORT.search(statement.normal):
        reason = reason or "it exports a snapshot"
    if _TAKES_SETTING.search(statement.normal) and _TAKES_ROLE.search(statement.text):
        remarks = (*remarks, ROLE)
    elif _CALLS_SET_CONFIG.search(statement.normal):
        remarks = (*remarks, _SETTING)
    return dataclasses.replace(effect, unpreparable=reason, remarks=remarks)


def _block(effect: Effect, text: str) -> Effect:
    """A DO block, by its text: what it really does is known only when it runs."""
    remarks = list(effect.remarks)
    reason = ""
    if _BODY_TEMPORARY.search(text):
        reason = "its block makes a temporary object"
        remarks.append(_BLOCK_TEMPORARY)
    elif _BODY_NOTIFY.search(text):
        reason = "its block uses NOTIFY"
    if _BODY_CONTROL.search(text):
        remarks.append(_BLOCK_CONTROL)
    if _BODY_OURS.search(text):
        remarks.append(_TABLES_IN_BODY)
    return dataclasses.replace(effect, unpreparable=reason, remarks=tuple(remarks))


@dataclass(slots=True)
class Before:
    """What the statements so far have left behind."""

    created: set[str] = field(default_factory=set)
    """Tables that the section has made, as ``plain`` spells them."""
    not_valid: set[str] = field(default_factory=set)
    """Constraints that this transaction has added NOT VALID."""
    values: set[str] = field(default_factory=set)
    """Enum values, quoted, that this transaction has added."""

    def note(self, statement: Statement, *, transaction: bool) -> None:
        """Remember what ``statement`` leaves to those after it."""
        if found := _CREATES.match(statement.normal):
            self.created.add(plain(show_name(found[1])))
        if transaction and statement.normal.startswith("ALTER "):
            self.not_valid.update(show_name(name) for name in _NOT_VALID.findall(statement.normal))
            self.values.update(_ADDS_VALUE.findall(statement.text))


def plain(table: str) -> str:
    """The name by which a table is known again."""
    return table.removeprefix("public.").replace('"', "")


def around(statement: Statement, table: str, before: Before) -> Iterator[Remark]:
    """What is wrong with a statement after those ``before`` it."""
    normal = statement.normal
    if _IS_OURS.fullmatch(table) or _TOUCHES_OURS.search(normal) or _DROPS_PUBLIC.match(normal):
        yield _TABLES
    if before.not_valid and any(show_name(name) in before.not_valid for name in _VALIDATES.findall(normal)):
        yield _VALIDATE
    if any(value in statement.text for value in before.values) and not _ADDS_VALUE.match(statement.text):
        yield _VALUE_USED
