"""Updates, case by case: what becomes of ``SAMPLE``, and what is refused."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from manor.data.documents import DatabaseInterface
from manor.data.documents.faults import ItemTooLarge, KeyRefused, OperandMissing, PathMissing, UpdateRefused, ValueRefused
from manor.errors import InputError
from manor.testing.documents.samples import CHATS, KEY, LARGEST, SAMPLE, assert_same


class Change(NamedTuple):
    """An update of ``SAMPLE``: the attributes that are different then; ``GONE`` is no attribute any more."""

    text: str
    values: dict[str, Any]
    after: dict[str, Any]
    names: dict[str, str] | None = None


GONE = object()
MAP = SAMPLE["map"]

CHANGES = [
    Change("SET new = :v", {":v": "x"}, {"new": "x"}),
    Change("SET text = :v, n = :w", {":v": None, ":w": b"b"}, {"text": None, "n": b"b"}),
    Change("set text = :v remove n", {":v": {"a": {1}}}, {"text": {"a": {1}}, "n": GONE}),
    Change("SET n = n + :v", {":v": 1}, {"n": 6}),
    Change("SET n = n - :v", {":v": Decimal("0.5")}, {"n": Decimal("4.5")}),
    Change("SET n = :v - n", {":v": 1}, {"n": -4}),
    Change("SET n = :v + :w", {":v": 1, ":w": 2}, {"n": 3}),
    Change("SET n = (n + :v)", {":v": 1}, {"n": 6}),
    Change("SET zero = big - :v", {":v": 1}, {"zero": LARGEST - 1}),
    Change("SET dec = dec + :v", {":v": Decimal("1E-37")}, {"dec": Decimal("1.5000000000000000000000000000000000001")}),
    Change("SET dec = dec + :v", {":v": Decimal("0.5")}, {"dec": 2}),
    Change("SET n = dec, dec = n", {}, {"n": Decimal("1.5"), "dec": 5}),
    Change("SET a = map.b, b = list[2].k", {}, {"a": {"c": "d"}, "b": "v"}),
    Change("SET map.a = :v", {":v": 2}, {"map": {**MAP, "a": 2}}),
    Change("SET map.z = :v", {":v": 2}, {"map": {**MAP, "z": 2}}),
    Change("SET map.b.c = :v, map.b.e = :w", {":v": 1, ":w": 2}, {"map": {**MAP, "b": {"c": 1, "e": 2}}}),
    Change("SET bare.a = :v", {":v": 1}, {"bare": {"a": 1}}),
    Change("SET list[1] = :v", {":v": "b"}, {"list": [1, "b", {"k": "v"}, [True]]}),
    Change("SET list[2].k = :v", {":v": "w"}, {"list": [1, "a", {"k": "w"}, [True]]}),
    Change("SET list[3][1] = :v", {":v": "w"}, {"list": [1, "a", {"k": "v"}, [True, "w"]]}),
    Change("SET list[9] = :v", {":v": "end"}, {"list": [*SAMPLE["list"], "end"]}),
    Change("SET list[9] = :v, list[7] = :w", {":v": "second", ":w": "first"}, {"list": [*SAMPLE["list"], "first", "second"]}),
    Change("SET nothing[3] = :v", {":v": 1}, {"nothing": [1]}),
    Change("SET list[0] = list[1], list[1] = list[0]", {}, {"list": ["a", 1, {"k": "v"}, [True]]}),
    Change("SET n = if_not_exists(n, :v)", {":v": 9}, {"n": 5}),
    Change("SET m = if_not_exists(m, :v)", {":v": 9}, {"m": 9}),
    Change("SET none = if_not_exists(none, :v)", {":v": 9}, {"none": None}),
    Change("SET m = if_not_exists(m, n)", {}, {"m": 5}),
    Change("SET m = if_not_exists(m, :z) + :o", {":z": 0, ":o": 1}, {"m": 1}),
    Change("SET m = :o + if_not_exists(map.count, :z)", {":z": 0, ":o": 1}, {"m": 1}),
    Change("SET list = list_append(list, :v)", {":v": [2, 3]}, {"list": [*SAMPLE["list"], 2, 3]}),
    Change("SET list = list_append(:v, list)", {":v": [0]}, {"list": [0, *SAMPLE["list"]]}),
    Change("SET log = list_append(if_not_exists(log, :e), :v)", {":e": [], ":v": ["x"]}, {"log": ["x"]}),
    Change("SET list[3] = list_append(list[3], :v)", {":v": [False]}, {"list": [1, "a", {"k": "v"}, [True, False]]}),
    Change("REMOVE text, n", {}, {"text": GONE, "n": GONE}),
    Change("REMOVE missing", {}, {}),
    Change("REMOVE map.a, map.b.c", {}, {"map": {"b": {}, "name": "x", "with.dot": 7}}),
    Change("REMOVE map.nothing", {}, {}),
    Change("REMOVE list[0]", {}, {"list": ["a", {"k": "v"}, [True]]}),
    Change("REMOVE list[0], list[2]", {}, {"list": ["a", [True]]}),
    Change("REMOVE list[2], list[0], list[1]", {}, {"list": [[True]]}),
    Change("REMOVE list[9]", {}, {}),
    Change("REMOVE list[2].k", {}, {"list": [1, "a", {}, [True]]}),
    Change("REMOVE list[0] SET list[1] = :v", {":v": "b"}, {"list": ["b", {"k": "v"}, [True]]}),
    Change("ADD n :v", {":v": 2}, {"n": 7}),
    Change("ADD n :v", {":v": Decimal("-7.5")}, {"n": Decimal("-2.5")}),
    Change("ADD m :v", {":v": 2}, {"m": 2}),
    Change("ADD map.a :v", {":v": 2}, {"map": {**MAP, "a": 3}}),
    Change("ADD map.z :v", {":v": 2}, {"map": {**MAP, "z": 2}}),
    Change("ADD ss :v", {":v": {"b", "c"}}, {"ss": {"a", "b", "c"}}),
    Change("ADD ns :v", {":v": {Decimal("2.50"), 7}}, {"ns": {1, 2, Decimal("2.5"), 7}}),
    Change("ADD bs :v", {":v": {b"b"}}, {"bs": {b"a", b"\xff", b"b"}}),
    Change("ADD tags :v", {":v": {"x"}}, {"tags": {"x"}}),
    Change("DELETE ss :v", {":v": {"a", "z"}}, {"ss": {"b"}}),
    Change("DELETE ss :v", {":v": {"a", "b"}}, {"ss": GONE}),
    Change("DELETE ns :v", {":v": {1, Decimal("2.5")}}, {"ns": {2}}),
    Change("DELETE missing :v", {":v": {"a"}}, {}),
    Change("ADD n :o, ss :s DELETE ns :d SET text = :t REMOVE dec", {":o": 1, ":s": {"c"}, ":d": {1}, ":t": "x"},
           {"n": 6, "ss": {"a", "b", "c"}, "ns": {2, Decimal("2.5")}, "text": "x", "dec": GONE}),
    Change("SET #t = :v, map.#d = :v REMOVE #s", {":v": 1}, {"text": 1, "map": {**MAP, "with.dot": 1}, "with space": GONE},
           {"#t": "text", "#d": "with.dot", "#s": "with space"}),
    Change("SET status = :v, #v = :v, size = :v", {":v": 1}, {"status": 1, "value": 1, "size": 1}, {"#v": "value"}),
]  # fmt: skip

REFUSED = [
    ("SET a = missing", {}),
    ("SET a = map.missing", {}),
    ("SET a = missing + :v", {":v": 1}),
    ("SET n = text + :v", {":v": 1}),
    ("SET n = n + :v", {":v": "1"}),
    ("SET n = none + :v", {":v": 1}),
    ("SET big = big + :v", {":v": 2}),
    ("SET dec = big + :v", {":v": Decimal("0.1")}),
    ("SET list = list_append(list, :v)", {":v": "x"}),
    ("SET text = list_append(text, :v)", {":v": ["x"]}),
    ("SET a = list_append(missing, :v)", {":v": ["x"]}),
    ("SET missing.a = :v", {":v": 1}),
    ("SET missing[0] = :v", {":v": 1}),
    ("SET map.x.y = :v", {":v": 1}),
    ("SET text.a = :v", {":v": 1}),
    ("SET map[0] = :v", {":v": 1}),
    ("SET list.a = :v", {":v": 1}),
    ("SET list[9].a = :v", {":v": 1}),
    ("REMOVE missing.a", {}),
    ("ADD text :v", {":v": 1}),
    ("ADD n :v", {":v": {1}}),
    ("ADD ss :v", {":v": {1}}),
    ("ADD list :v", {":v": {"a"}}),
    ("ADD missing.n :v", {":v": 1}),
    ("DELETE text :v", {":v": {"a"}}),
    ("DELETE ss :v", {":v": {1}}),
]


def changed(after: dict[str, Any]) -> dict[str, Any]:
    """``SAMPLE``, afterwards."""
    return {name: value for name, value in {**SAMPLE, **after}.items() if value is not GONE}


class UpdateCases:
    """What updates do, what they answer, and when they are refused."""

    @pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.text[:80])
    async def test_an_update_changes_what_it_names(self, db: DatabaseInterface, change: Change) -> None:
        """And nothing else; the answer is the item as it is then."""
        await db.put_item("things", SAMPLE)
        answer = await db.update_item("things", KEY, change.text, change.values, expression_names=change.names)
        assert_same(answer, changed(change.after))
        assert_same(await db.get_item("things", KEY), changed(change.after))

    @pytest.mark.parametrize(("text", "values"), REFUSED)
    async def test_an_update_that_cannot_be_applied_is_refused(
        self, db: DatabaseInterface, text: str, values: dict[str, Any]
    ) -> None:
        """With nothing changed, and the table and key in the message."""
        await db.put_item("things", SAMPLE)
        with pytest.raises(UpdateRefused, match="things"):
            await db.update_item("things", KEY, text, values)
        assert_same(await db.get_item("things", KEY), SAMPLE)

    @pytest.mark.parametrize(
        ("text", "kind"),
        [("SET map.x.y = :v", PathMissing), ("REMOVE missing.a", PathMissing), ("SET b = b + :v", OperandMissing)],
    )
    async def test_a_refused_update_says_what_the_item_lacks(
        self, db: DatabaseInterface, text: str, kind: type[UpdateRefused]
    ) -> None:
        """A path that leads nowhere, or an attribute that is read."""
        await db.put_item("things", SAMPLE)
        with pytest.raises(kind):
            await db.update_item("things", KEY, text, {":v": 1} if ":v" in text else None)

    async def test_an_update_nests_no_deeper_than_an_item(self, db: DatabaseInterface) -> None:
        """32 levels, counted from the attribute, wherever the value goes and wherever it is compared."""
        deep: Any = "x"
        for _ in range(32):
            deep = [deep]
        await db.put_item("things", {**KEY, "m": {}})
        await db.update_item("things", KEY, "SET deep = :v", {":v": deep})
        for text, value in (("SET m.deep = :v", deep), ("SET deep = :v", [deep])):
            with pytest.raises(ValueRefused, match="deep"):
                await db.update_item("things", KEY, text, {":v": value})
        with pytest.raises(ValueRefused, match="deep"):
            await db.scan("things", "deep = :v", {":v": [deep]})

    async def test_an_update_makes_an_item_that_is_not_there(self, db: DatabaseInterface) -> None:
        """Of its key and what is set."""
        assert_same(
            await db.update_item("things", KEY, "ADD hits :one SET a = :a", {":one": 1, ":a": "x"}),
            {**KEY, "hits": 1, "a": "x"},
        )
        assert_same(await db.update_item("things", {"PK": "q", "SK": "r"}, None), {"PK": "q", "SK": "r"})
        assert_same(await db.get_item("things", {"PK": "q", "SK": "r"}), {"PK": "q", "SK": "r"})

    async def test_a_refused_update_makes_no_item(self, db: DatabaseInterface) -> None:
        """Not even an empty one."""
        with pytest.raises(UpdateRefused):
            await db.update_item("things", KEY, "SET a.b = :v", {":v": 1})
        assert await db.get_item("things", KEY) is None

    async def test_an_update_answers_what_it_is_asked_for(self, db: DatabaseInterface) -> None:
        """Old and new, all of it and what was named."""
        item = {**KEY, "n": 1, "m": {"a": 1, "b": 2}, "l": ["x", "y"], "s": "t"}
        text = "SET n = n + :o, m.a = :o, l[1] = :o, fresh = :o REMOVE s"
        expected = {
            "NONE": {},
            "ALL_OLD": item,
            "UPDATED_OLD": {"n": 1, "m": {"a": 1}, "l": ["y"], "s": "t"},
            "ALL_NEW": {**KEY, "n": 2, "m": {"a": 1, "b": 2}, "l": ["x", 1], "fresh": 1},
            "UPDATED_NEW": {"n": 2, "m": {"a": 1}, "l": [1], "fresh": 1},
        }
        for word, answer in expected.items():
            await db.put_item("things", item)
            assert_same(await db.update_item("things", KEY, text, {":o": 1}, return_values=word), answer)

    async def test_an_update_of_nothing_has_no_old_item(self, db: DatabaseInterface) -> None:
        """The answer is empty."""
        for word in ("ALL_OLD", "UPDATED_OLD"):
            assert await db.update_item("things", {"PK": word, "SK": "s"}, "SET n = :v", {":v": 1}, return_values=word) == {}

    @pytest.mark.parametrize("text", ["SET PK = :v", "SET SK = :v", "REMOVE SK", "ADD PK :v", "SET PK.a = :v"])
    async def test_a_key_cannot_be_updated(self, db: DatabaseInterface, text: str) -> None:
        """Before anything is sent."""
        with pytest.raises(InputError, match="key"):
            await db.update_item("things", KEY, text, {":v": 1} if ":v" in text else None)

    async def test_a_key_of_an_index_keeps_its_type(self, db: DatabaseInterface) -> None:
        """Whether it is put or updated."""
        await db.ensure_tables([CHATS])
        for item in ({**KEY, "user_id": 5}, {**KEY, "score": "high"}, {**KEY, "room": ""}):
            with pytest.raises(KeyRefused):
                await db.put_item("chats", item)
        await db.put_item("chats", {**KEY, "score": 5})
        with pytest.raises(KeyRefused):
            await db.update_item("chats", KEY, "SET score = :v", {":v": "high"})
        assert_same(await db.get_item("chats", KEY), {**KEY, "score": 5})

    async def test_an_item_does_not_grow_beyond_its_limit(self, db: DatabaseInterface) -> None:
        """400 KiB, names included."""
        await db.put_item("things", {**KEY, "a": "x" * 300_000})
        with pytest.raises(ItemTooLarge):
            await db.update_item("things", KEY, "SET b = :v", {":v": "y" * 200_000})
        assert_same(await db.get_item("things", KEY), {**KEY, "a": "x" * 300_000})
