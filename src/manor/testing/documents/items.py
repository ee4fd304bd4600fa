"""Single items: what is stored, what comes back, and what is refused."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import copy
import enum
from decimal import Context, Decimal
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface
from manor.data.documents.capabilities import Capability
from manor.data.documents.faults import ConditionFailed, ItemTooLarge, ValueRefused
from manor.testing.documents.samples import KEY, LARGEST, SAMPLE, assert_same, calls, needs

NUMBERS: list[int | Decimal] = [
    0, 1, -1, 7, 10, -100, 2**31, 2**63, 2**64 + 1, LARGEST, -LARGEST, 10**37,
    Decimal("0.1"), Decimal("-0.1"), Decimal("1.10"), Decimal("100.00"), Decimal("1E+3"), Decimal("0.30000000000000004"),
    Decimal("3.1415926535897932384626433832795028841"), Decimal("123456789012345678.90123456789012345678"),
]  # fmt: skip
EXTREMES = [
    Decimal("1E-130"),
    Decimal("-1E-130"),
    Decimal("9.9999999999999999999999999999999999999E+125"),
    Decimal("1E+125"),
    10**60,
]
TEXTS = [
    "", " ", "plain", "日本語", "é", "e\u0301", "\U0001f600", "'; DROP TABLE x; --", '"quoted"', "back\\slash", "$.a[0]", "%_",
    "line\nbreak\ttab\r", "null", "true", "{}", "[]", "\ufeffbom", "\u2028", "x" * 5000,
]  # fmt: skip
NAMES = [
    "a.b",
    "a b",
    "日本語",
    "$ref",
    "_id",
    "id",
    "ttl",
    "tenant_id",
    "pk",
    "data",
    "item",
    "'",
    '"',
    "a\\b",
    "#a",
    ":a",
    "a[0]",
    "x" * 300,
]
NESTED: list[Any] = [
    [], {}, [[]], [{}], {"a": {}}, [None, True, False, 0, "", b""], {"a": [{"b": [1, {"c": {1, 2}}]}]}, {"e": ""},
    {"s": {"a"}, "n": {Decimal("0.5")}, "b": {b"\x00"}}, [[[[[["deep"]]]]]],
]  # fmt: skip
REFUSED: list[tuple[Any, str]] = [
    (1.5, "float"),
    (float("nan"), "float"),
    (Decimal("NaN"), "NaN"),
    (Decimal("Infinity"), "infinit"),
    (10**38 + 1, "38"),
    (Decimal("1.00000000000000000000000000000000000001"), "38"),
    (Decimal("1E+126"), "magnitude"),
    (Decimal("1E-131"), "magnitude"),
    (set(), "empty"),
    ({1, "a"}, "mixes"),
    ({None}, "sets hold"),
    ({True}, "sets hold"),
    ({(1, 2)}, "sets hold"),
    ((1, 2), "tuple"),
    (object(), "object"),
    ({1: "a"}, "names"),
    ({"": "a"}, "empty"),
    ("half \ud800", "surrogate"),
]


def refused_name(value: Any) -> str:
    """A test's name, the same in every process: neither addresses nor the order of a set."""
    if type(value) is set:
        return f"set of {sorted(map(str, value))}"
    return type(value).__name__ if type(value) is object else ascii(value)[:30]


class Colour(enum.StrEnum):
    """A string with a class of its own."""

    RED = "red"


class ItemCases:
    """Put, get, delete, and values that come back as they went."""

    async def test_one_of_everything_comes_back_as_it_went(self, db: DatabaseInterface) -> None:
        """In value and type, and the caller's item is not touched."""
        given = copy.deepcopy(SAMPLE)
        assert await db.put_item("things", given) is None
        assert_same(given, SAMPLE)
        assert_same(await db.get_item("things", KEY), SAMPLE)
        assert_same(await db.get_item("things", KEY, True), SAMPLE)

    @needs(Capability.CONSISTENT_READS)
    async def test_a_consistent_read_sees_what_was_answered_before(self, db: DatabaseInterface) -> None:
        """By every kind of read, for many writes one after the other."""
        for number in range(20):
            await db.put_item("things", {**KEY, "n": number})
            found = await db.get_item("things", KEY, consistent_read=True)
            assert found == {**KEY, "n": number}
            assert await db.batch_get("things", [KEY], consistent_read=True) == [found]
            assert list(await db.query("things", "PK = :p", {":p": "p"}, consistent_read=True)) == [found]
            assert list(await db.scan("things", consistent_read=True)) == [found]

    @pytest.mark.parametrize("number", NUMBERS, ids=str)
    async def test_a_number_is_exact(self, db: DatabaseInterface, number: int | Decimal) -> None:
        """To 38 digits, in items, lists and sets; whole ones are int, the others Decimal without trailing zeros."""
        await db.put_item("things", {**KEY, "v": number, "l": [number], "s": {number}})
        found = await db.get_item("things", KEY)
        assert found is not None
        assert found["v"] == found["l"][0] == next(iter(found["s"])) == number
        assert type(found["v"]) is (int if number == int(number) else Decimal)
        assert str(found["v"]) == str(int(number) if type(found["v"]) is int else Decimal(number).normalize(Context(prec=38)))

    @pytest.mark.parametrize("number", EXTREMES, ids=str)
    @needs(Capability.FULL_NUMBER_RANGE)
    async def test_a_number_is_exact_at_the_ends_of_the_range(self, db: DatabaseInterface, number: int | Decimal) -> None:
        """From 1E-130 to 9.99E+125, and comparable there."""
        await db.put_item("things", {**KEY, "v": number})
        found = await db.get_item("things", KEY)
        assert found is not None
        assert found["v"] == number
        assert len(await db.scan("things", "v = :v", {":v": number})) == 1
        assert len(await db.scan("things", "v < :v", {":v": number})) == 0

    @pytest.mark.parametrize("text", TEXTS, ids=ascii)
    async def test_a_text_is_nobodys_business(self, db: DatabaseInterface, text: str) -> None:
        """Not normalised, cut, escaped or run; as a value, in a set, and as what is asked for."""
        item = {**KEY, "v": text, "s": {text}, "l": [text], "m": {"k": text}}
        await db.put_item("things", item)
        assert_same(await db.get_item("things", KEY), item)
        assert len(await db.scan("things", "v = :v AND contains(s, :v) AND contains(l, :v) AND m.k IN (:v)", {":v": text})) == 1

    @needs(Capability.ANY_TEXT)
    async def test_even_the_character_zero_is_text(self, db: DatabaseInterface) -> None:
        """In values, names and keys."""
        item = {"PK": "a\0b", "SK": "\0", "v": "\0", "n\0": 1, "s": {"\0a"}}
        await db.put_item("things", item)
        assert_same(await db.get_item("things", {"PK": "a\0b", "SK": "\0"}), item)
        assert (
            len(
                await db.query(
                    "things", "PK = :p AND SK = :s", {":p": "a\0b", ":s": "\0", ":v": "\0"}, filter_expression="v = :v"
                )
            )
            == 1
        )

    @pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:30])
    async def test_an_attribute_can_have_any_name(self, db: DatabaseInterface, name: str) -> None:
        """At the top and inside of maps; found again by its alias, and never mistaken for something of the backend's."""
        item = {**KEY, name: "v", "m": {name: "w"}}
        await db.put_item("things", item)
        assert_same(await db.get_item("things", KEY), item)
        aliases = {"#n": name}
        assert len(await db.scan("things", "#n = :v AND m.#n = :w", {":v": "v", ":w": "w"}, expression_names=aliases)) == 1
        assert_same(await db.update_item("things", KEY, "REMOVE #n, m.#n", expression_names=aliases), {**KEY, "m": {}})

    @pytest.mark.parametrize("value", NESTED, ids=repr)
    async def test_nested_values_keep_their_shape(self, db: DatabaseInterface, value: Any) -> None:
        """Empty lists and maps, sets and binary inside of maps, lists in lists."""
        await db.put_item("things", {**KEY, "v": value})
        assert_same(await db.get_item("things", KEY), {**KEY, "v": value})
        assert len(await db.scan("things", "v = :v", {":v": value})) == 1

    async def test_values_nest_to_32_levels(self, db: DatabaseInterface) -> None:
        """And no deeper."""
        deep: Any = "x"
        for _ in range(32):
            deep = [deep]
        await db.put_item("things", {**KEY, "v": deep})
        assert_same(await db.get_item("things", KEY), {**KEY, "v": deep})
        with pytest.raises(ValueRefused):
            await db.put_item("things", {**KEY, "v": [deep]})

    async def test_relatives_of_plain_types_are_stored_as_these(self, db: DatabaseInterface) -> None:
        """A member of a StrEnum is a str, a frozenset a set, a bytearray bytes."""
        await db.put_item("things", {**KEY, "e": Colour.RED, "f": frozenset({1}), "b": bytearray(b"x")})
        assert_same(await db.get_item("things", KEY), {**KEY, "e": "red", "f": {1}, "b": b"x"})

    @pytest.mark.parametrize(("value", "word"), REFUSED, ids=refused_name)
    async def test_what_cannot_be_held_is_refused(self, db: DatabaseInterface, value: Any, word: str) -> None:
        """Wherever it stands, with its place in the message, and nothing is stored."""
        for write in calls(
            lambda: db.put_item("things", {**KEY, "a": {"b": [0, value]}}),
            lambda: db.update_item("things", KEY, "SET a = :v", {":v": {"b": [0, value]}}),
            lambda: db.batch_write("things", [{**KEY, "a": {"b": [0, value]}}]),
        ):
            with pytest.raises(ValueRefused, match=rf"b\[1\](?s:.*){word}"):
                await write()
        assert await db.get_item("things", KEY) is None

    async def test_a_put_replaces_the_whole_item(self, db: DatabaseInterface) -> None:
        """Attributes of the old one do not shine through; its answer is the old one where it is wanted."""
        await db.put_item("things", {**KEY, "a": 1, "b": 2})
        assert_same(await db.put_item("things", {**KEY, "c": 3}, return_values="ALL_OLD"), {**KEY, "a": 1, "b": 2})
        assert_same(await db.get_item("things", KEY), {**KEY, "c": 3})
        assert await db.put_item("things", {"PK": "new", "SK": "s"}, return_values="ALL_OLD") is None

    async def test_a_delete_removes_the_item(self, db: DatabaseInterface) -> None:
        """Once; again is no error, and answers with nothing."""
        await db.put_item("things", SAMPLE)
        assert_same(await db.delete_item("things", KEY, return_values="ALL_OLD"), SAMPLE)
        assert await db.get_item("things", KEY) is None
        assert await db.delete_item("things", KEY, return_values="ALL_OLD") is None
        assert await db.delete_item("things", KEY) is None

    async def test_a_refused_put_or_delete_brings_the_item(self, db: DatabaseInterface) -> None:
        """As it was, and it still is."""
        await db.put_item("things", SAMPLE)
        for write in calls(
            lambda: db.put_item("things", KEY, "attribute_not_exists(PK)"),
            lambda: db.delete_item("things", KEY, "n > :v", expression_values={":v": 5}),
        ):
            with pytest.raises(ConditionFailed) as failed:
                await write()
            assert_same(failed.value.item, SAMPLE)
        assert_same(await db.get_item("things", KEY), SAMPLE)

    async def test_a_read_shows_what_it_is_asked_for(self, db: DatabaseInterface) -> None:
        """Paths that lead nowhere are left out; elements of lists close ranks."""
        await db.put_item("things", SAMPLE)
        found = await db.get_item(
            "things",
            KEY,
            projection_expression="n, map.b.c, map.#d, list[2], list[0], missing, map.missing, PK",
            expression_names={"#d": "with.dot"},
        )
        assert_same(found, {"PK": "p", "n": 5, "map": {"b": {"c": "d"}, "with.dot": 7}, "list": [1, {"k": "v"}]})
        assert await db.get_item("things", KEY, projection_expression="missing") == {}
        assert await db.get_item("things", {"PK": "no", "SK": "no"}, projection_expression="n") is None

    async def test_a_large_item_comes_back(self, db: DatabaseInterface) -> None:
        """Of 100 KB."""
        item = {**KEY, "text": "日本" * 10_000, "bytes": bytes(range(256)) * 150}
        await db.put_item("things", item)
        assert_same(await db.get_item("things", KEY), item)

    @needs(Capability.LARGE_ITEMS)
    async def test_an_item_has_at_most_400_kib(self, db: DatabaseInterface) -> None:
        """Names and values counted in UTF-8; one byte more is refused."""
        room = 400 * 1024 - len("PKpSKsv")
        await db.put_item("things", {**KEY, "v": "x" * room})
        found = await db.get_item("things", KEY)
        assert found is not None
        assert len(found["v"]) == room
        for value in ("x" * (room + 1), "é" * (room // 2 + 1), b"x" * (room + 1)):
            with pytest.raises(ItemTooLarge, match="bytes"):
                await db.put_item("things", {**KEY, "v": value})
