"""A list that moves, repeats itself or ends too early while it is read: the right answer or an error, never a part as all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from manor.control.registry.http_json import walk
from manor.control.registry.provider import TenantRegistryProvider
from manor.errors import Code, ConflictError, ManorError, NotFoundError
from manor.testing.tenant_api import Reply, Seen, TenantApi, as_json

EVERYBODY = [f"t{n:02}" for n in range(25)]
STYLES: dict[str, dict[str, Any]] = {
    "offset": {},
    "offset with total": {"total": "total"},
    "offset with more": {"more": "has_more"},
    "page": {"style": "page"},
    "page with total": {"style": "page", "total_header": "X-Total-Count"},
    "cursor": {"style": "cursor"},
    "link": {"style": "link"},
    "address": {"style": "link", "next": "next"},
}
TELLS = {
    "offset with total": {"total"},
    "offset with more": {"has_more"},
    "page with total": {"X-Total-Count"},
    "cursor": {"next_cursor"},
    "link": {"Link"},
    "address": {"next"},
}


async def ids(provider: TenantRegistryProvider) -> list[str]:
    return [info.tenant_id async for info in provider.iter_tenants()]


def before_page(api: TenantApi, number: int, change: Callable[[], Any]) -> None:
    """Make ``change`` once, right before the answer to the list's request ``number``."""

    def trouble(seen: Seen) -> Reply | None:
        if seen.number == number:
            change()
        return None

    api.trouble = trouble


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("maximum", [1_000, 10, 4, 1])
async def test_every_tenant_comes_however_small_the_api_makes_its_pages(
    api: TenantApi, rest: Any, style: str, maximum: int
) -> None:
    """Ten are asked for; a page with fewer is no end."""
    api.tells, api.maximum = frozenset(TELLS.get(style, set())), maximum
    assert await ids(rest(pagination=STYLES[style])) == EVERYBODY


@pytest.mark.parametrize("style", [style for style in STYLES if style != "cursor"])
@pytest.mark.parametrize("number", [2, 3])
async def test_a_tenant_that_goes_from_a_page_that_was_read_hides_no_other(
    api: TenantApi, rest: Any, style: str, number: int
) -> None:
    """All behind it move up by one, over the boundary: noticed in every way of paging, as an error that can be tried again."""
    api.tells = frozenset(TELLS.get(style, set()))
    before_page(api, number, lambda: api.rows.pop(0))
    with pytest.raises(ConflictError) as raised:
        await ids(rest(pagination=STYLES[style]))
    assert raised.value.transient
    assert api.url in raised.value.message


@pytest.mark.parametrize("style", [style for style in STYLES if style != "cursor"])
async def test_a_tenant_that_goes_while_another_comes_is_noticed_though_the_total_stays(
    api: TenantApi, rest: Any, style: str
) -> None:
    """As many as there should be come, and one of them was never seen."""
    api.tells = frozenset(TELLS.get(style, set()))

    def swap() -> None:
        api.rows.append({"tenant_id": "new", "customer_code": "c"})
        api.rows.pop(0)

    before_page(api, 2, swap)
    with pytest.raises(ConflictError):
        await ids(rest(pagination=STYLES[style]))


@pytest.mark.parametrize("style", ["offset", "page", "link", "address"])
async def test_a_tenant_that_comes_in_front_is_noticed(api: TenantApi, rest: Any, style: str) -> None:
    """All others move down, and one would come twice."""
    api.tells = frozenset(TELLS.get(style, set()))
    before_page(api, 2, lambda: api.rows.insert(0, {"tenant_id": "new", "customer_code": "c"}))
    with pytest.raises(ConflictError):
        await ids(rest(pagination=STYLES[style]))


async def test_a_total_that_changes_between_pages_is_an_error(api: TenantApi, rest: Any) -> None:
    """Both totals are in it."""
    api.tells = frozenset({"total"})
    before_page(api, 3, lambda: api.rows.append({"tenant_id": "new", "customer_code": "c"}))
    with pytest.raises(ConflictError, match="had 25 tenants, and at page 3 it has 26"):
        await ids(rest(pagination={"total": "total"}))


@pytest.mark.parametrize("verify", [True, False])
async def test_a_list_that_ends_before_its_total_is_an_error(api: TenantApi, rest: Any, verify: bool) -> None:
    """A broken query of the API gives 12 tenants and still counts all."""
    rows = api.rows

    def trouble(seen: Seen) -> Reply:
        start = int(seen.query["offset"])
        return as_json({"items": rows[start : min(start + 10, 12)], "total": 25})

    api.trouble = trouble
    with pytest.raises(ConflictError, match="ends after 12 tenants of 25"):
        await ids(rest(pagination={"total": "total", "verify": verify}))


async def test_a_tenant_that_comes_twice_is_named(api: TenantApi, rest: Any) -> None:
    """With the page on which it came again."""
    api.rows[17] = api.rows[3]
    with pytest.raises(ConflictError, match="t03 comes twice, the second time on page 2"):
        await ids(rest())


@pytest.mark.parametrize("pagination", [{"offset_parameter": "start"}, {"style": "page", "page_parameter": "seite"}])
async def test_an_api_that_overlooks_the_parameter_is_not_read_for_ever(
    api: TenantApi, rest: Any, pagination: dict[str, Any]
) -> None:
    """It answers the first page again and again."""
    with pytest.raises(ConflictError):
        await ids(rest(pagination=pagination))
    assert len(api.seen) <= 3


async def test_a_circle_of_cursors_is_an_error(api: TenantApi, rest: Any) -> None:
    """Also where the page that it leads to is not the same any more."""
    pages = iter([["a", "b"], ["c", "d"], ["e", "f"], ["g"]])
    cursors = iter(["one", "two", "one", "two"])

    def trouble(seen: Seen) -> Reply:
        items = [{"tenant_id": name, "customer_code": "c"} for name in next(pages)]
        return as_json({"items": items, "next_cursor": next(cursors)})

    api.trouble = trouble
    with pytest.raises(ManorError, match="leads back to a page that was read") as raised:
        await ids(rest(pagination={"style": "cursor"}))
    assert raised.value.code is Code.CORRUPT


async def test_cursors_without_tenants_end_some_time(api: TenantApi, rest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some empty pages are allowed (an API that filters behind its pages has them), not all that there could be."""
    assert walk.MOST_EMPTY_PAGES <= 100
    monkeypatch.setattr(walk, "MOST_EMPTY_PAGES", 5)
    api.trouble = lambda seen: as_json({"items": [], "next_cursor": seen.number})
    with pytest.raises(ManorError, match="goes on without tenants") as raised:
        await ids(rest(pagination={"style": "cursor"}))
    assert raised.value.code is Code.CORRUPT
    api.trouble = lambda seen: as_json(
        {"items": [{"tenant_id": "a", "customer_code": "c"}], "next_cursor": None}
        if seen.query.get("cursor") == "3"
        else {"items": [], "next_cursor": int(seen.query.get("cursor", 0)) + 1}
    )
    assert await ids(rest(pagination={"style": "cursor"})) == ["a"]


@pytest.mark.parametrize(
    ("pagination", "tells"),
    [
        ({"style": "cursor", "next": "meta.next"}, {"next_cursor"}),
        ({"style": "cursor", "next": "next || cursor"}, {"next_cursor"}),
        ({"style": "link"}, {"next"}),
    ],
)
async def test_a_setting_that_looks_for_the_next_page_in_the_wrong_place_is_found_out(
    api: TenantApi, rest: Any, pagination: dict[str, Any], tells: set[str]
) -> None:
    """The first page alone would look like a whole list."""
    api.tells = frozenset(tells)
    with pytest.raises(ManorError, match="no next page is named") as raised:
        await ids(rest(pagination=pagination))
    assert raised.value.code is Code.CORRUPT
    assert "pagination.next" in raised.value.hint


@pytest.mark.parametrize("rel", ['rel="Next"', 'Rel="next"', 'rel="next last"', "REL=next"])
async def test_a_link_to_the_next_page_is_followed_however_it_is_written(api: TenantApi, rest: Any, rel: str) -> None:
    """The standard lets names and relations be in any case, and a link have several."""

    def trouble(seen: Seen) -> Reply:
        begin = int(seen.query.get("from", "0"))
        header = f'</>; rel="first", </v1/tenants?from={begin + 10}>; {rel}' if begin < 20 else '</>; rel="first"'
        return as_json({"items": api.rows[begin : begin + 10]}, Link=header)

    api.trouble = trouble
    assert await ids(rest(pagination={"style": "link"})) == EVERYBODY


async def test_a_link_header_about_something_else_is_no_word_of_the_last_page(api: TenantApi, rest: Any) -> None:
    """Nor is one that names two next pages, or cannot be read, an end."""
    for header, said in (
        ('<https://api.example.com/>; rel="describedby"', "no next page is named"),
        ("</a>; rel=next, </b>; rel=next", "names two next pages"),
        ("/a; rel=next", "cannot be read"),
    ):
        api.trouble = lambda _, header=header: as_json({"items": api.rows[:10]}, Link=header)  # type: ignore[misc]
        with pytest.raises(ManorError, match=said) as raised:
            await ids(rest(pagination={"style": "link"}))
        assert raised.value.code is Code.CORRUPT


@pytest.mark.parametrize("count", [0, 1, 7, 10])
async def test_an_api_that_leaves_out_the_key_at_the_end_is_believed_after_a_look(
    api: TenantApi, rest: Any, count: int
) -> None:
    """A page of one tenant shows that it does name a next page where there is one."""
    del api.rows[count:]

    def trouble(seen: Seen) -> Reply:
        end = int(seen.query.get("cursor", 0)) + int(seen.query["limit"])
        body: dict[str, Any] = {"items": api.rows[end - int(seen.query["limit"]) : end]}
        return as_json(body | ({"next_cursor": end} if end < len(api.rows) else {}))

    api.trouble = trouble
    assert await ids(rest(pagination={"style": "cursor"})) == EVERYBODY[:count]


@pytest.mark.parametrize(
    ("body", "pagination", "said"),
    [
        ({"tenants": []}, {}, "without a list of records, found nothing; it has tenants"),
        ({"items": None}, {}, "found nothing"),
        ({"items": {"a": 1}}, {}, "found a mapping"),
        ([], {}, "found nothing"),
        ({"items": []}, {"total": "total"}, "does not say how many"),
        ({"items": [], "total": "many"}, {"total": "total"}, "does not say how many"),
        ({"items": [], "total": -1}, {"total": "total"}, "does not say how many"),
        ({"items": []}, {"total_header": "X-Total"}, "does not say how many"),
        ({"items": []}, {"more": "more"}, "does not say whether there is more"),
        ({"items": [], "next_cursor": {"a": 1}}, {"style": "cursor"}, "names a mapping as its next page"),
        ({"items": [], "more": True}, {"style": "cursor", "more": "more"}, "tells of more and does not say where"),
        ({"items": [], "more": True}, {"style": "none", "more": "more"}, "tells of more"),
        ({"items": [], "more": None}, {"more": "more"}, "does not say whether there is more, found nothing"),
        ({"items": [], "more": "no"}, {"more": "more"}, "does not say whether there is more, found text 'no'"),
        ({"items": [], "more": 0}, {"more": "more"}, "does not say whether there is more"),
    ],
)
async def test_what_the_settings_name_must_be_there(
    api: TenantApi, rest: Any, body: Any, pagination: dict[str, Any], said: str
) -> None:
    """An answer in another shape is not an empty list."""
    api.trouble = lambda _: as_json(body)
    with pytest.raises(ManorError, match=said) as raised:
        await ids(rest(pagination=pagination))
    assert raised.value.code is Code.CORRUPT
    assert raised.value.hint


@pytest.mark.parametrize("count", [25, 7, 12])
@pytest.mark.parametrize("told", [{}, {"total": "total"}, {"more": "has_more"}])
async def test_an_api_that_counts_its_pages_from_0_is_found_out(
    api: TenantApi, rest: Any, count: int, told: dict[str, str]
) -> None:
    """Its first page would be lost without a word; with the right number it is whole."""
    del api.rows[count:]

    def trouble(seen: Seen) -> Reply:
        begin = int(seen.query["page"]) * 10
        return as_json({"items": api.rows[begin : begin + 10], "total": count, "has_more": begin + 10 < count})

    api.trouble = trouble
    with pytest.raises(ManorError) as raised:
        await ids(rest(pagination={"style": "page", **told}))
    if not told:
        assert raised.value.code is Code.BAD_INPUT
        assert "first_page: 0" in raised.value.hint
    assert await ids(rest(pagination={"style": "page", "first_page": 0, **told})) == EVERYBODY[:count]


@pytest.mark.parametrize(
    "answer",
    [as_json({}, 404), as_json({"detail": "from 1"}, 400), as_json({"items": []}), as_json({"error": "from 1"}), None],
)
async def test_an_api_that_has_no_page_0_is_asked_for_it_once(api: TenantApi, rest: Any, answer: Reply | None) -> None:
    """By an error, an empty page or once more the first page; not at all where the settings have the number."""
    first = as_json({"items": api.rows[:10]})
    api.trouble = lambda seen: (answer or first) if seen.query["page"] == "0" else None
    provider = rest(pagination={"style": "page"})
    for _ in range(2):
        assert await ids(provider) == EVERYBODY
    assert [seen.query["page"] for seen in api.seen].count("0") == 1
    api.seen.clear()
    assert await ids(rest(pagination={"style": "page", "first_page": 1})) == EVERYBODY
    assert "0" not in [seen.query["page"] for seen in api.seen]


async def test_a_page_0_that_cannot_be_asked_for_is_no_proof(api: TenantApi, rest: Any) -> None:
    """Nor is one that has a part of page 1: the list moved."""
    provider = rest(pagination={"style": "page"})
    api.trouble = lambda seen: as_json({}, 503) if seen.query["page"] == "0" else None
    for _ in range(2):
        with pytest.raises(ManorError) as raised:
            await ids(provider)
        assert "first_page" in raised.value.hint
    api.trouble = lambda seen: as_json({"items": api.rows[5:15]}) if seen.query["page"] == "0" else None
    with pytest.raises(ConflictError, match="page 1 changed"):
        await ids(provider)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("lasting", [True, False])
async def test_a_page_that_is_empty_once_is_no_end(api: TenantApi, rest: Any, number: int, lasting: bool) -> None:
    """Neither where the page behind it has tenants, nor where it has some itself when it is asked for again."""
    served: list[str] = []

    def trouble(seen: Seen) -> Reply | None:
        served.append(seen.query["page"])
        is_empty = seen.query["page"] == str(number) and (lasting or served.count(str(number)) == 1)
        return as_json({"items": []}) if is_empty else None

    api.trouble = trouble
    api.rows = [{"tenant_id": f"t{n:02}", "customer_code": "c"} for n in range(number * 10 + 5 * lasting)]
    with pytest.raises(ConflictError, match=f"page {number} had no tenants"):
        await ids(rest(pagination={"style": "page", "first_page": 1}))


async def test_behind_an_empty_page_an_error_is_an_end(api: TenantApi, rest: Any) -> None:
    """Some APIs refuse what is too far behind their end."""
    api.trouble = lambda seen: as_json({"detail": "too far"}, 400) if seen.query["page"] == "5" else None
    assert await ids(rest(pagination={"style": "page", "first_page": 1})) == EVERYBODY


@pytest.mark.parametrize("style", ["offset", "page"])
@pytest.mark.parametrize("maximum", [10, 4])
@pytest.mark.parametrize("total", [{"total": "total"}, {"total_header": "X-Total"}])
async def test_a_total_that_counts_the_page_alone_is_found_out(
    api: TenantApi, rest: Any, style: str, maximum: int, total: dict[str, str]
) -> None:
    """It would end every list after its first page, and be the count."""

    def trouble(seen: Seen) -> Reply:
        begin = int(seen.query["offset"]) if style == "offset" else (int(seen.query["page"]) - 1) * maximum
        items = api.rows[max(begin, 0) : begin + maximum]
        return as_json({"items": items, "total": len(items)}, X_Total=str(len(items)))

    api.trouble = trouble
    provider = rest(pagination={"style": style, **total})
    for asked in (ids(provider), provider.get_tenant_count()):
        with pytest.raises(ManorError, match=f"tells of {maximum} tenants") as raised:
            await asked
        assert raised.value.code is Code.CORRUPT
        assert "pagination.total" in raised.value.hint


@pytest.mark.parametrize("style", ["offset", "page"])
@pytest.mark.parametrize("count", [1, 7, 10])
async def test_a_total_of_one_page_is_believed_after_a_look_behind_it(
    api: TenantApi, rest: Any, style: str, count: int
) -> None:
    """Nothing stands there, or an error, or the same page once more where it is not full."""
    del api.rows[count:]
    api.tells = frozenset({"total"})
    provider = rest(pagination={"style": style, "total": "total"})
    assert await ids(provider) == EVERYBODY[:count]
    assert await provider.get_tenant_count() == count
    last = as_json({"items": api.rows, "total": count})
    for answer in (as_json({}, 404), as_json({"items": None, "total": count}), *([last] if count < 10 else [])):
        api.trouble = lambda seen, answer=answer: (  # type: ignore[misc]
            answer if seen.query.get("page") == "2" or int(seen.query.get("offset", "0")) else None
        )
        assert await ids(provider) == EVERYBODY[:count]


async def test_a_list_in_one_answer_names_no_next_page(api: TenantApi, rest: Any) -> None:
    """In a header or where ``next`` looks."""
    api.tells = frozenset({"Link"})
    with pytest.raises(ManorError, match="page 1 tells of more") as raised:
        await ids(rest(pagination={"style": "none"}, parameters={"limit": "10"}))
    assert raised.value.code is Code.CORRUPT
    api.tells = frozenset({"next_cursor"})
    with pytest.raises(ManorError, match="page 1 tells of more"):
        await ids(rest(pagination={"style": "none", "next": "next_cursor"}, parameters={"limit": "10"}))
    assert await ids(rest(pagination={"style": "none", "next": "next_cursor"})) == EVERYBODY


async def test_more_is_believed_before_the_total(api: TenantApi, rest: Any) -> None:
    """Where they differ it is an error, and no list."""
    pages = [api.rows[:10], api.rows[10:20], api.rows[20:]]
    api.trouble = lambda seen: as_json({"items": pages[seen.number - 1], "total": 10, "more": seen.number < 3})
    with pytest.raises(ConflictError, match="25 tenants of 10"):
        await ids(rest(pagination={"total": "total", "more": "more", "verify": False}))


async def test_a_next_page_on_another_server_is_not_asked(api: TenantApi, rest: Any) -> None:
    """It would get the login."""
    api.trouble = lambda _: as_json({"items": api.rows}, Link='<http://127.0.0.1:1/v1/tenants?page=2>; rel="next"')
    with pytest.raises(ManorError, match="which is another server"):
        await ids(rest(pagination={"style": "link"}, auth_token="s3cret"))


async def test_a_page_that_is_not_found_is_no_end(api: TenantApi, rest: Any) -> None:
    """Some APIs answer 404 behind their last page, and so does a proxy that lost its way."""
    api.trouble = lambda seen: as_json({}, 404) if seen.query["page"] == "4" else None
    with pytest.raises(NotFoundError) as raised:
        await ids(rest(pagination={"style": "page"}))
    assert "pagination.more" in raised.value.hint
    api.tells = frozenset({"has_more"})
    assert await ids(rest(pagination={"style": "page", "more": "has_more"})) == EVERYBODY


async def test_a_page_from_the_middle_is_asked_for_by_its_row(api: TenantApi, rest: Any) -> None:
    """Not walked to, where rows have numbers; with filters it is."""
    provider = rest()
    assert [info.tenant_id for info in await provider.list_tenants(offset=20, limit=3)] == ["t20", "t21", "t22"]
    assert [seen.query["offset"] for seen in api.seen] == ["20"]
    found = await provider.list_tenants({"tier": "premium"}, offset=8, limit=2)
    assert [info.tenant_id for info in found] == ["t17", "t19"]


async def test_a_told_total_is_the_count_of_one_request(api: TenantApi, rest: Any) -> None:
    """The list is not walked for it."""
    api.tells = frozenset({"total"})
    assert await rest(pagination={"total": "total"}).get_tenant_count() == 25
    assert len(api.seen) == 1
