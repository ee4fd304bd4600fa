"""Indexes, and items that expire."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface, Index, Table
from manor.data.documents.capabilities import Capability
from manor.data.documents.faults import ExpressionError
from manor.data.documents.values import Item
from manor.errors import ConflictError, InputError
from manor.testing.documents.samples import CHATS, SESSIONS, assert_same, needs, put_all

CHAT = {
    "PK": "c1",
    "SK": "M",
    "user_id": "u",
    "created_at": "2026-01-02",
    "score": 5,
    "title": "t",
    "tenant_id": "acme",
    "room": "r",
}


@needs(Capability.SECONDARY_INDEXES)
class IndexCases:
    """Second orders of the same items."""

    async def test_an_index_is_another_order(self, db: DatabaseInterface) -> None:
        """By its own keys, forwards and backwards; items without all of its keys are not in it."""
        await db.ensure_tables([CHATS])
        days = ["2026-01-03", "2026-01-01", "2026-01-02"]
        await put_all(db, "chats", [{**CHAT, "PK": f"c{number}", "created_at": day} for number, day in enumerate(days)])
        await put_all(
            db, "chats", [{"PK": "x1", "SK": "M", "user_id": "u"}, {"PK": "x2", "SK": "M", "created_at": "2026-01-01"}]
        )
        found = await db.query("chats", "user_id = :u", {":u": "u"}, index_name="UserIndex")
        assert [item["PK"] for item in found] == ["c1", "c2", "c0"]
        assert_same(found[1], {**CHAT, "PK": "c2"})
        found = await db.query("chats", "user_id = :u", {":u": "u"}, "UserIndex", 2, False)
        assert [item["PK"] for item in found] == ["c0", "c2"]
        found = await db.query(
            "chats", "tenant_id = :t AND created_at > :d", {":t": "acme", ":d": "2026-01-01"}, "TimestampIndex"
        )
        assert [item["PK"] for item in found] == ["c2", "c0"]

    async def test_an_index_follows_every_write(self, db: DatabaseInterface) -> None:
        """Puts, updates, deletes, batches and transactions."""
        await db.ensure_tables([CHATS])

        async def users(user: str) -> list[str]:
            return sorted(item["PK"] for item in await db.query("chats", "user_id = :u", {":u": user}, index_name="UserIndex"))

        await db.put_item("chats", CHAT)
        assert await users("u") == ["c1"]
        await db.update_item("chats", {"PK": "c1", "SK": "M"}, "SET user_id = :u", {":u": "w"})
        assert (await users("u"), await users("w")) == ([], ["c1"])
        await db.update_item("chats", {"PK": "c1", "SK": "M"}, "REMOVE user_id")
        assert await users("w") == []
        await db.batch_write("chats", [{**CHAT, "PK": "c2"}, {**CHAT, "PK": "c3"}])
        await db.transaction_write([{"type": "Put", "table": "chats", "item": {**CHAT, "PK": "c4"}}])
        assert await users("u") == ["c2", "c3", "c4"]
        await db.delete_item("chats", {"PK": "c2", "SK": "M"})
        await db.batch_write("chats", deletes=[{"PK": "c3", "SK": "M"}])
        assert await users("u") == ["c4"]

    async def test_an_index_shows_its_projection(self, db: DatabaseInterface) -> None:
        """Keys and what was added, nothing else; more cannot be asked of it."""
        await db.ensure_tables([CHATS])
        await db.put_item("chats", CHAT)
        found = await db.query("chats", "tenant_id = :t", {":t": "acme"}, index_name="TimestampIndex")
        assert_same(list(found), [{"PK": "c1", "SK": "M", "tenant_id": "acme", "created_at": "2026-01-02"}])
        found = await db.query("chats", "user_id = :u", {":u": "u"}, index_name="ScoreIndex")
        assert_same(list(found), [{"PK": "c1", "SK": "M", "user_id": "u", "score": 5, "title": "t"}])
        found = await db.query(
            "chats",
            "user_id = :u",
            {":u": "u", ":t": "t"},
            "ScoreIndex",
            projection_expression="title",
            filter_expression="title = :t",
        )
        assert_same(list(found), [{"title": "t"}])
        for extra in ("room", "title, room.number"):
            with pytest.raises(ExpressionError, match="room"):
                await db.query("chats", "user_id = :u", {":u": "u"}, "ScoreIndex", projection_expression=extra)
        with pytest.raises(ExpressionError, match="room"):
            await db.query("chats", "user_id = :u", {":u": "u"}, "ScoreIndex", filter_expression="attribute_exists(room)")

    async def test_equal_keys_of_an_index_are_paged_through(self, db: DatabaseInterface) -> None:
        """Every item once, though index and sort key are the same for all of them."""
        await db.ensure_tables([CHATS])
        await put_all(db, "chats", [{**CHAT, "PK": f"c{number}"} for number in range(9)])
        for index, forward in (("UserIndex", True), ("UserIndex", False), ("RoomIndex", True)):
            condition, values = ("room = :v", {":v": "r"}) if index == "RoomIndex" else ("user_id = :v", {":v": "u"})
            seen = [item["PK"] async for item in db.query_all("chats", condition, values, index, 2, forward)]
            assert sorted(seen) == [f"c{number}" for number in range(9)]

    async def test_an_index_sorts_numbers(self, db: DatabaseInterface) -> None:
        """As numbers."""
        await db.ensure_tables([CHATS])
        scores = [-10, -2, 0, Decimal("0.5"), 1, 2, 10]
        await put_all(db, "chats", [{**CHAT, "PK": f"c{score}", "score": score} for score in reversed(scores)])
        found = await db.query("chats", "user_id = :u AND score < :s", {":u": "u", ":s": 10}, index_name="ScoreIndex")
        assert [item["score"] for item in found] == scores[:-1]

    async def test_an_index_is_scanned_for_what_is_in_it(self, db: DatabaseInterface) -> None:
        """Items without its keys are not."""
        await db.ensure_tables([CHATS])
        await put_all(db, "chats", [CHAT, {"PK": "x", "SK": "M", "room": "r"}])
        assert [item["PK"] for item in await db.scan("chats", index_name="UserIndex")] == ["c1"]
        assert len(await db.scan("chats", index_name="RoomIndex")) == 2

    async def test_what_an_index_cannot_do_is_said(self, db: DatabaseInterface) -> None:
        """One that there is not, a consistent read, its keys as a filter, another one's keys."""
        await db.ensure_tables([CHATS])
        with pytest.raises(InputError) as unknown:
            await db.query("chats", "user_id = :u", {":u": "u"}, index_name="Userindex")
        assert "UserIndex" in unknown.value.hint
        with pytest.raises(InputError, match="consistent"):
            await db.query("chats", "user_id = :u", {":u": "u"}, "UserIndex", consistent_read=True)
        with pytest.raises(ExpressionError, match="created_at"):
            await db.query("chats", "user_id = :u", {":u": "u", ":c": "x"}, "UserIndex", filter_expression="created_at = :c")
        with pytest.raises(ExpressionError, match="PK"):
            await db.query("chats", "PK = :u", {":u": "u"}, "UserIndex")

    async def test_a_table_gains_an_index_with_the_items_it_has(self, db: DatabaseInterface) -> None:
        """``ensure_tables`` fills it; again is harmless."""
        gaining = replace(CHATS, name="gaining")
        await db.ensure_tables([replace(gaining, indexes=())])
        await db.put_item("gaining", CHAT)
        for _ in range(2):
            await db.ensure_tables([gaining])
            found = await db.query("gaining", "user_id = :u", {":u": "u"}, index_name="UserIndex")
            assert_same(list(found), [CHAT])

    async def test_an_index_holds_no_item_whose_key_is_of_another_type(self, db: DatabaseInterface) -> None:
        """Such as one from before the index was declared: no query and no scan of it shows the item, and none fails."""
        aged = replace(CHATS, name="aged")
        await db.ensure_tables([replace(aged, indexes=())])
        wrong: list[Item] = [{"score": "high"}, {"score": None}, {"user_id": 5}, {"user_id": True}, {"user_id": ""}]
        await put_all(db, "aged", [{**CHAT, "PK": f"w{number}", **keys} for number, keys in enumerate(wrong)])
        await db.put_item("aged", CHAT)
        await db.ensure_tables([aged])
        for condition, values in (("user_id = :u", {":u": "u"}), ("user_id = :u AND score > :s", {":u": "u", ":s": 1})):
            found = await db.query("aged", condition, values, index_name="ScoreIndex")
            assert [item["PK"] for item in found] == ["c1"]
        assert [item["PK"] for item in await db.scan("aged", index_name="ScoreIndex")] == ["c1"]

    async def test_an_index_that_is_declared_anew_with_other_keys_is_refused(self, db: DatabaseInterface) -> None:
        """Another process may be using it; it answers as before."""
        await db.ensure_tables([CHATS])
        await db.put_item("chats", CHAT)
        other = DatabaseInterface(db.driver, tables=[_with_index("room")], tenant=db.tenant_id, options=db.options)
        with pytest.raises(ConflictError, match="index UserIndex"):
            await other.ensure_tables()
        found = await db.query("chats", "user_id = :u", {":u": "u"}, index_name="UserIndex")
        assert_same(list(found), [CHAT])


def _with_index(partition_key: str) -> Table:
    index = Index(name="UserIndex", partition_key=partition_key, sort_key="created_at")
    return Table(name=CHATS.name, partition_key=CHATS.partition_key, sort_key=CHATS.sort_key, indexes=(index,))


class ExpiryCases:
    """Items that end."""

    async def test_an_expired_item_is_not_shown(self, db: DatabaseInterface) -> None:
        """By no kind of read, and never counted by a limit; one without a time, or with another value there, lives for ever."""
        await db.ensure_tables([SESSIONS])
        now = db.options.now()
        times: list[Any] = [now - 10, now + 1000, None, "soon", now - 1, now + 2000, Decimal(now) - Decimal("0.5")]
        items = [{"PK": "p", "SK": str(number), "expires": moment} for number, moment in enumerate(times)]
        await put_all(db, "sessions", [*items, {"PK": "p", "SK": "7"}])
        alive = ["1", "2", "3", "5", "7"]
        assert [item["SK"] for item in await db.query("sessions", "PK = :p", {":p": "p"})] == alive
        assert [item["SK"] for item in await db.query("sessions", "PK = :p", {":p": "p"}, limit=2)] == alive[:2]
        assert sorted([item["SK"] async for item in db.scan_all("sessions", limit=2)]) == alive
        assert await db.get_item("sessions", {"PK": "p", "SK": "0"}) is None
        assert await db.get_item("sessions", {"PK": "p", "SK": "1"}, projection_expression="SK") == {"SK": "1"}
        assert [
            item["SK"] for item in await db.batch_get("sessions", [{"PK": "p", "SK": str(number)} for number in range(8)])
        ] == alive
        found = await db.query(
            "sessions", "PK = :p", {":p": "p", ":s": "soon"}, filter_expression="expires = :s", projection_expression="SK"
        )
        assert list(found) == [{"SK": "3"}]

    @needs(Capability.EXPIRY)
    async def test_expired_items_are_removed(self, db: DatabaseInterface) -> None:
        """And only these."""
        await db.ensure_tables([SESSIONS])
        now = db.options.now()
        await put_all(db, "sessions", [{"PK": "p", "SK": str(n), "expires": now + n * 100} for n in range(-3, 3)])
        await db.put_item("sessions", {"PK": "p", "SK": "never"})
        removed = await db.expire("sessions")
        assert removed in {0, 4}
        assert len(await db.scan("sessions")) == 3
