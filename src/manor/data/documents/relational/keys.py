"""Keys as bytes that sort as the keys do, so that one column type serves tables with keys of any type. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from manor.data.documents.numbers import sort_text
from manor.data.documents.query.keys import SortRange
from manor.data.documents.tables import Key, Table
from manor.data.documents.values import Item, Value

Place: TypeAlias = tuple[bytes, bytes]
"""Partition and sort key; the second is empty for a table or index without a sort key."""
Entry: TypeAlias = tuple[str, bytes, bytes]
"""Name of an index, and the item's place in it."""
_DIGEST_BYTES = 32


def key_bytes(value: Value) -> bytes:
    """One key: UTF-8, ``sort_text`` of a number, or the bytes themselves."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else sort_text(value).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyForm:
    """``longest_partition`` is what the database's indexes take of a partition key, in bytes (None: any). A longer one becomes
    its beginning and its SHA-256, together exactly that long, so that no two become the same and most keep their order."""

    longest_partition: int | None = None

    def partition(self, value: Value) -> bytes:
        """A partition key."""
        found, longest = key_bytes(value), self.longest_partition
        if longest is None or len(found) < longest:
            return found
        return found[: longest - _DIGEST_BYTES] + hashlib.sha256(found).digest()

    def place(self, keys: Sequence[Key], item: Item) -> Place:
        """Where an item (or a key) stands by these keys."""
        return self.partition(item[keys[0].name]), key_bytes(item[keys[1].name]) if len(keys) > 1 else b""

    def entries(self, table: Table, item: Item | None) -> set[Entry]:
        """The item's places in the table's indexes; none of no item."""
        if not item or not table.indexes:
            return set()
        return {(index.name, *self.place(index.keys, item)) for index in table.indexes if index.holds(item)}


def range_bounds(found: SortRange) -> list[tuple[str, bytes]]:
    """A range of sort keys as comparisons of bytes: operator and bound, all of which must hold."""
    low = key_bytes(found.low)
    if found.op == "BETWEEN":
        return [(">=", low), ("<=", key_bytes(found.high))]
    if found.op != "begins_with":
        return [(found.op, low)]
    behind = successor(low)
    return [(">=", low)] if behind is None else [(">=", low), ("<", behind)]


def successor(prefix: bytes) -> bytes | None:
    """The first bytes behind all that begin with ``prefix``; None where nothing is behind them."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None


def short_name(name: str, longest: int) -> str:
    """The name of a table or index in at most ``longest`` characters, no two the same."""
    if len(name) < longest:
        return name
    return name[: longest - _DIGEST_BYTES] + hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_BYTES]
