"""What sources behind an API decide without asking: waits, ends of lists, expressions, what the API filters, what is kept."""

from __future__ import annotations

import datetime as dt
import typing
from typing import Any

import pytest

from manor.api_shapes import ApiPagination, FilterField, OAuthClient, TenantField
from manor.control.registry.http_json.answers import decoded, refusal, retry_after, shown
from manor.control.registry.http_json.credentials import OAuth
from manor.control.registry.http_json.expressions import Expression
from manor.control.registry.http_json.kept import Kept, KeptAnswer
from manor.control.registry.http_json.link_header import read_links
from manor.control.registry.http_json.paging import (
    ByFollowing,
    ByNumber,
    ByRow,
    InOne,
    Page,
    Pager,
    Step,
    pager_of,
    parameters_of,
)
from manor.control.registry.http_json.pushdown import Asked, asked_of
from manor.control.registry.search.fields import TENANT_INFO, Kind
from manor.control.registry.search.filters import search_of_filters, search_of_query
from manor.control.registry.tenant_info import FIELDS, TenantInfo
from manor.errors import Code, InputError, ManorError

NOW = dt.datetime(2026, 11, 20, 12, 0, 0, tzinfo=dt.UTC)


# Waits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Friday, 20-Nov-26 12:00:05 GMT", 5.0),
        ("Fri Nov 20 12:00:10 2026", 10.0),
        ("-5", None),
        ("soon", None),
        ("1e3", None),
        ("9" * 400, None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    """In each of HTTP's three forms of dates; what cannot be read asks for nothing."""
    assert retry_after(text, now=NOW) == seconds


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        *((status, Code.UNREACHABLE, True) for status in (408, 425, 429, 500, 502, 503, 504, 507, 520)),
        *((status, Code.BAD_INPUT, False) for status in (301, 302, 400, 405, 409, 422)),
        (401, Code.DENIED, False),
        (403, Code.DENIED, False),
        (404, Code.NOT_FOUND, False),
        (410, Code.NOT_FOUND, False),
        (501, Code.UNSUPPORTED, False),
    ],
)
def test_a_status_is_an_error_of_its_kind(status: int, code: Code, transient: bool) -> None:
    """And only what may pass is worth another try."""
    error = refusal(status, {}, b"[]", "https://crm.example.com/tenants", now=NOW)
    assert (error.code, error.transient) == (code, transient)


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    """User, query and fragment."""
    assert shown("https://user:s3cret@crm.example.com:8443/a/b?api_key=s3cret#s3cret") == "https://crm.example.com:8443/a/b"


@pytest.mark.parametrize(
    ("body", "value"),
    [(b"", None), (b"\xef\xbb\xbf[1]", [1]), (b'{"a": 1.5}', {"a": 1.5}), ('"日本"'.encode(), "日本"), (b"null", None)],
)
def test_a_body_is_read_as_json(body: bytes, value: Any) -> None:
    """With a byte order mark too; no body is no value."""
    assert decoded(body, "application/json", "u") == value


@pytest.mark.parametrize("body", [b"{", b'{"a": Infinity}', b"\xff\xfe[", b"[" * 100_000, b'{"a": 1} x'])
def test_a_body_that_is_no_json_is_an_error(body: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ManorError) as raised:
        decoded(body, "application/json", "https://crm.example.com")
    assert raised.value.code is Code.CORRUPT


# Ends of lists


def page(count: int, **told: Any) -> Page:
    return Page(items=["x"] * count, **told)


@pytest.mark.parametrize(
    ("pager", "step", "came", "received", "position"),
    [
        (ByRow(size=10), 0, page(10), 10, 9),
        (ByRow(size=10), 0, page(4), 4, 3),
        (ByRow(size=10, overlapping=False), 0, page(4), 4, 4),
        (ByRow(size=10), 0, page(1), 1, 1),
        (ByRow(size=10), 0, page(0), 0, None),
        (ByRow(size=10), 0, page(10, total=10), 10, None),
        (ByRow(size=10), 0, page(10, total=11), 10, 9),
        (ByRow(size=10), 0, page(10, more=False), 10, None),
        (ByRow(size=10), 0, page(10, more=True, total=10), 10, 9),
        (ByNumber(size=10), 1, page(10), 10, 2),
        (ByNumber(size=10, first=0), 0, page(3), 3, 1),
        (ByNumber(size=10), 1, page(0), 0, None),
        (ByNumber(size=10), 1, page(10, total=10), 10, None),
        (ByNumber(size=10), 1, page(10, more=False), 10, None),
        (ByFollowing(size=10, looks_back=False, named="n"), None, page(10, following="c"), 10, "c"),
        (ByFollowing(size=10, looks_back=False, named="n"), None, page(0, following="c"), 0, "c"),
        (ByFollowing(size=10, looks_back=False, named="n"), None, page(10, following="c", total=10), 10, "c"),
        (ByFollowing(size=10, looks_back=False, named="n"), None, page(10), 10, None),
        (ByFollowing(size=10, looks_back=False, named="n"), None, page(10, following="c", more=False), 10, None),
        (InOne(), None, page(10), 10, None),
    ],
)
def test_a_list_ends_where_the_api_says_so(
    pager: Pager, step: int | None, came: Page, received: int, position: int | str | None
) -> None:
    """A short page is no end; a total is one unless the API tells of more."""
    following = pager.after(Step(number=1, position=step, size=10), came, received)
    assert (None if following is None else following.position) == position


@pytest.mark.parametrize(
    ("settings", "position", "asked"),
    [
        ({}, 20, {"offset": "20", "limit": "50"}),
        ({"offset_parameter": "skip", "size_parameter": "top"}, 0, {"skip": "0", "top": "50"}),
        ({"style": "page", "size_parameter": "per_page"}, 3, {"page": "3", "per_page": "50"}),
        ({"style": "page", "size_parameter": None}, 3, {"page": "3"}),
        ({"style": "cursor"}, None, {"limit": "50"}),
        ({"style": "cursor", "cursor_parameter": "starting_after"}, "x", {"starting_after": "x", "limit": "50"}),
        ({"style": "link"}, None, {"limit": "50"}),
        ({"style": "link"}, "https://crm/next", {}),
        ({"style": "none"}, None, {}),
    ],
)
def test_a_page_is_asked_for_by_the_settings_names(settings: dict[str, Any], position: Any, asked: dict[str, str]) -> None:
    """An address has all parameters in it."""
    pagination = ApiPagination(**settings)
    assert pager_of(pagination).begin(0).number == 1
    assert parameters_of(Step(number=1, position=position, size=50), pagination) == asked


@pytest.mark.parametrize(
    ("header", "following"),
    [
        (None, ()),
        ("", ()),
        ('<https://crm/a?b=1,2;3>; rel="next"', ("https://crm/a?b=1,2;3",)),
        ('<a>; rel="Next"', ("a",)),
        ('<a>; Rel="next"', ("a",)),
        ("<a>;REL=NEXT", ("a",)),
        ('<a>; rel="next last"', ("a",)),
        ('<a>; rel="last  next"', ("a",)),
        ("<a>; rel='next'", ("a",)),
        ('<a>; title="a, <b>; rel=prev"; rel = "next" ; type="x"', ("a",)),
        ('<a>; rel="first", <b>; rel="next",<c>;rel=last', ("b",)),
        ('<a>; rel="prev"; rel="next"', ()),
        ('<a>; rel="https://crm/next"', ()),
        ("<a>; rev=next", ()),
        ("<a>", ()),
        ("<a>; crossorigin; rel=next,", ("a",)),
        ("<a>; rel=next, <b>; rel=next, <a>; rel=next", ("a", "b")),
        ("<a>; title*=UTF-8''n%c3%a4chste; rel=next", ("a",)),
        ('<a>; title="a \\" b"; rel=next', ("a",)),
    ],
)
def test_a_link_header_names_the_next_page_however_it_is_written(header: str | None, following: tuple[str, ...]) -> None:
    """Parameters and relations in any case and order, several of them, with whatever stands beside."""
    assert read_links(header, "u").following == following


@pytest.mark.parametrize("header", ["a; rel=next", "<a; rel=next", "<a>; rel=next last", '<a>; rel="next', "<a> rel=next"])
def test_a_link_header_that_cannot_be_read_is_an_error(header: str) -> None:
    """Not one without a next page."""
    with pytest.raises(ManorError, match="cannot be read") as raised:
        read_links(header, "u")
    assert raised.value.code is Code.CORRUPT


# Expressions


@pytest.mark.parametrize(
    ("text", "found", "stands"),
    [
        ("a", {"b": 1, "n": None}, True),
        ("a.b", 1, True),
        ("a.n", None, True),
        ("a.x", None, False),
        ("a.b.c", None, False),
        ("x.y", None, False),
        ("@", {"a": {"b": 1, "n": None}}, True),
        ("a.b || x", 1, True),
        ("length(keys(a))", 2, True),
        ('"a"."b"', 1, True),
    ],
)
def test_an_expression_finds_and_knows_whether_its_key_is_there(text: str, found: Any, stands: bool) -> None:
    """Plain names are followed as jmespath would, without it."""
    expression, value = Expression(text, "x"), {"a": {"b": 1, "n": None}}
    assert (expression.find(value), expression.stands_in(value)) == (found, stands)


@pytest.mark.parametrize("text", ["a.", "a..b", "[", "a b", "f(", "", "unknown(a)"])
def test_what_is_no_jmespath_is_refused(text: str) -> None:
    """When it is compiled, or, an unknown function, when it is used; by the setting's name or its text."""
    with pytest.raises(InputError):
        Expression(text, "fields.tier").find({"a": 1})


# What the API filters

FILTERS = {"status": "state", "tier": "plan", "customer_code": "plan"}


@pytest.mark.parametrize(
    ("query", "parameters", "here"),
    [
        ("status = 'inactive'", {"state": "inactive"}, 0),
        ("status = 'inactive' AND tier = 'premium'", {"state": "inactive", "plan": "P"}, 0),
        ("status IN ('inactive')", {"state": "inactive"}, 0),
        ("status = 'inactive' AND (tier = 'a' OR tier = 'b')", {"state": "inactive"}, 1),
        ("status = 'inactive' AND status = 'suspended'", {"state": "inactive"}, 1),
        ("tier = 'basic' AND customer_code = 'c'", {"plan": "basic"}, 1),
        ("status = 'inactive' OR tier = 'premium'", {}, 1),
        ("NOT status = 'inactive'", {}, 1),
        ("status <> 'inactive'", {}, 1),
        ("status IN ('active', 'inactive')", {}, 1),
        ("status LIKE 'inactive'", {}, 1),
        ("region = 'eu' AND billing_info.status = 'inactive'", {}, 2),
        ("status = 'active'", {}, 1),
        ("status IN ('active')", {}, 1),
        ("tier = 'standard' AND status = 'suspended'", {"state": "suspended"}, 1),
    ],
)
def test_the_api_is_asked_for_what_all_must_fulfil(query: str, parameters: dict[str, str], here: int) -> None:
    """And never for something that would leave out a tenant that is looked for."""
    asked = asked_of(search_of_query(query), FILTERS, {"tier": {"premium": "P"}})
    assert (asked.parameters, len(asked.here)) == (parameters, here)


def test_no_default_is_asked_for() -> None:
    """A record without the field has it, and the API does not know."""
    texts = typing.get_args(FilterField)
    defaults = {
        name: TenantInfo.model_fields[name].default for name in texts if not TenantInfo.model_fields[name].is_required()
    }
    for name, default in defaults.items():
        if default is not None:
            asked = asked_of(search_of_filters({name: default}), {name: name}, {name: {default or "x": "ours"}})
            assert asked.parameters == {}
    assert {name for name, default in defaults.items() if default is not None} >= {"status", "tier", "region"}


def test_without_filters_nothing_is_asked_for() -> None:
    """Nor told."""
    assert asked_of(search_of_filters({}), FILTERS, {}) == Asked(parameters={})


def test_the_settings_know_all_fields_of_a_tenant() -> None:
    """Those to be mapped, and those that are text."""
    assert typing.get_args(TenantField) == FIELDS
    texts = {name for name, field in TENANT_INFO.fields.items() if field.kind is Kind.TEXT and name != "instances"}
    assert set(typing.get_args(FilterField)) == texts


# What is kept


def kept(size: int, etag: str = '"1"') -> KeptAnswer:
    return KeptAnswer(etag=etag, body=b"x" * size, headers={})


def test_what_is_kept_has_a_bound() -> None:
    """The longest unused goes first; what is too large is not kept at all, nor what it replaces."""
    store = Kept(max_bytes=100)
    for name in "abcd":
        store.keep(name, kept(25))
    assert store.find("a") is not None
    store.keep("e", kept(20, '"2"'))
    assert [name for name in "abcde" if store.find(name)] == ["a", "c", "d", "e"]
    store.keep("e", kept(26))
    assert store.find("e") is None
    store.forget("nothing")


# Tokens


async def test_a_token_is_used_until_shortly_before_its_end() -> None:
    """The clock is an argument; what the server tells is believed, less a reserve."""
    now, given = [1000.0], []

    async def post(url: str, form: Any, headers: Any) -> Any:
        given.append(url)
        return {"access_token": f"t{len(given)}", "expires_in": "100"}

    login = OAuth(
        OAuthClient(token_url="https://sso.example.com/t", client_id="a", client_secret="s3cret"), clock=lambda: now[0]
    )
    proofs = []
    for now[0] in (1000.0, 1069.0, 1071.0, 1140.0, 1142.0):
        proofs.append((await login.proof(post)).headers["Authorization"])
    assert proofs == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2", "Bearer t3"]
    assert login.hide("s3cret t3 and t") == "*** *** and t"
    old = await login.proof(post)
    assert login.renew(old)
    assert (await login.proof(post)) is not old
    assert login.renew(old)  # another request has renewed it meanwhile
    assert len(given) == 4
    await login.proof(post)
    assert len(given) == 4
