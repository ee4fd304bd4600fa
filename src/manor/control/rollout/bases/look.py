"""Looks at what there is to recover a server from, and chooses. Touches nothing, unless it is told to make the target
reachable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from manor.control.backup.base_chain import chain_of
from manor.control.backup.base_manifest import BaseManifest
from manor.control.backup.recover import Mark, Recovery, Target, Unreachable, plan_recovery
from manor.control.engines.bases import ServerShape
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.reach import archive_everything
from manor.control.rollout.bases.take import refuse_tablespaces, shape_of
from manor.control.runtime import Runtime
from manor.errors import UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How a target is reached, or why it is not."""

    outcome: Recovery | Unreachable
    manifests: Sequence[BaseManifest]
    now: ServerShape | None
    """The server as it is; None where it does not answer."""
    problems: tuple[str, ...]
    """Base backups that cannot be used, in words."""

    @property
    def chain(self) -> tuple[BaseManifest, ...]:
        """The full base backup that is used, and the increments of it up to the one that is chosen."""
        return chain_of(self.manifest, self.manifests)

    @property
    def manifest(self) -> BaseManifest:
        """Of the base backup that is used. Only where there is one."""
        assert isinstance(self.outcome, Recovery)  # noqa: S101 - the caller has looked
        return next(m for m in self.manifests if m.id == self.outcome.base.id)


async def choose(
    runtime: Runtime, place: BasePlace, server: str, target: Target, *, act: bool, deadline_seconds: float = 120.0
) -> Chosen:
    """Choose the base backup and the range of the log. ``act``: first have everything archived that the server has committed;
    otherwise say what would be possible then. A server that is gone is restored from what was archived.

    Raises ``UnsupportedError`` for a server with tablespaces, and what storage and the server raise.
    """
    manifests, broken = await place.manifests(server)
    archive = place.archives[server]
    now: ServerShape | None = None
    live_lsn, clock = None, runtime.now()
    try:
        facts = await runtime.servers[server].bases.facts()
        refuse_tablespaces(server, facts)
        now, clock = shape_of(facts), facts.at  # commits bear the server's time
        if any(manifest.shape.system == facts.system for manifest in manifests):
            live_lsn = facts.lsn
            if act and not (target.time is not None and target.time > clock):
                live_lsn = await archive_everything(runtime.servers[server], archive, deadline_seconds=deadline_seconds)
    except UnreachableError:
        live_lsn = None
    found = replace(await archive.look(), live_lsn=live_lsn)
    marks = [Mark(name=m.name, lsn=m.lsn, at=m.at) for m in await runtime.catalog.marks(server)]
    bases = [manifest.base for manifest in manifests]
    outcome = plan_recovery(bases, found, marks, target, now=clock, system=now.system if now else "")
    return Chosen(outcome=outcome, manifests=manifests, now=now, problems=tuple(str(error) for error in broken))
