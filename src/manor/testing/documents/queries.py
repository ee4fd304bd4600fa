"""Queries and scans: keys, order, filters, projections, indexes, pages."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface
from manor.data.documents.capabilities import Capability
from manor.data.documents.faults import CursorRefused, ExpressionError
from manor.errors import InputError, RefusedError
from manor.testing.documents.samples import (
    KEY,
    NUMBERED,
    SINGLE,
    assert_same,
    calls,
    needs,
    new_tenant,
    put_all,
)

SORTS = ["", "A", "B", "Z", "a", "a#1", "a#10", "a#2", "a/", "aa", "b", "~", "é", "日", "\ufffd", "\U0001f600"]
"""In the order of UTF-8, which is that of code points."""
TEXT_RANGES: list[tuple[str, dict[str, Any], Any]] = [
    ("SK = :a", {":a": "a"}, lambda s: s == "a"),
    ("SK < :a", {":a": "a#10"}, lambda s: s < "a#10"),
    ("SK <= :a", {":a": "a#10"}, lambda s: s <= "a#10"),
    ("SK > :a", {":a": "b"}, lambda s: s > "b"),
    ("SK >= :a", {":a": "b"}, lambda s: s >= "b"),
    ("SK BETWEEN :a AND :b", {":a": "a", ":b": "a#2"}, lambda s: "a" <= s <= "a#2"),
    ("begins_with(SK, :a)", {":a": "a#"}, lambda s: s.startswith("a#")),
    ("begins_with(SK, :a)", {":a": "日"}, lambda s: s.startswith("日")),
    ("begins_with(SK, :a)", {":a": "\U0001f600"}, lambda s: s.startswith("\U0001f600")),
    ("SK > :a", {":a": "\U0001f600"}, lambda s: s > "\U0001f600"),
]
NUMBERS = [
    -(10**37),
    -100,
    -20,
    -3,
    Decimal("-0.5"),
    0,
    Decimal("1E-20"),
    Decimal("0.5"),
    1,
    Decimal("1.5"),
    2,
    9,
    10,
    11,
    100,
    10**37,
    10**37 + 1,
]
NUMBER_RANGES: list[tuple[str, dict[str, Any], Any]] = [
    ("at = :a", {":a": Decimal("1.50")}, lambda n: n == Decimal("1.5")),
    ("at < :a", {":a": 2}, lambda n: n < 2),
    ("at <= :a", {":a": -3}, lambda n: n <= -3),
    ("at > :a", {":a": 9}, lambda n: n > 9),
    ("at >= :a", {":a": 10**37 + 1}, lambda n: n > 10**37),
    ("at BETWEEN :a AND :b", {":a": -20, ":b": 1}, lambda n: -20 <= n <= 1),
]
BAD_KEY_CONDITIONS = [
    "SK = :a", "PK > :a", "PK = :a OR PK = :b", "PK = :a AND n = :b", "PK = :a AND SK <> :b", "NOT PK = :a",
    "PK = :a AND PK = :b", "PK = :a AND SK > :b AND SK < :c", "PK = :a AND contains(SK, :b)", "PK = :a AND SK IN (:b)",
    "PK = :a AND attribute_exists(SK)", "PK = SK", "size(PK) = :a", "begins_with(PK, :a)", "PK = :a AND (SK = :b OR SK = :c)",
]  # fmt: skip


def rows(count: int, *, partition: str = "p") -> list[dict[str, Any]]:
    """Items of one partition, ``n`` counting from 0."""
    return [{"PK": partition, "SK": f"{number:04}", "n": number, "even": number % 2 == 0} for number in range(count)]


DEEP_LEAVES = [
    "n = :seven",
    "size(n) > :zero",
    "contains(n, :word)",
    "contains(n, :seven)",
    "attribute_type(missing, :type)",
    "n BETWEEN :seven AND :seven",
    "begins_with(n, :word)",
    "n IN (:seven, :word, :word)",
]
"""Not true of any row."""


class QueryCases:
    """One partition, in order."""

    @pytest.mark.parametrize(("text", "values", "holds"), TEXT_RANGES)
    async def test_a_range_of_text(self, db: DatabaseInterface, text: str, values: dict[str, Any], holds: Any) -> None:
        """In the order of UTF-8, forwards and backwards, whatever locale the server has."""
        await put_all(db, "things", [{"PK": "p", "SK": sort} for sort in reversed(SORTS) if sort])
        await put_all(db, "things", [{"PK": "q", "SK": sort} for sort in SORTS if sort])
        wanted = [sort for sort in SORTS if sort and holds(sort)]
        parameters = ("things", f"PK = :pk AND {text}", {":pk": "p", **values})
        assert [item["SK"] for item in await db.query(*parameters)] == wanted
        assert [item["SK"] for item in await db.query(*parameters, scan_forward=False)] == wanted[::-1]

    @pytest.mark.parametrize(("text", "values", "holds"), NUMBER_RANGES)
    async def test_a_range_of_numbers(self, db: DatabaseInterface, text: str, values: dict[str, Any], holds: Any) -> None:
        """As numbers, not as their digits, and to the last of 38."""
        await db.ensure_tables([NUMBERED])
        await put_all(db, "numbered", [{"PK": "p", "at": number} for number in reversed(NUMBERS)])
        wanted = [number for number in NUMBERS if holds(number)]
        parameters = ("numbered", f"PK = :pk AND {text}", {":pk": "p", **values})
        assert [item["at"] for item in await db.query(*parameters)] == wanted
        assert [item["at"] for item in await db.query(*parameters, scan_forward=False)] == wanted[::-1]

    async def test_a_query_sees_its_partition_only(self, db: DatabaseInterface) -> None:
        """All of it, whole items, and nothing for one that is not there."""
        await put_all(db, "things", [*rows(3), *rows(2, partition="p2"), *rows(1, partition="P")])
        assert_same(list(await db.query("things", "PK = :p", {":p": "p"})), rows(3))
        assert_same(list(await db.query("things", "PK = :p", {":p": "p"}, consistent_read=True)), rows(3))
        assert list(await db.query("things", "PK = :p", {":p": "none"})) == []

    async def test_keys_may_stand_in_any_order_and_in_parentheses(self, db: DatabaseInterface) -> None:
        """And under aliases."""
        await put_all(db, "things", rows(3))
        for text, names in (
            ("SK = :s AND PK = :p", None),
            ("(PK = :p) AND (SK = :s)", None),
            ("#p = :p AND #s = :s", {"#p": "PK", "#s": "SK"}),
        ):
            found = await db.query("things", text, {":p": "p", ":s": "0001"}, expression_names=names)
            assert [item["n"] for item in found] == [1]

    @pytest.mark.parametrize("text", BAD_KEY_CONDITIONS)
    async def test_what_is_no_key_condition_is_refused(self, db: DatabaseInterface, text: str) -> None:
        """With the expression in the message and a hint."""
        values = {name: "v" for name in (":a", ":b", ":c") if name in text}
        with pytest.raises(ExpressionError):
            await db.query("things", text, values)

    async def test_keys_have_their_types(self, db: DatabaseInterface) -> None:
        """A value of another type is a mistake, not an empty answer."""
        for values in ({":p": 5}, {":p": ""}, {":p": None}):
            with pytest.raises(ExpressionError, match=":p"):
                await db.query("things", "PK = :p", values)
        with pytest.raises(ExpressionError, match=":s"):
            await db.query("things", "PK = :p AND SK > :s", {":p": "p", ":s": 5})
        with pytest.raises(ExpressionError, match="BETWEEN"):
            await db.query("things", "PK = :p AND SK BETWEEN :a AND :b", {":p": "p", ":a": "b", ":b": "a"})

    @pytest.mark.parametrize(
        ("text", "index", "position"),
        [
            ("SK = :v", None, 1),
            ("PK = :v AND PK = :v", None, 13),
            ("PK = :v AND SK = :v AND SK = :v", None, 25),
            ("PK > :v", None, 1),
            ("PK = :v AND n = :v", None, 13),
            ("PK = :v AND (SK = :v OR SK = :v)", None, 14),
            ("PK = :v AND SK <> :v", None, 13),
        ],
    )
    async def test_a_wrong_key_condition_is_pointed_at(
        self, db: DatabaseInterface, text: str, index: str | None, position: int
    ) -> None:
        """At its second half, where two are too many."""
        with pytest.raises(ExpressionError) as refused:
            await db.query("things", text, {":v": "p"}, index)
        assert refused.value.position == position
        assert str(refused.value).endswith("^")

    async def test_a_key_in_another_expression_is_pointed_at(self, db: DatabaseInterface) -> None:
        """In an update, and in the filter of a query."""
        with pytest.raises(ExpressionError) as refused:
            await db.update_item("things", KEY, "SET a = :v, PK = :v", {":v": 1})
        assert refused.value.position == 13
        with pytest.raises(ExpressionError) as refused:
            await db.query("things", "PK = :p", {":p": "p"}, filter_expression="a <> :p AND SK = :p")
        assert refused.value.position == 13

    @pytest.mark.parametrize(("text", "position"), [("#é = :v", 1), ("a = :é", 5), ("#né = :v", 1), ("a = :vé", 5)])
    async def test_aliases_and_names_of_values_are_ascii(self, db: DatabaseInterface, text: str, position: int) -> None:
        """As DynamoDB wants them; the names of attributes may be anything."""
        with pytest.raises(ExpressionError, match="A to Z") as refused:
            await db.scan("things", text, {":v": 1, ":é": 1, ":vé": 1}, expression_names={"#é": "a", "#né": "a"})
        assert refused.value.position == position

    async def test_a_filter_is_about_everything_but_the_key(self, db: DatabaseInterface) -> None:
        """The key belongs into the key condition, and the error says so."""
        with pytest.raises(ExpressionError, match="SK") as refused:
            await db.query("things", "PK = :p", {":p": "p", ":s": "s"}, filter_expression="SK = :s")
        assert "key_condition" in refused.value.hint

    async def test_a_query_shows_what_it_is_asked_for(self, db: DatabaseInterface) -> None:
        """With or without the keys."""
        await put_all(db, "things", [{**KEY, "a": {"b": 1, "c": 2}, "l": [1, 2, 3], "date": "x"}])
        found = await db.query("things", "PK = :p", {":p": "p"}, projection_expression="a.b, l[1], date")
        assert_same(list(found), [{"a": {"b": 1}, "l": [2], "date": "x"}])
        found = await db.query("things", "PK = :p", {":p": "p"}, projection_expression="missing")
        assert list(found) == [{}]

    async def test_what_comes_back_is_the_callers(self, db: DatabaseInterface) -> None:
        """Changing it changes nothing that is stored."""
        await db.put_item("things", {**KEY, "l": [{"a": 1}], "s": {1}})
        for _ in range(2):
            found = [
                await db.get_item("things", KEY),
                *(await db.query("things", "PK = :p", {":p": "p"})),
                *(await db.scan("things")),
            ]
            for item in found:
                assert item is not None
                assert_same(item, {**KEY, "l": [{"a": 1}], "s": {1}})
                item["l"][0]["a"] = 2
                item["s"].add(2)

    @pytest.mark.parametrize("leaf", DEEP_LEAVES)
    @pytest.mark.parametrize("levels", [15, 16, 17, 40, 61])
    async def test_a_filter_can_be_as_deep_as_any_expression(self, db: DatabaseInterface, leaf: str, levels: int) -> None:
        """One that the backend cannot nest so far is judged elsewhere."""
        await put_all(db, "things", rows(2))
        for before, behind, turned in (("NOT (", ")", True), ("n = :seven OR (n < :seven AND (", "))", False)):
            count = levels if turned else levels // 2
            text = before * count + leaf + behind * count
            values = {":seven": 7, ":zero": 0, ":type": "N", ":word": "x"}
            used = {name: value for name, value in values.items() if name in text}
            found = await db.query("things", "PK = :p", {":p": "p", **used}, filter_expression=text)
            assert [item["n"] for item in found] == ([0, 1] if turned and count % 2 else [])


class PageCases:
    """Limits, cursors, and the end."""

    @pytest.mark.parametrize("forward", [True, False])
    @pytest.mark.parametrize("limit", [1, 3, 7, 10, 11, 100])
    async def test_pages_have_every_item_once(self, db: DatabaseInterface, limit: int, forward: bool) -> None:
        """In order, each page full but the last."""
        await put_all(db, "things", rows(10))
        seen: list[int] = []
        cursor = None
        while True:
            page = await db.query("things", "PK = :p", {":p": "p"}, limit=limit, scan_forward=forward, cursor=cursor)
            seen += [item["n"] for item in page]
            cursor = page.cursor
            if cursor is None:
                break
            assert len(page) == limit
        assert seen == (list(range(10)) if forward else list(range(9, -1, -1)))

    @pytest.mark.parametrize("number", [2**31, 2**63, 10**40])
    async def test_a_limit_beyond_all_there_is_brings_all(self, db: DatabaseInterface, number: int) -> None:
        """However large."""
        await put_all(db, "things", rows(3))
        assert len(await db.query("things", "PK = :p", {":p": "p"}, limit=number)) == 3
        assert len(await db.query("things", "PK = :p", {":p": "p"}, examine=number)) == 3

    async def test_a_limit_counts_what_the_filter_leaves(self, db: DatabaseInterface) -> None:
        """Not what was read for it; pages behind go on where it ended."""
        await put_all(db, "things", rows(20))
        parameters: dict[str, Any] = {"filter_expression": "even = :t", "limit": 4}
        first = await db.query("things", "PK = :p", {":p": "p", ":t": True}, **parameters)
        assert [item["n"] for item in first] == [0, 2, 4, 6]
        second = await db.query("things", "PK = :p", {":p": "p", ":t": True}, cursor=first.cursor, **parameters)
        assert [item["n"] for item in second] == [8, 10, 12, 14]
        third = await db.query("things", "PK = :p", {":p": "p", ":t": True}, cursor=second.cursor, **parameters)
        assert [item["n"] for item in third] == [16, 18]
        assert third.cursor is None

    @needs(Capability.EXAMINE_LIMIT)
    async def test_examine_bounds_what_is_read(self, db: DatabaseInterface) -> None:
        """Whatever matches, and the page says how much that was."""
        await put_all(db, "things", rows(20))
        parameters: dict[str, Any] = {"filter_expression": "n >= :n", "examine": 8}
        page = await db.query("things", "PK = :p", {":p": "p", ":n": 5}, **parameters)
        assert [item["n"] for item in page] == [5, 6, 7]
        assert page.scanned == 8
        page = await db.query("things", "PK = :p", {":p": "p", ":n": 5}, cursor=page.cursor, **parameters)
        assert [item["n"] for item in page] == list(range(8, 16))
        page = await db.query("things", "PK = :p", {":p": "p", ":n": 5}, cursor=page.cursor, **parameters)
        assert [item["n"] for item in page] == list(range(16, 20))
        assert (page.scanned, page.cursor) == (4, None)
        page = await db.scan("things", "n < :n", {":n": 0}, examine=6)
        assert (list(page), page.scanned) == ([], 6)
        assert page.cursor is not None

    async def test_a_page_goes_on_though_its_last_item_is_gone(self, db: DatabaseInterface) -> None:
        """The cursor is a place, not an item."""
        await put_all(db, "things", rows(6))
        page = await db.query("things", "PK = :p", {":p": "p"}, limit=3)
        await db.delete_item("things", {"PK": "p", "SK": "0002"})
        await db.put_item("things", {"PK": "p", "SK": "0002x", "n": 99})
        page = await db.query("things", "PK = :p", {":p": "p"}, limit=10, cursor=page.cursor)
        assert [item["n"] for item in page] == [99, 3, 4, 5]

    async def test_a_projection_does_not_disturb_paging(self, db: DatabaseInterface) -> None:
        """Though the keys are not in what is shown."""
        await put_all(db, "things", rows(7))
        found = [item async for item in db.query_all("things", "PK = :p", {":p": "p"}, limit=2, projection_expression="n")]
        assert found == [{"n": number} for number in range(7)]

    async def test_all_items_of_many_come_without_being_asked_again(self, db: DatabaseInterface) -> None:
        """More than one page of any backend, by query and by scan."""
        await db.batch_write("things", rows(1234))
        assert [item["n"] async for item in db.query_all("things", "PK = :p", {":p": "p"})] == list(range(1234))
        assert sorted([item["n"] async for item in db.scan_all("things")]) == list(range(1234))
        assert len(await db.query("things", "PK = :p", {":p": "p"}, limit=1200)) == 1200
        page = await db.query("things", "PK = :p", {":p": "p"})
        assert 0 < len(page) <= 1000
        assert page.cursor

    async def test_large_items_come_in_several_pages(self, db: DatabaseInterface) -> None:
        """Three megabytes, in order, each item once."""
        await put_all(
            db, "things", [{"PK": "p", "SK": f"{number:02}", "v": str(number % 10) * 200_000} for number in range(15)]
        )
        found = [item["SK"] async for item in db.query_all("things", "PK = :p", {":p": "p"})]
        assert found == [f"{number:02}" for number in range(15)]
        assert len(await db.query("things", "PK = :p", {":p": "p"}, limit=12)) == 12

    async def test_a_cursor_is_of_one_question(self, db: DatabaseInterface) -> None:
        """Another table, condition, value, order or tenant, and one that was changed: all refused, all in the same words."""
        await db.ensure_tables([SINGLE, NUMBERED])
        await put_all(db, "things", [*rows(5), *rows(5, partition="q")])
        cursor = (await db.query("things", "PK = :p", {":p": "p"}, limit=2)).cursor
        assert cursor is not None
        other = db.for_tenant(new_tenant())
        await other.ensure_tables()
        flipped = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]
        for ask in calls(
            lambda: db.query("things", "PK = :p", {":p": "q"}, cursor=cursor),
            lambda: db.query("things", "PK = :p AND SK > :s", {":p": "p", ":s": "0"}, cursor=cursor),
            lambda: db.query("things", "PK = :p", {":p": "p", ":n": 1}, filter_expression="n > :n", cursor=cursor),
            lambda: db.query("things", "PK = :p", {":p": "p"}, scan_forward=False, cursor=cursor),
            lambda: db.query("numbered", "PK = :p", {":p": "p"}, cursor=cursor),
            lambda: db.scan("things", cursor=cursor),
            lambda: other.query("things", "PK = :p", {":p": "p"}, cursor=cursor),
            *(
                (lambda bad=bad: db.query("things", "PK = :p", {":p": "p"}, cursor=bad))
                for bad in ("", "x", "!!", flipped, cursor + "AA", "é")
            ),
        ):
            with pytest.raises(CursorRefused):
                await ask()
        page = await db.query("things", "PK = :p", {":p": "p"}, limit=4, cursor=cursor)
        assert [item["n"] for item in page] == [2, 3, 4]

    async def test_a_cursor_tells_names_with_dots_from_paths(self, db: DatabaseInterface) -> None:
        """``x.y`` as a name, and ``y`` in ``x``, are two questions."""
        await put_all(db, "things", [{**row, "x.y": {"z": 1}, "x": {"y.z": 1}} for row in rows(3)])
        text, names = "#a.#b = :v", {"#a": "x.y", "#b": "z"}
        page = await db.scan("things", text, {":v": 1}, 1, expression_names=names)
        other = {"#a": "x", "#b": "y.z"}
        with pytest.raises(CursorRefused):
            await db.scan("things", text, {":v": 1}, 1, expression_names=other, cursor=page.cursor)

    @pytest.mark.parametrize("limit", [0, -1, 1.5, "3", True])
    async def test_a_limit_is_a_whole_number_from_one(self, db: DatabaseInterface, limit: Any) -> None:
        """Everything else is a mistake."""
        with pytest.raises(InputError, match="limit"):
            await db.query("things", "PK = :p", {":p": "p"}, limit=limit)


class ScanCases:
    """Everything there is, where that is allowed."""

    async def test_a_scan_finds_what_matches(self, db: DatabaseInterface) -> None:
        """In every partition; keys may be filtered by."""
        await put_all(db, "things", [*rows(3), *rows(3, partition="q")])
        assert len(await db.scan("things")) == 6
        found = await db.scan("things", "n > :n", {":n": 1}, projection_expression="PK, n")
        assert sorted(found, key=lambda item: item["PK"]) == [{"PK": "p", "n": 2}, {"PK": "q", "n": 2}]
        assert len(await db.scan("things", "PK = :p AND SK > :s", {":p": "q", ":s": "0000"})) == 2

    async def test_a_scan_goes_on_by_its_cursor(self, db: DatabaseInterface) -> None:
        """Every item once, with or without a filter."""
        await put_all(db, "things", [*rows(10), *rows(10, partition="q")])
        seen = [(item["PK"], item["n"]) async for item in db.scan_all("things", limit=3)]
        assert sorted(seen) == [(pk, n) for pk in "pq" for n in range(10)]
        seen = [(item["PK"], item["n"]) async for item in db.scan_all("things", "even = :t", {":t": True}, limit=3)]
        assert sorted(seen) == [(pk, n) for pk in "pq" for n in range(0, 10, 2)]

    async def test_a_scan_must_be_allowed(self, db: DatabaseInterface) -> None:
        """By the call, the table or the store; ``explain`` says why it is one, and what could be asked instead."""
        from dataclasses import replace

        db.tables["things"] = replace(db.tables["things"], allow_scans=False)
        with pytest.raises(RefusedError) as refused:
            await db.scan("things")
        assert "allow_scan" in refused.value.hint
        assert list(await db.scan("things", allow_scan=True)) == []
        told = await db.explain("things", filter_expression="PK = :p", expression_values={":p": "p"})
        assert told.scans
        assert any("PK" in reason for reason in told.reasons)
        told = await db.explain("things", "PK = :p", {":p": "a secret"})
        assert not told.scans
        assert "a secret" not in repr(told)
