"""Conditions and filters, case by case. What is expected was written down by hand, not computed."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from manor.data.documents import DatabaseInterface
from manor.data.documents.faults import ConditionFailed
from manor.data.documents.query.check import admit_values
from manor.data.documents.tagged import item_to_tagged, text_of
from manor.testing.documents.samples import KEY, LARGEST, SAMPLE, assert_same, calls


class Case(NamedTuple):
    """A condition about ``SAMPLE`` and whether it holds."""

    text: str
    values: dict[str, Any]
    holds: bool
    names: dict[str, str] | None = None


def one(text: str, value: Any, holds: bool, names: dict[str, str] | None = None) -> Case:
    """A condition with the one value ``:v``."""
    return Case(text, {":v": value}, holds, names)


EQUALITY = [
    one("text = :v", "hello", True),
    one("text = :v", "Hello", False),
    one("empty = :v", "", True),
    one("jp = :v", "日本語", True),
    one("n = :v", 5, True),
    one("n = :v", Decimal("5.0"), True),
    one("n = :v", "5", False),
    one("n = :v", True, False),
    one("yes = :v", True, True),
    one("yes = :v", 1, False),
    one("no = :v", 0, False),
    one("no = :v", False, True),
    one("none = :v", None, True),
    one("none = :v", "", False),
    one("none = :v", False, False),
    one("zero = :v", Decimal("-0.0"), True),
    one("big = :v", LARGEST, True),
    one("big = :v", LARGEST - 1, False),
    one("bin = :v", b"\x00\xff\x10", True),
    one("bin = :v", "\x00\xff\x10", False),
    one("list = :v", [1, "a", {"k": "v"}, [True]], True),
    one("list = :v", [1, "a", {"k": "v"}, [1]], False),
    one("list = :v", ["a", 1, {"k": "v"}, [True]], False),
    one("map = :v", {"with.dot": 7, "name": "x", "b": {"c": "d"}, "a": 1}, True),
    one("map = :v", {"a": 1}, False),
    one("ss = :v", {"b", "a"}, True),
    one("ss = :v", {"a"}, False),
    one("ns = :v", {Decimal("2.50"), 2, 1}, True),
    one("bs = :v", {b"\xff", b"a"}, True),
    one("ss = :v", ["a", "b"], False),
    one("nothing = :v", [], True),
    one("nothing = :v", {}, False),
    one("bare = :v", {}, True),
    one("missing = :v", None, False),
    one("missing = :v", "", False),
    one("text <> :v", "hello", False),
    one("text <> :v", "x", True),
    one("text <> :v", 5, True),
    one("missing <> :v", "x", True),
    one("missing <> :v", None, True),
    one("NOT missing = :v", "x", True),
    one("NOT missing <> :v", "x", False),
    one("none <> :v", None, False),
    one(":v = text", "hello", True),
    Case("text = text2", {}, False),
    Case("missing = missing2", {}, False),
    Case("missing <> missing2", {}, True),
    Case("map.a = list[0]", {}, True),
    Case("n = dec", {}, False),
    Case("n <> dec", {}, True),
]

ORDER = [
    one("n < :v", 6, True),
    one("n < :v", 5, False),
    one("n <= :v", 5, True),
    one("n > :v", Decimal("4.99"), True),
    one("n >= :v", 5, True),
    one("n > :v", 10, False),
    one("neg < :v", 0, True),
    one("neg > :v", -20, True),
    one("dec > :v", 1, True),
    one("big > :v", LARGEST - 1, True),
    one("big < :v", LARGEST, False),
    one("n < :v", "6", False),
    one("NOT n < :v", "6", True),
    one("text < :v", 6, False),
    one("text > :v", 6, False),
    one("text < :v", "hellp", True),
    one("text > :v", "Z", True),
    one("text > :v", "hell", True),
    one("text < :v", "hello ", True),
    one("jp > :v", "~", True),
    one("jp < :v", "\U0001f600", True),
    one("bin > :v", b"\x00\xfe\xff", True),
    one("bin < :v", b"\x01", True),
    one("yes > :v", 0, False),
    one("none < :v", 1, False),
    one("none >= :v", "", False),
    one("missing < :v", 1, False),
    one("missing >= :v", 1, False),
    one("NOT missing < :v", 1, True),
    one("list > :v", 0, False),
    one("dec < :v", Decimal("1.5000000000000000000000000000000000001"), True),
    one("dec < :v", Decimal("1.5"), False),
    Case("neg < n", {}, True),
    Case("dec < n", {}, True),
    Case("text < n", {}, False),
    one(":v > n", 6, True),
    Case("n BETWEEN :a AND :b", {":a": 5, ":b": 5}, True),
    Case("n BETWEEN :a AND :b", {":a": 6, ":b": 10}, False),
    Case("text BETWEEN :a AND :b", {":a": "h", ":b": "i"}, True),
    Case("text BETWEEN :a AND :b", {":a": 0, ":b": 9}, False),
    Case("missing BETWEEN :a AND :b", {":a": 0, ":b": 9}, False),
    Case("NOT missing BETWEEN :a AND :b", {":a": 0, ":b": 9}, True),
    Case("bin BETWEEN :a AND :b", {":a": b"", ":b": b"\x01"}, True),
    Case("dec BETWEEN neg AND n", {}, True),
    Case("n IN (:a, :b)", {":a": 1, ":b": Decimal(5)}, True),
    Case("n IN (:a, :b)", {":a": "5", ":b": 6}, False),
    Case("none IN (:a)", {":a": None}, True),
    Case("missing IN (:a)", {":a": None}, False),
    Case("NOT missing IN (:a)", {":a": None}, True),
    Case("list IN (:a, :b)", {":a": [], ":b": [1, "a", {"k": "v"}, [True]]}, True),
    Case("ss IN (:a)", {":a": {"b", "a"}}, True),
    Case("n IN (zero, dec, n2, map.a)", {}, False),
    Case("map.a IN (zero, list[0])", {}, True),
]

FUNCTIONS = [
    Case("attribute_exists(text)", {}, True),
    Case("attribute_exists(none)", {}, True),
    Case("attribute_exists(empty)", {}, True),
    Case("attribute_exists(missing)", {}, False),
    Case("attribute_not_exists(missing)", {}, True),
    Case("attribute_not_exists(none)", {}, False),
    Case("attribute_exists(map.b.c)", {}, True),
    Case("attribute_exists(map.b.c.d)", {}, False),
    Case("attribute_exists(text.x)", {}, False),
    Case("attribute_exists(list[3][0])", {}, True),
    Case("attribute_exists(list[4])", {}, False),
    Case("attribute_exists(map[0])", {}, False),
    Case("attribute_exists(list.a)", {}, False),
    Case("attribute_exists(PK)", {}, True),
    *(
        one(f"attribute_type({name}, :v)", kind, True)
        for name, kind in {
            "text": "S",
            "n": "N",
            "dec": "N",
            "bin": "B",
            "yes": "BOOL",
            "none": "NULL",
            "list": "L",
            "map": "M",
            "ss": "SS",
            "ns": "NS",
            "bs": "BS",
            "nothing": "L",
            "bare": "M",
            "empty": "S",
        }.items()
    ),
    one("attribute_type(n, :v)", "S", False),
    one("attribute_type(yes, :v)", "N", False),
    one("attribute_type(list, :v)", "SS", False),
    one("attribute_type(missing, :v)", "NULL", False),
    one("attribute_type(list[2].k, :v)", "S", True),
    one("begins_with(text, :v)", "he", True),
    one("begins_with(text, :v)", "", True),
    one("begins_with(text, :v)", "hello!", False),
    one("begins_with(text, :v)", "%e", False),
    one("begins_with(text, :v)", "h_", False),
    one("begins_with(jp, :v)", "日", True),
    one("begins_with(bin, :v)", b"\x00\xff", True),
    one("begins_with(bin, :v)", b"\xff", False),
    one("begins_with(bin, :v)", "\x00", False),
    one("begins_with(n, :v)", "5", False),
    one("begins_with(missing, :v)", "", False),
    one("begins_with(list[1], :v)", "a", True),
    one("contains(text, :v)", "ell", True),
    one("contains(text, :v)", "", True),
    one("contains(text, :v)", "ELL", False),
    one("contains(text, :v)", "_", False),
    one("contains(text, :v)", 5, False),
    one("contains(jp, :v)", "本", True),
    one("contains(bin, :v)", b"\xff\x10", True),
    one("contains(bin, :v)", b"\x10\xff", False),
    one("contains(ss, :v)", "a", True),
    one("contains(ss, :v)", "ab", False),
    one("contains(ss, :v)", 1, False),
    one("contains(ns, :v)", Decimal("2.50"), True),
    one("contains(ns, :v)", 3, False),
    one("contains(bs, :v)", b"\xff", True),
    one("contains(list, :v)", "a", True),
    one("contains(list, :v)", 1, True),
    one("contains(list, :v)", True, False),
    one("contains(list, :v)", {"k": "v"}, True),
    one("contains(list, :v)", [True], True),
    one("contains(list, :v)", [1], False),
    one("contains(map, :v)", "a", False),
    one("contains(n, :v)", 5, False),
    one("contains(missing, :v)", "a", False),
    one("NOT contains(missing, :v)", "a", True),
    Case("contains(list, map.a)", {}, True),
    Case("contains(text, missing)", {}, False),
    one("contains(:v, text)", ["x", "hello"], True),
    one("size(text) = :v", 5, True),
    one("size(jp) = :v", 3, True),
    one("size(empty) = :v", 0, True),
    one("size(bin) = :v", 3, True),
    one("size(list) = :v", 4, True),
    one("size(map) = :v", 4, True),
    one("size(ss) = :v", 2, True),
    one("size(ns) > :v", 2, True),
    one("size(bare) < :v", 1, True),
    one("size(list[3]) = :v", 1, True),
    one("size(n) >= :v", 0, False),
    one("size(none) >= :v", 0, False),
    one("size(yes) = :v", 1, False),
    one("size(missing) >= :v", 0, False),
    one("size(missing) <> :v", 0, True),
    one("NOT size(missing) >= :v", 0, True),
    Case("size(text) BETWEEN :a AND :b", {":a": 1, ":b": 5}, True),
    Case("size(text) IN (:a, n)", {":a": 1}, True),
    Case("size(text) = size(list)", {}, False),
    one(":v < size(text)", 4, True),
    one("size(text) = :v", "5", False),
]

LOGIC = [
    Case("n = :a AND text = :b", {":a": 5, ":b": "hello"}, True),
    Case("n = :a AND text = :b", {":a": 5, ":b": "x"}, False),
    Case("n = :a OR text = :b", {":a": 0, ":b": "hello"}, True),
    Case("n = :a OR text = :b", {":a": 0, ":b": "x"}, False),
    Case("n = :a OR n = :b AND text = :c", {":a": 5, ":b": 0, ":c": "x"}, True),
    Case("(n = :a OR n = :b) AND text = :c", {":a": 5, ":b": 0, ":c": "x"}, False),
    Case("NOT n = :a AND text = :b", {":a": 5, ":b": "hello"}, False),
    Case("NOT (n = :a AND text = :b)", {":a": 5, ":b": "x"}, True),
    Case("NOT NOT n = :a", {":a": 5}, True),
    Case("not n = :a or n = :a", {":a": 5}, True),
    Case("NOT (attribute_exists(missing) OR missing = :a)", {":a": 1}, True),
    Case("attribute_exists(text) AND NOT (attribute_not_exists(n) OR n < :a)", {":a": 5}, True),
    Case("n BETWEEN :a AND :b AND text = :c", {":a": 1, ":b": 9, ":c": "hello"}, True),
    Case("(((n = :a)))", {":a": 5}, True),
    Case("( n ) = ( :a )", {":a": 5}, True),
]

NAMES = [
    Case("#n = :v", {":v": "hello"}, True, {"#n": "text"}),
    Case("#m.#b.c = :v", {":v": "d"}, True, {"#m": "map", "#b": "b"}),
    Case("map.name = :v", {":v": "x"}, True),
    Case("#d = :v", {":v": "dotted"}, True, {"#d": "with.dot"}),
    Case("map.#d = :v", {":v": 7}, True, {"#d": "with.dot"}),
    Case("#s = :v", {":v": "spaced"}, True, {"#s": "with space"}),
    Case("#l[2].#k = :v", {":v": "v"}, True, {"#l": "list", "#k": "k"}),
    Case("begins_with(#n, :v) AND size(#n) = :s", {":v": "h", ":s": 5}, True, {"#n": "text"}),
    Case("attribute_not_exists(#n)", {}, True, {"#n": "with.nothing"}),
    Case("#q = :v", {":v": 1}, False, {"#q": 'it\'s "quoted" \\ $.x[0]'}),
    Case("status = :v OR date = :v OR value = :v OR size = :v", {":v": 1}, False),
]

CASES = [*EQUALITY, *ORDER, *FUNCTIONS, *LOGIC, *NAMES]


def shown(case: Case) -> str:
    """A test's name, the same in every process."""
    values = text_of(item_to_tagged(admit_values(case.values)))
    return f"{case.text} {values}"[:100].encode("ascii", "replace").decode()


class ConditionCases:
    """Every condition twice: as the filter of a query, and as the condition of a write."""

    @pytest.mark.parametrize("case", CASES, ids=shown)
    async def test_a_filter_keeps_what_it_holds_for(self, db: DatabaseInterface, case: Case) -> None:
        """The item comes back whole, or not at all."""
        await db.put_item("things", SAMPLE)
        found = await db.query(
            "things",
            "PK = :pk",
            {":pk": "p", **case.values},
            filter_expression=case.text.replace("attribute_exists(PK)", "attribute_exists(text)"),
            expression_names=case.names,
        )
        assert len(found) == case.holds
        if found:
            assert_same(found[0], SAMPLE)

    @pytest.mark.parametrize("case", CASES, ids=shown)
    async def test_a_condition_lets_a_write_through_or_not(self, db: DatabaseInterface, case: Case) -> None:
        """A refused write leaves the item as it was, and the error brings it."""
        await db.put_item("things", SAMPLE)
        update = db.update_item(
            "things", KEY, "SET touched = :t", {**case.values, ":t": True}, case.text, expression_names=case.names
        )
        if case.holds:
            assert_same(await update, {**SAMPLE, "touched": True})
            return
        with pytest.raises(ConditionFailed) as failed:
            await update
        assert_same(failed.value.item, SAMPLE)
        assert_same(await db.get_item("things", KEY), SAMPLE)

    @pytest.mark.parametrize(
        ("text", "holds"),
        [
            ("attribute_not_exists(PK)", True),
            ("attribute_exists(PK)", False),
            ("n = :v", False),
            ("n <> :v", True),
            ("NOT n = :v", True),
            ("size(n) < :v", False),
            ("n IN (:v)", False),
        ],
    )
    async def test_an_item_that_is_not_there_is_one_without_attributes(
        self, db: DatabaseInterface, text: str, holds: bool
    ) -> None:
        """Conditions of puts, updates and deletes alike; the error brings None."""
        values = {":v": 1} if ":v" in text else None
        for write in calls(
            lambda: db.put_item("things", {"PK": "put", "SK": "s"}, text, expression_values=values),
            lambda: db.update_item("things", {"PK": "updated", "SK": "s"}, None, values, text),
            lambda: db.delete_item("things", {"PK": "deleted", "SK": "s"}, text, expression_values=values),
        ):
            if holds:
                await write()
                continue
            with pytest.raises(ConditionFailed) as failed:
                await write()
            assert failed.value.item is None
        assert (await db.get_item("things", {"PK": "put", "SK": "s"}) is not None) == holds
