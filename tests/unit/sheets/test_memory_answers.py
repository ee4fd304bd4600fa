"""Answers that a process keeps for itself are few, short-lived, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from manor.control.registry.cached import CachedTenantProvider, open_cached
from manor.control.registry.cached.answers import Look
from manor.control.registry.cached.memory import MemoryAnswers
from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.tenant_info import TenantInfo
from manor.sheet_shapes import CacheBlock

ACME = TenantInfo(tenant_id="t1", customer_code="acme", billing_info={"plan": "gold"})
OTHER = ACME.model_copy(update={"tier": "premium"})


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Changing(ListedTenantProvider):
    """A source that can become another."""

    def become(self, *tenants: TenantInfo, configs: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        ListedTenantProvider.__init__(self, tenants, configs)


async def test_an_answer_is_kept_for_its_time(clock: Clock) -> None:
    """And asked for again after it."""
    source = Changing([ACME])
    provider = CachedTenantProvider(source, MemoryAnswers(60, now=clock))
    assert await provider.get_tenant("t1") == ACME
    source.become(OTHER)
    clock.seconds = 59.9
    assert await provider.get_tenant("t1") == ACME
    clock.seconds = 60
    assert await provider.get_tenant("t1") == OTHER


async def test_letting_go_is_at_once(clock: Clock) -> None:
    """Also of an answer that was asked for before and is put after it."""
    answers = MemoryAnswers(60, now=clock)
    look = await answers.look("key")
    await answers.forget()
    await answers.put("key", b"old", look)
    assert (await answers.look("key")).text is None


async def test_the_least_used_go_first_when_there_is_no_room(clock: Clock) -> None:
    """Memory has a limit whatever is asked for; what is larger than it is not kept."""
    answers = MemoryAnswers(60, most_bytes=300, now=clock)
    for key in "abc":
        await answers.put(key, b"x" * 90, await answers.look(key))
    assert (await answers.look("a")).text is not None
    await answers.put("d", b"x" * 90, await answers.look("d"))
    await answers.put("e", b"x" * 300, await answers.look("e"))
    assert [key for key in "abcde" if (await answers.look(key)).text] == ["a", "c", "d"]
    await answers.put("a", b"y", await answers.look("a"))
    await answers.put("f", b"x" * 100, await answers.look("f"))
    assert [key for key in "abcdf" if (await answers.look(key)).text] == ["a", "c", "d", "f"]


async def test_what_a_caller_does_to_an_answer_stays_with_the_caller(clock: Clock) -> None:
    """The next one gets what the source said."""
    source = ListedTenantProvider([ACME], {"t1": {"limits": {"users": 5}}})
    provider = CachedTenantProvider(source, MemoryAnswers(60, now=clock))
    await provider.get_tenant_config("t1")
    mine: Any = await provider.get_tenant_config("t1")
    mine["limits"]["users"] = 500
    assert await provider.get_tenant_config("t1") == {"limits": {"users": 5}}


async def test_nothing_is_put_where_nothing_can_be_kept(clock: Clock) -> None:
    """A look without a mark says so."""
    answers = MemoryAnswers(60, now=clock)
    await answers.put("key", b"text", Look(mark=None))
    assert (await answers.look("key")).text is None


async def test_searches_and_counts_are_told_apart_by_all_that_was_asked(clock: Clock) -> None:
    """However long it is."""
    source = ListedTenantProvider([ACME, TenantInfo(tenant_id="t2", customer_code="beta")])
    provider = CachedTenantProvider(source, MemoryAnswers(60, now=clock))
    long = " OR ".join(f"tier = 'x{number}'" for number in range(100))
    for _ in range(2):
        assert await provider.get_tenant_count() == 2
        assert await provider.get_tenant_count({"customer_code": "beta"}) == 1
        assert await provider.get_tenant_count({"customer_code": ["beta", "acme"]}) == 2
        assert [info.tenant_id for info in await provider.search_tenants(f"tenant_id = 't1' OR {long}")] == ["t1"]
        assert [info.tenant_id for info in await provider.search_tenants(f"tenant_id = 't2' OR {long}")] == ["t2"]


async def test_a_cache_block_without_redis_keeps_in_the_process() -> None:
    """And leaving it closes the source too."""

    class Closing(ListedTenantProvider):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    source = Closing([ACME])
    provider = open_cached(source, CacheBlock(ttl=60), name="crm", namespace="shop")
    assert isinstance(provider, CachedTenantProvider)
    assert await provider.get_tenant("t1") == ACME
    await provider.aclose()
    assert source.closed
