"""What a migration sets for its session, and how that is taken back before the next one: a release resets all between two
migrations, and a squash, which is one, must do the same by itself. Pure.

``RESET`` goes back to what the database or the role has for a default, as the release's own does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from manor.control.migrate.lint_facts import NAME
from manor.control.migrate.model import Migration
from manor.control.migrate.statements import Statement, show_name, split
from manor.errors import RefusedError

_SET = re.compile(rf"SET (?:SESSION |LOCAL )?(?P<name>{NAME}) (?:=|TO) ")
_RESET = re.compile(rf"RESET (?P<name>{NAME})$")
_SPELLED = re.compile(r"SET (?:SESSION |LOCAL )?(?P<words>TIME ZONE|SCHEMA|NAMES|XML OPTION)\b")
_NAMES = {"TIME ZONE": "timezone", "SCHEMA": "search_path", "NAMES": "client_encoding", "XML OPTION": "xmloption"}
_CALL = re.compile(r"\bSET_CONFIG \(")
_CALL_BY_NAME = re.compile(r"\bset_config\s*\(\s*'([\w.]+)'", re.IGNORECASE)
_IN_BODY = re.compile(r"\bset_config\s*\(|(?:;|'|\$|\b(?:BEGIN|THEN|ELSE|LOOP))\s*(?:RE)?SET\s+\w", re.IGNORECASE)
_FIXED = {
    "datestyle": "RESET DateStyle; SET DateStyle = ISO",
    "client_encoding": "SET client_encoding = 'UTF8'",
    "standard_conforming_strings": "SET standard_conforming_strings = on",
}
"""What a release sets itself, whatever the default is."""
_LIMITS = frozenset(
    {
        "lock_timeout",
        "statement_timeout",
        "transaction_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "seed",
    }
)
"""Change nothing of what comes out, and their defaults are not the release's: they are left as they are."""


def taken_back(migration: Migration) -> tuple[str, ...]:
    """Statements after which what the up section has set is as it was before, in the order in which it was set.

    Raises ``RefusedError`` with the place where nobody can tell what is set.
    """
    names: dict[str, None] = {}
    for statement in split(migration.up.text, migration.up.place).statements:
        if found := _RESET.match(statement.normal):
            names = _after_reset(names, show_name(found["name"]))
        names |= dict.fromkeys(_set_by(statement, migration))
    return tuple(_FIXED.get(name, f"RESET {name}") for name in names if name not in _LIMITS)


def _after_reset(names: dict[str, None], name: str) -> dict[str, None]:
    if name == "all":
        return dict.fromkeys(_FIXED)
    return {**names, name: None} if name in _FIXED else {kept: None for kept in names if kept != name}


def _set_by(statement: Statement, migration: Migration) -> Iterator[str]:
    normal = statement.normal
    if found := _SET.match(normal):
        yield show_name(found["name"])
    elif found := _SPELLED.match(normal):
        yield _NAMES[found["words"]]
    elif normal.startswith("DO "):
        if _IN_BODY.search(statement.text):
            raise _unclear(statement, migration)
    elif not normal.startswith("CREATE "):
        named = _CALL_BY_NAME.findall(statement.text)
        if len(named) < len(_CALL.findall(normal)):
            raise _unclear(statement, migration)
        yield from (name.lower() for name in named)


def _unclear(statement: Statement, migration: Migration) -> RefusedError:
    return RefusedError(
        f"{migration.label} sets what nobody can tell; in one file with the migrations after it that would hold for these too",
        hint="squash through an older version, or leave it and what is before it as they are",
        place=statement.place,
    )
