"""One API over HTTP: a request in, the JSON of its answer or a ``ManorError`` out. httpx stands here only.

Transient errors are tried again with growing, jittered waits and not before the API's ``Retry-After``; a token that the API no
longer accepts is renewed once per try. Redirects are not followed: they would carry secrets elsewhere.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import stamina

from manor import __version__
from manor.api_shapes import ApiAccess
from manor.control.registry.http_json.answers import (
    LARGEST_BODY_BYTES,
    Answer,
    Rejected,
    Waited,
    decoded,
    refusal,
    shown,
)
from manor.control.registry.http_json.credentials import Credentials, Proof, credentials_of
from manor.control.registry.http_json.kept import Kept, KeptAnswer
from manor.control.registry.http_json.trust import origin, refuse_in_the_clear, tls_of
from manor.errors import Code, ManorError, UnreachableError

# Without a handler Python would print stamina's warnings on stderr; what matters of a retry is in the outcome.
logging.getLogger("stamina").addHandler(logging.NullHandler())


def _without_query(record: logging.LogRecord) -> bool:
    """httpx logs addresses with their query, where an API key may stand."""
    if isinstance(record.args, tuple):
        record.args = tuple(shown(str(one)) if isinstance(one, httpx.URL) else one for one in record.args)
    return True


logging.getLogger("httpx").addFilter(_without_query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one answer is waited for; seconds."""

    timeout: float = 30.0
    """Of one try."""
    attempts: int = 4
    wait_initial: float = 0.5
    wait_max: float = 30.0
    wait_jitter: float = 1.0
    longest_wait: float = 120.0
    """That the API may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. ``path`` is below the API's address, or a whole address of the same API."""

    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    """Body of a POST; a GET where it is None."""
    check: Callable[[Any], ManorError | None] | None = None
    """Finds the error in the JSON of an answer that has a status of success."""


class ApiClient:
    """Opened on first use; ``aclose`` gives its connections back. Several requests may be on their way at once."""

    def __init__(self, access: ApiAccess, *, folder: Path, patience: Patience | None = None) -> None:
        """Raises ``RefusedError`` where a secret would go over the network in the clear, ``InputError`` for settings."""
        self.base_url = access.api_base_url.rstrip("/")
        self._credentials: Credentials = credentials_of(access)
        refuse_in_the_clear(access)
        self._tls = tls_of(access, folder)
        self._headers = dict(access.headers)
        self._patience = patience or Patience(
            timeout=access.timeout, attempts=access.retry_attempts + 1, longest_wait=access.longest_wait
        )
        self._kept = Kept()
        self._http: httpx.AsyncClient | None = None
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f"<ApiClient {self.base_url}>"

    async def ask(self, request: Request) -> Answer:
        """The answer, which has a status of 2xx.

        Raises ``NotFoundError`` for 404, ``UnreachableError`` where all tries failed, ``ManorError`` with DENIED, CORRUPT or
        EXHAUSTED (too large), ``InputError`` for what the API does not understand.
        """
        waits = self._patience
        async for attempt in stamina.retry_context(
            on=_worth_another_try,
            attempts=waits.attempts,
            timeout=None,
            wait_initial=waits.wait_initial,
            wait_max=waits.wait_max,
            wait_jitter=waits.wait_jitter,
        ):
            with attempt:
                return await self._tried(request)
        raise AssertionError("stamina either returns or raises")

    def address(self, path: str) -> str:
        """The whole address of ``path``. Raises ``ManorError`` (CORRUPT) for one that belongs to another server."""
        if "://" not in path:
            return f"{self.base_url}/{path.lstrip('/')}"
        if origin(path) != origin(self.base_url):
            raise ManorError(
                f"{self.base_url} names {shown(path)} as its next page, which is another server",
                code=Code.CORRUPT,
                hint="Manor does not send its login there; use another pagination.style",
            )
        return path

    async def aclose(self) -> None:
        """Close its connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _tried(self, request: Request) -> Answer:
        wait = self._not_before - asyncio.get_running_loop().time()
        if wait > 0:
            await asyncio.sleep(wait)
        try:
            return await self._proved(request)
        except Waited as error:
            self._put_off(error)
            raise

    def _put_off(self, error: Waited) -> None:
        """What one request was told holds for all."""
        if error.seconds > self._patience.longest_wait:
            error.transient = False
            error.hint = (
                f"it wants to be left alone for {error.seconds:.0f} s; longest_wait is {self._patience.longest_wait:.0f}"
            )
        self._not_before = asyncio.get_running_loop().time() + min(error.seconds, self._patience.longest_wait)

    async def _proved(self, request: Request) -> Answer:
        proof = await self._credentials.proof(self._post_form)
        try:
            return await self._sent(request, proof)
        except Rejected as error:
            if not self._credentials.renew(proof):
                raise
            proof = await self._credentials.proof(self._post_form)
            try:
                return await self._sent(request, proof)
            except Rejected:
                raise error from None

    async def _sent(self, request: Request, proof: Proof) -> Answer:
        url = self.address(request.path)
        method = "GET" if request.json is None else "POST"
        built = self._client().build_request(
            method, _with(url, {**request.parameters, **proof.parameters}), headers=proof.headers, json=request.json
        )
        key = str(built.url)
        kept = self._kept.find(key) if method == "GET" else None
        if kept is not None:
            built.headers["If-None-Match"] = kept.etag
        response, body = await self._exchanged(built)
        if response.status_code == 304:
            return self._unchanged(kept, key, shown(url))
        if not response.is_success:
            raise self._hidden(refusal(response.status_code, _headers(response), body, shown(url), now=dt.datetime.now(dt.UTC)))
        answer = self._read(response, body, shown(url))
        if request.check is not None and (error := request.check(answer.value)) is not None:
            raise self._hidden(error)
        if method == "GET" and "etag" in answer.headers:
            headers = dict(answer.headers)
            self._kept.keep(key, KeptAnswer(etag=headers["etag"], body=body, headers=headers))
        return answer

    def _unchanged(self, kept: KeptAnswer | None, key: str, url: str) -> Answer:
        if kept is None:
            raise UnreachableError(f"{url} answers 304 to a question without a condition", transient=True)
        try:
            value = decoded(kept.body, kept.headers.get("content-type", ""), url)
        except ManorError:
            self._kept.forget(key)
            raise
        return Answer(value=value, headers=kept.headers)

    def _read(self, response: httpx.Response, body: bytes, url: str) -> Answer:
        headers = _headers(response)
        try:
            value = decoded(body, headers.get("content-type", ""), url)
        except ManorError as error:
            raise self._hidden(error) from None
        return Answer(value=value, headers=headers)

    async def _post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        built = self._client().build_request("POST", url, data=dict(form), headers=headers)
        response, body = await self._exchanged(built)
        if not response.is_success:
            status = 401 if response.status_code == 400 and b"invalid_client" in body else response.status_code
            raise self._hidden(refusal(status, _headers(response), body, shown(url), now=dt.datetime.now(dt.UTC)))
        return decoded(body, _headers(response).get("content-type", ""), shown(url), setting="auth.oauth.token_url")

    async def _exchanged(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """The answer and its whole body. Raises ``UnreachableError`` where it does not come whole, or not in time."""
        url = shown(str(request.url))
        try:
            async with asyncio.timeout(self._patience.timeout):
                response = await self._client().send(request, stream=True)
                try:
                    return response, await _body(response, url)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            message = f"{url} did not answer within {self._patience.timeout:g} s"
            raise UnreachableError(message, transient=True, hint="timeout is the setting for it") from None
        except httpx.HTTPError as error:
            why = self._credentials.hide(str(error)) or type(error).__name__
            raise UnreachableError(f"{url} cannot be reached: {why}", transient=_passes(error)) from None

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(
                headers={"Accept": "application/json", "User-Agent": f"manor/{__version__}", **self._headers},
                timeout=self._patience.timeout,
                verify=self._tls,
                follow_redirects=False,
            )
        return self._http

    def _hidden(self, error: ManorError) -> ManorError:
        error.message = self._credentials.hide(error.message)
        error.args = (error.message,)
        return error


async def _body(response: httpx.Response, url: str) -> bytes:
    pieces, size = [], 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > LARGEST_BODY_BYTES:
            raise ManorError(
                f"{url} answers with more than {LARGEST_BODY_BYTES >> 20} MiB",
                code=Code.EXHAUSTED,
                hint="ask for smaller pages: pagination.size",
            )
        pieces.append(piece)
    return b"".join(pieces)


def _worth_another_try(error: Exception) -> bool:
    return isinstance(error, ManorError) and error.transient


def _passes(error: httpx.HTTPError) -> bool:
    """Whether another try may help: not where the certificate or the protocol is wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return False
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, httpx.TransportError | httpx.DecodingError) and not isinstance(error, httpx.UnsupportedProtocol)


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _with(url: str, parameters: Mapping[str, str]) -> httpx.URL:
    """``url`` with these parameters instead of its own of the same names."""
    return httpx.URL(url).copy_merge_params(dict(parameters)) if parameters else httpx.URL(url)
