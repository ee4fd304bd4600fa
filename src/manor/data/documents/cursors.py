"""Where a page ended, as text that only the same tenant can use, for the same question. Opaque: an HMAC in front, in base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping

from manor.data.documents.driver import Query
from manor.data.documents.faults import CursorRefused, ValueRefused
from manor.data.documents.tagged import item_from_tagged, item_to_tagged, text_of
from manor.data.documents.values import Item

_MAC_BYTES = 16


def write_cursor(key: bytes, tenant: str, query: Query, last: Item) -> str:
    """The cursor for continuing ``query`` behind ``last``."""
    payload = text_of(item_to_tagged(last)).encode()
    return base64.urlsafe_b64encode(_mac(key, tenant, query, payload) + payload).decode().rstrip("=")


def read_cursor(key: bytes, tenant: str, query: Query, cursor: str) -> Item:
    """Where to continue. Raises ``CursorRefused`` for a changed cursor and for that of another tenant or question."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if hmac.compare_digest(mac, _mac(key, tenant, query, payload)):
            return item_from_tagged(json.loads(payload))
    except (binascii.Error, ValueError, TypeError, ValueRefused):
        pass
    raise CursorRefused(
        f"this cursor is not of this query of table {query.table.name}: it was changed, or is of another tenant or question",
        hint="pass it on as it came, with the same expressions and values; only the limit may differ. Several processes need "
        "the same cursor_key",
    )


def _mac(key: bytes, tenant: str, query: Query, payload: bytes) -> bytes:
    question = _question(tenant, query).encode()
    return hmac.digest(key, len(question).to_bytes(8, "big") + question + payload, hashlib.sha256)[:_MAC_BYTES]


def _question(tenant: str, query: Query) -> str:
    """Everything that says what is asked, but not how much of it at a time."""
    return text_of(
        {
            "version": 2,
            "tenant": tenant,
            "table": query.table.name,
            "index": query.index.name if query.index else None,
            "keys": query.keys.expression.text if query.keys else None,
            "filter": query.filter.text if query.filter else None,
            "paths": [path.parts for one in (query.keys and query.keys.expression, query.filter) if one for path in one.paths],
            "values": _without_clock(query.values),
            "forward": query.forward,
        }
    )


NOW = ":manor_now"
"""The value by which expired items are filtered; it moves from page to page."""


def _without_clock(values: Mapping[str, object]) -> object:
    return item_to_tagged({name: value for name, value in values.items() if name != NOW})
