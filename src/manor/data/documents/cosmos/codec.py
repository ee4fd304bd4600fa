"""Items as Cosmos DB keeps them, and back, exactly. Pure.

Cosmos DB has JSON whose numbers are doubles, an ``id`` of at most 255 characters without ``/ \\ ? #``, and no sort key. So:

- a whole number that a double holds exactly is a number; any other is ``{"$n": text}``, whose text sorts as the numbers do;
- bytes are ``{"$b": base64}``, sets ``{"$ss": […]}``, ``{"$ns": […]}`` and ``{"$bs": […]}``; a user's name that begins with
  ``$`` gets one more;
- ``id`` is the table's name and the key with everything but letters, digits and ``-`` as ``_XX``, or their SHA-256 if that is
  long;
- ``s`` is one text that sorts as (table, partition key, sort key) do, and ``x`` has one for every index that the item is in.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

from manor.data.documents import numbers
from manor.data.documents.tables import Index, Key, Table
from manor.data.documents.values import Item, Value, type_of

Json = Any
Document = dict[str, Any]

LARGEST_WHOLE = 2**53 - 1
"""Up to here a double tells whole numbers apart."""
ID_CHARACTERS = 255
LONGEST_TTL = 2**31 - 1
GRACE_SECONDS = 3600
"""How long the server keeps an item after its time: until then writes see it, as on the other backends."""


# Values


def encode(value: Value) -> Json:
    """An admitted value as JSON."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int and -LARGEST_WHOLE <= value <= LARGEST_WHOLE:
        return value
    if kind is dict:
        return encode_item(value)
    if kind is list:
        return [encode(element) for element in value]
    return _tagged(value)


def _tagged(value: Value) -> Json:
    kind = type_of(value)
    if kind == "N":
        return {"$n": numbers.sort_text(value)}
    if kind == "B":
        return {"$b": _base64(value)}
    if kind == "NS":
        return {"$ns": [encode(element) for element in sorted(value)]}
    return {f"${kind.lower()}": [element if kind == "SS" else _base64(element) for element in sorted(value)]}


def encode_item(item: Item) -> Json:
    """A map, or a whole item."""
    return {("$" + name if name.startswith("$") else name): encode(element) for name, element in item.items()}


def decode(found: Json) -> Value:
    """What ``encode`` was given."""
    kind = type(found)
    if kind is dict:
        return _decoded_map(found)
    if kind is list:
        return [decode(element) for element in found]
    return int(found) if kind is float else found  # a server may write 5 as 5.0


def _decoded_map(found: dict[str, Any]) -> Value:
    if len(found) == 1:
        (name,) = found
        if name.startswith("$") and not name.startswith("$$"):
            return _UNTAGGED[name](found[name])
    return decode_item(found)


def decode_item(found: dict[str, Any]) -> Item:
    """What ``encode_item`` was given."""
    return {(name[1:] if name.startswith("$") else name): decode(element) for name, element in found.items()}


_UNTAGGED: dict[str, Callable[[Any], Value]] = {
    "$n": numbers.from_sort_text,
    "$b": base64.b64decode,
    "$ss": set,
    "$ns": lambda found: {decode(element) for element in found},
    "$bs": lambda found: {base64.b64decode(element) for element in found},
}


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


# Ids


_SAFE = re.compile(r"[A-Za-z0-9-]+")
_UNSAFE = re.compile(rb"[^A-Za-z0-9-]")


def document_id(table: Table, key: Item) -> str:
    """The ``id`` of an item's document: two items of a tenant never have the same."""
    return _short(".".join([_id_part(table.name), *(_id_part(_key_text(key[name])) for name in table.key_names)]))


def group_id(table: Table, partition: Value) -> str:
    """What the second level of a hierarchical partition key holds: the table and the partition of it."""
    return _short(f"{_id_part(table.name)}.{_id_part(_key_text(partition))}")


def table_id(table: Table) -> str:
    """The ``id`` of the document that says what a table is. No item has it: ``_`` is always followed by two digits there."""
    return _short(f"_table.{_id_part(table.name)}")


def token_id(token: str) -> str:
    """The ``id`` of the document that says that a transaction is done."""
    return _short(f"_token.{_id_part(token)}")


def _key_text(value: Value) -> str:
    kind = type_of(value)
    if kind == "S":
        return str(value)
    return numbers.number_text(value) if kind == "N" else str(value.hex())


def _id_part(text: str) -> str:
    if _SAFE.fullmatch(text):
        return text
    return _UNSAFE.sub(lambda found: b"_%02X" % ord(found[0]), text.encode()).decode()


def _short(text: str) -> str:
    if len(text) <= ID_CHARACTERS:
        return text
    return f"_sha256.{hashlib.sha256(text.encode()).hexdigest()}"


# Order


END = " "
"""Behind every part of a sort text; sorts before everything that can stand in a part."""
BEHIND = "!"
"""In place of ``END``: sorts behind a part and all that follows it, and before any longer part."""
LAST = "\ud7ff~"
"""Behind a piece of a part: sorts behind everything that begins with it."""
_PLAIN = re.compile(r'["-~]*')
_SPECIAL = re.compile("[\x00-!\ud7ff\ue000-\U0010ffff]")


def sort_part(value: Value) -> str:
    """Text that sorts as values of one type do, whether a server compares UTF-8, UTF-16 or code points."""
    kind = type_of(value)
    if kind == "N":
        return numbers.sort_text(value)
    if kind == "B":
        return str(value.hex())
    return str(value) if _PLAIN.fullmatch(value) else _SPECIAL.sub(_spelled, value)


def _spelled(found: re.Match[str]) -> str:
    point = ord(found[0])
    return f"!{point:02x}" if point <= 0x21 else f"\ud7ff{point:06x}"


def table_place(table: Table, item: Item) -> str:
    """Where an item stands among all of a tenant."""
    return _joined(table, table.keys, item)


def index_place(table: Table, index: Index, item: Item) -> str:
    """Where an item that has all keys of the index stands in it: equal keys are ordered by the table's."""
    return _joined(table, (*index.keys, *table.keys), item)


def _joined(table: Table, keys: tuple[Key, ...], item: Item) -> str:
    return f"{table.name} {''.join(f'{sort_part(item[key.name])} ' for key in keys)}"


# Documents


def document(table: Table, item: Item, tenant: str, size: int, now: int, *, hierarchical: bool) -> Document:
    """The document of an item. ``size`` is the item's in bytes, ``now`` in seconds since 1970."""
    made: Document = {
        "id": document_id(table, item), "t": tenant, "s": table_place(table, item), "z": size, "a": encode_item(item),
    }  # fmt: skip
    if hierarchical:
        made["g"] = group_id(table, item[table.key_names[0]])
    if table.indexes:
        made["x"] = index_places(table, item)
    if table.ttl_attribute:
        made.update(_time_to_live(item.get(table.ttl_attribute), now))
    return made


def index_places(table: Table, item: Item) -> dict[str, str]:
    """The name of every index that the item is in, and its place there."""
    return {index.name: index_place(table, index, item) for index in table.indexes if index.holds(item)}


def _time_to_live(moment: Value, now: int) -> dict[str, int]:
    if moment is None or type_of(moment) != "N":
        return {}
    seconds = max(int(moment) - now, 0) + GRACE_SECONDS if moment < now + LONGEST_TTL else LONGEST_TTL + 1
    return {"ttl": seconds} if seconds <= LONGEST_TTL else {}
