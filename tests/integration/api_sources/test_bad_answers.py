"""Answers that do not come, come late, cut off, as something else or not in time."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from manor.control.registry.http_json import client
from manor.control.registry.http_json.client import Patience
from manor.control.registry.provider import TenantRegistryProvider
from manor.errors import Code, InputError, InvalidInput, ManorError, NotFoundError, UnreachableError
from manor.testing.tenant_api import Reply, Seen, TenantApi, as_json

EVERYBODY = [f"t{n:02}" for n in range(25)]
PASSING = {
    "500": as_json({"message": "oh no"}, 500),
    "502 from a proxy": Reply(status=502, body=b"<html>Bad gateway", headers={"Content-Type": "text/html"}),
    "503": Reply(status=503),
    "429": Reply(status=429),
    "429 with Retry-After": Reply(status=429, headers={"Retry-After": "0"}),
    "an ended connection": Reply(hang_up=True),
    "a body cut off": Reply(body=b'{"items": [{"tenant_id": "t00"}, {"tenant', cut_after=20),
    "half of the JSON as if whole": Reply(body=b'{"items": [{"tenant_id": "t00"}, {"ten'),
    "JSON with NaN": Reply(body=b'{"items": [], "total": NaN}'),
    "304 unasked": Reply(status=304),
}


async def ids(provider: TenantRegistryProvider) -> list[str]:
    return [info.tenant_id async for info in provider.iter_tenants()]


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("number", [1, 3])
async def test_what_passes_is_tried_again_and_the_list_is_whole(api: TenantApi, rest: Any, reply: Reply, number: int) -> None:
    """Twice, on the first page or a later one."""
    api.trouble = lambda seen: reply if seen.number in (number, number + 1) else None
    assert await ids(rest()) == EVERYBODY


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
async def test_what_does_not_pass_is_an_error_after_all_tries(api: TenantApi, rest: Any, hasty: Patience, reply: Reply) -> None:
    """It names the address; the pages before it are not handed out as all that there is."""
    api.trouble = lambda seen: reply if seen.number > 1 else None
    with pytest.raises(ManorError) as raised:
        await ids(rest())
    assert raised.value.code in (Code.UNREACHABLE, Code.CORRUPT)
    assert raised.value.transient
    assert f"{api.url}/v1/tenants" in raised.value.message
    assert len(api.seen) == 1 + hasty.attempts


async def test_the_apis_own_words_are_in_the_error(api: TenantApi, rest: Any) -> None:
    """Its status and its message."""
    api.trouble = lambda _: as_json({"error": {"message": "the shard is\nfull"}}, 500)
    with pytest.raises(UnreachableError, match="answers 500: the shard is full"):
        await rest().list_tenants()


async def test_a_slow_answer_is_given_up_in_time(api: TenantApi, rest: Any, hasty: Patience) -> None:
    """Each try has its seconds; the message has the setting's value."""
    api.trouble = lambda _: Reply(hold_back=True)
    with pytest.raises(UnreachableError, match=r"did not answer within 0\.05 s") as raised:
        await ids(rest(patience=replace(hasty, timeout=0.05)))
    assert raised.value.transient
    assert "timeout" in raised.value.hint


async def test_an_api_that_is_not_there_is_unreachable(rest: Any) -> None:
    """Its address is in the error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=address) as raised:
            await ids(rest(api_base_url=address))
    assert raised.value.transient


async def test_the_api_is_left_alone_for_as_long_as_it_asks(api: TenantApi, rest: Any, hasty: Patience) -> None:
    """By other requests of the source too, which did not hear it."""
    times: list[float] = []

    def trouble(seen: Seen) -> Reply | None:
        times.append(time.monotonic())
        return Reply(status=429, headers={"Retry-After": "1"}) if seen.number == 1 else None

    api.trouble = trouble
    provider = rest()
    with pytest.raises(UnreachableError):
        await rest(patience=replace(hasty, attempts=1)).get_tenant("t01")
    api.seen.clear()
    times.clear()
    await asyncio.gather(provider.get_tenant("t01"), provider.get_tenant("t02"))
    await provider.get_tenant("t03")
    assert len(times) == 4
    assert times[-2] - times[0] >= 1.0


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_an_api_that_wants_to_be_left_alone_for_too_long_is_not_waited_for(api: TenantApi, rest: Any, form: str) -> None:
    """One request, and the error says how long."""
    asked = "3600" if form == "seconds" else email.utils.formatdate(time.time() + 3600, usegmt=True)
    api.trouble = lambda _: Reply(status=503, headers={"Retry-After": asked})
    with pytest.raises(UnreachableError) as raised:
        await ids(rest())
    assert len(api.seen) == 1
    assert "longest_wait" in raised.value.hint


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (Reply(body=b"<html>Sign in", headers={"Content-Type": "text/html"}), Code.CORRUPT, "text/html, not with JSON"),
        (as_json({"message": "limit is at most 5"}, 400), Code.BAD_INPUT, "limit is at most 5"),
        (as_json({"errors": [{"detail": "no"}]}, 422), Code.BAD_INPUT, "422"),
        (as_json({}, 403), Code.DENIED, "403"),
        (as_json({"error": "expired"}, 401), Code.DENIED, "expired"),
        (as_json({}, 404), Code.NOT_FOUND, "404"),
        (as_json({}, 501), Code.UNSUPPORTED, "501"),
        (Reply(status=302, headers={"Location": "https://sso.example.com/login?token=abc"}), Code.BAD_INPUT, "sso.example.com"),
        (Reply(status=204), Code.CORRUPT, "without a list"),
        (Reply(body=b'{"items": [{"billing_info": {"a": 1e400}}]}'), Code.CORRUPT, r"items\[0\]\.billing_info\.a is too large"),
    ],
)
async def test_what_does_not_pass_by_itself_is_asked_once(
    api: TenantApi, rest: Any, reply: Reply, code: Code, said: str
) -> None:
    """And says what to look at."""
    api.trouble = lambda _: reply
    with pytest.raises(ManorError, match=said) as raised:
        await ids(rest())
    assert raised.value.code is code
    assert raised.value.hint
    assert len(api.seen) == 1
    assert "token=abc" not in str(raised.value)


async def test_an_answer_without_end_is_not_taken_into_memory(
    api: TenantApi, rest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger than any page is refused."""
    monkeypatch.setattr(client, "LARGEST_BODY_BYTES", 1 << 20)
    api.trouble = lambda _: Reply(body=b" " * (1 << 20) + b"[]")
    with pytest.raises(ManorError, match="more than 1 MiB") as raised:
        await ids(rest())
    assert raised.value.code is Code.EXHAUSTED
    assert len(api.seen) == 1


async def test_every_record_of_a_page_that_is_no_tenant_is_named(api: TenantApi, rest: Any) -> None:
    """With its number in the whole list, its id where it has one, the field and what stood there."""
    api.rows[13] = {"tenant_id": "t13", "customer_code": "c", "status": "ACTIVE"}
    api.rows[15] = {"tenant_id": "t15", "customer_code": None, "tier": ["a"]}
    with pytest.raises(InvalidInput) as raised:
        await ids(rest())
    lines = [str(finding) for finding in raised.value.findings]
    assert len(lines) == 3
    assert lines[0].startswith(f"{api.url}/v1/tenants, record 14 (t13): status: ")
    assert "'ACTIVE'" in lines[0]
    assert "fields.status" in lines[0]
    assert "record 16 (t15): has no customer_code" in lines[1]
    assert "tier: " in lines[2]
    api.rows[13] = "text"  # type: ignore[call-overload]
    with pytest.raises(InvalidInput, match=r"record 14: is not a record but text 'text'"):
        await ids(rest())


async def test_one_tenant_is_the_one_that_was_asked_for(api: TenantApi, rest: Any) -> None:
    """An API that answers with its nearest one has none."""
    api.trouble = lambda _: as_json(api.rows[3])
    with pytest.raises(NotFoundError, match="the source crm has no tenant T03"):
        await rest().get_tenant("T03")


async def test_settings_are_a_mapping(api: TenantApi, rest: Any) -> None:
    """Anything else is an error; none at all is none."""
    provider = rest(config="settings")
    for body, said in (({"settings": ["a"]}, "a list where settings belong"), ({"settings": "x"}, "text 'x'")):
        api.trouble = lambda _, body=body: as_json(body)  # type: ignore[misc]
        with pytest.raises(ManorError, match=said):
            await provider.get_tenant_config("t01")
    api.trouble = lambda _: as_json({"settings": None})
    assert await provider.get_tenant_config("t01") == {}


async def test_nothing_is_sent_twice_that_did_not_change(api: TenantApi, rest: Any) -> None:
    """A walk that is repeated gets 304 for every page, and sees what did change."""
    api.etags = True
    provider = rest()
    assert await ids(provider) == EVERYBODY
    api.seen.clear()
    assert await ids(provider) == EVERYBODY
    assert all("if-none-match" in seen.headers for seen in api.seen)
    api.rows[24] = {"tenant_id": "new", "customer_code": "c"}
    assert (await ids(provider))[-1] == "new"


async def test_a_setting_that_is_no_jmespath_is_refused_at_once(rest: Any) -> None:
    """By its name."""
    with pytest.raises(InputError, match=r"fields\.tier is not JMESPath"):
        rest(fields={"tier": "plan.[code"})
    with pytest.raises(InputError, match=r"pagination\.total is not JMESPath"):
        rest(pagination={"total": "a b"})


async def test_records_in_another_shape_are_mapped(api: TenantApi, rest: Any) -> None:
    """Nested keys, words of the API's own, numbers as ids, and a list that is the answer itself."""
    company = {"name": "A", "plan": {"code": "P"}, "state": "ON", "id": 7, "unknown": 1, "tags": [{"n": "main"}, {"n": "test"}]}
    api.trouble = lambda _: as_json([company])
    fields = {
        "tenant_id": "id",
        "customer_code": "join('', ['c', to_string(id)])",
        "customer_name": "name",
        "tier": "plan.code == 'P' && 'premium' || 'basic'",
        "status": "state == 'ON' && 'active' || 'suspended'",
        "instances": "tags[].n",
    }
    (info,) = await rest(items="@", fields=fields, pagination={"style": "none"}).list_tenants()
    assert (info.tenant_id, info.customer_code, info.customer_name) == ("7", "c7", "A")
    assert (info.tier, info.status, info.instances) == ("premium", "active", ("main", "test"))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (1769817600, "2026-01-31T00:00:00+00:00"),
        (1769817600.25, "2026-01-31T00:00:00.250000+00:00"),
        (1769817600000, "2026-01-31T00:00:00+00:00"),
        ("2026-01-31T09:00:00+09:00", "2026-01-31T00:00:00+00:00"),
        *((wrong, None) for wrong in (20260131, 20260131093000, 202601310930, 0, -1, True, "1769817600", "2026", 10**30, [])),
    ],
)
async def test_a_number_is_seconds_or_milliseconds_of_this_century(
    api: TenantApi, rest: Any, told: Any, expected: str | None
) -> None:
    """What is not is a day written as a number, or nothing at all."""
    api.rows = [{"tenant_id": "a", "customer_code": "c", "created_at": told}]
    if expected is None:
        with pytest.raises(InvalidInput, match="created_at: must be a point in time"):
            await ids(rest())
        return
    (info,) = await rest().list_tenants()
    assert info.created_at.isoformat() == expected


async def test_a_function_that_does_not_fit_a_record_has_its_place(api: TenantApi, rest: Any) -> None:
    """JMESPath's functions are strict about types."""
    api.rows[2]["tier"] = 5
    with pytest.raises(InputError, match=r"record 3.*length\(tier\)"):
        await ids(rest(fields={"tier": "length(tier) > `3` && tier || tier"}))


async def test_a_walk_that_is_left_does_not_wait_for_the_next_page(api: TenantApi, rest: Any) -> None:
    """It was asked for ahead and is held back; nothing of it stays behind."""
    api.trouble = lambda seen: Reply(hold_back=True) if seen.number > 1 else None
    before = asyncio.all_tasks()
    async with aclosing(rest().iter_tenants()) as tenants:
        assert (await anext(tenants)).tenant_id == "t00"
        assert asyncio.all_tasks() - before
    assert asyncio.all_tasks() == before


async def test_a_page_that_was_asked_for_ahead_fails_in_its_place(api: TenantApi, rest: Any) -> None:
    """The tenants before it are handed out, then its error is raised."""
    api.trouble = lambda seen: as_json({}, 403) if seen.number == 2 else None
    tenants = rest().iter_tenants()
    assert [(await anext(tenants)).tenant_id for _ in range(10)] == EVERYBODY[:10]
    with pytest.raises(ManorError, match="403"):
        await anext(tenants)
