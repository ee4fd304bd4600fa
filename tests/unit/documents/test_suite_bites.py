"""The suite against drivers that are wrong in the ways drivers are wrong: each is caught, by the case that is about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface, Table
from manor.data.documents import memory as memory_module
from manor.data.documents.driver import Delete, Got, Put, Query, Slice, Transaction, Write
from manor.data.documents.faults import ConditionFailed, TransactionCancelled
from manor.data.documents.memory import MemoryDriver
from manor.data.documents.query import evaluate as evaluate_module
from manor.data.documents.values import Item
from manor.testing.documents import DocumentSuite, conditions, queries, samples

SUITE = DocumentSuite()


class SharesItems(MemoryDriver):
    """Hands out what it keeps."""

    async def get(self, tenant: str, table: Table, key: Item, **_: Any) -> Item | None:
        return self._rows(tenant, table).get(tuple(key[name] for name in table.key_names))


class ForgetsTheTenant(MemoryDriver):
    """Keeps everybody's items under one name."""

    async def write(self, tenant: str, write: Write) -> Item | None:
        return await super().write("everybody", write)

    async def get(self, tenant: str, table: Table, key: Item, **more: Any) -> Item | None:
        return await super().get("everybody", table, key, **more)

    async def ensure_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        await super().ensure_tables(tenant, tables)
        await super().ensure_tables("everybody", tables)


class JoinsKeys(MemoryDriver):
    """Makes one text of a key, as ``PK#SK``."""

    def joined(self, key: Item) -> Item:
        return {"PK": "#".join(map(str, key.values())), "SK": "-"}

    async def write(self, tenant: str, write: Write) -> Item | None:
        return await super().write(tenant, replace(write, key=self.joined(write.key)))

    async def get(self, tenant: str, table: Table, key: Item, **more: Any) -> Item | None:
        return await super().get(tenant, table, self.joined(key), **more)


class LimitsBeforeItFilters(MemoryDriver):
    """And says that this was the end."""

    async def query(self, tenant: str, query: Query) -> Slice:
        found = await super().query(tenant, replace(query, examine=query.limit))
        return replace(found, last=found.last if len(found.items) == query.limit else None)


class SeesOnePage(MemoryDriver):
    """Never has more than the first hundred."""

    async def query(self, tenant: str, query: Query) -> Slice:
        return replace(await super().query(tenant, replace(query, limit=min(query.limit, 100))), last=None)


class StopsInTheMiddle(MemoryDriver):
    """Writes a transaction one by one."""

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        for operation in transaction.operations:
            await super().transact(
                tenant, replace(transaction, operations=(operation,), token=f"{transaction.token}{id(operation)}")
            )


class DoesItTwice(MemoryDriver):
    """Does not remember tokens."""

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        self.memory.tokens.clear()
        await super().transact(tenant, transaction)


class RoundsNumbers(MemoryDriver):
    """To what a double holds."""

    async def write(self, tenant: str, write: Write) -> Item | None:
        if isinstance(write, Put):
            rounded = {name: Decimal(float(v)) if isinstance(v, Decimal) else v for name, v in write.item.items()}
            write = replace(write, item=rounded)
        return await super().write(tenant, write)


class IgnoresConditions(MemoryDriver):
    """Of puts."""

    async def write(self, tenant: str, write: Write) -> Item | None:
        return await super().write(tenant, replace(write, condition=None) if isinstance(write, Put) else write)


class KeepsTheItemToItself(MemoryDriver):
    """Does not say what made a condition fail."""

    async def write(self, tenant: str, write: Write) -> Item | None:
        try:
            return await super().write(tenant, write)
        except ConditionFailed as failed:
            raise ConditionFailed(failed.message) from failed


class LosesTheUnprocessed(MemoryDriver):
    """Writes half of a batch and calls it done."""

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        await super().batch_write(tenant, table, writes[: (len(writes) + 1) // 2])
        return ()

    async def batch_get(self, tenant: str, table: Table, keys: Sequence[Item], **more: Any) -> Got:
        return await super().batch_get(tenant, table, keys, **more)


class TellsOneReason(MemoryDriver):
    """Gives up at the first operation that fails."""

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        try:
            await super().transact(tenant, transaction)
        except TransactionCancelled as cancelled:
            raise TransactionCancelled([reason for reason in cancelled.reasons if reason.code != "None"][:1]) from cancelled


Check = Callable[[DatabaseInterface], Awaitable[None]]
BROKEN: list[tuple[type[MemoryDriver], Check]] = [
    (SharesItems, SUITE.test_what_comes_back_is_the_callers),
    (ForgetsTheTenant, SUITE.test_tenants_do_not_see_each_other),
    (JoinsKeys, SUITE.test_keys_that_look_alike_are_different),
    (LimitsBeforeItFilters, SUITE.test_a_limit_counts_what_the_filter_leaves),
    (SeesOnePage, SUITE.test_all_items_of_many_come_without_being_asked_again),
    (StopsInTheMiddle, lambda db: SUITE.test_a_cancelled_transaction_does_nothing(db, 2)),
    (DoesItTwice, SUITE.test_a_transaction_that_is_sent_twice_is_done_once),
    (RoundsNumbers, lambda db: SUITE.test_a_number_is_exact(db, Decimal("0.1"))),
    (IgnoresConditions, SUITE.test_one_of_many_conditional_puts_wins),
    (KeepsTheItemToItself, SUITE.test_a_refused_put_or_delete_brings_the_item),
    (LosesTheUnprocessed, lambda db: SUITE.test_a_batch_can_have_any_length(db, 26)),
    (TellsOneReason, SUITE.test_every_operation_that_failed_has_its_reason),
]


async def opened(driver: MemoryDriver) -> DatabaseInterface:
    db = DatabaseInterface(driver, tables=[samples.THINGS], tenant=samples.new_tenant())
    await db.ensure_tables()
    return db


async def bites(check: Check, driver: MemoryDriver) -> bool:
    """Whether the case fails for the driver, and not for a right one."""
    await check(await opened(MemoryDriver()))
    with suppress(AssertionError, pytest.fail.Exception, ConditionFailed, TransactionCancelled):
        await check(await opened(driver))
        return False
    return True


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_broken_driver_is_caught(broken: type[MemoryDriver], check: Check) -> None:
    """By the case that is about what is broken."""
    assert await bites(check, broken())


@pytest.mark.parametrize(
    ("text", "name", "wrong"),
    [
        ("no = :v", "same", lambda left, right: left == right),
        ("missing <> :v", "_compare", lambda node, item, values: _three_valued(node, item, values)),
        ("n < :v", "comparable", lambda left, right: left is not None and right is not None),
        ("contains(list, :v)", "_contains", lambda value, part: isinstance(value, list) and part in value),
    ],
)
async def test_a_meaning_as_sql_or_python_have_it_is_caught(
    monkeypatch: pytest.MonkeyPatch, text: str, name: str, wrong: Any
) -> None:
    """``0`` is not false, a missing attribute is not NULL, a string is never below a number."""
    cases = [case for case in conditions.CASES if case.text == text]
    for case in cases:
        await SUITE.test_a_filter_keeps_what_it_holds_for(await opened(MemoryDriver()), case)
    monkeypatch.setattr(evaluate_module, name, wrong)
    caught = []
    for case in cases:
        try:
            await SUITE.test_a_filter_keeps_what_it_holds_for(await opened(MemoryDriver()), case)
        except (AssertionError, TypeError):
            caught.append(case)
    assert caught


def _three_valued(node: Any, item: Item, values: Any) -> bool:
    left, right = (evaluate_module._value(one, item, values) for one in (node.left, node.right))
    missing = evaluate_module.MISSING in (left, right)
    return not missing and {"=": left == right, "<>": left != right}.get(node.op, False)


async def test_text_that_sorts_as_people_do_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's locale is not the order of keys."""
    place = memory_module._place
    monkeypatch.setattr(memory_module, "_place", lambda query, item: tuple(str(one).lower() for one in place(query, item)))
    text, values, holds = queries.TEXT_RANGES[1]
    with pytest.raises(AssertionError):
        await SUITE.test_a_range_of_text(await opened(MemoryDriver()), text, values, holds)
    with pytest.raises(AssertionError):
        await SUITE.test_a_range_of_numbers(await opened(MemoryDriver()), *queries.NUMBER_RANGES[3])
