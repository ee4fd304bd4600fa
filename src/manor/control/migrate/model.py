"""Migrations as values. Pure."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from manor.errors import Place


class Direction(enum.StrEnum):
    """Which section of a migration runs."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One direction of one migration: SQL text, run as it stands."""

    text: str
    place: Place = field(compare=False)
    """Where ``text`` begins: line and column of its file, from 1."""
    transaction: bool = True
    """False (``transaction:false``): each statement commits by itself, because some of them refuse to run in a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered change of a schema."""

    version: str
    """As written in the file's name, such as ``20261121093000`` or ``2.1``; compared by ``version_key``."""
    name: str
    """The rest of the file's name in words, such as ``add_users_plan``; may be empty."""
    up: Section
    down: Section | None
    """None where the file says nothing about undoing it."""
    place: Place = field(compare=False)
    squashes: tuple[str, ...] = ()
    """Versions that this one stands for: a database that has seen all of them needs it no more."""

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of what running it means: the up section without trailing white space, and whether in a transaction.

        The down section may be corrected later, and so may a file's name after its version.
        """
        lines = [line.rstrip() for line in self.up.text.strip().splitlines()]
        return hashlib.sha256("\n".join([f"transaction={self.up.transaction}", *lines]).encode()).hexdigest()

    @property
    def label(self) -> str:
        """For people: version and name."""
        return f"{self.version}_{self.name}" if self.name else self.version

    def section(self, direction: Direction) -> Section | None:
        """The section of one direction; None where there is no down."""
        return self.up if direction is Direction.UP else self.down


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One row of a database's ``schema_migrations``."""

    version: str
    checksum: str = ""
    """Empty where another tool (dbmate) wrote the row, which keeps none."""
    name: str = ""
    applied_at: dt.datetime | None = None
    operation: str = ""


_NUMBERS = re.compile(r"\d+")


def version_key(version: str) -> tuple[int, ...]:
    """Versions are compared number by number: ``2.9`` < ``2.10``, ``1`` == ``001`` == ``1.0``."""
    numbers = [int(number) for number in _NUMBERS.findall(version)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def ordered(migrations: Iterable[Migration]) -> tuple[Migration, ...]:
    """By version."""
    return tuple(sorted(migrations, key=lambda migration: version_key(migration.version)))


def head_of(applied: Sequence[Applied]) -> str:
    """The highest version that a database has seen; empty where it has seen none."""
    return head_of_versions(row.version for row in applied)


def head_of_versions(versions: Iterable[str]) -> str:
    """The highest of some versions; empty where there is none."""
    return max(versions, key=version_key, default="")


def release_digest(golden: str, migrations: Iterable[tuple[str, str]]) -> str:
    """Identity of the golden database that comes of running ``migrations`` (version, checksum), in this order, on the one with
    digest ``golden``; hex, 64 characters. Running them one by one or all at once gives the same."""
    digest = golden
    for version, checksum in migrations:
        digest = hashlib.sha256(f"{digest}\n{version}\n{checksum}".encode()).hexdigest()
    return digest
