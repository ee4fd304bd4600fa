"""One table for all tenants, for fleets beyond the number of tables that an account may have. Pure.

The tenant stands in the partition keys: of the table, and of each of its indexes. They are attributes of their own beside the
item's, which stays as it is, so that expressions mean what they mean anywhere; sort keys need none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from manor.data.documents.driver import Keys, Query, Update
from manor.data.documents.dynamodb.codec import Wire, decode_item, encode_item
from manor.data.documents.dynamodb.naming import escaped, shared_table_name
from manor.data.documents.dynamodb.place import KeyNames
from manor.data.documents.faults import ExpressionError, KeyRefused, ValueRefused
from manor.data.documents.limits import PARTITION_KEY_BYTES
from manor.data.documents.numbers import number_text, parse_number
from manor.data.documents.query.expression import ConditionExpression, Expression, UpdateExpression
from manor.data.documents.query.nodes import And, Assign, Compare, Condition, Path, Ref
from manor.data.documents.query.nodes import Update as UpdateNode
from manor.data.documents.tables import Index, Key, Table
from manor.data.documents.values import Item, Value, type_of
from manor.data.documents.writing import shown_key
from manor.errors import UnsupportedError

OWN = "manor:"
"""What the names of our attributes begin with."""
PARTITION = "manor:partition"
INDEX = "manor:index:"
_REF = ":manor_partition"


def partition_text(tenant: str, value: Value) -> str:
    """The partition key of a tenant's ``value``: equal only for equal tenants and values. Raises ``KeyRefused``."""
    kind = type_of(value)
    text = tenant_text(tenant) + kind + (_CONTENT[kind](value))
    if len(text.encode()) > PARTITION_KEY_BYTES:
        raise KeyRefused(
            f"the partition key and its tenant have {len(text.encode())} bytes together",
            hint=f"at most {PARTITION_KEY_BYTES} where tenants share tables",
        )
    return text


_CONTENT: dict[str, Callable[[Any], str]] = {"S": str, "N": number_text, "B": lambda value: base64.b64encode(value).decode()}


def partition_value(tenant: str, text: str) -> Value:
    """The value that ``partition_text`` was made of."""
    kind, content = text[len(tenant_text(tenant))], text[len(tenant_text(tenant)) + 1 :]
    if kind == "N":
        return parse_number(content)
    return base64.b64decode(content) if kind == "B" else content


def tenant_text(tenant: str) -> str:
    """What all partition keys of a tenant begin with, and no other tenant's do."""
    return f"{escaped(tenant)}/"


def text_beside(wire: Wire, value: Value) -> str:
    """Our key of an index for an item that came, of the tenant that its partition key tells."""
    tenant = wire[PARTITION]["S"].partition("/")[0]
    kind = type_of(value)
    return f"{tenant}/{kind}{_CONTENT[kind](value)}"


@dataclass(frozen=True, slots=True)
class SharedTable:
    """A tenant's part of a table that it shares."""

    tenant: str
    table: Table
    prefix: str

    @property
    def name(self) -> str:
        """``{prefix}---{table}``."""
        return shared_table_name(self.prefix, self.table.name)

    @property
    def tenant_text(self) -> str:
        """What the tenant's partition keys begin with."""
        return tenant_text(self.tenant)

    @property
    def key_names(self) -> KeyNames:
        """Ours, and the sort key."""
        return (PARTITION, *self.table.key_names[1:])

    def index_key_names(self, index: Index) -> KeyNames:
        """Ours, and the sort key."""
        names = tuple(key.name for key in index.keys)
        return (PARTITION if index.local else INDEX + index.name, *names[1:])

    def key(self, key: Item) -> Wire:
        """Our partition key, and the sort key."""
        rest = {name: key[name] for name in self.table.key_names[1:]}
        return {PARTITION: self._text(self.table.keys[0], key), **encode_item(rest)}

    def item(self, item: Item) -> Wire:
        """The item, and our partition keys of table and indexes."""
        for name in item:
            _check_name(name)
        wire = encode_item(item)
        wire[PARTITION] = self._text(self.table.keys[0], item)
        for index in self._indexes():
            if index.keys[0].name in item:
                wire[INDEX + index.name] = self._text(index.keys[0], item)
        return wire

    def _indexes(self) -> list[Index]:
        return [index for index in self.table.indexes if not index.local]

    def _text(self, key: Key, item: Item) -> dict[str, str]:
        return {"S": partition_text(self.tenant, item[key.name])}

    def check(self, expression: Expression[Any]) -> None:
        """None of its paths leads to what is hidden."""
        expression.compiled(_check_paths)

    def plain(self, wire: Wire) -> Item:
        """The item without ours."""
        return decode_item({name: typed for name, typed in wire.items() if not name.startswith(OWN)})

    def key_condition(self, query: Query, keys: Keys) -> tuple[ConditionExpression, Wire]:
        """The same, of our partition key."""
        attribute = PARTITION if query.index is None else self.index_key_names(query.index)[0]
        theirs = (query.index or query.table).keys[0].name
        expression = keys.expression.compiled_for(
            ("shared", attribute, theirs), lambda: _with_partition(keys.expression, attribute, theirs)
        )
        return expression, {_REF: {"S": partition_text(self.tenant, keys.partition)}}

    def position(self, query: Query, position: Item) -> Wire:
        """The keys of table and index, with ours instead of the partition keys."""
        wire = self.key(position)
        if query.index is not None:
            wire |= encode_item({key.name: position[key.name] for key in query.index.keys[1:]})
            if not query.index.local:
                wire[INDEX + query.index.name] = self._text(query.index.keys[0], position)
        return wire

    def position_from(self, wire: Wire) -> Item:
        """The keys of table and index, read out of ours."""
        position = self.plain(wire)
        position[self.table.key_names[0]] = partition_value(self.tenant, wire[PARTITION]["S"])
        for index in self._indexes():
            if INDEX + index.name in wire:
                position[index.keys[0].name] = partition_value(self.tenant, wire[INDEX + index.name]["S"])
        return position

    def update(self, write: Update) -> tuple[UpdateExpression | None, Wire]:
        """What makes the item of its key must also say that key itself; what changes an index's partition key changes ours."""
        sets, removes, values = [], [], {}
        node = write.update.node if write.update else UpdateNode()
        name = self.table.key_names[0]
        sets.append(Assign(Path((name,)), Ref(_REF)))
        values[_REF] = encode_item({name: write.key[name]})[name]
        for number, index in enumerate(self._indexes()):
            changed = self._changed(write, index)
            if changed is None:
                continue
            if not changed:
                removes.append(Path((INDEX + index.name,)))
                continue
            sets.append(Assign(Path((INDEX + index.name,)), Ref(f":manor_index{number}")))
            values[f":manor_index{number}"] = {"S": changed}
        fresh = UpdateNode(sets=(*node.sets, *sets), removes=(*node.removes, *removes), adds=node.adds, deletes=node.deletes)
        return self._spelled(write, fresh, values), values

    def _spelled(self, write: Update, node: UpdateNode, values: Wire) -> UpdateExpression:
        def made() -> UpdateExpression:
            text = write.update.text if write.update else ""
            refs = (write.update.refs if write.update else frozenset()) | values.keys()
            paths, positions = (write.update.paths, write.update.positions) if write.update else ((), ())
            return Expression("update_expression", text, node, refs=frozenset(refs), paths=paths, positions=positions)

        key = ("shared", self.table.key_names[0], tuple(values), node.removes)
        return write.update.compiled_for(key, made) if write.update else made()

    def _changed(self, write: Update, index: Index) -> str | None:
        """What an update makes of our key of an index: the new one, "" for none, None for no change."""
        name = index.keys[0].name
        node = write.update.node if write.update else UpdateNode()
        if name not in {path.name for path in node.paths()}:
            return self._of_new_item(write, index)
        if Path((name,)) in node.removes:
            return ""
        for one in node.sets:
            if one.path == Path((name,)) and isinstance(one.value, Ref):
                return self._index_text(write, index, write.values[one.value.name])
        raise UnsupportedError(
            f"{name} is the partition key of index {index.name} of table {self.table.name}; no update can compute it here",
            hint=f"SET {name} = :value, or REMOVE {name}; or give each tenant a table, without tables=shared",
        )

    def _index_text(self, write: Update, index: Index, value: Value) -> str:
        if type_of(value) != index.keys[0].type or value in ("", b""):
            raise KeyRefused(
                f"the update makes a key of index {index.name} {type_of(value)}: {shown_key(write.table, write.key)}",
                hint=f"it is {index.keys[0].type}, and never empty",
            )
        return partition_text(self.tenant, value)

    def _of_new_item(self, write: Update, index: Index) -> str | None:
        """An index by a part of the table's key has its key as soon as the item is made."""
        name = index.keys[0].name
        return partition_text(self.tenant, write.key[name]) if name in write.key else None


def _check_name(name: str) -> None:
    if name.startswith(OWN):
        raise ValueRefused(f"names that begin with {OWN} are taken where tenants share tables", at=name)


def _check_paths(expression: Expression[Any]) -> None:
    for path in expression.paths:
        if path.name.startswith(OWN):
            raise ExpressionError(
                f"{expression.kind}: {path.name}: names that begin with {OWN} are taken where tenants share tables",
                expression=expression.text,
                position=expression.position_of(path),
            )


def _with_partition(expression: ConditionExpression, attribute: str, theirs: str) -> ConditionExpression:
    node = expression.node
    parts = list(node.parts) if isinstance(node, And) else [node]
    rest: list[Condition] = [part for part in parts if not _is_partition(part, theirs)]
    own: Condition = Compare("=", Path((attribute,)), Ref(_REF))
    refs = {ref for part in rest for ref in _refs(part)} | {_REF}
    return Expression(expression.kind, expression.text, And((own, *rest)) if rest else own, refs=frozenset(refs))


def _is_partition(part: Condition, name: str) -> bool:
    return isinstance(part, Compare) and part.left == Path((name,))


def _refs(part: Condition) -> set[str]:
    """The values of one condition of a sort key."""
    operands = (getattr(part, name, None) for name in ("left", "right", "operand", "low", "high", "prefix"))
    return {operand.name for operand in operands if isinstance(operand, Ref)}
