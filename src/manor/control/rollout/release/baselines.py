"""What a baseline records as done must be there: a golden that lacks it would become the measure of tenants that have it.

A golden's digest tells which migrations its tenants have seen, not which of them were run. So before one is made by recording,
these are tried on a copy: where all of them run, and the schema is another one then, they were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manor.control.catalog.records import GoldenRecord
from manor.control.engines.driver import Marker, ServerDriver
from manor.control.engines.releases import Change, ChangeStep
from manor.control.migrate.cohort import Cohort, Scripts, Terms
from manor.control.migrate.model import Migration
from manor.errors import Code, EngineError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Where recorded migrations are tried."""

    server: ServerDriver
    database: str
    """The copy's name; it is dropped."""
    marker: Marker
    terms: Terms


def recorded_only(cohort: Cohort, scripts: Scripts) -> list[Migration]:
    """The migrations that a cohort records without running them; what a squash stands for is not among them."""
    keys = [(step.version, step.checksum) for step in cohort.steps if step.kind == "record"]
    return [scripts[key] for key in keys if key in scripts]


async def refuse_what_is_not_there(trial: Trial, cohort: Cohort, old: GoldenRecord, recorded: Sequence[Migration]) -> None:
    """Raise ``RefusedError`` where ``recorded`` can be run on a copy of ``old`` and change its schema: then it does not hold
    them."""
    server, database = trial.server, trial.database
    try:
        await server.drop_database(database)
        await server.clone(old.database, database)
        await server.restrict({database: trial.marker})
        before, _ = await server.fingerprint(database, ())
        await server.releases.rehearse(database, _run(cohort, recorded, trial.terms, before))
    except EngineError as error:
        if error.transient:
            raise
        if error.code is Code.DRIFT:  # any other: a statement fails, because what it makes is there
            raise _not_there(cohort, recorded) from error
    finally:
        await server.drop_database(database)


def _run(cohort: Cohort, recorded: Sequence[Migration], terms: Terms, fingerprint: str) -> Change:
    steps = (
        ChangeStep(version=m.version, checksum=m.checksum, name=m.name, text=m.up.text, place=m.up.place) for m in recorded
    )
    return Change(
        operation=terms.operation,
        token=terms.token,
        before=tuple((version, checksum) for version, checksum, _ in cohort.before),
        steps=tuple(steps),
        fingerprint=fingerprint,
        lock_timeout_seconds=terms.lock_timeout_seconds,
        statement_timeout_seconds=terms.statement_timeout_seconds,
    )


def _not_there(cohort: Cohort, recorded: Sequence[Migration]) -> RefusedError:
    versions = ", ".join(migration.version for migration in recorded)
    return RefusedError(
        f"the schema of template {cohort.template} does not hold what {versions} would make: that can be run, and changes it; "
        "it must not be recorded as done",
        hint="`manor tenant migrate` runs it; if it is there, name its indexes and constraints in the file as they are named",
        place=recorded[0].up.place,
    )
