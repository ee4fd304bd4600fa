"""The tables and items that the suite works with, and what its groups share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

from manor.data.documents import DatabaseInterface, Index, Key, Table
from manor.data.documents.capabilities import Capability
from manor.data.documents.values import Item, same

THINGS = Table(name="things", partition_key="PK", sort_key="SK", allow_scans=True)
SINGLE = Table(name="single", partition_key="name", allow_scans=True)
"""Without a sort key, and keyed by a reserved word."""
NUMBERED = Table(name="numbered", partition_key="PK", sort_key=Key("at", "N"), allow_scans=True)
BINARY = Table(name="binary", partition_key=Key("hash", "B"), sort_key=Key("range", "B"), allow_scans=True)
SESSIONS = Table(name="sessions", partition_key="PK", sort_key="SK", ttl_attribute="expires", allow_scans=True)
CHATS = Table(
    name="chats",
    partition_key="PK",
    sort_key="SK",
    allow_scans=True,
    indexes=(
        Index(name="UserIndex", partition_key="user_id", sort_key="created_at"),
        Index(name="TimestampIndex", partition_key="tenant_id", sort_key="created_at", projection="KEYS_ONLY"),
        Index(name="ScoreIndex", partition_key="user_id", sort_key=Key("score", "N"), projection=("title",)),
        Index(name="RoomIndex", partition_key="room"),
    ),
)

KEY = {"PK": "p", "SK": "s"}
LARGEST = 10**38 - 1
"""38 nines."""

SAMPLE: Item = {
    **KEY,
    "text": "hello",
    "empty": "",
    "jp": "日本語",
    "n": 5,
    "dec": Decimal("1.5"),
    "neg": -3,
    "zero": 0,
    "big": LARGEST,
    "yes": True,
    "no": False,
    "none": None,
    "bin": b"\x00\xff\x10",
    "list": [1, "a", {"k": "v"}, [True]],
    "map": {"a": 1, "b": {"c": "d"}, "name": "x", "with.dot": 7},
    "ss": {"a", "b"},
    "ns": {1, 2, Decimal("2.5")},
    "bs": {b"a", b"\xff"},
    "nothing": [],
    "bare": {},
    "with.dot": "dotted",
    "with space": "spaced",
}
"""One of everything."""

F = TypeVar("F", bound=Callable[..., Any])
_NUMBERS = itertools.count()


def new_tenant() -> str:
    """A tenant that nobody has used yet."""
    return f"t{os.getpid()}x{os.urandom(4).hex()}x{next(_NUMBERS)}"


def needs(capability: Capability) -> Callable[[F], F]:
    """The case (or all of a class) is skipped, with the driver's reason, where its table of capabilities says NONE."""

    def mark(marked: F) -> F:
        cases = (
            [marked]
            if not isinstance(marked, type)
            else [case for name, case in vars(marked).items() if name.startswith("test")]
        )
        for case in cases:
            case.capability = capability  # type: ignore[union-attr]
        return marked

    return mark


def assert_same(found: Any, expected: Any) -> None:
    """Equal in value and type: ``1`` is not ``True``, and a set is a set."""
    assert found == expected  # noqa: S101 - asserting is what a suite does
    assert same(found, expected), f"{found!r} and {expected!r} differ in type"  # noqa: S101


async def put_all(db: DatabaseInterface, table: str, items: list[Item]) -> None:
    """Store them one after the other."""
    for item in items:
        await db.put_item(table, item)


def calls(*them: Callable[[], Awaitable[Any]]) -> tuple[Callable[[], Awaitable[Any]], ...]:
    """Several things to ask, each when its turn comes."""
    return them
