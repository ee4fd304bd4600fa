"""The layer above the driver, over a driver that fails: what is tried again, what is not, and what the caller is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface, Options, Retries, Table, TransactionManager
from manor.data.documents.driver import Delete, Got, Put, Query, Slice, Transaction, Write
from manor.data.documents.faults import (
    BatchIncomplete,
    CancellationReason,
    ConditionFailed,
    OutcomeUnknown,
    Throttled,
    TransactionCancelled,
    WriteConflict,
)
from manor.data.documents.memory import MemoryDriver
from manor.errors import ManorError, UnreachableError

TABLE = Table(name="things", partition_key="PK", sort_key="SK", allow_scans=True)
KEY = {"PK": "p", "SK": "s"}


class FlakyDriver(MemoryDriver):
    """Raises ``errors`` in their order, one for each call, after (``applied``) or before doing what it was asked."""

    def __init__(self, errors: Sequence[ManorError] = (), *, applied: bool = False, short: int = 0) -> None:
        super().__init__()
        self.errors = list(errors)
        self.applied = applied
        self.short = short
        self.calls = 0

    def fail(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)

    async def get(self, *args: Any, **parameters: Any) -> Any:
        self.fail()
        return await super().get(*args, **parameters)

    async def write(self, tenant: str, write: Write) -> Any:
        if not self.applied:
            self.fail()
        answer = await super().write(tenant, write)
        if self.applied:
            self.fail()
        return answer

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        if not self.applied:
            self.fail()
        await super().transact(tenant, transaction)
        if self.applied:
            self.fail()

    async def query(self, tenant: str, query: Query) -> Slice:
        """At most two items at a time, and an empty slice now and then: legal, and awkward."""
        self.calls += 1
        if self.short and self.calls % 3 == 0:
            return Slice(items=[], last=query.start, scanned=0) if query.start else await super().query(tenant, query)
        return await super().query(tenant, replace(query, limit=min(query.limit, self.short)) if self.short else query)

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """All but ``short`` of them."""
        self.fail()
        done = writes[: len(writes) - self.short]
        await super().batch_write(tenant, table, done)
        return writes[len(done) :]

    async def batch_get(self, tenant: str, table: Table, keys: Sequence[Any], **parameters: Any) -> Got:
        """The first half of them."""
        self.calls += 1
        half = (len(keys) + 1) // 2 if self.short else len(keys)
        got = await super().batch_get(tenant, table, keys[:half], **parameters)
        return Got(items=got.items, unprocessed=keys[half:])


async def opened(driver: FlakyDriver, pauses: list[float] | None = None) -> DatabaseInterface:
    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    options = Options(retries=Retries(attempts=4, first_seconds=1, longest_seconds=3, sleep=sleep, chance=lambda: 1.0))
    db = DatabaseInterface(driver, tables=[TABLE], tenant="acme", options=options)
    await db.ensure_tables()
    return db


async def test_what_passes_is_waited_for() -> None:
    """With pauses that double up to a bound."""
    pauses: list[float] = []
    driver = FlakyDriver([Throttled("slow"), WriteConflict("busy"), UnreachableError("gone", transient=True)])
    db = await opened(driver, pauses)
    await db.put_item("things", KEY)
    assert pauses == [2, 3, 3]
    assert await db.get_item("things", KEY) == KEY


async def test_patience_has_an_end() -> None:
    """After the last attempt the error is the caller's, with the tenant in it."""
    driver = FlakyDriver([Throttled("things: slow down") for _ in range(9)])
    db = await opened(driver)
    with pytest.raises(Throttled, match="tenant acme: things"):
        await db.get_item("things", KEY)
    assert driver.calls == 4


async def test_what_does_not_pass_is_raised_at_once() -> None:
    """Trying again would not help."""
    driver = FlakyDriver([UnreachableError("wrong password")])
    db = await opened(driver)
    with pytest.raises(UnreachableError):
        await db.get_item("things", KEY)
    assert driver.calls == 1


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda db: db.put_item("things", {**KEY, "n": 1}), {**KEY, "n": 1}),
        (lambda db: db.update_item("things", KEY, "SET n = :v", {":v": 1}), {**KEY, "n": 1}),
        (lambda db: db.delete_item("things", KEY), None),
    ],
    ids=["put", "update", "delete"],
)
async def test_a_write_without_an_answer_is_sent_again_where_that_is_safe(write: Any, found: Any) -> None:
    """It was done, is done once more, and leaves the same."""
    driver = FlakyDriver([OutcomeUnknown("no answer"), OutcomeUnknown("no answer")], applied=True)
    db = await opened(driver)
    await write(db)
    assert driver.calls == 3
    assert await db.get_item("things", KEY) == found


@pytest.mark.parametrize(
    "write",
    [
        lambda db: db.update_item("things", KEY, "ADD n :v", {":v": 1}),
        lambda db: db.update_item("things", KEY, "SET l = list_append(if_not_exists(l, :e), :v)", {":v": [1], ":e": []}),
        lambda db: db.put_item("things", KEY, "attribute_not_exists(PK)"),
        lambda db: db.put_item("things", KEY, return_values="ALL_OLD"),
        lambda db: db.delete_item("things", KEY, "attribute_not_exists(PK)"),
        lambda db: db.update_item("things", KEY, "SET n = :v", {":v": 1}, return_values="UPDATED_OLD"),
    ],
)
async def test_a_write_without_an_answer_is_told_where_it_is_not_safe(write: Any) -> None:
    """Done once, or not: the caller must look."""
    driver = FlakyDriver([OutcomeUnknown("no answer")], applied=True)
    db = await opened(driver)
    with pytest.raises(OutcomeUnknown, match="acme") as unknown:
        await write(db)
    assert driver.calls == 1
    assert not unknown.value.transient


async def test_an_unknown_outcome_is_not_forgotten_by_what_follows() -> None:
    """After an answer that never came, "throttled: nothing was done" would be a lie."""
    driver = FlakyDriver([OutcomeUnknown("no answer"), *(Throttled("slow") for _ in range(9))])
    db = await opened(driver)
    with pytest.raises(OutcomeUnknown):
        await db.put_item("things", KEY)


async def test_an_unknown_outcome_is_not_forgotten_where_the_store_is_closed_meanwhile() -> None:
    """Nothing of the last attempt was done: that says nothing of the first."""
    driver = FlakyDriver([OutcomeUnknown("no answer"), UnreachableError("the store is closed")])
    db = await opened(driver)
    with pytest.raises(OutcomeUnknown):
        await db.put_item("things", KEY)
    assert driver.calls == 2


async def test_a_transaction_is_sent_again_with_its_token() -> None:
    """Done once, though nobody said so twice."""
    driver = FlakyDriver([OutcomeUnknown("no answer"), OutcomeUnknown("no answer")], applied=True)
    db = await opened(driver)
    async with TransactionManager(db) as manager:
        manager.add_update("things", KEY, "ADD n :v", {":v": 1})
    assert await db.get_item("things", KEY) == {**KEY, "n": 1}


async def test_a_manager_can_commit_again_after_an_unknown_outcome() -> None:
    """By the same token."""
    driver = FlakyDriver([OutcomeUnknown("no answer") for _ in range(4)], applied=True)
    db = await opened(driver)
    manager = TransactionManager(db)
    manager.add_update("things", KEY, "ADD n :v", {":v": 1})
    with pytest.raises(OutcomeUnknown):
        await manager.commit()
    await manager.commit()
    assert await db.get_item("things", KEY) == {**KEY, "n": 1}


async def test_conflicts_of_transactions_pass_and_conditions_do_not() -> None:
    """By the reasons."""
    conflict = TransactionCancelled([CancellationReason(code="TransactionConflict"), CancellationReason()])
    failed = TransactionCancelled(
        [CancellationReason(code="TransactionConflict"), CancellationReason(code="ConditionalCheckFailed")]
    )
    operations = [{"type": "Put", "table": "things", "item": KEY}]
    driver = FlakyDriver([conflict, conflict])
    await (await opened(driver)).transaction_write(operations)
    assert driver.calls == 3
    driver = FlakyDriver([failed])
    with pytest.raises(TransactionCancelled):
        await (await opened(driver)).transaction_write(operations)
    assert driver.calls == 1


async def test_a_failed_condition_is_an_answer() -> None:
    """Not something to try again."""
    driver = FlakyDriver()
    db = await opened(driver)
    with pytest.raises(ConditionFailed):
        await db.delete_item("things", KEY, "attribute_exists(PK)")
    assert driver.calls == 1


async def test_a_batch_goes_on_until_everything_is_done() -> None:
    """With what the server left over, without giving up while it moves."""
    driver = FlakyDriver(short=3)
    db = await opened(driver)
    keys = [{"PK": f"p{number}", "SK": "s"} for number in range(60)]
    driver.short = 20
    with pytest.raises(BatchIncomplete, match="20 items"):
        await db.batch_write("things", keys[:20])
    driver.short = 1
    driver.calls = 0
    with pytest.raises(BatchIncomplete) as incomplete:
        await db.batch_write("things", keys)
    assert len(incomplete.value.keys) == 1
    assert len(await db.batch_get("things", keys)) == 59
    driver.short = 0
    await db.batch_write("things", keys)
    driver.short = 1
    assert await db.batch_get("things", keys) == keys


async def test_short_and_empty_slices_make_full_pages() -> None:
    """However the backend cuts them."""
    driver = FlakyDriver(short=2)
    db = await opened(driver)
    keys = [{"PK": "p", "SK": f"{number:02}"} for number in range(23)]
    for key in keys:
        await db.put_item("things", key)
    page = await db.query("things", "PK = :p", {":p": "p"}, limit=10)
    assert list(page) == keys[:10]
    assert list(await db.query("things", "PK = :p", {":p": "p"}, limit=10, cursor=page.cursor)) == keys[10:20]
    assert [item async for item in db.query_all("things", "PK = :p", {":p": "p"})] == keys
    assert len([item async for item in db.scan_all("things")]) == 23
