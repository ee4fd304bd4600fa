"""Single items: what is stored, what comes back, and what is refused."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import copy
import enum
from decimal import Context, Decimal
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface, Key, Table
from manor.data.documents.capabilities import Capability
from manor.data.documents.faults import ConditionFailed, ExpressionError, ItemTooLarge, KeyRefused, TableMissing, ValueRefused
from manor.errors import ConflictError, InputError, ManorError
from manor.testing.documents.samples import BINARY, KEY, LARGEST, NUMBERED, SAMPLE, SINGLE, assert_same, calls, needs

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


class KeyCases:
    """Keys of every type, and keys that are none."""

    @pytest.mark.parametrize(
        "other",
        [
            Table(name="things", partition_key="PK", allow_scans=True),
            Table(name="things", partition_key=Key("PK", "N"), sort_key="SK", allow_scans=True),
            Table(name="things", partition_key="P2", sort_key="S2", allow_scans=True),
        ],
        ids=["fewer", "type", "names"],
    )
    @pytest.mark.parametrize("ensured", [True, False])
    async def test_a_table_that_is_declared_with_other_keys_is_not_used(
        self, db: DatabaseInterface, other: Table, ensured: bool
    ) -> None:
        """Whether or not its declaration was refused before: nothing is written by a key that the table does not have."""
        await db.put_item("things", SAMPLE)
        wrong = DatabaseInterface(db.driver, tables=[other], tenant=db.tenant_id, options=db.options)
        key = {one.name: 1 if one.type == "N" else KEY["PK"] for one in other.keys}
        if ensured:
            with pytest.raises(ConflictError, match="other keys"):
                await wrong.ensure_tables()
        for call in calls(
            lambda: wrong.put_item("things", {**key, "n": 1}),
            lambda: wrong.put_item("things", key, "attribute_not_exists(n)"),
            lambda: wrong.update_item("things", key, "SET n = :n", {":n": 1}),
            lambda: wrong.delete_item("things", key),
            lambda: wrong.get_item("things", key),
            lambda: wrong.batch_get("things", [key]),
            lambda: wrong.batch_write("things", [key]),
            lambda: wrong.transaction_write([{"type": "Put", "table": "things", "item": key}]),
        ):
            with pytest.raises(ManorError):
                await call()
        assert_same(list(await db.scan("things")), [SAMPLE])

    @pytest.mark.parametrize(
        "text",
        [*(text for text in TEXTS if text and len(text) < 1000), "a#b", "a/b", "a\\b", "a?b", "..", "/", "a|b", "x" * 1000],
        ids=lambda t: ascii(t)[:30],
    )
    async def test_a_key_can_be_any_text(self, db: DatabaseInterface, text: str) -> None:
        """Also what separates keys elsewhere; two of them never become one."""
        await db.ensure_tables([SINGLE])
        keys = [{"PK": text, "SK": "s"}, {"PK": "s", "SK": text}, {"PK": text, "SK": text}, {"PK": text + "#", "SK": "s"}]
        for number, key in enumerate(keys):
            await db.put_item("things", {**key, "n": number})
        for number, key in enumerate(keys):
            assert_same(await db.get_item("things", key), {**key, "n": number})
        await db.put_item("single", {"name": text, "n": 1})
        assert_same(await db.get_item("single", {"name": text}), {"name": text, "n": 1})
        assert_same(list(await db.query("single", "name = :n", {":n": text})), [{"name": text, "n": 1}])

    async def test_keys_that_look_alike_are_different(self, db: DatabaseInterface) -> None:
        """However they are joined."""
        pairs = [
            ("a#b", "c"),
            ("a", "b#c"),
            ("a/b", "c"),
            ("a", "b/c"),
            ("a|b", "c"),
            ("A", "b"),
            ("a", "b"),
            ("a ", "b"),
            ("a", "b "),
        ]
        for number, (pk, sk) in enumerate(pairs):
            await db.put_item("things", {"PK": pk, "SK": sk, "n": number})
        for number, (pk, sk) in enumerate(pairs):
            assert_same(await db.get_item("things", {"PK": pk, "SK": sk}), {"PK": pk, "SK": sk, "n": number})

    async def test_equal_numbers_are_one_key(self, db: DatabaseInterface) -> None:
        """However they are written."""
        await db.ensure_tables([NUMBERED])
        await db.put_item("numbered", {"PK": "p", "at": Decimal("1.50"), "v": 1})
        await db.put_item("numbered", {"PK": "p", "at": Decimal("1.5"), "v": 2})
        await db.put_item("numbered", {"PK": "p", "at": 10, "v": 3})
        assert_same(
            await db.get_item("numbered", {"PK": "p", "at": Decimal("15E-1")}), {"PK": "p", "at": Decimal("1.5"), "v": 2}
        )
        assert_same(await db.get_item("numbered", {"PK": "p", "at": Decimal("1E+1")}), {"PK": "p", "at": 10, "v": 3})
        assert len(await db.scan("numbered")) == 2

    @needs(Capability.BINARY_KEYS)
    async def test_bytes_are_keys(self, db: DatabaseInterface) -> None:
        """Any bytes, in the order of unsigned bytes."""
        await db.ensure_tables([BINARY])
        sorts = [b"\x00", b"\x00\x00", b"\x01", b"a", b"a\x00", b"\x7f", b"\x80", b"\xff", b"\xff\xff"]
        for sort in reversed(sorts):
            await db.put_item("binary", {"hash": b"\xff\x00", "range": sort})
        found = await db.query("binary", "hash = :h", {":h": b"\xff\x00"})
        assert [item["range"] for item in found] == sorts
        found = await db.query("binary", "hash = :h AND begins_with(range, :r)", {":h": b"\xff\x00", ":r": b"\x00"})
        assert [item["range"] for item in found] == [b"\x00", b"\x00\x00"]

    @needs(Capability.LONG_KEYS)
    async def test_keys_are_as_long_as_they_may_be(self, db: DatabaseInterface) -> None:
        """2048 bytes of partition key and 1024 of sort key, told apart by the last one."""
        keys = [{"PK": "x" * 2047 + end, "SK": "é" * 511 + "z" + end} for end in "ab"]
        for key in keys:
            await db.put_item("things", {**key, "v": key["PK"][-1]})
        for key in keys:
            assert_same(await db.get_item("things", key), {**key, "v": key["PK"][-1]})

    @pytest.mark.parametrize(
        "key",
        [
            {},
            {"PK": "p"},
            {"SK": "s"},
            {"PK": "p", "SK": "s", "x": 1},
            {"PK": "p", "x": "s"},
            {"PK": 1, "SK": "s"},
            {"PK": "p", "SK": b"s"},
            {"PK": "", "SK": "s"},
            {"PK": "p", "SK": ""},
            {"PK": None, "SK": "s"},
            {"PK": "x" * 2049, "SK": "s"},
            {"PK": "p", "SK": "x" * 1025},
        ],
        ids=lambda key: str(key)[:40],
    )
    async def test_a_key_that_is_none_is_refused(self, db: DatabaseInterface, key: dict[str, Any]) -> None:
        """Wherever one is wanted, and the table is named."""
        for call in calls(
            lambda: db.get_item("things", key),
            lambda: db.delete_item("things", key),
            lambda: db.update_item("things", key, "SET a = :v", {":v": 1}),
            lambda: db.batch_get("things", [key]),
            lambda: db.batch_write("things", deletes=[key]),
        ):
            with pytest.raises(KeyRefused, match="things"):
                await call()

    async def test_an_item_without_its_key_is_refused(self, db: DatabaseInterface) -> None:
        """Before anything is sent."""
        for item in ({"PK": "p"}, {"SK": "s", "a": 1}, {}, {"PK": "", "SK": "s"}, {"PK": 5, "SK": "s"}):
            with pytest.raises(KeyRefused, match="things"):
                await db.put_item("things", item)

    @pytest.mark.parametrize("key", [None, "PK", 5, ["PK", "SK"], {"PK", "SK"}], ids=lambda key: type(key).__name__)
    async def test_a_key_that_is_no_dict_is_refused(self, db: DatabaseInterface, key: Any) -> None:
        """Wherever one is wanted."""
        for call in calls(
            lambda: db.get_item("things", key),
            lambda: db.delete_item("things", key),
            lambda: db.update_item("things", key, "SET a = :v", {":v": 1}),
            lambda: db.batch_get("things", [key]),
        ):
            with pytest.raises(KeyRefused, match="things"):
                await call()

    async def test_names_of_values_that_are_ours_are_refused(self, db: DatabaseInterface) -> None:
        """Nothing that the caller passes is replaced by what a driver adds."""
        for name in (":manor_now", ":manor_partition", ":manor_index0"):
            for call in calls(
                lambda name=name: db.update_item("things", KEY, f"SET x = {name}", {name: 1}),  # type: ignore[misc]
                lambda name=name: db.scan("things", f"x = {name}", {name: 1}),  # type: ignore[misc]
            ):
                with pytest.raises(ExpressionError, match="taken"):
                    await call()

    async def test_arguments_of_another_type_are_refused(self, db: DatabaseInterface) -> None:
        """As what they are, never by an error of Python's."""
        anything: Any
        for anything in (["#x"], {"#x": ["y"]}, {"#x": 5}, 5):
            with pytest.raises(ExpressionError):
                await db.update_item("things", KEY, "SET #x = :v", {":v": 1}, expression_names=anything)
        for anything in ([1], "x", 5):
            with pytest.raises(ExpressionError, match="expression_values"):
                await db.update_item("things", KEY, "SET x = :v", anything)
        for anything in ({"a": 1}, ["a = :v"], 5, b"a = :v"):
            with pytest.raises(ExpressionError, match="is a str"):
                await db.put_item("things", KEY, anything)
            with pytest.raises(ExpressionError, match="is a str"):
                await db.scan("things", projection_expression=anything)
        with pytest.raises(ExpressionError, match="key_condition is a str"):
            await db.query("things", None)  # type: ignore[arg-type]
        for call in calls(
            lambda: db.get_item(["things"], KEY),  # type: ignore[arg-type]
            lambda: db.batch_get("things", None),  # type: ignore[arg-type]
            lambda: db.batch_get("things", KEY),  # type: ignore[arg-type]
            lambda: db.batch_write("things", None),  # type: ignore[arg-type]
            lambda: db.batch_write("things", deletes="x"),  # type: ignore[arg-type]
        ):
            with pytest.raises(InputError):
                await call()

    async def test_a_table_that_nobody_declared_is_an_error(self, db: DatabaseInterface) -> None:
        """Not an empty one; the nearest name is shown."""
        with pytest.raises(TableMissing) as missing:
            await db.get_item("thing", KEY)
        assert "things" in missing.value.hint
        with pytest.raises(InputError):
            await db.put_item("things", KEY, return_values="ALL_NEW")

    async def test_a_table_that_was_not_made_is_an_error(self, db: DatabaseInterface) -> None:
        """With the way to make it."""
        db.tables["numbered"] = NUMBERED
        for call in calls(
            lambda: db.get_item("numbered", {"PK": "p", "at": 1}),
            lambda: db.put_item("numbered", {"PK": "p", "at": 1}),
        ):
            with pytest.raises(TableMissing) as missing:
                await call()
            assert "ensure_tables" in missing.value.hint
