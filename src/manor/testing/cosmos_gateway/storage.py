"""The databases, containers and documents of the gateway. No waiting in here, so that a batch is one step."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any

from manor.testing.cosmos_gateway.answers import Answer, bad, changed, conflict, not_found
from manor.testing.cosmos_gateway.patching import patched
from manor.testing.cosmos_gateway.sql import parse_predicate
from manor.testing.cosmos_gateway.sql_values import Operators

Document = dict[str, Any]
KeyTuple = tuple[str, ...]
"""A partition key: the JSON of each level."""
BATCH_OPERATIONS = 100
SYSTEM = ("_rid", "_self", "_etag", "_ts", "_attachments")
_NAME = re.compile(r""""[^"]*"|'[^']*'|[^/]+""")
NOTHING: Any = {}
"""How a partition key header writes a level that the document does not have."""

WRONG_KEY = (
    "Partition key provided either doesn't correspond to definition in the collection or doesn't match partition key field "
    "values specified in the document."
)
_NUMBERS = itertools.count(1)


def new_rid(size: int = 8) -> str:
    """A resource id as the service makes them: base64 of a few bytes."""
    return base64.b64encode(next(_NUMBERS).to_bytes(size, "big")).decode().replace("/", "-")


class Container:
    """Documents by partition key and id. ``clock`` gives seconds since 1970."""

    def __init__(self, properties: Document, link: str, operators: Operators, clock: Callable[[], float] = time.time) -> None:
        self.properties = properties
        self.link = link
        self.operators = operators
        self.clock = clock
        self.documents: dict[tuple[KeyTuple, str], Document] = {}
        self.lsn = 0

    @property
    def paths(self) -> list[list[str]]:
        """The names that lead to each level of the partition key."""
        return [_names_of(path) for path in self.properties["partitionKey"]["paths"]]

    def key_of(self, document: Document) -> KeyTuple:
        """The partition key that is in a document."""
        return tuple(json.dumps(_at(document, path)) for path in self.paths)

    def living(self) -> list[Document]:
        """All documents whose time has not come."""
        now = self.clock()
        return [document for document in self.documents.values() if not self._is_over(document, now)]

    def _is_over(self, document: Document, now: float) -> bool:
        default = self.properties.get("defaultTtl")
        if default is None:
            return False
        seconds = document.get("ttl", default)
        return bool(seconds != -1 and document["_ts"] + seconds <= now)

    # Single documents

    def read(self, key: KeyTuple, id_: str) -> Document:
        """Raises 404."""
        self._check_levels(key)
        found = self.documents.get((key, id_))
        if found is None or self._is_over(found, self.clock()):
            raise not_found("the item")
        return found

    def create(
        self, body: Document, key: KeyTuple | None, *, upsert: bool = False, match: str | None = None
    ) -> tuple[int, Document]:
        """The status, 201 or 200, and the document."""
        key = self._checked(body, key)
        there = self.documents.get((key, body["id"]))
        if there is not None and self._is_over(there, self.clock()):
            there = None
        if there is not None and not upsert:
            raise conflict("the item")
        if there is not None and match is not None and match != there["_etag"]:
            raise changed()
        return (200 if there else 201), self._store(key, body, there)

    def replace(self, key: KeyTuple, id_: str, body: Document, match: str | None) -> Document:
        """Raises 404 and 412."""
        there = self.read(key, id_)
        _check_match(there, match)
        if self._checked(body, key) != key or body["id"] != id_:
            raise bad("id and partition key cannot change")
        return self._store(key, body, there)

    def patch(self, key: KeyTuple, id_: str, body: Document, match: str | None) -> Document:
        """Raises 404, 412 and 400."""
        there = self.read(key, id_)
        _check_match(there, match)
        if (condition := body.get("condition")) and parse_predicate(condition, self.operators)(there) is not True:
            raise changed()
        fresh = patched(there, body["operations"], {"id", *SYSTEM, *(path[0] for path in self.paths)})
        return self._store(key, fresh, there)

    def delete(self, key: KeyTuple, id_: str, match: str | None) -> None:
        """Raises 404 and 412."""
        _check_match(self.read(key, id_), match)
        del self.documents[key, id_]
        self.lsn += 1

    def _store(self, key: KeyTuple, body: Document, there: Document | None) -> Document:
        self.lsn += 1
        document = {name: value for name, value in copy.deepcopy(body).items() if name not in SYSTEM}
        rid = there["_rid"] if there else new_rid(16)
        document.update(
            _rid=rid, _self=f"{self.link}/docs/{body['id']}", _etag=f'"{next(_NUMBERS):032x}"', _attachments="attachments/",
            _ts=int(self.clock()),
        )  # fmt: skip
        self.documents[key, body["id"]] = document
        return document

    def _checked(self, body: Document, key: KeyTuple | None) -> KeyTuple:
        id_ = body.get("id")
        if type(id_) is not str or not id_ or len(id_.encode()) > 1023 or set(id_) & set("/\\?#"):
            raise bad("Ensure to provide a unique non-empty string less than '1024' characters.")
        if "ttl" in body:
            check_ttl(body["ttl"])
        found = self.key_of(body)
        if key is not None and key != found:
            raise Answer(400, WRONG_KEY, sub=1001)
        return found

    def _check_levels(self, key: KeyTuple) -> None:
        if len(key) != len(self.paths):
            raise Answer(400, WRONG_KEY, sub=1001)

    # Batches

    def batch(self, key: KeyTuple, operations: list[Document]) -> tuple[int, list[Document]]:
        """207 and the codes of all where one failed: then nothing has happened. 200 and the answers otherwise."""
        self._check_levels(key)
        if not operations:
            raise bad("Batch request has no operations.")
        if len(operations) > BATCH_OPERATIONS:
            raise bad("Batch request has more operations than what is supported.")
        before, lsn = dict(self.documents), self.lsn
        answers: list[Document] = []
        for operation in operations:
            try:
                answers.append(self._one(key, operation))
            except Answer as answer:
                if answer.status == 501:
                    raise
                self.documents, self.lsn = before, lsn
                others = [{"statusCode": 424, "requestCharge": 0}] * len(operations)
                others[len(answers)] = {"statusCode": answer.status, "requestCharge": 1}
                return 207, others
        self.lsn = lsn + 1
        return 200, answers

    def _one(self, key: KeyTuple, operation: Document) -> Document:
        match operation:
            case {"operationType": "Create", "resourceBody": body}:
                return _told(*self.create(body, key))
            case {"operationType": "Upsert", "resourceBody": body}:
                return _told(*self.create(body, key, upsert=True, match=operation.get("ifMatch")))
            case {"operationType": "Read", "id": id_}:
                return _told(200, self.read(key, id_))
            case {"operationType": "Replace", "id": id_, "resourceBody": body}:
                return _told(200, self.replace(key, id_, body, operation.get("ifMatch")))
            case {"operationType": "Patch", "id": id_, "resourceBody": body}:
                return _told(200, self.patch(key, id_, body, operation.get("ifMatch")))
            case {"operationType": "Delete", "id": id_}:
                self.delete(key, id_, operation.get("ifMatch"))
                return {"statusCode": 204, "requestCharge": 1}
        raise Answer(501, "this gateway does not know this operation of a batch")


def _names_of(path: str) -> list[str]:
    """``/a/"b/c"`` is a and b/c; either kind of quotes."""
    return [quoted[1:-1] if (quoted := found[0])[0] in "\"'" else quoted for found in _NAME.finditer(path)]


def _told(status: int, document: Document) -> Document:
    return {"statusCode": status, "requestCharge": 1, "eTag": document["_etag"], "resourceBody": document}


def check_ttl(seconds: Any) -> None:
    """Seconds, or -1 for never. Raises 400."""
    if type(seconds) is not int or not (seconds == -1 or 0 < seconds < 2**31):
        raise bad("the time to live is -1, or a whole number from 1 to 2147483647")


def _check_match(document: Document, match: str | None) -> None:
    if match is not None and match not in {"*", document["_etag"]}:
        raise changed()


def _at(document: Any, path: list[str]) -> Any:
    for name in path:
        if type(document) is not dict or name not in document:
            return NOTHING
        document = document[name]
    return NOTHING if type(document) in {dict, list} else document
