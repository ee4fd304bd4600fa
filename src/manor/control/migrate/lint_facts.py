"""What is known about a kind of statement: its lock, what it does to the table, whether it can be prepared. Pure values.

Locks are those of the PostgreSQL manual, "Explicit Locking" and the pages of each statement.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field

NAME = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)(?: \. (?:"(?:[^"]|"")*"|[^\W\d][\w$]*))*'
"""A name, perhaps qualified, in a statement's ``normal`` spelling."""


class Lock(enum.StrEnum):
    """Locks on a table, weakest first."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def strength(self) -> int:
        """Grows with what a lock keeps out."""
        return list(Lock).index(self)


class Severity(enum.StrEnum):
    """How much a remark matters."""

    ERROR = "error"
    """Cannot work, or would break Manor."""
    WARNING = "warning"
    """Works, and may stop the application or lose data."""
    NOTICE = "notice"
    """Good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What a rule has to say about a kind of statement."""

    rule: str
    """Stable, kebab-case: what ``-- manor:allow`` names."""
    message: str
    hint: str = ""
    severity: Severity = Severity.WARNING
    concerns_rows: bool = True
    """Only because the table may have rows and users: silent for a table that the same section creates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a statement, or one action of ALTER TABLE, does."""

    kind: str
    """In words, such as ``create index``."""
    table: str = ""
    lock: Lock | None = None
    """The strongest on ``table``; None where it touches no existing table, or nobody can tell."""
    rewrites: bool = False
    """Writes the whole table anew under that lock."""
    scans: bool = False
    """Reads the whole table under that lock."""
    alone: bool = False
    """Refuses to run inside a transaction."""
    unpreparable: str = ""
    """Why a transaction with it cannot be prepared; empty where it can."""
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One row of a rule table: statements whose normal spelling ``regex`` matches from the start have ``effect``.

    A group ``table`` in the regex names the table.
    """

    regex: re.Pattern[str]
    effect: Effect
    refine: Callable[[Effect, re.Match[str]], Effect] | None = field(default=None, compare=False)
    """Where the effect depends on more than the match."""


def row(
    regex: str,
    kind: str,
    lock: Lock | None = None,
    *remarks: Remark,
    rewrites: bool = False,
    scans: bool = False,
    alone: bool = False,
    unpreparable: str = "",
    refine: Callable[[Effect, re.Match[str]], Effect] | None = None,
) -> Pattern:
    """One line of a rule table; ``<table>`` in ``regex`` is the name of the table that is locked, ``<name>`` any name."""
    spelled = regex.replace("<table>", f"(?P<table>{NAME})").replace("<name>", NAME)
    effect = Effect(
        kind=kind, lock=lock, rewrites=rewrites, scans=scans, alone=alone, unpreparable=unpreparable, remarks=remarks
    )
    return Pattern(regex=re.compile(spelled), effect=effect, refine=refine)


def error(rule: str, message: str, hint: str = "") -> Remark:
    """A remark about what cannot work."""
    return Remark(rule=rule, message=message, hint=hint, severity=Severity.ERROR, concerns_rows=False)


def warning(rule: str, message: str, hint: str = "", *, concerns_rows: bool = True) -> Remark:
    """A remark about what may hurt."""
    return Remark(rule=rule, message=message, hint=hint, concerns_rows=concerns_rows)


def notice(rule: str, message: str, hint: str = "") -> Remark:
    """A remark that is good to know."""
    return Remark(rule=rule, message=message, hint=hint, severity=Severity.NOTICE)
