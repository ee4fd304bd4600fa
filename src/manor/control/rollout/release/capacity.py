"""Whether servers have room for an atomic release: slots for prepared transactions, and connections to keep open."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manor.control.engines.driver import ServerDriver
from manor.control.rollout.retry import ATTEMPTS, retrying
from manor.errors import RefusedError, UnsupportedError, counted

SPARE_CONNECTIONS = 5
"""Left to others on a server, beside those that work on votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one server has for an atomic release."""

    targets: int
    slots: int
    free_slots: int
    free_connections: int

    def kept(self, parallel: int, most: int | None) -> int:
        """How many connections can stay open between the phases."""
        free = max(0, self.free_connections - parallel - SPARE_CONNECTIONS)
        return min(self.targets, free, self.targets if most is None else most)


async def look_for_room(servers: Mapping[str, ServerDriver], targets: Iterable[str]) -> dict[str, Room]:
    """By server. ``targets``: the server of each target."""
    room = {}
    for name, number in sorted(Counter(targets).items()):
        server = servers[name]
        facts = await retrying(server.facts, attempts=ATTEMPTS)
        taken = len(await retrying(functools.partial(server.releases.prepared, ""), attempts=ATTEMPTS))
        room[name] = Room(
            targets=number,
            slots=facts.max_prepared_transactions,
            free_slots=facts.max_prepared_transactions - taken,
            free_connections=facts.max_connections - facts.used_connections,
        )
    return room


def refuse_without_room(room: Mapping[str, Room]) -> None:
    """Raise ``UnsupportedError`` (no slots at all) or ``RefusedError`` (too few): never half an atomic release."""
    for name, found in room.items():
        if found.slots == 0:
            raise UnsupportedError(
                f"server {name} cannot prepare transactions, so a release to all or none is not possible there",
                hint="set max_prepared_transactions on it and restart it, or take --strategy rolling",
            )
        if found.free_slots < found.targets:
            raise RefusedError(
                f"server {name} has {counted(found.free_slots, 'free slot')} for prepared transactions, "
                f"{found.targets} are needed",
                hint=f"raise max_prepared_transactions to {found.targets + found.slots - found.free_slots}, "
                "release fewer tenants at a time, or take --strategy rolling",
            )
