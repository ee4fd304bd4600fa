"""What ``manor migration status`` shows: one row per migration, and per applied version without a file. Pure."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable
from dataclasses import dataclass

from manor.control.migrate.history import Chain, ProblemCode, pending
from manor.control.migrate.model import Applied, version_key


class State(enum.StrEnum):
    """What became of one migration in one database."""

    APPLIED = "applied"
    PENDING = "pending"
    EDITED = "edited"
    OUT_OF_ORDER = "out_of_order"
    SQUASHED = "squashed"
    """Applied, without a file, and a newer migration stands for it."""
    COVERED = "covered"
    """A squash that counts as applied and is not yet recorded."""
    SQUASH_PARTIAL = "squash_partial"
    NO_FILE = "no_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One line of the table."""

    version: str
    name: str
    state: State
    has_down: bool = False
    applied_at: dt.datetime | None = None
    operation: str = ""


_OF_PROBLEMS = {
    ProblemCode.EDITED: State.EDITED,
    ProblemCode.OUT_OF_ORDER: State.OUT_OF_ORDER,
    ProblemCode.SQUASH_PARTIAL: State.SQUASH_PARTIAL,
}


def status(chain: Chain, applied: Iterable[Applied]) -> tuple[StatusRow, ...]:
    """Everything that the chain or the database knows of, by version."""
    rows = tuple(applied)
    found = pending(chain, rows)
    states = {migration.version: State.PENDING for migration in found.migrations}
    states |= {migration.version: State.COVERED for migration in found.recorded}
    states |= {p.version: _OF_PROBLEMS[p.code] for p in found.problems if p.code in _OF_PROBLEMS}
    lost = {problem.version for problem in found.problems if problem.code in (ProblemCode.GAP, ProblemCode.UNKNOWN)}
    by_position = {chain.position(row.version): row for row in rows}
    table = []
    for position, migration in enumerate(chain.migrations):
        row = by_position.get(position)
        table.append(
            StatusRow(
                version=migration.version,
                name=migration.name,
                state=states.get(migration.version, State.APPLIED),
                has_down=migration.down is not None,
                applied_at=row.applied_at if row is not None else None,
                operation=row.operation if row is not None else "",
            )
        )
    for row in rows:
        if chain.position(row.version) is None:
            state = State.NO_FILE if row.version in lost else State.SQUASHED
            table.append(
                StatusRow(version=row.version, name=row.name, state=state, applied_at=row.applied_at, operation=row.operation)
            )
    return tuple(sorted(table, key=lambda line: version_key(line.version)))
