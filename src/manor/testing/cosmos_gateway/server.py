"""The gateway as an HTTP server on the loopback: paths and headers to storage, and back."""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

from manor.testing.cosmos_gateway.answers import Answer, NotKnown, bad, conflict, not_found, owner_missing
from manor.testing.cosmos_gateway.spans import documents_of, ranges_of
from manor.testing.cosmos_gateway.sql import parse_select
from manor.testing.cosmos_gateway.sql_values import Operators, by_utf8
from manor.testing.cosmos_gateway.storage import NOTHING, Container, Document, KeyTuple, check_ttl, new_rid

WHOLE = 2**53
PAGE_ITEMS = 100
REQUEST_BYTES = 2 * 1024 * 1024
CURSORS = 10_000
Reply = tuple[int, Any, dict[str, str]]


class CosmosGateway:
    """``async with CosmosGateway() as gateway:`` and ``gateway.url``. ``requests`` records what was asked, for tests.

    ``text_order`` says how strings are compared. ``before`` and ``after`` doing it are called with each request; they may
    raise ``Answer``, or close its connection. ``splits`` are hashes of partition keys at which there are physical partitions.
    """

    def __init__(self, *, port: int = 0, text_order: Callable[[str], Any] = by_utf8) -> None:
        self.port = port
        self.operators = Operators(text_order)
        self.databases: dict[str, Document] = {}
        self.containers: dict[tuple[str, str], Container] = {}
        self.cursors: OrderedDict[str, list[Any]] = OrderedDict()
        self.splits: tuple[str, ...] = ()
        self.before: Callable[[web.Request], None] | None = None
        self.after: Callable[[web.Request], None] | None = None
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.recording = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        try:
            if len(text) > REQUEST_BYTES:  # as it was sent: with escapes, which are longer than what is stored
                raise Answer(413, "Request size is too large")
            body = json.loads(text, parse_int=_parsed) if text else None
            if self.recording:
                self.requests.append((request.method, request.path, dict(request.headers), body))
            if self.before is not None:
                self.before(request)
            status, answer, headers = self._route(
                request, [unquote(part) for part in request.raw_path.split("?")[0].split("/") if part], body
            )
            if self.after is not None:
                self.after(request)
        except Answer as error:
            status, headers = error.status, {} if error.sub is None else {"x-ms-substatus": str(error.sub)}
            answer = {"code": _CODES.get(error.status, "NotImplemented"), "message": error.message}
        headers = {"x-ms-activity-id": str(uuid.uuid4()), "x-ms-request-charge": "1", **headers}
        if status == 204 or answer is None:
            return web.Response(status=status, headers=headers)
        return web.json_response(answer, status=status, headers=headers)

    def _route(self, request: web.Request, parts: list[str], body: Any) -> Reply:
        if request.headers.get("x-ms-cosmos-is-query-plan-request"):
            raise NotKnown("query plans")
        match parts:
            case []:
                return 200, self._account(), {}
            case ["dbs"]:
                return self._databases(request, body)
            case ["dbs", name]:
                return self._database(request, name)
            case ["dbs", database, "colls"]:
                return self._containers(request, self._known_database(database), body)
            case ["dbs", database, "colls", name]:
                return self._container(request, self._known_database(database), name, body)
            case ["dbs", database, "colls", name, "pkranges"]:
                return self._ranges(request, self._known_container(database, name))
            case ["dbs", database, "colls", name, "docs"]:
                return self._documents(request, self._known_container(database, name), body)
            case ["dbs", database, "colls", name, "docs", id_]:
                return self._document(request, self._known_container(database, name), id_, body)
        raise NotKnown(f"the path of {request.method} {'/'.join(parts[::2])}")

    def _account(self) -> Document:
        here = [{"name": "here", "databaseAccountEndpoint": self.url}]
        return {
            "id": "gateway", "_rid": "gateway", "_self": "", "writableLocations": here, "readableLocations": here,
            "enableMultipleWriteLocations": False, "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        }  # fmt: skip

    # Databases

    def _known_database(self, name: str) -> str:
        if name not in self.databases:
            raise owner_missing("the database")
        return name

    def _databases(self, request: web.Request, body: Any) -> Reply:
        if request.method == "GET" or _is_query(request):
            return self._listed(request, body, "Databases", list(self.databases.values()))
        _need_method(request, "POST")
        name = _named(body)
        if name in self.databases:
            raise conflict("the database")
        self.databases[name] = {"id": name, "_rid": new_rid(4), "_self": f"dbs/{name}", "_etag": f'"{uuid.uuid4()}"', "_ts": 0}
        return 201, self.databases[name], {}

    def _database(self, request: web.Request, name: str) -> Reply:
        if name not in self.databases:
            raise not_found("the database")
        if request.method == "GET":
            return 200, self.databases[name], {}
        _need_method(request, "DELETE")
        del self.databases[name]
        self.containers = {key: one for key, one in self.containers.items() if key[0] != name}
        return 204, None, {}

    # Containers

    def _known_container(self, database: str, name: str) -> Container:
        found = self.containers.get((database, name))
        if found is None:
            raise owner_missing("the container")
        return found

    def _containers(self, request: web.Request, database: str, body: Any) -> Reply:
        if request.method == "GET" or _is_query(request):
            there = [one.properties for (owner, _), one in self.containers.items() if owner == database]
            return self._listed(request, body, "DocumentCollections", there)
        _need_method(request, "POST")
        name = _named(body)
        if (database, name) in self.containers:
            raise conflict("the container")
        link = f"dbs/{database}/colls/{name}"
        self.containers[database, name] = Container(_properties(body, link), link, self.operators)
        return 201, self.containers[database, name].properties, {}

    def _container(self, request: web.Request, database: str, name: str, body: Any) -> Reply:
        container = self.containers.get((database, name))
        if container is None:
            raise not_found("the container")
        if request.method == "GET":
            return 200, container.properties, {}
        if request.method == "PUT":
            if body.get("partitionKey", {}).get("paths") != container.properties["partitionKey"]["paths"]:
                raise bad("the partition key of a container cannot change")
            container.properties = {**_properties(body, container.link), "_rid": container.properties["_rid"]}
            return 200, container.properties, {}
        _need_method(request, "DELETE")
        del self.containers[database, name]
        return 204, None, {}

    def _ranges(self, request: web.Request, container: Container) -> Reply:
        """The physical partitions, whose list has not changed for whoever has its ETag."""
        if request.headers.get("if-none-match"):
            return 304, None, {"etag": '"1"'}
        rid = container.properties["_rid"]
        found = [
            {
                "id": name,
                "_rid": rid,
                "minInclusive": low,
                "maxExclusive": high,
                "status": "online",
                "parents": [],
                "_etag": '"1"',
            }
            for name, (low, high) in ranges_of(self.splits).items()
        ]
        return 200, {"_rid": rid, "PartitionKeyRanges": found, "_count": len(found)}, {"etag": '"1"'}

    # Documents

    def _documents(self, request: web.Request, container: Container, body: Any) -> Reply:
        if request.headers.get("a-im"):
            raise NotKnown("change feeds")
        if request.method == "GET" or _is_query(request):
            if request.method == "POST" and not _says_where(request):
                raise bad("Cross partition query is required but disabled")
            documents = documents_of(container, request.headers, _key(request), self.splits)
            return self._listed(request, body, "Documents", documents, container)
        _need_method(request, "POST")
        if _is_set(request, "x-ms-cosmos-is-batch-request"):
            key = _key(request)
            if key is None:
                raise bad("the partition key is missing")
            status, answers = container.batch(key, body)
            return status, answers, _headers(container)
        upsert = _is_set(request, "x-ms-documentdb-is-upsert")
        status, document = container.create(body, _key(request), upsert=upsert, match=request.headers.get("if-match"))
        return _written(request, container, status, document)

    def _document(self, request: web.Request, container: Container, id_: str, body: Any) -> Reply:
        key, match = _key(request), request.headers.get("if-match")
        if key is None:
            raise bad("the partition key is missing")
        if request.method == "GET":
            found = container.read(key, id_)
            if request.headers.get("if-none-match") == found["_etag"]:
                return 304, None, _headers(container, found)
            return 200, found, _headers(container, found)
        if request.method == "PUT":
            return _written(request, container, 200, container.replace(key, id_, body, match))
        if request.method == "PATCH":
            return _written(request, container, 200, container.patch(key, id_, body, match))
        _need_method(request, "DELETE")
        container.delete(key, id_, match)
        return 204, None, _headers(container)

    # Lists

    def _listed(
        self, request: web.Request, body: Any, name: str, there: list[Any], container: Container | None = None
    ) -> Reply:
        """A page of what there is, or of what a query finds in it, and how to go on."""
        token = request.headers.get("x-ms-continuation", "")
        rows = self.cursors.get(token)
        if rows is None:
            if token:
                raise bad("the continuation is not known")
            rows = self._found(body, there)
        asked = int(request.headers.get("x-ms-max-item-count") or -1)
        size = asked if asked > 0 else PAGE_ITEMS
        headers = _headers(container) if container else {}
        if len(rows) > size:
            headers["x-ms-continuation"] = self._remembered(rows[size:])
        page = rows[:size]
        return 200, {"_rid": container.properties["_rid"] if container else "", name: page, "_count": len(page)}, headers

    def _found(self, body: Any, there: list[Any]) -> list[Any]:
        if body is None:
            return list(there)
        if isinstance(body, str):
            body = {"query": body}
        parameters = {one["name"]: one["value"] for one in body.get("parameters") or ()}
        return parse_select(body["query"], parameters, self.operators).rows(there, self.operators)

    def _remembered(self, rows: list[Any]) -> str:
        token = uuid.uuid4().hex
        self.cursors[token] = rows
        while len(self.cursors) > CURSORS:
            self.cursors.popitem(last=False)
        return token


_CODES = {
    400: "BadRequest", 404: "NotFound", 409: "Conflict", 412: "PreconditionFailed", 413: "RequestEntityTooLarge",
    429: "TooManyRequests", 449: "RetryWith",
}  # fmt: skip


def _parsed(digits: str) -> int | float:
    """The service has doubles."""
    number = int(digits)
    return number if -WHOLE <= number <= WHOLE else float(number)


def _need_method(request: web.Request, method: str) -> None:
    if request.method != method:
        raise NotKnown(f"{request.method} here")


def _is_set(request: web.Request, header: str) -> bool:
    return request.headers.get(header, "").lower() == "true"


def _is_query(request: web.Request) -> bool:
    return request.method == "POST" and _is_set(request, "x-ms-documentdb-isquery")


_WHERE = ("x-ms-documentdb-partitionkey", "x-ms-documentdb-partitionkeyrangeid", "x-ms-start-epk")


def _says_where(request: web.Request) -> bool:
    """Whether a query names its partition, or says that it is about all."""
    return _is_set(request, "x-ms-documentdb-query-enablecrosspartition") or any(name in request.headers for name in _WHERE)


def _named(body: Any) -> str:
    name = body.get("id") if isinstance(body, dict) else None
    if type(name) is not str or not name or len(name) > 255 or set(name) & set("/\\?#"):
        raise bad("Ensure to provide a unique non-empty string less than '255' characters.")
    return name


def _properties(body: Document, link: str) -> Document:
    body.setdefault("partitionKey", {"paths": ["/_partitionKey"], "kind": "Hash", "version": 2})
    if "defaultTtl" in body:
        check_ttl(body["defaultTtl"])
    policy = {"indexingMode": "consistent", "automatic": True, "includedPaths": [{"path": "/*"}], "excludedPaths": []}
    body.setdefault("indexingPolicy", policy)
    for known in ("uniqueKeyPolicy", "vectorEmbeddingPolicy", "fullTextPolicy", "computedProperties", "changeFeedPolicy"):
        if body.get(known) and body[known] != {"uniqueKeys": []}:
            raise NotKnown(known)
    return {**body, "_rid": new_rid(), "_self": link, "_etag": f'"{uuid.uuid4()}"', "_ts": 0, "_docs": "docs/"}


def _key(request: web.Request) -> KeyTuple | None:
    header = request.headers.get("x-ms-documentdb-partitionkey")
    if header is None:
        return None
    levels = json.loads(header, parse_int=_parsed)
    return tuple(json.dumps(level) for level in levels) if levels else (json.dumps(NOTHING),)


def _headers(container: Container, document: Document | None = None) -> dict[str, str]:
    headers = {"x-ms-session-token": f"0:-1#{container.lsn}", "lsn": str(container.lsn)}
    return {**headers, "etag": document["_etag"]} if document else headers


def _written(request: web.Request, container: Container, status: int, document: Document) -> Reply:
    quiet = "return=minimal" in request.headers.get("prefer", "")
    return status, None if quiet else document, _headers(container, document)
