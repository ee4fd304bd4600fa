"""Runs on a loaded database the migrations that its tenant has had since. Nobody enters it meanwhile, and what comes out is
proved like every release: by the history, and by the fingerprint inside the last transaction."""

from __future__ import annotations

from dataclasses import replace

from manor.control.catalog.records import DatabaseRecord, TargetRecord
from manor.control.migrate.cohort import Cohort, Scripts, migration_from
from manor.control.rollout.backups.head import way_to_head
from manor.control.rollout.backups.load import Loaded
from manor.control.rollout.release.apart import Undecided
from manor.control.rollout.release.blockers import BlockerWatch
from manor.control.rollout.release.blue_green import unpublished
from manor.control.rollout.release.conduct import Conduct
from manor.control.rollout.release.move import run_segments
from manor.control.rollout.release.recorder import Recorder
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import until_recorded
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import EngineError, RefusedError, counted

_TOKEN = 0
"""The fence of a database that is being built was lowered: nobody else has a token for it."""


async def bring_to_head(runtime: Runtime, record: DatabaseRecord, loaded: Loaded) -> tuple[Loaded, int]:
    """The loaded database at the release of its tenant, and the number of migrations that were run.

    Raises ``RefusedError`` where no recorded migrations lead there, ``EngineError`` where one fails: its content may be such
    that the migration cannot be run, which its author has to know.
    """
    lineages = await until_recorded(runtime, lambda: runtime.catalog.lineages([loaded.golden, record.golden]))
    cohort = way_to_head(record, loaded.golden, loaded.photograph, lineages)
    if not cohort.steps:
        return loaded, 0
    work = _work(runtime, record, cohort, await _scripts(runtime, cohort))
    target = _target(record, loaded.database)
    try:
        await run_segments(work, target, unpublished(work.segments(target)))
    except Undecided as error:  # the database is dropped: there is nothing to decide
        raise EngineError(error.message, hint="nothing was changed", code=error.code) from error
    photograph = await work.server(target).dumps.photograph(loaded.database, recorded_isolation(record.config))
    return replace(loaded, photograph=photograph, golden=record.golden), len(cohort.steps)


async def _scripts(runtime: Runtime, cohort: Cohort) -> Scripts:
    """The recorded texts: the migrations as they were run, whatever became of their files."""
    found = await until_recorded(runtime, lambda: runtime.catalog.scripts(step.checksum for step in cohort.steps))
    scripts = {key: migration_from(key[0], body) for key, body in found.items()}
    missing = [step.version for step in cohort.steps if (step.version, step.checksum) not in scripts]
    if missing:
        raise RefusedError(
            f"{counted(len(missing), 'migration')} that the restored database needs was never run by this Manor: {missing[0]}",
            hint="--keep-head restores it as it is, and `manor tenant migrate` goes on from there",
        )
    return scripts


def _work(runtime: Runtime, record: DatabaseRecord, cohort: Cohort, scripts: Scripts) -> Work:
    return Work(
        runtime=runtime,
        token=_TOKEN,
        cohorts={cohort.number: cohort},
        scripts=scripts,
        records={str(record.tenant): record},
        conduct=Conduct(),
        recorder=Recorder(runtime),
        watch=BlockerWatch(runtime.servers, runtime.operation),
    )


def _target(record: DatabaseRecord, database: str) -> TargetRecord:
    return TargetRecord(
        tenant=str(record.tenant),
        database=database,
        server=record.server,
        group=record.group,
        template=record.template,
        status=str(Status.IN_PROGRESS),
        duration_seconds=0.0,
        error=None,
        detail="",
        facts={},
        cohort=0,
    )
