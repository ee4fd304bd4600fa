"""Our own SQL, loaded from files: named queries and numbered migrations.

A migration is ``<number>_<phase>_<name>.sql``. *pre* ones only add, so that processes of the release before keep working
beside it; *post* ones remove what no running release uses any more. Numbers are consecutive and a released file never changes.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from manor.errors import CatalogError

_HEADING = re.compile(r"^-- ([a-z_]+) --$\n", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_(pre|post)_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the catalog's schema."""

    version: int
    phase: str
    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, hex."""
        return hashlib.sha256(self.sql).hexdigest()


def parse_queries(text: str) -> dict[str, bytes]:
    """Queries by name. Raises ``CatalogError`` for a name that stands twice or has no statement."""
    pieces = _HEADING.split(text)[1:]
    queries: dict[str, bytes] = {}
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        if name in queries or not body.strip():
            raise CatalogError(f"query {name} stands twice or is empty")
        queries[name] = body.strip().encode()
    return queries


@functools.cache
def load_queries() -> Mapping[str, bytes]:
    """All named queries of ``queries.sql``."""
    return parse_queries((resources.files(__package__) / "queries.sql").read_text("utf-8"))


def query(name: str) -> bytes:
    """The statement of that name; ``KeyError`` is a bug of the caller."""
    return load_queries()[name]


def parse_migrations(files: Mapping[str, bytes]) -> tuple[Migration, ...]:
    """Migrations in order. Raises ``CatalogError`` where a file is misnamed or a number missing or taken twice."""
    migrations = []
    for expected, file in enumerate(sorted(files), start=1):
        match = _MIGRATION.fullmatch(file)
        if match is None or int(match[1]) != expected:
            raise CatalogError(
                f"migration {file!r} should be named {expected:04}_pre_<name>.sql or {expected:04}_post_<name>.sql"
            )
        migrations.append(Migration(version=expected, phase=match[2], name=match[3], sql=files[file]))
    return tuple(migrations)


@functools.cache
def load_migrations() -> tuple[Migration, ...]:
    """All migrations of this release."""
    folder = resources.files(__package__) / "migrations"
    return parse_migrations({file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".sql")})
