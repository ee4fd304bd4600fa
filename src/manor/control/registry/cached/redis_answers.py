"""Answers of a source, kept in Redis or Valkey, where all processes find them. The only module that knows redis-py.

Keys are ``manor:tenants:1:{<namespace>:<source>}:<token>:<answer>``; the braces keep them in one slot of a cluster. The token
is random and stands under a key of its own: with a new one all answers are out of reach at once, those too that somebody is
still about to put, and no key has to be searched for. Answers that nobody can reach end with their time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from manor.control.registry.cached.answers import Look
from manor.errors import InputError, UnsupportedError
from manor.telemetry import Telemetry

TIMEOUT_SECONDS = 1.0
"""For connecting and for an answer: longer than that it is quicker to ask the source."""
PAUSE_SECONDS = 5.0
"""After a failure, until Redis is asked again."""
_TOKEN_SECONDS = 30 * 86_400
_FORMAT = "manor:tenants:1"

_Result = TypeVar("_Result")


def _new_token() -> str:
    return secrets.token_hex(8)


class RedisAnswers:
    """The answers of the source ``source`` of the project ``namespace``, kept for ``ttl_seconds``.

    Where Redis does not answer, nothing is there and nothing is kept; that is told once, as the event ``cache.away``, and its
    end as ``cache.back``. Raises ``InputError`` for an address that is none, ``UnsupportedError`` where redis-py is missing.
    """

    def __init__(
        self,
        url: str,
        ttl_seconds: int,
        *,
        namespace: str,
        source: str,
        telemetry: Telemetry | None = None,
        now: Callable[[], float] = time.monotonic,
        new_token: Callable[[], str] = _new_token,
    ) -> None:
        self._client, self._failures = _open(url)
        self._password = urlsplit(url).password or ""
        self._ttl_seconds = ttl_seconds
        self._source = source
        self._prefix = f"{_FORMAT}:{{{quote(namespace, safe='')}:{quote(source, safe='')}}}"
        self._telemetry = telemetry or Telemetry()
        self._now = now
        self._new_token = new_token
        self._token = ""
        self._away_until: float | None = None
        self._told = False
        self._must_forget = False

    def __repr__(self) -> str:
        return f"<answers of {self._source} in Redis>"

    async def look(self, key: str) -> Look:
        """One round trip, where nothing was let go of meanwhile."""
        return await self._attempt(lambda: self._look(key), Look(mark=None))

    async def put(self, key: str, text: bytes, look: Look) -> None:
        """Under the token that was there when the source was asked."""
        token = look.mark
        if token is not None:
            await self._attempt(lambda: self._client.set(self._key(token, key), text, ex=self._ttl_seconds), None)

    async def forget(self) -> None:
        """Where Redis is away, as soon as it is back; what others find there until then ends with its time."""
        self._must_forget = True
        self._away_until = None  # it may be back: this is worth a try
        await self._attempt(self._renew, None)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _key(self, token: str, key: str) -> str:
        return f"{self._prefix}:{token}:{key}"

    async def _look(self, key: str) -> Look:
        if self._must_forget:
            await self._renew()
        guessed = self._token  # others may learn of a new one while this waits
        found, text = await self._client.mget(f"{self._prefix}:token", self._key(guessed, key))
        if found is None:
            return Look(mark=await self._first_token())
        token = self._token = found.decode("ascii", errors="replace")
        if token != guessed:
            text = await self._client.get(self._key(token, key))
        return Look(mark=token, text=text)

    async def _first_token(self) -> str | None:
        """Of several that make one at the same time, one wins. None where it is gone at once: there is no room."""
        await self._client.set(f"{self._prefix}:token", self._new_token(), ex=_TOKEN_SECONDS, nx=True)
        found = await self._client.get(f"{self._prefix}:token")
        if found is None:
            return None
        self._token = found.decode("ascii", errors="replace")
        return self._token

    async def _renew(self) -> None:
        token = self._new_token()
        await self._client.set(f"{self._prefix}:token", token, ex=_TOKEN_SECONDS)
        self._token, self._must_forget = token, False

    async def _attempt(self, ask: Callable[[], Awaitable[_Result]], otherwise: _Result) -> _Result:
        if self._away_until is not None and self._now() < self._away_until:
            return otherwise
        try:
            result = await ask()
        except self._failures as error:
            self._fail(error)
            return otherwise
        self._succeed()
        return result

    def _fail(self, error: Exception) -> None:
        self._away_until = self._now() + PAUSE_SECONDS
        if not self._told:
            self._told = True
            self._telemetry.emit("cache.away", "", self._source, error=self._shown(error))

    def _succeed(self) -> None:
        self._away_until = None
        if self._told:
            self._told = False
            self._telemetry.emit("cache.back", "", self._source)

    def _shown(self, error: Exception) -> str:
        text = f"{type(error).__name__}: {error}"
        return text.replace(self._password, "***") if self._password else text


def _open(url: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """A client that does not connect yet and does not try twice, and what it raises where Redis is away."""
    try:
        from redis import asyncio as redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
    except ImportError:
        hint = "pip install 'manor[redis]', or leave out redis_url"
        raise UnsupportedError("answers in Redis need the package redis", hint=hint) from None
    try:
        client = redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            client_name="manor",
        )
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # it does not connect
    except (ValueError, TypeError):
        hint = "write it like redis://:password@host:6379/0, rediss:// with TLS, unix:///path"
        raise InputError("redis_url is no address of Redis", hint=hint) from None
    return client, (RedisError, OSError)
