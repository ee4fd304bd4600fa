"""Whether servers have room for an atomic release: slots for prepared transactions, and connections to keep open.

Every kept connection is an open file of this process too. The system's limit on those is raised as far as it is needed and may
be; what it leaves is shared out among the servers. Without that, votes fail that nothing else speaks against.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from manor.control.engines.driver import ServerDriver
from manor.control.rollout.retry import ATTEMPTS, retrying
from manor.errors import ManorError, RefusedError, UnreachableError, UnsupportedError, counted

if sys.platform != "win32":
    import resource

SPARE_CONNECTIONS = 5
"""Left to others on a server, beside those that work on votes."""
_SPARE_FILES = 100
"""Left to what this process opens later: the catalog's connections, hooks and their pipes, logs."""
_MACOS_FILES = 10_240
"""macOS refuses a higher soft limit, though it calls the hard one infinite (setrlimit(2), OPEN_MAX)."""
_WINDOWS_FILES = 512
"""Sockets that one ``select`` of Python takes on Windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one server has for an atomic release."""

    targets: int
    slots: int
    free_slots: int
    free_connections: int
    files: int
    """How many of its connections this process may have open at once."""

    def kept(self, parallel: int, most: int | None) -> int:
        """How many connections can stay open between the phases, beside ``parallel`` that vote."""
        free = max(0, self.free_connections - parallel - SPARE_CONNECTIONS)
        # No more than one connection per target is ever open: where all of them fit, none need be left for voting.
        files = self.targets if self.files >= self.targets else max(0, self.files - parallel)
        return min(self.targets, free, files, self.targets if most is None else most)


async def look_for_room(servers: Mapping[str, ServerDriver], targets: Iterable[str]) -> dict[str, Room]:
    """By server. ``targets``: the server of each target. Raises this process's limit on open files where that makes room.

    Raises ``UnreachableError`` naming the first server that does not answer.
    """
    room = {}
    for name, number in sorted(Counter(targets).items()):
        server = servers[name]
        try:
            facts = await retrying(server.facts, attempts=ATTEMPTS)
            taken = len(await retrying(functools.partial(server.releases.prepared, ""), attempts=ATTEMPTS))
        except UnreachableError as error:
            raise needed_and_away(name, number, error) from error
        room[name] = Room(
            targets=number,
            slots=facts.max_prepared_transactions,
            free_slots=facts.max_prepared_transactions - taken,
            free_connections=facts.max_connections - facts.used_connections,
            files=number,
        )
    needs = {name: max(0, min(found.targets, found.free_connections)) for name, found in room.items()}
    files = shares(needs, _free_files(sum(needs.values())))
    return {name: replace(found, files=files[name]) for name, found in room.items()}


def needed_and_away(server: str, targets: int, error: ManorError) -> UnreachableError:
    """What to say where all or none of some targets cannot be released because of their server."""
    return UnreachableError(
        f"server {server} does not answer, and this release to all or none has {counted(targets, 'tenant')} on it: "
        f"{error.message}",
        hint="nothing was changed; wait for it, leave its tenants out, or take --strategy rolling, which names them",
    )


def shares(needs: Mapping[str, int], total: int) -> dict[str, int]:
    """Share ``total`` out evenly; what one does not need goes to the others."""
    left, given = max(0, total), dict.fromkeys(needs, 0)
    for index, (name, need) in enumerate(sorted(needs.items(), key=lambda item: item[1])):
        given[name] = min(need, left // (len(needs) - index))
        left -= given[name]
    return given


def _free_files(wanted: int) -> int:
    """How many more files may be opened here, all else aside; the soft limit is raised as far as ``wanted`` ones need it."""
    taken = _open_files() + _SPARE_FILES
    return _raised_limit(taken + wanted) - taken


def _open_files() -> int:
    """How many are open now; 0 where the system has no folder of them."""
    with contextlib.suppress(OSError):
        return len(list(Path("/dev/fd").iterdir()))
    return 0


def _raised_limit(wanted: int) -> int:
    """The limit on open files, once it was raised towards ``wanted``. No further: programs that hooks start inherit it."""
    if sys.platform == "win32":
        return _WINDOWS_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    most = min(most, _MACOS_FILES) if sys.platform == "darwin" else most
    if soft == resource.RLIM_INFINITY or soft >= min(wanted, most):
        return sys.maxsize if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):  # a system that allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, most), hard))
        return min(wanted, most)
    return soft


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
