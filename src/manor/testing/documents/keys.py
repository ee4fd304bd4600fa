"""What keys are, what is refused as one, and names and arguments that nobody can mean."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from manor.data.documents import DatabaseInterface, Key, Table
from manor.data.documents.capabilities import Capability
from manor.data.documents.faults import ExpressionError, KeyRefused, TableMissing
from manor.errors import ConflictError, InputError, ManorError
from manor.testing.documents.items import TEXTS
from manor.testing.documents.samples import BINARY, KEY, NUMBERED, SAMPLE, SINGLE, assert_same, calls, needs


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
