"""Keys of items, of pages and of queries against the schema of a table or index, in the service's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from manor.data.documents.driver import Keys
from manor.data.documents.limits import PARTITION_KEY_BYTES, SORT_KEY_BYTES
from manor.data.documents.query.expression import ConditionExpression, Expression
from manor.data.documents.query.keys import key_plan
from manor.data.documents.query.nodes import (
    And,
    Assign,
    BeginsWith,
    Between,
    Compare,
    Condition,
    Contains,
    Exists,
    HasType,
    In,
    Not,
    Or,
    Path,
    Ref,
    Update,
)
from manor.data.documents.tables import Key
from manor.data.documents.values import Item, Value, type_of
from manor.testing.dynamodb_endpoint.definitions import Definition, View
from manor.testing.dynamodb_endpoint.faults import WireError, bad_parameter, invalid, refused

NO_MATCH = "The provided key element does not match the schema"
_EMPTY = "One or more parameter values are not valid. "
_EMPTY_VALUE = "The AttributeValue for a key attribute cannot contain an empty {kind} value. "
_KINDS = {"S": "string", "B": "binary"}


# Items


def key_of_item(definition: Definition, item: Item) -> Item:
    """The key of an item to store. Raises ``WireError`` for keys of table or indexes that cannot be."""
    for position, key in enumerate(definition.view.keys):
        if key.name not in item:
            raise bad_parameter(f"Missing the key {key.name} in the item")
        if (kind := type_of(item[key.name])) != key.type:
            raise bad_parameter(f"Type mismatch for key {key.name} expected: {key.type} actual: {kind}")
        _check_content(key, item[key.name], position)
    for view in definition.views.values():
        for key in view.keys:
            if key.name in item:
                _check_index_key(view, key, item[key.name])
    return {name: item[name] for name in definition.view.key_names}


def checked_key(definition: Definition, key: Item) -> Item:
    """The key of an item to read, change or delete. Raises ``WireError``."""
    if key.keys() != set(definition.view.key_names):
        raise refused(NO_MATCH)
    for position, one in enumerate(definition.view.keys):
        if type_of(key[one.name]) != one.type:
            raise refused(NO_MATCH)
        _check_content(one, key[one.name], position)
    return {name: key[name] for name in definition.view.key_names}


def _check_content(key: Key, value: Value, position: int) -> None:
    if key.type == "N":
        return
    if not value:
        raise refused(_EMPTY + _EMPTY_VALUE.format(kind=_KINDS[key.type]) + f"Key: {key.name}")
    size = len(value.encode() if key.type == "S" else value)
    if position == 0 and size > PARTITION_KEY_BYTES:
        raise bad_parameter(f"Size of hashkey has exceeded the maximum size limit of{PARTITION_KEY_BYTES} bytes")
    if position and size > SORT_KEY_BYTES:
        raise bad_parameter(f"Aggregated size of all range keys has exceeded the size limit of {SORT_KEY_BYTES} bytes")


def _check_index_key(view: View, key: Key, value: Value) -> None:
    kind = type_of(value)
    if kind != key.type:
        raise bad_parameter(
            f"Type mismatch for Index Key {key.name} Expected: {key.type} Actual: {kind} IndexName: {view.name}"
        )
    if value in ("", b""):
        raise refused(
            f"{_EMPTY}A value specified for a secondary index key is not supported. "
            + _EMPTY_VALUE.format(kind=_KINDS[kind])
            + f"IndexName: {view.name}, IndexKey: {key.name}"
        )
    _check_content(key, value, int(key.name in view.key_names[view.partitions :]))


def check_update(definition: Definition, update: Expression[Update], values: Item) -> None:
    """An update leaves the key alone and gives keys of indexes their types. Raises ``WireError``."""
    for path in update.node.paths():
        if path.name in definition.view.key_names:
            raise bad_parameter(f"Cannot update attribute {path.name}. This attribute is part of the key")
    for assign in update.node.sets:
        _check_assign(definition, assign, values)


def _check_assign(definition: Definition, assign: Assign, values: Item) -> None:
    if len(assign.path.parts) > 1 or not isinstance(assign.value, Ref):
        return
    value = values[assign.value.name]
    for view in definition.views.values():
        for key in view.keys:
            if key.name != assign.path.name:
                continue
            if type_of(value) != key.type:
                raise bad_parameter("The update expression attempted to update the secondary index key to unsupported type")
            if value in ("", b""):
                raise refused(
                    f"{_EMPTY}The update expression attempted to update a secondary index key to a value that is not "
                    "supported. " + _EMPTY_VALUE.format(kind=_KINDS[key.type]).rstrip()
                )


# Pages


def position_names(definition: Definition, view: View) -> list[str]:
    """The attributes that say where a page ended."""
    return list(dict.fromkeys((*definition.view.key_names, *view.key_names)))


def checked_start(definition: Definition, view: View, start: Item, message: str) -> Item:
    """Where a page begins. Raises ``WireError`` with the message."""
    types = {key.name: key.type for key in (*definition.view.keys, *view.keys)}
    if start.keys() != types.keys() or any(type_of(value) != types[name] for name, value in start.items()):
        raise refused(message)
    return start


# Queries


class KeyCondition:
    """A key condition for a view of any number of keys: every partition key by ``=``, then sort keys from the left, all but the
    last by ``=``."""

    def __init__(self, expression: ConditionExpression, view: View, values: Item) -> None:
        self.expression = expression
        self.view = view
        self.values = values
        self.parts: dict[str, Condition] = {}
        for part in _flattened(expression.node):
            self._add(part)
        self._check_keys()
        for name, part in self.parts.items():
            self._check_values(name, part)

    def _add(self, part: Condition) -> None:
        name = _path_of(part).name
        if name in self.parts:
            raise invalid("Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key")
        self.parts[name] = part

    def _check_keys(self) -> None:
        keys = self.view.key_names
        sorts = keys[self.view.partitions :]
        for name in keys[: self.view.partitions]:
            if name not in self.parts:
                raise invalid(f"Query condition missed key schema element: {name}")
            if not _is_equal(self.parts[name]):
                raise invalid("Query key condition not supported")
        given = [name for name in sorts if name in self.parts]
        strangers = [name for name in self.parts if name not in keys]
        missed = next((name for name in sorts if name not in self.parts), None)
        if strangers or given != list(sorts[: len(given)]):
            raise invalid(
                f"Query condition missed key schema element: {missed}"
                if missed
                else "Conditions can be of length 1 or 2 only"
                if len(self.parts) > len(keys)
                else f"Query condition missed key schema element: {keys[0]}"
            )
        for name in given[:-1]:
            if not _is_equal(self.parts[name]):
                raise invalid(f"Query key condition not supported: {name} is followed by a condition of {given[-1]}")

    def _check_values(self, name: str, part: Condition) -> None:
        wanted = self.view.keys[self.view.key_names.index(name)].type
        for ref in _refs_of(part):
            value = self.values[ref.name]
            if type_of(value) != wanted:
                raise bad_parameter("Condition parameter type does not match schema type")
            if value in ("", b""):
                raise refused(_EMPTY + _EMPTY_VALUE.format(kind=_KINDS[wanted]) + f"Key: {name}")

    def keys(self) -> Keys:
        """What a driver gets, for a view that it knows."""
        names = self.view.key_names
        plan = key_plan(self.expression, names[0], names[1] if len(names) > 1 else None, where=self.view.name)
        partition, found = plan.bind(self.values)
        return Keys(expression=self.expression, plan=plan, partition=partition, range=found)

    def check_start(self, start: Item) -> None:
        """A page begins inside of what is asked for."""
        for name, part in self.parts.items():
            if _is_equal(part) and any(start.get(name) != self.values[ref.name] for ref in _refs_of(part)):
                raise refused("The provided starting key is outside query boundaries based on provided conditions")


def _flattened(node: Condition) -> Iterable[Condition]:
    match node:
        case And(parts):
            return parts
        case Or():
            raise _bad_operator("OR")
        case Not(Exists()):
            raise _bad_operator("attribute_not_exists")
        case Not():
            raise _bad_operator("NOT")
        case _:
            return (node,)


def _bad_operator(word: str) -> WireError:
    return invalid(f"Invalid operator used in KeyConditionExpression: {word}")


def _path_of(part: Condition) -> Path:
    """The key that a condition is about."""
    match part:
        case Compare("<>", _, _):
            raise _bad_operator("<>")
        case Compare(_, Path() as path, Ref()) | Compare(_, Ref(), Path() as path):
            return _top(path)
        case Between(Path() as path, Ref(), Ref()) | BeginsWith(Path() as path, Ref()):
            return _top(path)
        case Compare(_, Path(), Path()) | Between(Path(), _, _) | BeginsWith(Path(), _):
            raise invalid("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
        case In():
            raise _bad_operator("IN")
        case Contains():
            raise _bad_operator("contains")
        case HasType():
            raise _bad_operator("attribute_type")
        case Exists():
            raise _bad_operator("attribute_exists")
        case Compare():
            raise invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
    list(_flattened(part))
    raise _bad_operator("AND")


def _top(path: Path) -> Path:
    if len(path.parts) > 1:
        raise invalid("KeyConditionExpressions cannot have conditions on nested attributes")
    return path


def _is_equal(part: Condition) -> bool:
    return isinstance(part, Compare) and part.op == "="


def _refs_of(part: Condition) -> list[Ref]:
    match part:
        case Compare(_, left, right):
            operands: tuple[Any, ...] = (left, right)
        case Between(_, low, high):
            operands = (low, high)
        case BeginsWith(_, prefix):
            operands = (prefix,)
        case _:
            operands = ()
    return [operand for operand in operands if isinstance(operand, Ref)]


def check_filter(view: View, filtered: Expression[Any]) -> None:
    """A query's filter leaves the keys alone. Raises ``WireError``."""
    for path in filtered.paths:
        if path.name in view.key_names:
            raise invalid(f"Filter Expression can only contain non-primary key attributes: Primary key attribute: {path.name}")


def view_of(definition: Definition, request: Mapping[str, Any]) -> View:
    """The table, or the index that is asked for. Raises ``WireError``."""
    name = request.get("IndexName")
    if name is None:
        return definition.view
    if name not in definition.views:
        raise refused(f"The table does not have the specified index: {name}")
    return definition.views[name]
