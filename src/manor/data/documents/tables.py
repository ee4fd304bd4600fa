"""Tables, declared once as data and the same on every backend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from manor.data.documents.faults import KeyRefused
from manor.data.documents.limits import PARTITION_KEY_BYTES, SORT_KEY_BYTES
from manor.data.documents.values import ORDERED_TYPES, Item, Value, admit, type_of
from manor.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")

ALL = "ALL"
KEYS_ONLY = "KEYS_ONLY"


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute of a key: its name and type, ``S`` (str), ``N`` (int, Decimal) or ``B`` (bytes)."""

    name: str
    type: str = "S"

    def __post_init__(self) -> None:
        if not self.name or self.type not in ORDERED_TYPES:
            raise InputError(f"the key {self.name!r} has the type {self.type!r}", hint="keys are S, N or B and have a name")


def _key(key: Key | str) -> Key:
    return Key(key) if isinstance(key, str) else key


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A second order of a table's items. Only items that have all of its key attributes are in it.

    ``projection`` is ``ALL``, ``KEYS_ONLY`` or a tuple of further attribute names: what its queries can return and filter by.
    ``local`` says that it shares the table's partition key; it may then be read consistently.
    """

    name: str
    partition_key: Key | str
    sort_key: Key | str | None = None
    projection: str | tuple[str, ...] = ALL
    local: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "partition_key", _key(self.partition_key))
        object.__setattr__(self, "sort_key", self.sort_key and _key(self.sort_key))
        _check_name(self.name, "index")
        if isinstance(self.projection, str) and self.projection not in {ALL, KEYS_ONLY}:
            raise InputError(f"index {self.name}: projection {self.projection!r}", hint="ALL, KEYS_ONLY or a tuple of names")

    @property
    def keys(self) -> tuple[Key, ...]:
        """Partition key and, where there is one, sort key."""
        return _both(self.partition_key, self.sort_key)

    def holds(self, item: Item) -> bool:
        """Whether an item is in it: it has the keys, neither of another type nor empty, as one from before the index was
        declared may have them."""
        for key in self.keys:
            value = item.get(key.name)
            if type_of(value) != key.type or value in ("", b""):
                return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """An attribute that ``vector_search`` looks in. ``distance`` is COSINE, DOT_PRODUCT or EUCLIDEAN."""

    attribute: str
    dimensions: int
    distance: str = "COSINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table is: its key, its indexes, the attribute that says when an item expires (seconds since 1970, a number),
    the attributes to search by vector and by text, and whether ``scan`` is allowed without a word at each call."""

    name: str
    partition_key: Key | str
    sort_key: Key | str | None = None
    indexes: tuple[Index, ...] = ()
    ttl_attribute: str | None = None
    vectors: tuple[Vector, ...] = ()
    text_attributes: tuple[str, ...] = ()
    allow_scans: bool = False
    keys: tuple[Key, ...] = field(init=False)
    key_names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partition_key", _key(self.partition_key))
        object.__setattr__(self, "sort_key", self.sort_key and _key(self.sort_key))
        object.__setattr__(self, "keys", _both(self.partition_key, self.sort_key))
        object.__setattr__(self, "key_names", tuple(key.name for key in self.keys))
        _check_name(self.name, "table")
        _check_table(self)

    def index(self, name: str) -> Index:
        """The index of this name. Raises ``InputError`` that lists those that there are."""
        for index in self.indexes:
            if index.name == name:
                return index
        known = ", ".join(index.name for index in self.indexes) or "none"
        raise InputError(f"table {self.name} has no index {name!r}", hint=f"its indexes: {known}")

    def all_keys(self) -> tuple[Key, ...]:
        """The keys of the table and of its indexes."""
        return (*self.keys, *(key for index in self.indexes for key in index.keys))

    def key_of(self, item: Item) -> Item:
        """The key of an item that is admitted."""
        return {name: item[name] for name in self.key_names}

    def visible(self, index: Index | None) -> frozenset[str] | None:
        """The attributes that reading by an index can show; None means all."""
        if index is None or index.projection == ALL:
            return None
        extra = () if isinstance(index.projection, str) else index.projection
        return frozenset({*self.key_names, *(key.name for key in index.keys), *extra})

    def stored(self, index: Index) -> frozenset[str] | None:
        """The attributes that a copy of items kept for an index must hold: the visible ones and the time of expiry. None means
        all."""
        visible = self.visible(index)
        return visible if visible is None or self.ttl_attribute is None else visible | {self.ttl_attribute}


def _both(partition: Key | str, sort: Key | str | None) -> tuple[Key, ...]:
    return (_key(partition),) if sort is None else (_key(partition), _key(sort))


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be the name of a {what}", hint="letters, digits, '_', '-' and '.', at most 255")


def _check_table(table: Table) -> None:
    types: dict[str, str] = {}
    for key in table.all_keys():
        if types.setdefault(key.name, key.type) != key.type:
            raise InputError(f"table {table.name}: the key {key.name} is declared with two types")
    names = [index.name for index in table.indexes]
    if len(set(names)) != len(names) or len(set(table.key_names)) != len(table.key_names):
        raise InputError(f"table {table.name}: two indexes or two keys have the same name")
    if table.ttl_attribute in table.key_names:
        raise InputError(f"table {table.name}: the attribute {table.ttl_attribute} cannot be key and time of expiry at once")
    for index in table.indexes:
        if index.local and index.partition_key != table.partition_key:
            raise InputError(f"index {index.name}: a local index has the partition key of its table, {table.partition_key}")


# Keys of items


def check_key(table: Table, key: Mapping[str, Any]) -> Item:
    """The caller's key, checked and in canonical form. Raises ``KeyRefused``."""
    try:
        if len(key) != len(table.keys):
            raise KeyRefused(f"table {table.name}: a key has {_told(table.keys)}, not {', '.join(map(str, key)) or 'nothing'}")
        return {one.name: _key_value(table, one, key, position) for position, one in enumerate(table.keys)}
    except TypeError as error:
        if isinstance(key, Mapping):
            raise
        raise KeyRefused(f"table {table.name}: a key is a dict, not {type(key).__name__}") from error


def check_item_keys(table: Table, item: Item) -> None:
    """Check the table's key and the keys of indexes in an item that is admitted. Raises ``KeyRefused``."""
    for position, key in enumerate(table.keys):
        _key_value(table, key, item, position)
    for index in table.indexes:
        for position, key in enumerate(index.keys):
            if key.name in item:
                _key_value(table, key, item, position, where=f"index {index.name}")


def _key_value(table: Table, key: Key, values: Mapping[str, Any], position: int, *, where: str = "key") -> Value:
    try:
        value = values[key.name]
    except KeyError:
        raise KeyRefused(f"table {table.name}: the {where} needs {_told(table.keys)}; {key.name} is missing") from None
    if type(value) is str and key.type == "S" and 0 < len(value) <= SORT_KEY_BYTES and value.isascii():
        return value
    return _checked_value(table, key, value, position, where)


def _checked_value(table: Table, key: Key, value: Any, position: int, where: str) -> Value:
    value = admit(value)
    kind = type_of(value)
    if kind != key.type:
        raise KeyRefused(f"table {table.name}: {key.name} of the {where} is {key.type}, not {kind}")
    if kind == "N":
        return value
    size = len(value.encode() if kind == "S" else value)
    allowed = SORT_KEY_BYTES if position else PARTITION_KEY_BYTES
    if not 0 < size <= allowed:
        raise KeyRefused(
            f"table {table.name}: {key.name} of the {where} has {size} bytes", hint=f"at least 1 and at most {allowed}"
        )
    return value


def _told(keys: Iterable[Key]) -> str:
    return " and ".join(f"{key.name} ({key.type})" for key in keys)


def hashable_key(table: Table, key: Item) -> tuple[Value, ...]:
    """The key as a tuple that can be compared with the keys of the same table."""
    return tuple(key[name] for name in table.key_names)
