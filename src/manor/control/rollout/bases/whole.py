"""A moment of the past out of a repository of whole clusters (pgBackRest's): the backup that is used, and the side instance
that gets all of it, neighbours included.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from manor.control.backup.recover import Archive, Base, Mark, Recovery, Target, Unreachable, plan_recovery
from manor.control.engines.bases import LogFacts
from manor.control.engines.repositories import Held, Repository
from manor.control.engines.wal import Timelines, read_history
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.reach import archive_everything
from manor.control.rollout.bases.side_source import TenantAtMoment, had_none, reached, replay_of
from manor.control.rollout.bases.take import refuse_tablespaces, require_superuser, shape_of
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenWhole:
    """How a target is reached from a repository, or why it is not."""

    server: str
    outcome: Recovery | Unreachable
    repository: Repository
    held: Held
    facts: LogFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryArchive:
    """The archive of a repository, as ``archive_everything`` waits for it."""

    repository: Repository
    held: Held

    def __str__(self) -> str:
        return f"{self.held.archive} of {self.repository.described}"

    @property
    def if_late(self) -> str:
        return "does the server's archive_command run pgbackrest archive-push? pgbackrest check shows more"

    async def holds(self, name: str) -> bool:
        return await self.repository.holds(self.held, name)


async def choose_whole(
    runtime: Runtime, place: BasePlace, server: str, target: Target, *, act: bool, deadline_seconds: float = 120.0
) -> ChosenWhole:
    """Choose the backup and the range of the log. ``act``: first have everything archived that the server has committed.

    Raises ``NotFoundError`` and ``UnsupportedError`` where the repository cannot be used for this server, and what the server
    and the repository raise.
    """
    repository = place.repositories[server]
    facts = await runtime.servers[server].bases.facts()
    refuse_tablespaces(server, facts)
    require_superuser(server, facts)
    await repository.require_fit(facts)
    held, live_lsn = await repository.look(facts), facts.lsn
    if act and held.backups and not (target.time is not None and target.time > facts.at):
        archive = RepositoryArchive(repository=repository, held=held)
        live_lsn = await archive_everything(runtime.servers[server], archive, deadline_seconds=deadline_seconds)
        held = await repository.look(facts)
    marks = [Mark(name=m.name, lsn=m.lsn, at=m.at) for m in await runtime.catalog.marks(server)]
    outcome = plan_in_repository(held, facts, marks, target, live_lsn=live_lsn, now=facts.at)
    if isinstance(outcome, Unreachable) and not held.backups:
        reason = f"there is no backup of this server in {repository.described}"
        outcome = Unreachable(target=target, reason=reason, hint=repository.first_step)
    return ChosenWhole(server=server, outcome=outcome, repository=repository, held=held, facts=facts)


def plan_in_repository(
    held: Held, facts: LogFacts, marks: Sequence[Mark], target: Target, *, live_lsn: int, now: dt.datetime
) -> Recovery | Unreachable:
    """``plan_recovery`` for what a repository holds of the cluster that the server is."""
    bases = [
        Base(
            id=backup.label,
            system=facts.system,
            timeline=backup.timeline,
            start_lsn=backup.start_lsn,
            stop_lsn=backup.stop_lsn,
            stopped_at=backup.stopped_at,
            segment_bytes=facts.segment_bytes,
        )
        for backup in held.backups
    ]
    histories = {timeline: read_history(text) for timeline, text in held.histories.items()}
    archive = Archive(segments=held.segments, timelines=Timelines(histories=histories), live_lsn=live_lsn)
    return plan_recovery(bases, archive, marks, target, now=now, system=facts.system)


@contextlib.asynccontextmanager
async def tenant_of_whole(place: BasePlace, chosen: ChosenWhole, tenant: str) -> AsyncIterator[TenantAtMoment]:
    """The side instance with the whole cluster, for as long as the block lasts. Only where the target can be reached.

    Raises ``EngineError``, ``UnsupportedError`` and ``NotFoundError``; nothing of it is left behind.
    """
    recovery, repository, held = chosen.outcome, chosen.repository, chosen.held
    assert isinstance(recovery, Recovery)  # noqa: S101 - the caller has looked
    label = recovery.base.id
    await refuse_tablespaces_in(chosen, label)
    replay = replace(replay_of(recovery), whole=True)
    async with place.sides[chosen.server].opening(shape_of(chosen.facts)) as side:
        data = await side.lay_out_by(lambda folder: repository.restore(held, label, replay, folder))
        server = await side.recover(replace(replay, restore_command=repository.restore_command(data)))
        then = await side.find(tenant)
        if then is None:
            raise had_none(tenant, chosen.server, recovery.target)
        if not then.complete:
            raise EngineError(
                f"tenant {tenant}: files of its database {then.database} are missing from backup {label}",
                code=Code.CORRUPT,
                hint=f"pgbackrest --stanza=… verify checks {repository.described}",
            )
        yield reached(server, then, (label,))


async def refuse_tablespaces_in(chosen: ChosenWhole, label: str) -> None:
    """Of the backup: the server may have dropped them since."""
    spaces = await chosen.repository.tablespaces(chosen.held, label)
    if spaces:
        raise UnsupportedError(
            f"server {chosen.server}: backup {label} has tablespaces ({', '.join(spaces)}), whose paths stand in the log",
            hint="use a backup that was taken after they were dropped",
        )
