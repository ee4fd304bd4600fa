"""Where a tenant's items are, and what of the tenant stands in them: nothing, in tables of its own. Pure.

A place answers, for one tenant and one table, everything that requests need to know about keys. ``shared.SharedTable`` is the
other one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from manor.data.documents.driver import Keys, Query, Update
from manor.data.documents.dynamodb.codec import Wire, decode_item, encode_item
from manor.data.documents.dynamodb.naming import table_name
from manor.data.documents.query.expression import ConditionExpression, Expression, UpdateExpression
from manor.data.documents.tables import Index, Table
from manor.data.documents.values import Item

KeyNames: TypeAlias = tuple[str, ...]


class Place(Protocol):
    """One tenant's part of one table."""

    @property
    def name(self) -> str:
        """The table's name on the server."""
        ...

    @property
    def key_names(self) -> KeyNames:
        """The key attributes of the table on the server."""
        ...

    def index_key_names(self, index: Index) -> KeyNames:
        """The key attributes of an index on the server."""
        ...

    def key(self, key: Item) -> Wire:
        """A key of the table as it is sent."""
        ...

    def item(self, item: Item) -> Wire:
        """A whole item as it is sent. Raises ``ValueRefused`` for an attribute that the place needs for itself."""
        ...

    def check(self, expression: Expression[Any]) -> None:
        """Raise ``ExpressionError`` for an expression that names an attribute which the place needs for itself."""
        ...

    def plain(self, wire: Wire) -> Item:
        """An item as it came, without what ``item`` added."""
        ...

    def key_condition(self, query: Query, keys: Keys) -> tuple[ConditionExpression, Wire]:
        """The condition to send, and the values that it has besides the query's."""
        ...

    def position(self, query: Query, position: Item) -> Wire:
        """The ``start`` of a query as it is sent."""
        ...

    def position_from(self, wire: Wire) -> Item:
        """What ``position`` sends, as it came: the keys of table and index."""
        ...

    def update(self, write: Update) -> tuple[UpdateExpression | None, Wire]:
        """The update to send, and the values that it has besides the write's. Raises ``UnsupportedError``, ``ValueRefused``."""
        ...


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table that is the tenant's alone: nothing is added, nothing is hidden."""

    tenant: str
    table: Table

    @property
    def name(self) -> str:
        """``{tenant}-{table}``, or the escaped form."""
        return table_name(self.tenant, self.table.name)

    @property
    def key_names(self) -> KeyNames:
        """The table's own."""
        return self.table.key_names

    def index_key_names(self, index: Index) -> KeyNames:
        """The index's own."""
        return tuple(key.name for key in index.keys)

    def key(self, key: Item) -> Wire:
        """As it is."""
        return encode_item(key)

    def item(self, item: Item) -> Wire:
        """As it is."""
        return encode_item(item)

    def check(self, expression: Expression[Any]) -> None:
        """Nothing is hidden."""

    def plain(self, wire: Wire) -> Item:
        """As it is."""
        return decode_item(wire)

    def key_condition(self, query: Query, keys: Keys) -> tuple[ConditionExpression, Wire]:  # noqa: ARG002 - the port's
        """As it is."""
        return keys.expression, {}

    def position(self, query: Query, position: Item) -> Wire:  # noqa: ARG002 - the port's
        """As it is."""
        return encode_item(position)

    def position_from(self, wire: Wire) -> Item:
        """As it is."""
        return decode_item(wire)

    def update(self, write: Update) -> tuple[UpdateExpression | None, Wire]:
        """As it is."""
        return write.update, {}
