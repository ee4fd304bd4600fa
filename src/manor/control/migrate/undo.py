"""Which down sections take back what one operation did to a database. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from manor.control.migrate.history import Problem, ProblemCode, VersionKey
from manor.control.migrate.model import Applied, Migration, version_key

Known = Mapping[tuple[VersionKey, str], Migration]
"""Migrations by version and checksum: more than one text of a version may have been applied over time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What takes an operation back. Nothing may be done while there are ``problems``."""

    migrations: tuple[Migration, ...] = ()
    """Whose down sections must run, newest first; their rows go with them."""
    forgotten: tuple[Migration, ...] = ()
    """Whose rows go and nothing runs: squashes that were recorded, not run."""
    problems: tuple[Problem, ...] = ()


def by_checksum(migrations: Iterable[Migration]) -> Known:
    """``migrations`` as ``undo`` looks them up; of two that mean the same the later counts, its down section may be mended."""
    return {(version_key(migration.version), migration.checksum): migration for migration in migrations}


def undo(known: Known, applied: Sequence[Applied], operation: str) -> Undo:
    """How to take back what ``operation`` wrote into a database's history."""
    ours = sorted((row for row in applied if row.operation == operation), key=_by_version, reverse=True)
    if not ours:
        return Undo()
    problems = list(_not_on_top(applied, operation, ours[-1]))
    present = {version_key(row.version) for row in applied}
    run: list[Migration] = []
    forgotten: list[Migration] = []
    for row in ours:
        migration = known.get((version_key(row.version), row.checksum))
        if migration is None:
            problems.append(_not_kept(row))
        elif migration.squashes and present.issuperset(map(version_key, migration.squashes)):
            forgotten.append(migration)
        elif migration.down is None:
            problems.append(_no_down(migration))
        else:
            run.append(migration)
    return Undo(migrations=tuple(run), forgotten=tuple(forgotten), problems=tuple(problems))


def _by_version(row: Applied) -> VersionKey:
    return version_key(row.version)


def _not_on_top(applied: Sequence[Applied], operation: str, oldest: Applied) -> Iterator[Problem]:
    """Newer migrations of other operations may build on what would be taken away."""
    for row in sorted(applied, key=_by_version):
        if row.operation != operation and version_key(row.version) > version_key(oldest.version):
            by = f" by operation {row.operation}" if row.operation else ""
            yield Problem(
                code=ProblemCode.NOT_ON_TOP,
                version=row.version,
                message=f"{row.version} was applied{by} on top of {oldest.version}",
                hint="undo that first",
            )


def _not_kept(row: Applied) -> Problem:
    return Problem(
        code=ProblemCode.NOT_KEPT,
        version=row.version,
        message=f"nobody has the text of {row.version} that was applied",
        hint="put back the file as it was then",
    )


def _no_down(migration: Migration) -> Problem:
    return Problem(
        code=ProblemCode.NO_DOWN,
        version=migration.version,
        message=f"{migration.label} has no down section",
        hint="write one below -- migrate:down, or restore the snapshot",
    )
