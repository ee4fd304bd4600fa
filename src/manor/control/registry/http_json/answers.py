"""What an answer of an API says, decided without asking again: its value, or which error it is and whether waiting helps."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from manor.collector import paused_collector
from manor.control.registry.finite_json import TooLarge, finite_json
from manor.errors import Code, InputError, ManorError, NotFoundError, UnreachableError, UnsupportedError

LARGEST_BODY_BYTES = 64 * 1024 * 1024
"""More than this is no page."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another try may change."""
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer with a status of 2xx."""

    value: Any
    """What its JSON says; None where there is no body."""
    headers: Mapping[str, str]
    """By name in lower case."""


class Waited(UnreachableError):
    """The API wants to be left alone for ``seconds`` (its ``Retry-After``) before another try."""

    def __init__(self, message: str, *, seconds: float, hint: str = "") -> None:
        super().__init__(message, hint=hint, transient=True)
        self.seconds = seconds


class Rejected(ManorError):
    """The API does not accept what was to prove who asks (401)."""

    code = Code.DENIED


def shown(url: str) -> str:
    """An address as messages have it: without user, query and fragment, where secrets stand."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path


def decoded(body: bytes, content_type: str, url: str, *, setting: str = "api_base_url") -> Any:
    """The value of a body; ``setting`` is where its address comes from.

    Raises ``ManorError`` (CORRUPT), transient where the body ends too early.
    """
    if not body:
        return None
    try:
        with paused_collector():
            return finite_json(body.removeprefix(_BYTE_ORDER_MARK), cache_strings="keys")
    except TooLarge as error:
        raise ManorError(
            f"the answer of {url} holds a number that nothing can store: {error}",
            code=Code.CORRUPT,
            hint="whoever runs the API can correct it",
        ) from None
    except ValueError as error:
        _not_json(body, content_type, url, error, setting)


def _not_json(body: bytes, content_type: str, url: str, error: ValueError, setting: str) -> NoReturn:
    kind = content_type.partition(";")[0].strip().lower()
    if "json" not in kind and body.lstrip()[:1] not in (b"{", b"["):
        raise ManorError(
            f"{url} answers with {kind or 'something without a type'}, not with JSON",
            code=Code.CORRUPT,
            hint=f"is {setting} the API's own address, and not a page for people or a sign-in?",
        )
    raise ManorError(
        f"the answer of {url} cannot be read as JSON, {len(body)} bytes: {error}",
        code=Code.CORRUPT,
        transient=True,
        hint="it is cut off or not well formed; whoever runs the API can tell",
    ) from None


def refusal(status: int, headers: Mapping[str, str], body: bytes, url: str, *, now: dt.datetime) -> ManorError:
    """The error that a status outside of 2xx and 304 is. The API's own words are in it, short; the caller hides secrets."""
    message = f"{url} answers {status}{_words(body)}"
    if status in _PASSING:
        seconds = retry_after(headers.get("retry-after"), now=now)
        if seconds is not None:
            return Waited(message, seconds=seconds)
        return UnreachableError(message, transient=True)
    if 300 <= status < 400:
        target = shown(headers.get("location", "elsewhere"))
        return InputError(f"{url} leads on to {target} ({status})", hint="put the final address into api_base_url")
    if status == 401:
        return Rejected(message, hint="check auth_token or auth, and that it has not expired")
    if status == 403:
        return ManorError(message, code=Code.DENIED, hint="whoever runs the API must let this login read tenants")
    if status in (404, 410):
        return NotFoundError(message, hint="check api_base_url and the paths below it")
    if status in (501, 505):
        return UnsupportedError(message, hint="check api_base_url and the paths below it")
    if status >= 500:
        return UnreachableError(message, transient=True)
    return InputError(message, hint="check the parameters: pagination, filters, parameters, headers")


def is_no_page(error: ManorError) -> bool:
    """Whether ``error`` says that there is no such page: by its status, or by an answer without a list."""
    return not error.transient and error.code in (Code.NOT_FOUND, Code.BAD_INPUT, Code.CORRUPT)


def retry_after(text: str | None, *, now: dt.datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or a date (RFC 9110, 10.2.3); None where it cannot be read."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or dt.UTC) - now).total_seconds())


def _words(body: bytes) -> str:
    """What the API says about its refusal: the usual keys of a JSON error, or nothing."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    error = said.get("error", said) if isinstance(said, dict) else None
    if isinstance(error, dict) and isinstance(error.get("errors"), list) and error["errors"]:
        error = error["errors"][0]
    if isinstance(error, dict):
        error = next((error[key] for key in ("message", "detail", "title", "code") if isinstance(error.get(key), str)), None)
    text = " ".join(error.split())[:_SHOWN_CHARACTERS] if isinstance(error, str) else ""
    return f": {text}" if text else ""
