"""How requests prove who asks, what happens when that ends, and that no secret is ever shown."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ipaddress
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from manor.api_shapes import ApiSource
from manor.control.registry.http_json.rest import open_api
from manor.control.registry.provider import TenantRegistryProvider
from manor.errors import Code, InputError, ManorError, RefusedError, UnreachableError
from manor.testing.tenant_api import Reply, Seen, TenantApi, as_json, serving

EVERYBODY = [f"t{n:02}" for n in range(25)]
SECRET = "s3cret"


async def ids(provider: TenantRegistryProvider) -> list[str]:
    return [info.tenant_id async for info in provider.iter_tenants()]


def oauth(api: TenantApi, **settings: Any) -> dict[str, Any]:
    """The settings of a client; the API accepts the newest token only."""
    api.accepts = lambda seen: seen.headers.get("authorization") == f"Bearer token-{api.tokens}"
    client = {"token_url": f"{api.url}/token", "client_id": "service", "client_secret": SECRET, **settings}
    return {"auth": {"oauth": client}}


def has(name: str, value: str) -> Any:
    """Accepts requests with this header."""
    return lambda seen: seen.headers.get(name) == value


@pytest.mark.parametrize(
    ("settings", "accepts"),
    [
        ({"auth_token": SECRET}, has("authorization", f"Bearer {SECRET}")),
        ({"auth": {"api_key": {"value": SECRET}}}, has("x-api-key", SECRET)),
        ({"auth": {"api_key": {"value": SECRET, "header": "X-Token"}}}, has("x-token", SECRET)),
        ({"auth": {"api_key": {"value": SECRET, "parameter": "api_key"}}}, lambda seen: seen.query.get("api_key") == SECRET),
        ({"auth": {"basic": {"username": "service", "password": SECRET}}}, has("authorization", "Basic c2VydmljZTpzM2NyZXQ=")),
        ({"headers": {"X-Region": "eu"}}, has("x-region", "eu")),
        ({}, lambda seen: "authorization" not in seen.headers),
    ],
)
@pytest.mark.parametrize("style", ["offset", "link"])
async def test_every_request_proves_who_asks(
    api: TenantApi, rest: Any, settings: dict[str, Any], accepts: Any, style: str
) -> None:
    """The ones for addresses that the API names too."""
    api.accepts, api.tells = accepts, frozenset({"Link"})
    assert await ids(rest(pagination={"style": style}, **settings)) == EVERYBODY


@pytest.mark.parametrize("send_as", ["basic", "body"])
async def test_an_oauth_token_is_fetched_once_for_many_requests(api: TenantApi, rest: Any, send_as: str) -> None:
    """However many want it at the same time."""
    provider = rest(**oauth(api, send_as=send_as, scope="tenants.read", audience="crm"))
    await asyncio.gather(*(provider.get_tenant(name) for name in EVERYBODY))
    assert api.tokens == 1
    (asked,) = [seen for seen in api.seen if seen.path == "/token"]
    assert "grant_type=client_credentials&scope=tenants.read&audience=crm" in asked.body
    assert (SECRET in asked.body) is (send_as == "body")


async def test_a_token_that_ends_in_the_middle_of_a_walk_is_renewed(api: TenantApi, rest: Any) -> None:
    """The API answers 401 on page 2; the walk goes on with the next token and misses nothing."""
    settings = oauth(api)

    def trouble(seen: Seen) -> None:
        if seen.path == "/v1/tenants" and len(api.lists()) == 2:
            api.tokens += 1  # somebody else was given one, which ends ours

    api.trouble = trouble
    assert await ids(rest(**settings)) == EVERYBODY
    assert api.tokens == 3


async def test_a_token_that_is_about_to_end_is_not_used(api: TenantApi, rest: Any) -> None:
    """One that is good for no time at all is fetched for each request."""
    settings = oauth(api)
    api.token_seconds = 0
    provider = rest(**settings)
    await provider.get_tenant("t01")
    await provider.get_tenant("t02")
    assert api.tokens == 2


async def test_a_token_that_is_never_accepted_is_an_error(api: TenantApi, rest: Any) -> None:
    """After one renewal, not in a circle."""
    settings = oauth(api)
    api.accepts = lambda _: False
    with pytest.raises(ManorError, match="answers 401") as raised:
        await ids(rest(**settings))
    assert raised.value.code is Code.DENIED
    assert api.tokens == 2


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (as_json({"error": "invalid_client", "error_description": f"no {SECRET}"}, 401), Code.DENIED),
        (as_json({"error": "invalid_client"}, 400), Code.DENIED),
        (as_json({"error": "invalid_scope"}, 400), Code.BAD_INPUT),
        (as_json({"token": "x"}), Code.CORRUPT),
        (as_json({"access_token": "a\nb"}), Code.CORRUPT),
        (Reply(body=b"<html>", headers={"Content-Type": "text/html"}), Code.CORRUPT),
    ],
)
async def test_a_token_that_is_not_given_out_is_an_error(api: TenantApi, rest: Any, reply: Reply, code: Code) -> None:
    """It names where tokens come from, and asks for no tenants."""
    settings = oauth(api)
    api.trouble = lambda seen: reply if seen.path == "/token" else None
    with pytest.raises(ManorError, match="/token") as raised:
        await ids(rest(**settings))
    assert raised.value.code is code
    assert SECRET not in str(raised.value)
    assert api.lists() == []


async def test_a_page_for_people_where_tokens_belong_leads_to_its_own_setting(api: TenantApi, rest: Any) -> None:
    """Not to the API's address."""
    settings = oauth(api)
    page = Reply(body=b"<html>", headers={"Content-Type": "text/html"})
    api.trouble = lambda seen: page if seen.path == "/token" else None
    with pytest.raises(ManorError, match="/token answers with text/html") as raised:
        await ids(rest(**settings))
    assert "auth.oauth.token_url" in raised.value.hint
    assert "api_base_url" not in raised.value.hint


@pytest.mark.parametrize(
    ("client_id", "secret", "sent"),
    [
        ("a:b", "s3cret%/+", "a%3Ab:s3cret%25%2F%2B"),
        ("one two", "ü", "one+two:%C3%BC"),
        ("service", "s3cret", "service:s3cret"),
    ],
)
async def test_id_and_secret_of_a_client_are_encoded_as_the_standard_says(
    api: TenantApi, rest: Any, client_id: str, secret: str, sent: str
) -> None:
    """RFC 6749, 2.3.1: as in a form, then HTTP Basic; else a colon in an id would end it."""
    settings = oauth(api, client_id=client_id, client_secret=secret)
    api.trouble = lambda seen: as_json({"access_token": "token-0"}) if seen.path == "/token" else None
    assert await ids(rest(**settings)) == EVERYBODY
    (asked,) = [seen for seen in api.seen if seen.path == "/token"]
    assert base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode() == sent


async def test_where_tokens_come_from_is_tried_again_too(api: TenantApi, rest: Any) -> None:
    """As all else that passes."""
    settings = oauth(api)
    api.trouble = lambda seen: Reply(status=503) if seen.number == 1 else None
    assert await ids(rest(**settings)) == EVERYBODY


@pytest.mark.parametrize(
    "settings",
    [
        {"auth_token": SECRET},
        {"auth": {"api_key": {"value": SECRET}}},
        {"auth": {"api_key": {"value": SECRET, "parameter": "api_key"}}},
        {"auth": {"basic": {"username": "service", "password": SECRET}}},
    ],
)
@pytest.mark.parametrize("status", [401, 500, 400, 404, 200])
async def test_no_secret_is_shown_though_the_api_repeats_it(
    api: TenantApi, rest: Any, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], status: int
) -> None:
    """Not in errors, their causes, hints and places, not in ``repr``, not in logs of any library."""

    def trouble(seen: Seen) -> Reply:
        sent = [*seen.headers.values(), *seen.query.values(), SECRET]
        return as_json({"error": {"message": " ".join(sent)[-150:]}}, status)

    api.trouble = trouble
    provider = rest(**settings)
    with caplog.at_level(logging.DEBUG), pytest.raises(ManorError) as raised:
        await ids(provider)
    error = raised.value
    shown = [str(error), repr(error), error.hint, str(error.place), str(error.__cause__), repr(provider), caplog.text]
    assert api.url in shown[0]
    for text in shown:
        assert SECRET not in text
        assert "c2VydmljZTpzM2NyZXQ=" not in text


def test_no_secret_is_in_the_settings_representation() -> None:
    """As text or as JSON."""
    config = ApiSource(api_base_url="https://crm.example.com", auth_token=SECRET)
    assert SECRET not in repr(config) + str(config) + config.model_dump_json()


@pytest.mark.parametrize(
    "settings",
    [
        {"auth_token": SECRET},
        {"auth": {"basic": {"username": "a", "password": SECRET}}},
        {
            "api_base_url": "https://crm.example.com",
            "auth": {"oauth": {"token_url": "http://sso.example.com/t", "client_id": "a", "client_secret": SECRET}},
        },
    ],
)
def test_a_secret_does_not_go_over_the_network_in_the_clear(settings: dict[str, Any]) -> None:
    """Unless the settings say so; this machine itself is no network."""
    settings = {"api_base_url": "http://crm.example.com", **settings}
    with pytest.raises(RefusedError, match="in the clear") as raised:
        open_api(ApiSource(**settings))
    assert "allow_http" in raised.value.hint
    open_api(ApiSource(**settings, allow_http=True))
    open_api(ApiSource(api_base_url="http://127.0.0.1:1", auth_token=SECRET))


@pytest.mark.parametrize("secret", [f"{SECRET}\n", f"{SECRET} x", f"{SECRET}ü"])
def test_a_secret_that_cannot_be_sent_is_refused_without_being_shown(secret: str) -> None:
    """A line's end in an environment variable is the usual slip."""
    with pytest.raises(ManorError, match="auth_token") as raised:
        open_api(ApiSource(api_base_url="https://crm.example.com", auth_token=secret))
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"auth_token": SECRET, "auth": {"basic": {"username": "a", "password": SECRET}}}, "not several"),
        ({"auth": {"api_key": {"value": SECRET, "header": "X-A", "parameter": "a"}}}, "not both"),
        ({"api_base_url": f"https://service:{SECRET}@crm.example.com"}, "user or a password"),
        ({"api_base_url": "ftp://crm.example.com"}, "must be an address"),
        ({"api_base_url": "https://crm.example.com/?key=1"}, "must not have"),
        ({"fields": {"teir": "plan"}}, "teir"),
        ({"filters": {"created_at": "since"}}, "created_at"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    """Two logins at once, a password in an address, fields that tenants do not have."""
    with pytest.raises(ValidationError, match=said):
        ApiSource(**{"api_base_url": "https://crm.example.com", **settings})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own for this machine, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = built.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(pem) + private)
    return path


async def test_a_certificate_of_ones_own_is_trusted_where_the_settings_name_it(certificate: Path, rest: Any) -> None:
    """And nowhere else; that is no outage, so it is said at once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(TenantApi([{"tenant_id": "a", "customer_code": "c"}]), tls=context) as api:
        assert await ids(rest(api_base_url=f"{api.url}/v1", ca_file=str(certificate), auth_token=SECRET)) == ["a"]
        with pytest.raises(UnreachableError, match="certificate") as raised:
            await ids(rest(api_base_url=f"{api.url}/v1", auth_token=SECRET))
        assert not raised.value.transient


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None) -> None:
    """By its name, before anything is asked."""
    if content is not None:
        (tmp_path / "own.pem").write_text(content)
    with pytest.raises(InputError, match=r"ca_file own\.pem cannot be used"):
        open_api(ApiSource(api_base_url="https://crm.example.com", ca_file="own.pem"), folder=tmp_path)
