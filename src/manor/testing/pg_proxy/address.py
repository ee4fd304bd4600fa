"""Where the real server is, taken from a URL of libpq, and the same URL with another address in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from manor.errors import InputError

_DEFAULT_PORT = 5432
_ADDRESS_KEYS = ("host", "hostaddr", "port")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host by name or number, or the folder of a Unix socket (begins with ``/``), as libpq writes both."""

    host: str
    port: int = _DEFAULT_PORT

    @classmethod
    def of(cls, url: str) -> Address:
        """The one server that a URL names. Raises ``InputError`` where it names none or several."""
        query = dict(parse_qsl(urlsplit(url).query))
        host, port = _split(_netloc(url)[1])
        host = query.get("hostaddr") or query.get("host") or host
        if not host or "," in host:
            raise InputError("the proxy needs a URL with exactly one host or socket folder", hint="write it as ?host=/folder")
        return cls(host=host, port=int(query.get("port") or port or _DEFAULT_PORT))

    @property
    def socket(self) -> Path | None:
        """The Unix socket's file; None for TCP."""
        return Path(self.host) / f".s.PGSQL.{self.port}" if self.host.startswith("/") else None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises ``OSError``."""
        if self.socket is not None:
            return await asyncio.open_unix_connection(self.socket)
        return await asyncio.open_connection(self.host, self.port)

    def put_into(self, url: str) -> str:
        """``url`` with this address and all else as it was."""
        parts = urlsplit(url)
        query = {key: value for key, value in parse_qsl(parts.query) if key not in _ADDRESS_KEYS}
        login = _netloc(url)[0]
        netloc = f"{login}{self.host}:{self.port}"
        if self.socket is not None:
            netloc = login
            query |= {"host": self.host, "port": str(self.port)}
        tail = f"?{urlencode(query, quote_via=quote, safe='')}" if query else ""
        return f"{parts.scheme}://{netloc}{parts.path}{tail}"


def _netloc(url: str) -> tuple[str, str]:
    """(``user:password@`` or nothing, host and port). Not ``SplitResult.hostname``: it changes a folder's case."""
    login, at, place = urlsplit(url).netloc.rpartition("@")
    return login + at, place


def _split(place: str) -> tuple[str, str]:
    """Host and port of ``host:port``, ``[::1]:port``, ``%2Ffolder``."""
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = place.partition(":")
    return unquote(host), port
