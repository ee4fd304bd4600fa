"""Names of migration files: whose rules a file follows, its version, and what it is called. Pure."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

NAMES = "name it 20261121093000_add_plan.sql, V1_2__add_plan.sql or v2.1_add_plan.sql"

_DBMATE = re.compile(r"(?P<version>[0-9]+)_(?P<name>.*)\.sql", re.DOTALL)
_FLYWAY = re.compile(r"(?P<letter>[VU])(?P<version>[0-9]+(?:[._][0-9]+)*)__(?P<name>.*)\.sql", re.DOTALL)
_PLAIN = re.compile(r"(?:[vV](?![0-9]+_[0-9])|(?=[0-9]))(?P<version>[0-9]+(?:\.[0-9]+)*)(?:_(?P<name>.*))?\.sql", re.DOTALL)


class Kind(enum.StrEnum):
    """Whose rules a file follows."""

    DBMATE = "dbmate"
    FLYWAY = "flyway"
    UNDO = "flyway-undo"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class FileName:
    """What a file's name says."""

    kind: Kind
    version: str
    name: str


@dataclass(frozen=True, slots=True)
class Misnamed:
    """What is wrong with a name."""

    message: str
    hint: str


def read_name(file_name: str) -> FileName | Misnamed:
    """What the name of a file, without its folder, says."""
    if file_name.startswith("R__"):
        hint = "give it a version; to run it again after a change, copy it to a new version"
        return Misnamed(f"{file_name} is a repeatable migration of Flyway, which is not supported", hint)
    if found := _FLYWAY.fullmatch(file_name):
        kind = Kind.FLYWAY if found["letter"] == "V" else Kind.UNDO
        return FileName(kind, found["version"].replace("_", "."), found["name"])
    if found := _DBMATE.fullmatch(file_name):
        return FileName(Kind.DBMATE, found["version"], found["name"])
    if found := _PLAIN.fullmatch(file_name):
        return FileName(Kind.PLAIN, found["version"], found["name"] or "")
    return Misnamed(f"{file_name!r} is not the name of a migration: it has no version to order it by", NAMES)
