"""Opening and closing: a store says that it is not open, and closing leaves nobody behind without an answer."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from manor.data.documents import DatabaseInterface
from manor.data.documents.driver import Driver
from manor.data.documents.faults import OutcomeUnknown
from manor.errors import UnreachableError
from manor.testing.documents.samples import KEY, SAMPLE, THINGS, assert_same, calls, new_tenant

TASKS = 100


class LifeSuite:
    """Subclass it, and provide the fixture ``unopened``: a driver of a server, never opened, of the scope of a function."""

    @pytest_asyncio.fixture
    async def root(self, unopened: Driver) -> AsyncIterator[DatabaseInterface]:
        """A store that is not open; its tables are dropped at the end."""
        store = DatabaseInterface(unopened, tables=[THINGS], tenant=new_tenant())
        yield store
        async with store:
            await unopened.drop_tables(store.tenant_id, [THINGS])

    async def test_what_is_not_open_says_so(self, root: DatabaseInterface) -> None:
        """Before it is opened and after it was closed, by every method that asks the server."""
        await _all_refused(root)
        async with root:
            await root.ensure_tables()
        await _all_refused(root)

    async def test_opening_and_closing_twice_is_harmless(self, root: DatabaseInterface) -> None:
        """One connection is opened, and closed."""
        await asyncio.gather(root.open(), root.open())
        async with root:
            await root.ensure_tables()
            await root.put_item("things", SAMPLE)
        await root.close()
        await _all_refused(root)

    async def test_a_closed_store_opens_again(self, root: DatabaseInterface) -> None:
        """With what it held."""
        async with root:
            await root.ensure_tables()
            await root.put_item("things", SAMPLE)
        async with root:
            found = await root.get_item("things", KEY)
            assert found is not None
            assert_same(found, SAMPLE)

    @pytest.mark.parametrize("turns", [0, 1, 10, 30, 100, 300])
    async def test_closing_leaves_nobody_without_an_answer(self, root: DatabaseInterface, turns: int) -> None:
        """Whoever waits has an answer, or an error that says whether the write can have happened; nobody is cancelled."""
        async with root:
            await root.ensure_tables()
            await root.put_item("things", SAMPLE)  # what is asked once, is asked
            tasks = [asyncio.create_task(root.update_item("things", _key(n), "ADD n :one", {":one": 1})) for n in range(TASKS)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await root.close()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        for answer in answers:
            assert isinstance(answer, dict | UnreachableError | OutcomeUnknown), repr(answer)
        async with root:
            there = {item["SK"] for item in await root.batch_get("things", [_key(n) for n in range(TASKS)])}
        for number, answer in enumerate(answers):
            if not isinstance(answer, OutcomeUnknown):
                assert (str(number) in there) == isinstance(answer, dict), repr(answer)

    async def test_whoever_is_cancelled_is_cancelled(self, root: DatabaseInterface) -> None:
        """By somebody, not by closing: that is no error of ours, and the store goes on."""
        async with root:
            await root.ensure_tables()
            tasks = [asyncio.create_task(root.put_item("things", _key(n))) for n in range(TASKS)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
            assert all(answer is None for answer in answers[1::2])


async def _all_refused(store: DatabaseInterface) -> None:
    operation = {"type": "Put", "table": "things", "item": SAMPLE}
    for call in calls(
        lambda: store.ensure_tables(),
        lambda: store.get_item("things", KEY),
        lambda: store.put_item("things", SAMPLE),
        lambda: store.update_item("things", KEY, "ADD n :n", {":n": 1}),
        lambda: store.delete_item("things", KEY),
        lambda: store.query("things", "PK = :p", {":p": "p"}),
        lambda: store.scan("things"),
        lambda: store.batch_get("things", [KEY]),
        lambda: store.batch_write("things", [SAMPLE]),
        lambda: store.transaction_write([operation]),
    ):
        with pytest.raises(UnreachableError, match=r"is (not open|closed)") as raised:
            await call()
        assert store.tenant_id in raised.value.message
        assert raised.value.hint
        assert not raised.value.transient


def _key(number: int) -> dict[str, Any]:
    return {"PK": "p", "SK": str(number)}
