"""Several items: batches, transactions, and many tasks at once."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface, TransactionManager
from manor.data.documents.capabilities import Capability
from manor.data.documents.faults import ConditionFailed, TokenReused, TransactionCancelled
from manor.errors import ConflictError, InputError
from manor.testing.documents.samples import KEY, SAMPLE, SINGLE, assert_same, calls, needs


def row(number: int, **more: Any) -> dict[str, Any]:
    """One of many items, each in a partition of its own."""
    return {"PK": f"p{number}", "SK": "s", "n": number, **more}


def key(number: int) -> dict[str, Any]:
    """Its key."""
    return {"PK": f"p{number}", "SK": "s"}


class BatchCases:
    """Any number of items at a time."""

    @pytest.mark.parametrize("count", [0, 1, 25, 26, 101, 260])
    async def test_a_batch_can_have_any_length(self, db: DatabaseInterface, count: int) -> None:
        """Written, read and removed, whatever a server takes at a time."""
        await db.batch_write("things", [row(number) for number in range(count)])
        found = await db.batch_get("things", [key(number) for number in range(count)])
        assert_same(found, [row(number) for number in range(count)])
        await db.batch_write("things", deletes=[key(number) for number in range(count)])
        assert await db.batch_get("things", [key(number) for number in range(count)]) == []

    async def test_items_come_in_the_order_of_their_keys(self, db: DatabaseInterface) -> None:
        """Those that there are; projected where that is wanted."""
        await db.batch_write("things", [row(1, a={"b": 1}), row(2), row(3, a={"b": 3})])
        keys = [key(3), key(9), key(1), key(2)]
        assert [item["n"] for item in await db.batch_get("things", keys)] == [3, 1, 2]
        assert [item["n"] for item in await db.batch_get("things", keys, consistent_read=True)] == [3, 1, 2]
        found = await db.batch_get("things", keys, projection_expression="a.#b", expression_names={"#b": "b"})
        assert_same(found, [{"a": {"b": 3}}, {"a": {"b": 1}}, {}])

    async def test_a_batch_puts_and_deletes(self, db: DatabaseInterface) -> None:
        """In one call, and replaces whole items; every type comes back."""
        await db.batch_write("things", [SAMPLE, row(1), row(2, old=True)])
        await db.batch_write("things", [row(2), row(3)], deletes=[key(1), key(9)])
        assert_same(await db.get_item("things", KEY), SAMPLE)
        assert_same(await db.batch_get("things", [key(n) for n in range(10)]), [row(2), row(3)])

    async def test_a_key_stands_once_in_a_batch(self, db: DatabaseInterface) -> None:
        """Also where a server would see the two in different calls; nothing is written."""
        items = [row(number) for number in range(26)]
        for call in calls(
            lambda: db.batch_write("things", [*items, row(0)]),
            lambda: db.batch_write("things", items, deletes=[key(25)]),
            lambda: db.batch_get("things", [key(1), key(2), key(1)]),
        ):
            with pytest.raises(InputError, match=r"p\d"):
                await call()
        assert await db.batch_get("things", [key(number) for number in range(26)]) == []

    async def test_a_wrong_item_stops_a_batch_before_it_begins(self, db: DatabaseInterface) -> None:
        """Its number is in the message."""
        with pytest.raises(InputError, match="item 27"):
            await db.batch_write("things", [*(row(number) for number in range(26)), {"PK": "no sort key"}])
        assert await db.batch_get("things", [key(number) for number in range(26)]) == []


class TransactionCases:
    """All or nothing."""

    @needs(Capability.ATOMIC_TRANSACTIONS)
    async def test_a_transaction_does_all_of_it(self, db: DatabaseInterface) -> None:
        """Put, update, delete and check, over partitions and tables."""
        await db.ensure_tables([SINGLE])
        await db.batch_write("things", [row(1), row(2), row(3)])
        await db.transaction_write(
            [
                {"type": "Put", "table": "single", "item": {"name": "a", "v": SAMPLE["list"]}},
                {"type": "Put", "table": "things", "item": row(4), "condition_expression": "attribute_not_exists(PK)"},
                {
                    "type": "Update",
                    "table": "things",
                    "key": key(1),
                    "update_expression": "SET n = n + :v",
                    "expression_values": {":v": 10},
                    "condition_expression": "n = #one OR n < :v",
                    "expression_names": {"#one": "one"},
                },
                {"type": "Delete", "table": "things", "key": key(2)},
                {
                    "type": "ConditionCheck",
                    "table": "things",
                    "key": key(3),
                    "condition_expression": "n = :v",
                    "expression_values": {":v": 3},
                },
            ]
        )
        assert_same(await db.get_item("single", {"name": "a"}), {"name": "a", "v": SAMPLE["list"]})
        assert_same(await db.batch_get("things", [key(n) for n in range(1, 5)]), [{**row(1), "n": 11}, row(3), row(4)])

    @needs(Capability.ATOMIC_TRANSACTIONS)
    @pytest.mark.parametrize("position", [0, 1, 2])
    async def test_a_cancelled_transaction_does_nothing(self, db: DatabaseInterface, position: int) -> None:
        """Wherever the condition stands; reasons come for each operation, with the item as it is."""
        await db.batch_write("things", [row(1), row(2)])
        operations: list[dict[str, Any]] = [
            {"type": "Put", "table": "things", "item": row(5)},
            {
                "type": "Update",
                "table": "things",
                "key": key(1),
                "update_expression": "SET n = :v",
                "expression_values": {":v": 0},
            },
        ]
        operations.insert(
            position,
            {
                "type": "ConditionCheck",
                "table": "things",
                "key": key(2),
                "condition_expression": "n > :v",
                "expression_values": {":v": 2},
            },
        )
        with pytest.raises(TransactionCancelled) as cancelled:
            await db.transaction_write(operations)
        codes = [reason.code for reason in cancelled.value.reasons]
        assert codes == ["ConditionalCheckFailed" if n == position else "None" for n in range(3)]
        assert_same(cancelled.value.reasons[position].item, row(2))
        assert not cancelled.value.transient
        assert_same(await db.batch_get("things", [key(1), key(2), key(5)]), [row(1), row(2)])

    @needs(Capability.ATOMIC_TRANSACTIONS)
    async def test_every_operation_that_failed_has_its_reason(self, db: DatabaseInterface) -> None:
        """Conditions, and updates that cannot be applied."""
        await db.batch_write("things", [row(1), row(2)])
        with pytest.raises(TransactionCancelled) as cancelled:
            await db.transaction_write(
                [
                    {"type": "Put", "table": "things", "item": row(1), "condition_expression": "attribute_not_exists(PK)"},
                    {"type": "Delete", "table": "things", "key": key(2)},
                    {"type": "Delete", "table": "things", "key": key(9), "condition_expression": "attribute_exists(PK)"},
                ]
            )
        assert [reason.code for reason in cancelled.value.reasons] == [
            "ConditionalCheckFailed",
            "None",
            "ConditionalCheckFailed",
        ]
        assert cancelled.value.reasons[2].item is None
        with pytest.raises((TransactionCancelled, InputError)):
            await db.transaction_write(
                [
                    {"type": "Put", "table": "things", "item": row(7)},
                    {"type": "Update", "table": "things", "key": key(1), "update_expression": "SET x = missing"},
                ]
            )
        assert_same(await db.batch_get("things", [key(n) for n in range(10)]), [row(1), row(2)])

    @needs(Capability.ATOMIC_TRANSACTIONS)
    async def test_a_transaction_has_up_to_a_hundred_operations(self, db: DatabaseInterface) -> None:
        """And no more."""
        puts = [{"type": "Put", "table": "things", "item": row(number)} for number in range(101)]
        with pytest.raises(InputError, match="101"):
            await db.transaction_write(puts)
        await db.transaction_write(puts[:100])
        assert len(await db.scan("things")) == 100

    @pytest.mark.parametrize(
        ("operation", "word"),
        [
            ({"type": "put", "table": "things", "item": {}}, "put"),
            (None, "dict"),
            ("Put", "dict"),
            ({"type": [], "table": "things"}, "type"),
            ({"type": "Delete", "table": ["things"], "key": KEY}, "name of a table"),
            ({"type": "Delete", "table": "things", "key": KEY, 5: 6}, "5"),
            ({"type": "Put", "table": "things"}, "item"),
            ({"type": "Put", "table": "things", "item": {"PK": "p"}}, "SK"),
            ({"type": "Put", "item": {"PK": "p", "SK": "s"}}, "table"),
            ({"type": "Delete", "table": "things", "item": {"PK": "p", "SK": "s"}}, "item"),
            ({"type": "ConditionCheck", "table": "things", "key": KEY}, "condition_expression"),
            ({"type": "Update", "table": "things", "key": KEY, "update_expression": "SET"}, "name"),
            ({"type": "Delete", "table": "things", "key": {"PK": "p1", "SK": "s"}}, "same item"),
        ],
    )
    async def test_a_wrong_operation_is_refused_with_its_number(
        self, db: DatabaseInterface, operation: dict[str, Any], word: str
    ) -> None:
        """Before anything is sent."""
        with pytest.raises(InputError, match=rf"operation 2(?s:.*){word}"):
            await db.transaction_write([{"type": "Put", "table": "things", "item": row(1)}, operation])
        assert await db.get_item("things", key(1)) is None

    @pytest.mark.parametrize("token", ["\ud800", "a\0b", "", "x" * 37, 5], ids=ascii)
    async def test_a_token_is_printable_text(self, db: DatabaseInterface, token: Any) -> None:
        """Of 1 to 36 characters, on every backend; and the operations are a list."""
        with pytest.raises(InputError, match="token"):
            await db.transaction_write([{"type": "Put", "table": "things", "item": row(1)}], token=token)
        for operations in (5, {"type": "Put"}):
            with pytest.raises(InputError, match="list"):
                await db.transaction_write(operations)  # type: ignore[arg-type]

    @needs(Capability.IDEMPOTENT_TRANSACTIONS)
    async def test_a_token_is_of_one_transaction_though_names_hold_dots(self, db: DatabaseInterface) -> None:
        """``x.y`` as a name, and ``y`` in ``x``, are two things."""
        await db.put_item("things", {**KEY, "x.y": {}, "x": {}})
        update = {"type": "Update", "table": "things", "key": KEY, "update_expression": "SET #a.#b = :v"}
        update["expression_values"] = {":v": 1}
        await db.transaction_write([{**update, "expression_names": {"#a": "x.y", "#b": "z"}}], token="dotted")  # noqa: S106
        with pytest.raises(TokenReused):
            await db.transaction_write([{**update, "expression_names": {"#a": "x", "#b": "y.z"}}], token="dotted")  # noqa: S106

    @needs(Capability.IDEMPOTENT_TRANSACTIONS)
    async def test_a_transaction_that_is_sent_twice_is_done_once(self, db: DatabaseInterface) -> None:
        """Its token says that it is the same; the same token for another one is refused."""
        await db.put_item("things", row(1))
        add = {
            "type": "Update",
            "table": "things",
            "key": key(1),
            "update_expression": "ADD n :v",
            "expression_values": {":v": 1},
        }
        for _ in range(3):
            await db.transaction_write([add], token="one-and-the-same")  # noqa: S106 - no secret
        assert_same(await db.get_item("things", key(1)), row(1, n=2))
        with pytest.raises(TokenReused):
            await db.transaction_write([{**add, "expression_values": {":v": 5}}], token="one-and-the-same")  # noqa: S106
        await db.transaction_write([add])
        await db.transaction_write([add])
        assert_same(await db.get_item("things", key(1)), row(1, n=4))

    @needs(Capability.ATOMIC_TRANSACTIONS)
    async def test_a_manager_collects_and_commits_once(self, db: DatabaseInterface) -> None:
        """Nothing is sent before, and it is of no use afterwards."""
        await db.put_item("things", row(1))
        manager = TransactionManager(db)
        manager.add_put("things", row(2))
        manager.add_update("things", key(1), "ADD n :v", {":v": 1})
        manager.add_delete("things", key(3))
        manager.add_condition_check("things", key(4), "attribute_not_exists(PK)")
        assert await db.get_item("things", key(2)) is None
        await manager.commit()
        assert_same(await db.batch_get("things", [key(1), key(2)]), [row(1, n=2), row(2)])
        with pytest.raises(ConflictError):
            await manager.commit()
        with pytest.raises(ConflictError):
            manager.add_put("things", row(5))

    @needs(Capability.ATOMIC_TRANSACTIONS)
    async def test_a_block_commits_at_its_end_or_drops_everything(self, db: DatabaseInterface) -> None:
        """An exception inside means that nothing is sent."""
        async with TransactionManager(db) as manager:
            manager.add_put("things", row(1))

        async def failing() -> None:
            async with TransactionManager(db) as manager:
                manager.add_put("things", row(2))
                raise KeyError("mine")

        with pytest.raises(KeyError):
            await failing()
        async with TransactionManager(db) as manager:
            manager.add_put("things", row(3))
            await manager.rollback()
        assert [item["n"] for item in await db.scan("things")] == [1]

    @needs(Capability.ATOMIC_TRANSACTIONS)
    async def test_a_commit_that_was_refused_is_not_tried_again(self, db: DatabaseInterface) -> None:
        """Not by the end of the block, though it would succeed there, and not by the caller."""
        async with TransactionManager(db) as manager:
            manager.add_put("things", {**row(1), "mine": True}, "attribute_not_exists(PK)")
            await db.put_item("things", row(1))
            with pytest.raises(TransactionCancelled):
                await manager.commit()
            await db.delete_item("things", key(1))
            with pytest.raises(ConflictError):
                await manager.commit()
        assert await db.get_item("things", key(1)) is None

    async def test_an_empty_transaction_is_nothing(self, db: DatabaseInterface) -> None:
        """And no error."""
        await db.transaction_write([])
        await TransactionManager(db).commit()


class ConcurrencyCases:
    """Many tasks, exact results."""

    async def test_sixty_four_tasks_count_to_sixty_four(self, db: DatabaseInterface) -> None:
        """No increment is lost, none is done twice."""
        await asyncio.gather(*(db.update_item("things", KEY, "ADD n :one", {":one": 1}) for _ in range(64)))
        assert_same(await db.get_item("things", KEY), {**KEY, "n": 64})

    async def test_one_of_many_conditional_puts_wins(self, db: DatabaseInterface) -> None:
        """The others are told who did."""

        async def claim(number: int) -> int | None:
            try:
                await db.put_item("things", {**KEY, "n": number}, "attribute_not_exists(PK)")
            except ConditionFailed as failed:
                return -1 if failed.item else None
            return number

        outcomes = await asyncio.gather(*map(claim, range(32)))
        winners = [number for number in outcomes if number != -1]
        assert len(winners) == 1
        assert_same(await db.get_item("things", KEY), {**KEY, "n": winners[0]})

    async def test_versions_are_passed_one_by_one(self, db: DatabaseInterface) -> None:
        """Optimistic locking: of all that saw one version, one goes on."""
        await db.put_item("things", {**KEY, "version": 0, "log": []})

        async def step(number: int) -> None:
            while True:
                seen = await db.get_item("things", KEY, True)
                assert seen is not None
                try:
                    await db.update_item(
                        "things",
                        KEY,
                        "SET version = :next, log = list_append(log, :me)",
                        {":next": seen["version"] + 1, ":seen": seen["version"], ":me": [number]},
                        "version = :seen",
                    )
                except ConditionFailed:
                    continue
                return

        await asyncio.gather(*map(step, range(8)))
        found = await db.get_item("things", KEY)
        assert found is not None
        assert found["version"] == 8
        assert sorted(found["log"]) == list(range(8))

    @needs(Capability.ATOMIC_TRANSACTIONS)
    async def test_transfers_that_cross_neither_lose_nor_make_money(self, db: DatabaseInterface) -> None:
        """Between four accounts, in all directions at once; none goes below zero."""
        await db.batch_write("things", [row(number, money=Decimal("2.50")) for number in range(4)])

        async def transfer(source: int, target: int) -> None:
            while True:
                manager = TransactionManager(db)
                manager.add_update("things", key(source), "SET money = money - :m", {":m": 1}, "money >= :m")
                manager.add_update("things", key(target), "SET money = money + :m", {":m": 1})
                try:
                    await manager.commit()
                except TransactionCancelled as cancelled:
                    if cancelled.transient:
                        continue
                return

        pairs = [(a, b) for a in range(4) for b in range(4) if a != b] * 2
        await asyncio.gather(*(transfer(source, target) for source, target in pairs))
        found = await db.batch_get("things", [key(number) for number in range(4)], consistent_read=True)
        assert sum(item["money"] for item in found) == 10
        assert all(item["money"] >= 0 for item in found)
