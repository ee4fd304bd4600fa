"""From a list of dicts to a transaction. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from manor.data.documents.driver import Check, Delete, Put, Transaction, Update
from manor.data.documents.limits import TOKEN_CHARACTERS, TRANSACTION_BYTES
from manor.data.documents.query.parser import nearest
from manor.data.documents.requests import delete_request, put_request, update_request
from manor.data.documents.tables import Table, hashable_key
from manor.data.documents.tagged import item_to_tagged, text_of
from manor.data.documents.values import item_size
from manor.data.documents.writing import shown_key
from manor.errors import InputError

Operation: TypeAlias = Put | Update | Delete | Check

_COMMON = {"type", "table", "condition_expression", "expression_values", "expression_names"}
_ALLOWED = {
    "Put": _COMMON | {"item"},
    "Update": _COMMON | {"key", "update_expression"},
    "Delete": _COMMON | {"key"},
    "ConditionCheck": _COMMON | {"key"},
}


def transaction_request(table_of: Callable[[str], Table], operations: Sequence[Mapping[str, Any]], token: str) -> Transaction:
    """All operations, checked. Raises ``InputError`` that says which of them is wrong."""
    if not isinstance(token, str) or not 0 < len(token) <= TOKEN_CHARACTERS or not token.isprintable():
        raise InputError(
            f"the token of a transaction is {token!a}", hint=f"1 to {TOKEN_CHARACTERS} printable characters, such as a UUID"
        )
    if isinstance(operations, Mapping | str) or not isinstance(operations, Iterable):
        raise InputError(f"the operations of a transaction are a list, not {type(operations).__name__}")
    parsed = tuple(_numbered(number, table_of, operation) for number, operation in enumerate(operations, 1))
    _check_distinct(parsed)
    _check_size(parsed)
    return Transaction(operations=parsed, token=token, fingerprint=fingerprint(parsed))


def _numbered(number: int, table_of: Callable[[str], Table], operation: Mapping[str, Any]) -> Operation:
    try:
        return _operation(table_of, operation)
    except InputError as error:
        error.message = f"operation {number}: {error.message}"
        error.args = (error.message, *error.args[1:])
        raise


def _operation(table_of: Callable[[str], Table], operation: Mapping[str, Any]) -> Operation:
    if not isinstance(operation, Mapping):
        raise InputError(f"an operation is a dict, not {type(operation).__name__}")
    kind = operation.get("type", "")
    if not isinstance(kind, str) or kind not in _ALLOWED:
        raise InputError(f"the type is {kind!r}", hint=nearest(str(kind), _ALLOWED, "did you mean") or ", ".join(_ALLOWED))
    if unknown := sorted(map(str, operation.keys() - _ALLOWED[kind])):
        raise InputError(f"{kind} has no {unknown[0]!r}", hint=nearest(unknown[0], _ALLOWED[kind], "did you mean"))
    table = table_of(_need(operation, "table"))
    condition = operation.get("condition_expression")
    values, names = operation.get("expression_values"), operation.get("expression_names")
    if kind == "Put":
        return put_request(table, _need(operation, "item"), condition, values, names, "NONE")
    key = _need(operation, "key")
    if kind == "Update":
        return update_request(table, key, operation.get("update_expression"), condition, values, names, "NONE")
    if kind == "ConditionCheck":
        _need(operation, "condition_expression")
    checked = delete_request(table, key, condition, values, names, "NONE")
    if kind == "ConditionCheck" and checked.condition is not None:
        return Check(table=table, key=checked.key, condition=checked.condition, values=checked.values)
    return checked


def _need(operation: Mapping[str, Any], name: str) -> Any:
    if operation.get(name) is None:
        raise InputError(f"{operation['type']} needs {name!r}")
    return operation[name]


def _check_distinct(operations: Sequence[Operation]) -> None:
    seen = set()
    for number, operation in enumerate(operations, 1):
        key = (operation.table.name, *hashable_key(operation.table, operation.key))
        if key in seen:
            raise InputError(
                f"operation {number} is about the same item as an earlier one: {shown_key(operation.table, operation.key)}",
                hint="say both in one update, or put the check into its condition",
            )
        seen.add(key)


def _check_size(operations: Sequence[Operation]) -> None:
    size = sum(item_size(one.item if isinstance(one, Put) else dict(one.values)) for one in operations)
    if size > TRANSACTION_BYTES:
        raise InputError(f"the transaction has {size} bytes, {TRANSACTION_BYTES} are allowed")


def fingerprint(operations: Sequence[Operation]) -> str:
    """The same for operations that do the same: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text_of([_told(operation) for operation in operations]).encode()).hexdigest()


def _told(operation: Operation) -> dict[str, Any]:
    update = operation.update if isinstance(operation, Update) else None
    expressions = [one for one in (update, operation.condition) if one is not None]
    return {
        "type": type(operation).__name__,
        "table": operation.table.name,
        "key": item_to_tagged(operation.key),
        "item": item_to_tagged(operation.item) if isinstance(operation, Put) else None,
        "expressions": [(one.text, [path.parts for path in one.paths]) for one in expressions],
        "values": item_to_tagged(dict(operation.values)),
    }
