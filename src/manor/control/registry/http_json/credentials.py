"""How requests prove who asks: not at all, by something fixed, or by an OAuth token that is fetched and renewed.

Secrets stand here only. ``hide`` takes them out of whatever text an error is made of.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote_plus

from pydantic import SecretStr

from manor.api_shapes import ApiAccess, OAuthClient
from manor.control.registry.http_json.answers import Rejected, shown
from manor.errors import Code, ManorError

EARLY_SECONDS = 30.0
"""A token that ends within this time is not used any more."""
_HIDDEN = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one request carries."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


PostForm = Callable[[str, Mapping[str, str], Mapping[str, str]], Awaitable[Any]]
"""Posts a form (address, fields, headers) and gives the JSON of the answer."""


class Credentials(Protocol):
    """What a client asks before each request."""

    async def proof(self, post: PostForm) -> Proof:
        """What the next request carries; may fetch it first."""
        ...

    def renew(self, rejected: Proof) -> bool:
        """The API did not accept ``rejected``. Whether asking with the next proof may help."""
        ...

    def hide(self, text: str) -> str:
        """``text`` without secrets."""
        ...


class Fixed:
    """Always the same: a token, a key, user and password, or nothing."""

    def __init__(self, proof: Proof, *secrets: str) -> None:
        self._proof = proof
        self._secrets = secrets

    async def proof(self, post: PostForm) -> Proof:  # noqa: ARG002 - the port's signature
        """The proof."""
        return self._proof

    def renew(self, rejected: Proof) -> bool:  # noqa: ARG002 - the port's signature
        """There is no other one."""
        return False

    def hide(self, text: str) -> str:
        """``text`` without the secret."""
        return _without(text, self._secrets)


class OAuth:
    """Client credentials (RFC 6749, 4.4): one token at a time, however many requests want it at once."""

    def __init__(self, client: OAuthClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._proof: Proof | None = None
        self._token = ""
        self._ends = 0.0
        self._fetching = asyncio.Lock()

    async def proof(self, post: PostForm) -> Proof:
        """A token that is still good; raises ``ManorError`` (DENIED, UNREACHABLE, CORRUPT) where there is none to be had."""
        async with self._fetching:
            if self._proof is None or self._clock() >= self._ends:
                await self._fetch(post)
            assert self._proof is not None  # noqa: S101 - _fetch sets it or raises
            return self._proof

    def renew(self, rejected: Proof) -> bool:
        """Another token may help; one that was fetched meanwhile is kept."""
        if rejected is self._proof:
            self._proof = None
        return True

    def hide(self, text: str) -> str:
        """``text`` without the client's secret and the token."""
        secret = self._client.client_secret.get_secret_value()
        return _without(text, (secret, quote_plus(secret), self._token))

    async def _fetch(self, post: PostForm) -> None:
        client, place = self._client, shown(self._client.token_url)
        form = {"grant_type": "client_credentials", "scope": client.scope, "audience": client.audience}
        secret = client.client_secret.get_secret_value()
        headers = {}
        if client.send_as == "basic":
            # RFC 6749, 2.3.1: each is encoded as in a form before HTTP Basic joins them.
            headers["Authorization"] = _basic(quote_plus(client.client_id), quote_plus(secret))
        else:
            form |= {"client_id": client.client_id, "client_secret": secret}
        asked = self._clock()
        try:
            answer = await post(client.token_url, {key: value for key, value in form.items() if value}, headers)
        except Rejected as error:
            raise ManorError(error.message, code=Code.DENIED, hint="check auth.oauth: client_id and client_secret") from None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token or not _plain(token):
            raise ManorError(f"{place} answers without an access_token", code=Code.CORRUPT, hint="check auth.oauth.token_url")
        self._token, self._ends = token, asked + _lifetime(answer.get("expires_in"))
        self._proof = Proof(headers={"Authorization": f"Bearer {token}"})


def credentials_of(access: ApiAccess) -> Credentials:
    """Those of a configuration. Raises ``ManorError`` for a secret that cannot stand in a header."""
    auth = access.auth
    if auth.oauth is not None:
        return OAuth(auth.oauth)
    if auth.basic is not None:
        password = auth.basic.password.get_secret_value()
        line = _basic(auth.basic.username, password)
        return Fixed(Proof(headers={"Authorization": line}), line.partition(" ")[2], password)
    if auth.api_key is not None:
        key = _usable(auth.api_key.value, "auth.api_key.value")
        if auth.api_key.parameter is not None:
            return Fixed(Proof(parameters={auth.api_key.parameter: key}), key)
        return Fixed(Proof(headers={auth.api_key.header or "X-API-Key": key}), key)
    if access.auth_token is not None:
        token = _usable(access.auth_token, "auth_token")
        return Fixed(Proof(headers={"Authorization": f"Bearer {token}"}), token)
    return Fixed(Proof())


def _usable(secret: SecretStr, name: str) -> str:
    text = secret.get_secret_value()
    if not _plain(text):
        raise ManorError(
            f"{name} holds a blank, a line break or a character outside of ASCII",
            code=Code.BAD_INPUT,
            hint="is a line's end in the environment variable?",
        )
    return text


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _lifetime(told: Any) -> float:
    """Seconds that a token is used: what the server tells, less a reserve; short ones are used for half of their time."""
    try:
        seconds = float(told)
    except (TypeError, ValueError):
        return 300.0
    return max(seconds - EARLY_SECONDS, seconds / 2)


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return text
