"""How a tenant comes back at a moment, whatever its server's source is: base backups of Manor's own, or a repository of whole
clusters where the deployment names one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from manor.control.backup.recover import Recovery, Target, Unreachable
from manor.control.rollout.bases.look import Chosen, choose
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.side_source import TenantAtMoment, tenant_at
from manor.control.rollout.bases.whole import ChosenWhole, choose_whole, tenant_of_whole
from manor.control.runtime import Runtime

Opening = Callable[[str], AbstractAsyncContextManager[TenantAtMoment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a target is reached, or why it is not."""

    outcome: Recovery | Unreachable
    described: str = ""
    """The backup that is used, in words."""
    told: str = ""
    """What whoever restores must know of it."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""
    problems: tuple[str, ...] = ()
    """Backups that cannot be used, in words."""
    opening: Opening
    """The side instance with the database of a tenant, by its id. Only where the target can be reached."""
    sizes: Callable[[str], Mapping[str, int]]
    """What is read of the backup for a tenant, as far as that is known."""
    may_hold: Callable[[str], bool] = lambda _: True
    """Whether a tenant can have had a database when the backup was taken."""

    def required(self, server: str) -> Recovery:
        """Raises ``RefusedError`` that says why the moment cannot be reached and which ones can."""
        if not isinstance(self.outcome, Recovery):
            error = self.outcome.error(server)
            error.message = "; ".join([error.message, *self.problems])
            raise error
        return self.outcome


async def find_way(
    runtime: Runtime, place: BasePlace, server: str, target: Target, *, act: bool, deadline_seconds: float = 120.0
) -> Way:
    """Choose the backup and the range of the log. ``act``: first have everything archived that the server has committed.
    Raises as ``choose`` and ``choose_whole``."""
    if server in place.repositories:
        return _whole(place, await choose_whole(runtime, place, server, target, act=act, deadline_seconds=deadline_seconds))
    return _own(place, await choose(runtime, place, server, target, act=act, deadline_seconds=deadline_seconds))


def _own(place: BasePlace, chosen: Chosen) -> Way:
    found = chosen.outcome
    chain = chosen.chain if isinstance(found, Recovery) else ()
    base = chain[-1].id if chain else ""
    parents = [one.id for one in reversed(chain[:-1])]
    of = f", an increment of {', of '.join(parents)}" if parents else ""

    def opening(tenant: str) -> AbstractAsyncContextManager[TenantAtMoment]:
        assert isinstance(found, Recovery)  # noqa: S101 - the caller has looked
        return tenant_at(place, chain, found, tenant, now=chosen.now)

    def sizes(tenant: str) -> Mapping[str, int]:
        wanted = chain[-1].pieces_for(tenant)
        sizes = [one.members[piece].bytes for one in chain for piece in wanted if piece in one.members]
        return {"pieces": len(sizes), "bytes": sum(sizes)}

    return Way(
        outcome=found,
        described=f"base backup {base}{of}",
        facts={"base": base, "chain": [one.id for one in chain]},
        problems=chosen.problems,
        opening=opening,
        sizes=sizes,
        may_hold=lambda tenant: any(database.belongs_to(tenant) for database in chain[-1].databases) if chain else True,
    )


def _whole(place: BasePlace, chosen: ChosenWhole) -> Way:
    found, source = chosen.outcome, chosen.repository.described
    label = found.base.id if isinstance(found, Recovery) else ""
    return Way(
        outcome=found,
        described=f"backup {label} of the whole cluster from {source}",
        told=f"the whole cluster was restored from {source}, backup {label}",
        facts={"base": label, "source": source},
        problems=chosen.held.problems,
        opening=lambda tenant: tenant_of_whole(place, chosen, tenant),
        sizes=lambda _: {},
    )
