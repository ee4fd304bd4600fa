"""One migration from a file that a command names (``batch deploy-schema --migration F``)."""

from __future__ import annotations

from pathlib import Path

from manor.control.migrate.files import parse_migration
from manor.control.migrate.folder import MAX_FILE_BYTES
from manor.control.migrate.model import Migration
from manor.control.templates.folders import kind_problem, read_bytes
from manor.errors import InputError, InvalidInput, Place


def read_migration(path: Path, *, shown_as: str) -> Migration:
    """The migration in a file named like ``v2.1.sql`` or ``20261121_add_plan.sql``. Raises ``InputError`` (no such file) and
    ``InvalidInput`` with everything that is wrong in it."""
    problem = kind_problem(path)
    if problem:
        raise InputError(problem, place=Place(shown_as))
    migration, findings = parse_migration(read_bytes(path, MAX_FILE_BYTES), path.name, shown_as=shown_as)
    if findings or migration is None:
        raise InvalidInput(findings)
    return migration
