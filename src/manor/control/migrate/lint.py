"""What the statements of a section do to the databases: locks, rewrites, what cannot be prepared, what cannot work.

``-- manor:allow <rule>`` on a line of its own before a statement silences that rule for it. Of a statement that no rule knows
only the beginning is looked at: the rehearsal on a copy of the golden database finds what is left. Pure.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from manor.control.migrate.lint_alter import ACTIONS
from manor.control.migrate.lint_context import CONTEXT_RULES, Before, around, inside, plain
from manor.control.migrate.lint_facts import NAME, Effect, Lock, Pattern, Remark, Severity, warning
from manor.control.migrate.lint_known import UNKNOWN, is_known, is_known_action
from manor.control.migrate.lint_rules import STATEMENTS
from manor.control.migrate.model import Section
from manor.control.migrate.statements import Statement, show_name, split, unmatched_bracket
from manor.errors import Finding, InputError, Place

_ALTER_TABLE = re.compile(rf"ALTER (?:FOREIGN )?TABLE (?:IF EXISTS )?(?:ONLY )?(?P<table>{NAME})(?: \*)? (?P<actions>.*)")
_ALLOW = re.compile(r"^[ \t]*--[ \t]*manor:allow\b[ \t]*(?P<rules>[^\r\n]*)", re.MULTILINE)
_OTHER_RULES = frozenset({"outside-transaction", "unpreparable", "unknown-rule", "not-closed"})
_SESSION_KINDS = {
    "set for the session",
    "set for this transaction",
    "set timeout",
    "reset setting",
    "create temporary object",
    "select into temporary table",
}
_NO_EFFECT = warning(
    "no-effect-outside-transaction",
    "outside transactions each statement has a session of its own: this is gone before the next one",
    "leave it out, or give what needs it a migration that is a transaction",
    concerns_rows=False,
)

RULES: frozenset[str] = (
    _OTHER_RULES
    | CONTEXT_RULES
    | {_NO_EFFECT.rule, UNKNOWN.rule, "volatile-default", "add-serial", "required-column", "whole-table-change"}
    | {remark.rule for pattern in (*STATEMENTS, *ACTIONS) for remark in pattern.effect.remarks}
)
"""Every name that ``-- manor:allow`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One statement and what it does; ALTER TABLE may do several things."""

    statement: Statement
    effects: tuple[Effect, ...]

    @property
    def kind(self) -> str:
        """In words, such as ``add column, drop column``."""
        return ", ".join(dict.fromkeys(effect.kind for effect in self.effects))

    @property
    def table(self) -> str:
        """The table that is locked, as people write it; empty where there is none or it is not known."""
        return self.effects[0].table

    @property
    def lock(self) -> Lock | None:
        """The strongest lock on ``table``."""
        locks = [effect.lock for effect in self.effects if effect.lock is not None]
        return max(locks, key=lambda lock: lock.strength, default=None)

    @property
    def rewrites(self) -> bool:
        """Whether it writes the whole table anew under that lock."""
        return any(effect.rewrites for effect in self.effects)

    @property
    def scans(self) -> bool:
        """Whether it reads the whole table under that lock."""
        return any(effect.scans for effect in self.effects)

    @property
    def alone(self) -> bool:
        """Whether it refuses to run in a transaction."""
        return any(effect.alone for effect in self.effects)

    @property
    def unpreparable(self) -> str:
        """Why a transaction with it cannot be prepared; empty where it can."""
        return next((effect.unpreparable for effect in self.effects if effect.unpreparable), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One remark about one place."""

    rule: str
    severity: Severity
    message: str
    place: Place
    hint: str = ""
    statement: str = field(default="", compare=False)
    """Its kind in words."""

    def finding(self) -> Finding:
        """For those who list findings; the rule is named in the message."""
        return Finding(message=f"{self.message} [{self.rule}]", place=self.place, hint=self.hint, severity=str(self.severity))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    """What there is to say about one section."""

    statements: tuple[Judged, ...]
    hits: tuple[Hit, ...]

    @property
    def errors(self) -> tuple[Hit, ...]:
        """What cannot work."""
        return tuple(hit for hit in self.hits if hit.severity is Severity.ERROR)


def lint(section: Section) -> Lint:
    """Everything that the rules say about ``section``, in the order of its statements. Never fails: SQL that cannot be told
    apart is a hit."""
    try:
        statements = split(section.text, section.place).statements
    except InputError as error:
        hit = Hit(rule="not-closed", severity=Severity.ERROR, message=error.message, place=error.place or section.place)
        return Lint(statements=(), hits=(hit,))
    judged = tuple(judge(statement) for statement in statements)
    before = Before()
    hits: list[Hit] = []
    for one in judged:
        hits.extend(_hits(one, before, section))
        before.note(one.statement, transaction=section.transaction)
    return Lint(statements=judged, hits=tuple(hits))


def unpreparable(section: Section) -> list[Hit]:
    """Why ``--strategy atomic`` cannot run ``section``: each statement that keeps its transaction from being prepared.

    Empty is no promise: the vote on a copy of the golden database catches what only a server can see.
    """
    hits = []
    if not section.transaction:
        message = "the section runs outside a transaction (transaction:false)"
        hits.append(Hit(rule="unpreparable", severity=Severity.ERROR, message=message, place=section.place))
    for one in lint(section).statements:
        reason = "it refuses to run in a transaction" if one.alone else one.unpreparable
        if reason:
            place = one.statement.place
            message = f"{one.kind} cannot be prepared: {reason}"
            hits.append(Hit(rule="unpreparable", severity=Severity.ERROR, message=message, place=place, statement=one.kind))
    return hits


def judge(statement: Statement) -> Judged:
    """What one statement does by itself."""
    normal = statement.normal
    if found := _ALTER_TABLE.match(normal):
        return Judged(statement=statement, effects=tuple(_alter(found)))
    effect = _first(STATEMENTS, normal)
    if effect is None:
        effect = Effect(kind=" ".join(normal.split(" ")[:2]).lower(), remarks=() if is_known(normal) else (UNKNOWN,))
    return Judged(statement=statement, effects=(inside(effect, statement),))


def _alter(found: re.Match[str]) -> Iterator[Effect]:
    table = show_name(found["table"])
    for action in _actions(found["actions"]):
        effect = _first(ACTIONS, action) or _other_action(action)
        yield _replace_table(effect, table)


def _other_action(action: str) -> Effect:
    remarks = () if is_known_action(action) else (UNKNOWN,)
    return Effect(kind="alter table", lock=Lock.ACCESS_EXCLUSIVE, remarks=remarks)


def _first(patterns: Sequence[Pattern], normal: str) -> Effect | None:
    """The effect of the first pattern that matches."""
    for pattern in patterns:
        if found := pattern.regex.match(normal):
            effect = _replace_table(pattern.effect, show_name(found.groupdict().get("table") or ""))
            return pattern.refine(effect, found) if pattern.refine is not None else effect
    return None


def _replace_table(effect: Effect, table: str) -> Effect:
    return dataclasses.replace(effect, table=table)


def _actions(text: str) -> Iterator[str]:
    """The actions of one ALTER TABLE: parted by commas that are in no parentheses."""
    depth = 0
    current: list[str] = []
    for word in text.split(" "):
        depth += (word in ("(", "[")) - (word in (")", "]"))
        if word == "," and depth == 0:
            yield " ".join(current)
            current = []
        else:
            current.append(word)
    yield " ".join(current)


def _hits(one: Judged, before: Before, section: Section) -> Iterator[Hit]:
    allowed = set(_allowed(one.statement))
    is_new = plain(one.table) in before.created
    for remark in dict.fromkeys(_remarks(one, before, section)):
        if remark.rule not in allowed and not (is_new and remark.concerns_rows):
            yield _hit(remark, one)
    bracket = unmatched_bracket(one.statement)
    if bracket is not None and "not-closed" not in allowed:
        message = "the SQL cannot be read: this bracket has no partner"
        yield Hit(rule="not-closed", severity=Severity.ERROR, message=message, place=bracket, statement=one.kind)
    for rule in sorted(allowed - RULES):
        message = f"there is no rule {rule!r} to allow"
        yield Hit(rule="unknown-rule", severity=Severity.NOTICE, message=message, place=one.statement.place)


def _remarks(one: Judged, before: Before, section: Section) -> Iterable[Remark]:
    if not section.transaction and one.kind in _SESSION_KINDS:
        yield _NO_EFFECT
        return
    for effect in one.effects:
        yield from effect.remarks
    if one.alone and section.transaction:
        message = f"{one.kind} refuses to run in a transaction"
        hint = "give it a migration of its own, with transaction:false after -- migrate:up"
        yield Remark(rule="outside-transaction", message=message, hint=hint, severity=Severity.ERROR, concerns_rows=False)
    if one.unpreparable and section.transaction:
        message = f"atomic releases cannot prepare this: {one.unpreparable}"
        yield Remark(rule="unpreparable", message=message, severity=Severity.NOTICE, concerns_rows=False)
    yield from around(one.statement, one.table, before)


def _hit(remark: Remark, one: Judged) -> Hit:
    return Hit(
        rule=remark.rule,
        severity=remark.severity,
        message=remark.message,
        place=one.statement.place,
        hint=remark.hint,
        statement=one.kind,
    )


def _allowed(statement: Statement) -> Iterator[str]:
    for line in _ALLOW.finditer(statement.before):
        yield from line["rules"].replace(",", " ").split()
