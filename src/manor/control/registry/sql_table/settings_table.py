"""The table of tenants' settings, in one of three forms that are told apart by its columns: ``config`` holds JSON; ``key`` and
``value`` make a row of each setting; or every column but the tenant's id is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from manor.control.registry.finite_json import checked, finite_json
from manor.control.registry.sql_table.rows import json_value
from manor.errors import InputError, Place
from manor.scan import suggest

NAMES = ("tenant_id", "config", "key", "value")
"""What ``config_columns`` may call otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsTable:
    """A reflected table and what its columns are called."""

    table: sa.Table
    names: Mapping[str, str]
    where: str
    """What places call it."""

    def check(self) -> None:
        """Raises ``InputError`` for a named column, or the tenant's, that is not there."""
        for role in {"tenant_id", *self.names}:
            name = self.names.get(role, role)
            if name not in self.table.c:
                hint = suggest(name, self.table.c.keys()) or f"known there: {', '.join(self.table.c.keys())}"
                raise InputError(f"{self.where} has no column {name!r} for {role}", hint=hint)

    @property
    def tenant_id(self) -> sa.Column[Any]:
        """Whose row it is."""
        return self.table.c[self.names.get("tenant_id", "tenant_id")]

    def settings(self, rows: Sequence[Mapping[str, Any]], tenant_id: str) -> Mapping[str, Any]:
        """From the tenant's rows. Raises ``InputError`` with a place where they are no settings."""
        place = Place(f"{self.where}, settings of tenant {tenant_id!r}")
        key, value, config = (self.names.get(role, role) for role in ("key", "value", "config"))
        if key in self.table.c and value in self.table.c:
            return _by_key([(row[key], row[value]) for row in rows], place)
        if len(rows) > 1:
            raise InputError(f"there are {len(rows)} rows, and which one counts is not said", place=place)
        if not rows:
            return {}
        if config in self.table.c:
            return _object(rows[0][config], place)
        return {name: json_value(found) for name, found in rows[0].items() if name != self.tenant_id.name}


def _by_key(pairs: Sequence[tuple[Any, Any]], place: Place) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if str(key) in found:
            raise InputError(f"{key!r} stands there twice", place=place)
        found[str(key)] = json_value(value)
    return found


def _object(value: Any, place: Place) -> Mapping[str, Any]:
    try:
        found = finite_json(value) if isinstance(value, str | bytes) else checked(value)
    except ValueError as error:
        raise InputError(f"the settings are no JSON: {error}", place=place) from error
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise InputError("the settings must be a JSON object", place=place)
    return found
