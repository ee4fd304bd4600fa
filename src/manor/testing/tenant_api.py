"""A REST and GraphQL API of tenants on loopback, over real HTTP, that misbehaves where a test tells it to.

``/v1/tenants`` understands every way of paging at once (``offset``, ``page``, ``cursor``, ``Link``), ``/v1/tenants/ID`` and
``/v1/tenants/ID/config`` are one tenant, ``/graphql`` is a Relay connection, ``/token`` gives out OAuth tokens. Requests are
answered in threads of their own.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

_STYLES = ("offset", "page", "cursor")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request that came."""

    number: int
    """From 1, of all."""
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By name in lower case."""
    body: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is answered instead of the truth."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body after which the connection ends, although its length was told."""
    hang_up: bool = False
    """End the connection without an answer."""
    hold_back: bool = False
    """Answer nothing before the server is stopped."""


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    """``value`` as an answer; ``_`` in a header's name stands for ``-``."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status=status, body=json.dumps(value).encode(), headers=named)


Trouble = Callable[[Seen], Reply | None]


def no_trouble(seen: Seen) -> Reply | None:  # noqa: ARG001 - the signature of trouble
    """Answer the truth."""
    return None


class TenantApi:
    """The API; change its attributes between requests, or in ``trouble``, which is asked before each."""

    def __init__(self, rows: Sequence[Mapping[str, Any]] = (), configs: Mapping[str, Any] | None = None) -> None:
        self.rows = [dict(row) for row in rows]
        self.configs = dict(configs or {})
        self.trouble: Trouble = no_trouble
        self.maximum = 1_000
        """Rows of a page, whatever is asked for."""
        self.tells: frozenset[str] = frozenset({"next_cursor"})
        """Of ``total``, ``has_more``, ``next_cursor``, ``next``, ``Link``, ``X-Total-Count``."""
        self.filters: frozenset[str] = frozenset()
        """Parameters of the list, and variables of GraphQL, that are fields to filter by."""
        self.accepts: Callable[[Seen], bool] = lambda _: True
        """Whether a request proves who asks."""
        self.etags = False
        self.tokens = 0
        """OAuth tokens that were given out; the newest one is ``token-N``."""
        self.token_seconds = 3600
        self.seen: list[Seen] = []
        self.url = ""
        self.stopping = threading.Event()

    def lists(self) -> list[Seen]:
        """The requests for pages of the list."""
        return [seen for seen in self.seen if seen.path in ("/v1/tenants", "/graphql")]

    def reply(self, seen: Seen) -> Reply:
        """What is answered to one request."""
        trouble = self.trouble(seen)
        if trouble is not None:
            return trouble
        if seen.path == "/token":
            return self._token(seen)
        if not self.accepts(seen):
            return as_json({"error": {"message": f"no entry with {seen.headers.get('authorization', 'nothing')}"}}, 401)
        if seen.path == "/graphql":
            return self._graphql(seen)
        if seen.path == "/v1/tenants":
            return self._list(seen)
        return self._one(seen)

    def _token(self, seen: Seen) -> Reply:
        form = parse_qs(seen.body)
        if "c2VydmljZTpzM2NyZXQ=" not in seen.headers.get("authorization", "") and form.get("client_secret") != ["s3cret"]:
            return as_json({"error": "invalid_client"}, 401)
        self.tokens += 1
        return as_json({"access_token": f"token-{self.tokens}", "token_type": "bearer", "expires_in": self.token_seconds})

    def _kept(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        wanted = {name: value for name, value in asked.items() if name in self.filters}
        return [row for row in self.rows if all(row.get(name) == value for name, value in wanted.items())]

    def _list(self, seen: Seen) -> Reply:
        rows = self._kept(seen.query)
        size = min(int(seen.query.get("limit", "100")), self.maximum)
        begin = _begin(seen.query, size)
        end = begin + size
        body: dict[str, Any] = {
            "items": rows[begin:end],
            "total": len(rows),
            "has_more": end < len(rows),
            "next_cursor": f"c{end}" if end < len(rows) else None,
            "next": self._next(seen, end) if end < len(rows) else None,
        }
        headers = {"X-Total-Count": str(len(rows))} if "X-Total-Count" in self.tells else {}
        if "Link" in self.tells and end < len(rows):
            headers["Link"] = f'<{self._next(seen, end)}>; rel="next", <{self.url}/v1/tenants>; rel="first"'
        shown = {name: value for name, value in body.items() if name == "items" or name in self.tells}
        return Reply(body=json.dumps(shown).encode(), headers=headers)

    def _next(self, seen: Seen, end: int) -> str:
        kept = {name: value for name, value in seen.query.items() if name not in (*_STYLES, "api_key")}
        return f"{self.url}/v1/tenants?{urlencode({**kept, 'cursor': f'c{end}'})}"

    def _one(self, seen: Seen) -> Reply:
        _, _, _, tenant, *rest = [*seen.path.split("/"), "", "", ""]
        found = next((row for row in self.rows if row.get("tenant_id") == tenant), None)
        if found is None or (rest[0] == "config" and tenant not in self.configs):
            return as_json({"detail": "not here"}, 404)
        return as_json(self.configs[tenant] if rest[0] == "config" else found)

    def _graphql(self, seen: Seen) -> Reply:
        asked = json.loads(seen.body)
        variables = asked.get("variables", {})
        if "tenant(" in asked["query"]:
            row = next((row for row in self.rows if row.get("tenant_id") == variables["tenant_id"]), None)
            return as_json({"data": {"tenant": row and {**row, "settings": self.configs.get(row["tenant_id"])}}})
        rows = self._kept(variables)
        begin = int(str(variables.get("after") or "c0")[1:])
        end = begin + min(variables["first"], self.maximum)
        nodes = [{**row, "settings": self.configs.get(str(row.get("tenant_id")))} for row in rows[begin:end]]
        info = {"hasNextPage": end < len(rows), "endCursor": f"c{min(end, len(rows))}" if nodes else None}
        connection = {"edges": [{"node": node} for node in nodes], "pageInfo": info, "totalCount": len(rows)}
        return as_json({"data": {"tenants": connection}})


def _begin(query: Mapping[str, str], size: int) -> int:
    if "cursor" in query:
        return int(query["cursor"][1:])
    if "page" in query:
        return (int(query["page"]) - 1) * size
    return int(query.get("offset", "0"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: TenantApi

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_POST(self) -> None:
        """Answer."""
        self._answer()

    def _answer(self) -> None:
        seen = self._seen()
        self.api.seen.append(seen)
        reply = self.api.reply(seen)
        if reply.hold_back:
            self.api.stopping.wait()
        if reply.hang_up or reply.hold_back:
            self.close_connection = True
            return
        self._send(self._conditional(seen, reply))

    def _seen(self) -> Seen:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0"))).decode()
        return Seen(
            number=len(self.api.seen) + 1, method=self.command, path=parts.path, query=query, headers=headers, body=body
        )

    def _conditional(self, seen: Seen, reply: Reply) -> Reply:
        if not self.api.etags or reply.status != 200:
            return reply
        etag = f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"'
        headers = {**reply.headers, "ETag": etag}
        if seen.headers.get("if-none-match") == etag:
            return Reply(status=304, headers=headers)
        return Reply(body=reply.body, headers=headers, cut_after=reply.cut_after)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body if reply.cut_after is None else reply.body[: reply.cut_after])
        if reply.cut_after is not None:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are part of the tests; everything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(api: TenantApi, *, tls: ssl.SSLContext | None = None) -> Iterator[TenantApi]:
    """``api`` behind ``api.url``, by https where there is a ``tls``, until the block ends."""
    handler = type("Handler", (_Handler,), {"api": api})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        api.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.stopping.set()
            server.shutdown()
            thread.join()
