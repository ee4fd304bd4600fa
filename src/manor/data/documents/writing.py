"""What a write does to an item: decided in plain Python, for drivers that read, decide and store under a lock or an ETag."""

from __future__ import annotations

from dataclasses import dataclass

from manor.data.documents.driver import Check, Delete, Put, Returns, Update
from manor.data.documents.faults import (
    CancellationReason,
    ConditionFailed,
    ItemTooLarge,
    KeyRefused,
    TransactionCancelled,
    UpdateRefused,
    ValueRefused,
)
from manor.data.documents.limits import ITEM_BYTES
from manor.data.documents.query.change import changed
from manor.data.documents.query.evaluate import evaluate
from manor.data.documents.query.nodes import Path
from manor.data.documents.query.project import project
from manor.data.documents.tables import Table, check_item_keys
from manor.data.documents.values import Item, copied, item_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``item`` is what must be stored now, None for nothing; ``returned`` is the answer to the caller."""

    item: Item | None
    returned: Item | None = None


def outcome(write: Put | Update | Delete | Check, current: Item | None) -> Outcome:
    """What becomes of ``current`` (None: no such item). Changes nothing that it is given.

    Raises ``ConditionFailed`` with the current item, ``UpdateRefused``, ``KeyRefused`` (an index's key of a wrong type),
    ``ItemTooLarge``.
    """
    if write.condition is not None and not evaluate(write.condition.node, current or {}, write.values):
        raise condition_failed(write, current)
    match write:
        case Put():
            return Outcome(item=write.item, returned=copied(current) if write.returns is Returns.ALL_OLD else None)
        case Delete():
            return Outcome(item=None, returned=copied(current) if write.returns is Returns.ALL_OLD else None)
        case Check():
            return Outcome(item=current)
        case Update():
            fresh = updated(write, current)
            return Outcome(item=fresh, returned=returned(write, current, fresh))


def condition_failed(write: Put | Update | Delete | Check, current: Item | None) -> ConditionFailed:
    """The error for a condition that does not hold."""
    verb = type(write).__name__.lower()
    return ConditionFailed(f"the condition of a {verb} did not hold: {shown_key(write.table, write.key)}", item=copied(current))


def updated(write: Update, current: Item | None) -> Item:
    """The item after the update, checked as a new item is."""
    before = current if current is not None else dict(write.key)
    if write.update is None:
        return copied(before)  # type: ignore[no-any-return]
    try:
        fresh = changed(write.update.node, before, write.values)
    except UpdateRefused as error:
        raise type(error)(f"{error.message}: {shown_key(write.table, write.key)}", hint=error.hint) from error.__cause__
    check_item_keys(write.table, fresh)
    size = item_size(fresh)
    if size > ITEM_BYTES:
        raise ItemTooLarge(f"the item would have {size} bytes, {ITEM_BYTES} are allowed: {shown_key(write.table, write.key)}")
    return fresh


def returned(write: Update, current: Item | None, fresh: Item) -> Item | None:
    """What an update answers with."""
    match write.returns:
        case Returns.NONE:
            return None
        case Returns.ALL_OLD:
            return copied(current)  # type: ignore[no-any-return]
        case Returns.ALL_NEW:
            return copied(fresh)  # type: ignore[no-any-return]
        case Returns.UPDATED_OLD:
            return project(_touched(write), current or {}) or None
        case Returns.UPDATED_NEW:
            return project(_touched(write), fresh) or None


def _touched(write: Update) -> tuple[Path, ...]:
    return write.update.node.paths() if write.update else ()


def outcomes(operations: tuple[Put | Update | Delete | Check, ...], currents: list[Item | None]) -> list[Outcome]:
    """``outcome`` of each operation of a transaction, or ``TransactionCancelled`` with the reasons of all of them."""
    found, reasons = [], []
    for operation, current in zip(operations, currents, strict=True):
        try:
            found.append(outcome(operation, current))
            reasons.append(CancellationReason())
        except ConditionFailed as error:
            reasons.append(CancellationReason(code="ConditionalCheckFailed", message=error.message, item=error.item))
        except (UpdateRefused, KeyRefused, ItemTooLarge, ValueRefused) as error:
            reasons.append(CancellationReason(code="ValidationError", message=error.message))
    if len(found) < len(operations):
        raise TransactionCancelled(reasons, table_names=[operation.table.name for operation in operations])
    return found


def shown_key(table: Table, key: Item) -> str:
    """``users {PK='a', SK='b'}``, for errors."""
    return f"{table.name} {{{', '.join(f'{name}={key[name]!r}' for name in table.key_names)}}}"
