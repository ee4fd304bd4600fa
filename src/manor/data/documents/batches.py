"""Any number of items, in calls that the driver can take, until all are done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from manor.data.documents.driver import Delete, Driver, Put
from manor.data.documents.faults import BatchIncomplete
from manor.data.documents.retrying import Retries
from manor.data.documents.tables import Table, check_item_keys, check_key, hashable_key
from manor.data.documents.values import Item, admit_item
from manor.data.documents.writing import shown_key
from manor.errors import InputError

T = TypeVar("T")
One = TypeVar("One")


class Call(Protocol):
    """``DatabaseInterface._call``."""

    def __call__(self, attempt: Callable[[], Awaitable[T]], *, repeatable: bool) -> Awaitable[T]: ...


def writes_of(table: Table, items: Sequence[Mapping[str, Any]], deletes: Sequence[Mapping[str, Any]]) -> list[Put | Delete]:
    """Puts and deletes, checked. Raises ``InputError`` that says which item is wrong or stands twice."""
    writes: list[Put | Delete] = [_put(table, item, position) for position, item in enumerate(_listed("items", items))]
    writes += [Delete(table=table, key=check_key(table, key)) for key in _listed("deletes", deletes)]
    _check_distinct(table, [write.key for write in writes])
    return writes


def _listed(name: str, given: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    if isinstance(given, Mapping | str) or not isinstance(given, Iterable):
        raise InputError(f"{name} of a batch are a list, not {type(given).__name__}")
    return given


def _put(table: Table, item: Mapping[str, Any], position: int) -> Put:
    try:
        admitted, _ = admit_item(item)
        check_item_keys(table, admitted)
    except InputError as error:
        error.message = f"item {position + 1} of the batch: {error.message}"
        error.args = (error.message, *error.args[1:])
        raise
    return Put(table=table, key=table.key_of(admitted), item=admitted)


def keys_of(table: Table, keys: Sequence[Mapping[str, Any]]) -> list[Item]:
    """Keys, checked. Raises ``InputError``."""
    checked = [check_key(table, key) for key in _listed("keys", keys)]
    _check_distinct(table, checked)
    return checked


def _check_distinct(table: Table, keys: Sequence[Item]) -> None:
    seen = set()
    for position, key in enumerate(keys):
        if (found := hashable_key(table, key)) in seen:
            raise InputError(
                f"item {position + 1} of the batch has the key of an earlier one: {shown_key(table, key)}",
                hint="a batch has no order; keep the one that is meant",
            )
        seen.add(found)


async def write_all(
    driver: Driver, call: Call, retries: Retries, tenant: str, table: Table, writes: Sequence[Put | Delete]
) -> None:
    """Do all writes. Raises ``BatchIncomplete``."""

    async def do(part: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        return await call(lambda: driver.batch_write(tenant, table, part), repeatable=True)

    left = await _drain(writes, driver.limits.batch_write, do, retries)
    if left:
        raise _incomplete(tenant, table, [write.key for write in left])


async def get_all(
    driver: Driver, call: Call, retries: Retries, tenant: str, table: Table, keys: Sequence[Item], *, consistent: bool
) -> list[Item]:
    """Get all items there are, in the order of the keys. Raises ``BatchIncomplete``."""
    found: dict[tuple[Any, ...], Item] = {}

    async def do(part: Sequence[Item]) -> Sequence[Item]:
        got = await call(lambda: driver.batch_get(tenant, table, part, consistent=consistent), repeatable=True)
        found.update((hashable_key(table, item), item) for item in got.items)
        return got.unprocessed

    left = await _drain(keys, driver.limits.batch_get, do, retries)
    if left:
        raise _incomplete(tenant, table, left)
    return [found[key] for key in (hashable_key(table, one) for one in keys) if key in found]


async def _drain(
    work: Sequence[One], size: int, do: Callable[[Sequence[One]], Awaitable[Sequence[One]]], retries: Retries
) -> list[One]:
    """Call ``do`` with parts until nothing is left; what comes back is tried again, with pauses while nothing moves forward."""
    left, attempt = list(work), 0
    while left and attempt < retries.attempts:
        part, rest = left[:size], left[size:]
        undone = await do(part)
        attempt = attempt + 1 if len(undone) == len(part) else 0
        if undone:
            await retries.pause(attempt)
        left = [*undone, *rest]
    return left


def _incomplete(tenant: str, table: Table, keys: Sequence[Item]) -> BatchIncomplete:
    return BatchIncomplete(
        f"tenant {tenant}: {len(keys)} items of a batch for table {table.name} are not done, the first is "
        f"{shown_key(table, keys[0])}",
        keys=keys,
    )
