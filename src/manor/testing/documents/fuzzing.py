"""Differential fuzzing: whatever Hypothesis makes up, a driver agrees with ``evaluate`` and ``changed``.

A driver's fuzz test subclasses ``FuzzSuite`` and implements ``new_driver``. ``--hypothesis-profile=nightly`` makes it long.
"""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from manor.data.documents import DatabaseInterface, Options
from manor.data.documents.driver import Driver
from manor.data.documents.faults import ConditionFailed, ExpressionError, ItemTooLarge, UpdateRefused, ValueRefused
from manor.data.documents.query.change import changed
from manor.data.documents.query.check import admit_values
from manor.data.documents.query.evaluate import evaluate
from manor.data.documents.query.parse import parse_condition, parse_update
from manor.data.documents.values import Item, admit_item, same
from manor.testing.documents import strategies
from manor.testing.documents.samples import THINGS, new_tenant
from manor.testing.documents.strategies import Text

EXAMPLES = max(100, settings().max_examples // 5)
"""For each of the five tests, so that a short run has 500, and a profile of 10,000 has as many for each driver."""
ROUGH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.differing_executors,  # the drivers' classes share these tests, in one process too
    ],
)
LIMIT = 3


class FuzzSuite(ABC):
    """Subclass it and say how to open a driver. The class keeps one event loop and one store for all examples."""

    runner: asyncio.Runner
    driver: Driver

    @abstractmethod
    async def new_driver(self) -> Driver:
        """An open driver."""

    @classmethod
    def setup_class(cls) -> None:
        """One loop, one driver, for all examples of all tests of the class."""
        cls.runner = asyncio.Runner()
        cls.driver = cls.runner.run(cls().new_driver())

    @classmethod
    def teardown_class(cls) -> None:
        """Close what was opened."""
        cls.runner.run(cls.driver.close())
        cls.runner.close()

    def in_store(self, scenario: Callable[[DatabaseInterface], Awaitable[None]]) -> None:
        """Run a scenario in a tenant of its own."""

        async def run() -> None:
            db = DatabaseInterface(self.driver, tables=[THINGS], options=Options()).for_tenant(new_tenant())
            await db.ensure_tables()
            try:
                await scenario(db)
            finally:
                await self.driver.drop_tables(db.tenant_id, list(db.tables.values()))

        self.runner.run(run())

    @ROUGH
    @given(
        items=st.lists(strategies.items(), min_size=1, max_size=6, unique_by=lambda item: (item["PK"], item["SK"])),
        conditions=st.lists(strategies.conditions(), min_size=1, max_size=4),
    )
    def test_filters_agree_with_the_meaning(self, items: list[Item], conditions: list[Text]) -> None:
        """A scan finds the items that ``evaluate`` says it finds."""

        async def scenario(db: DatabaseInterface) -> None:
            await db.batch_write("things", items)
            for condition in filter(usable, conditions):
                found = await db.scan("things", condition.text, condition.values, expression_names=condition.names)
                wanted = [item for item in items if holds(condition, item)]
                assert_same_items(list(found), wanted)

        self.in_store(scenario)

    @ROUGH
    @given(item=strategies.items(), conditions=st.lists(strategies.conditions(), min_size=1, max_size=4), there=st.booleans())
    def test_conditions_agree_with_the_meaning(self, item: Item, conditions: list[Text], there: bool) -> None:
        """A write goes through where ``evaluate`` says so."""

        async def scenario(db: DatabaseInterface) -> None:
            if there:
                await db.put_item("things", item)
            for condition in filter(usable, conditions):
                wanted = holds(condition, item if there else {})
                write = db.delete_item(
                    "things", {"PK": item["PK"], "SK": item["SK"]}, condition.text, expression_values=condition.values,
                    expression_names=condition.names, return_values="ALL_OLD",
                )  # fmt: skip
                assert await went_through(write) == wanted, condition
                if there and wanted:
                    await db.put_item("things", item)

        self.in_store(scenario)

    @ROUGH
    @given(item=strategies.items(), updates=st.lists(strategies.updates(), min_size=1, max_size=4))
    def test_updates_agree_with_the_meaning(self, item: Item, updates: list[Text]) -> None:
        """The item becomes what ``changed`` says, or is refused and stays."""

        async def scenario(db: DatabaseInterface) -> None:
            await db.put_item("things", item)
            current = admit_item(item)[0]
            for update in filter(usable_update, updates):
                wanted = updated(update, current)
                answer = await answered(
                    db.update_item(
                        "things",
                        {"PK": item["PK"], "SK": item["SK"]},
                        update.text,
                        update.values,
                        expression_names=update.names,
                    )
                )
                assert (answer is None) == (wanted is None), update
                current = wanted or current
                stored = await db.get_item("things", {"PK": item["PK"], "SK": item["SK"]})
                assert same(stored, current), update
                assert answer is None or same(answer, current), update

        self.in_store(scenario)

    @ROUGH
    @given(
        items=st.lists(strategies.items(), min_size=1, max_size=12, unique_by=lambda item: (item["PK"], item["SK"])),
        keys=strategies.key_conditions(),
        condition=st.one_of(st.none(), strategies.conditions()),
        forward=st.booleans(),
    )
    def test_queries_agree_with_the_meaning(self, items: list[Item], keys: Text, condition: Text | None, forward: bool) -> None:
        """In order and page by page."""
        assume(condition is None or usable(condition))
        extra = condition or Text()
        renamed = {name.replace(":v", ":w"): value for name, value in extra.values.items()}

        async def scenario(db: DatabaseInterface) -> None:
            await db.batch_write("things", items)
            found = [
                item
                async for item in db.query_all(
                    "things", keys.text, {**keys.values, **renamed}, None, LIMIT, forward,
                    filter_expression=extra.text.replace(":v", ":w") or None, expression_names=extra.names or None,
                )
            ]  # fmt: skip
            wanted = [item for item in items if holds(keys, item) and (condition is None or holds(condition, item))]
            wanted.sort(key=lambda item: item["SK"], reverse=not forward)
            assert [item["SK"] for item in found] == [item["SK"] for item in wanted]
            assert_same_items(found, wanted)

        self.in_store(scenario)

    @ROUGH
    @given(
        items=st.lists(strategies.indexed_items(), min_size=1, max_size=12, unique_by=lambda item: (item["PK"], item["SK"])),
        asked=strategies.index_conditions(),
        forward=st.booleans(),
        gone=st.sets(st.integers(0, 11), max_size=3),
    )
    def test_indexes_agree_with_the_meaning(
        self, items: list[Item], asked: tuple[str, Text], forward: bool, gone: set[int]
    ) -> None:
        """Items that have all keys, in order, page by page, after some were removed from the index by an update."""
        index, keys = asked
        sort = strategies.INDEXED.index(index).keys[1].name

        async def scenario(db: DatabaseInterface) -> None:
            await db.ensure_tables([strategies.INDEXED])
            await db.batch_write("indexed", items)
            for position in sorted(gone & set(range(len(items)))):
                key = {"PK": items[position]["PK"], "SK": items[position]["SK"]}
                await db.update_item("indexed", key, f"REMOVE {sort}")
            left = [{k: v for k, v in item.items() if k != sort or number not in gone} for number, item in enumerate(items)]
            wanted = [item for item in left if {"u", sort} <= item.keys() and holds(keys, item)]
            wanted.sort(key=lambda item: item[sort], reverse=not forward)
            found = [item async for item in db.query_all("indexed", keys.text, keys.values, index, LIMIT, forward)]
            assert [item[sort] for item in found] == [item[sort] for item in wanted]
            visible = strategies.INDEXED.visible(strategies.INDEXED.index(index))
            assert_same_items(found, [{k: v for k, v in item.items() if visible is None or k in visible} for item in wanted])

        self.in_store(scenario)


def usable(condition: Text) -> bool:
    """Whether it parses; random paths may be compared with themselves."""
    try:
        parse_condition(condition.text, condition.names)
    except ExpressionError:
        return False
    return True


def usable_update(update: Text) -> bool:
    """Whether it parses; random paths may overlap."""
    try:
        parse_update(update.text, update.names)
    except ExpressionError:
        return False
    return True


def holds(condition: Text, item: Item) -> bool:
    """What ``evaluate`` says."""
    node = parse_condition(condition.text, condition.names).node
    return evaluate(node, admit_item(item)[0], admit_values(condition.values))


def updated(update: Text, item: Item) -> Item | None:
    """What ``changed`` says; None where it refuses."""
    try:
        return changed(parse_update(update.text, update.names).node, item, admit_values(update.values))
    except UpdateRefused:
        return None


async def went_through(write: Awaitable[Any]) -> bool:
    """Whether the write's condition held."""
    try:
        await write
    except ConditionFailed:
        return False
    return True


async def answered(update: Awaitable[Item]) -> Item | None:
    """The answer, None where the update was refused."""
    try:
        return await update
    except (UpdateRefused, ValueRefused, ItemTooLarge):
        return None


def assert_same_items(found: list[Item], wanted: list[Item]) -> None:
    """The same items, in any order, equal in value and type."""

    def place(item: Item) -> tuple[Any, Any]:
        return item["PK"], item["SK"]

    assert sorted(map(place, found)) == sorted(map(place, wanted))
    for one, other in zip(sorted(found, key=place), sorted(wanted, key=place), strict=True):
        assert same(one, admit_item(other)[0])
