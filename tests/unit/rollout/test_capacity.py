"""How many connections an atomic release may keep open: what servers have room for, and what this process may open."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.rollout.release import capacity
from manor.control.rollout.release.capacity import Room, look_for_room, shares


class Server:
    """One with room for ``connections`` more."""

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.releases = self

    async def facts(self) -> Any:
        return SimpleNamespace(max_prepared_transactions=9999, max_connections=self.connections, used_connections=0)

    async def prepared(self, _prefix: str) -> list[Any]:
        return []


Limit = Callable[[int, int], None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limit]:
    """Sets how many files may be open, (soft, hard) as the process sees them; 40 are."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen = {"limits": before}
    monkeypatch.setattr(resource, "getrlimit", lambda _: seen["limits"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: seen.update(limits=limits))
    monkeypatch.setattr(capacity, "_open_files", lambda: 40)
    yield lambda soft, hard: seen.update(limits=(soft, hard))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == seen["limits"][1], "the hard limit was changed"


async def kept(*targets: int, connections: int = 5000, parallel: int = 10) -> list[int]:
    """Per server, with so many targets each."""
    servers: Any = {f"s{number}": Server(connections) for number in range(len(targets))}
    room = await look_for_room(servers, [f"s{number}" for number, count in enumerate(targets) for _ in range(count)])
    return [found.kept(parallel, None) for found in room.values()]


async def test_the_soft_limit_is_raised_to_what_is_needed(limit: Limit) -> None:
    """The usual 1,024 of a login do not keep a release small that the hard limit has room for."""
    limit(1024, 524_288)
    assert await kept(*[250] * 5) == [250] * 5
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (soft, hard) == (40 + 100 + 1250, 524_288)


async def test_a_limit_with_room_is_left_alone(limit: Limit) -> None:
    """Hooks inherit it: it is raised for a reason only."""
    limit(4096, 524_288)
    assert await kept(250, 250) == [250, 250]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (4096, 524_288)


async def test_all_servers_together_keep_no_more_than_may_be_opened(limit: Limit) -> None:
    """100 are left for all else, and on every server those that vote beside the kept ones."""
    limit(256, 1024)
    found = await kept(*[250] * 5)
    assert sum(found) + 5 * 10 + 100 + 40 == 1024
    assert max(found) - min(found) <= 1


async def test_a_small_server_leaves_its_share_to_the_others(limit: Limit) -> None:
    """No file is reserved for nobody."""
    limit(1024, 1024)
    assert await kept(10, 2000) == [10, 1024 - 40 - 100 - 10 - 10]
    assert await kept(2000, 2000, connections=50) == [35, 35]


async def test_without_room_nothing_is_kept(limit: Limit) -> None:
    """Every vote connects anew then."""
    limit(100, 100)
    assert await kept(250) == [0]


async def test_no_limit_is_no_bound(limit: Limit) -> None:
    """Which is written as -1 on Linux."""
    limit(resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert await kept(250, 3000) == [250, 3000]


async def test_a_refused_limit_is_what_it_was(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems refuse what their hard limit allows."""

    def refuse(_what: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limit(256, 524_288)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert await kept(250) == [256 - 40 - 100 - 10]


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 500), max_size=8), st.integers(-10, 2000))
def test_shares_are_fair(needs: dict[str, int], total: int) -> None:
    """Nobody gets more than it needs, all together no more than there is; who goes short has as much as anybody."""
    given_out = shares(needs, total)
    assert given_out.keys() == needs.keys()
    assert all(0 <= given_out[name] <= need for name, need in needs.items())
    assert sum(given_out.values()) == min(max(0, total), sum(needs.values()))
    short = [given_out[name] for name, need in needs.items() if given_out[name] < need]
    assert all(share >= max(given_out.values()) - 1 for share in short)


def test_most_is_a_bound_of_its_own() -> None:
    """What the user allows holds, whatever there is room for."""
    room = Room(targets=90, slots=100, free_slots=100, free_connections=500, files=90)
    assert room.kept(10, 30) == 30
