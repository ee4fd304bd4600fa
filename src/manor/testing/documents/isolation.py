"""Tenants: what one of them can never see or touch of another, and what must never be left out."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import pytest

from manor.data.documents import DatabaseInterface, TransactionManager
from manor.data.documents.driver import Driver
from manor.data.documents.faults import ConditionFailed, TenantMissing
from manor.errors import InputError
from manor.testing.documents.samples import CHATS, KEY, SAMPLE, THINGS, assert_same, calls, new_tenant, put_all

AWKWARD = ["{0}-a", "{0}-a-b", "{0}_a", "{0}.a", "{0}#a", "{0}/a/b", "{0} a", "{0}A", "{0}日本", "{0}'", "{0}%", "{0}a"]


class IsolationCases:
    """Two tenants on one driver."""

    async def test_tenants_do_not_see_each_other(self, db: DatabaseInterface) -> None:
        """By key, query, index, scan, batch or write, though keys and tables are the same."""
        other = db.for_tenant(new_tenant())
        await db.ensure_tables([CHATS])
        await other.ensure_tables([CHATS])
        chat = {**KEY, "user_id": "u", "created_at": "1", "tenant_id": "x"}
        await db.put_item("things", SAMPLE)
        await db.put_item("chats", chat)
        assert await other.get_item("things", KEY) is None
        assert await other.batch_get("things", [KEY]) == []
        assert list(await other.query("things", "PK = :p", {":p": "p"})) == []
        assert list(await other.query("chats", "user_id = :u", {":u": "u"}, "UserIndex")) == []
        assert list(await other.query("chats", "tenant_id = :t", {":t": "x"}, "TimestampIndex")) == []
        assert list(await other.scan("things")) == []
        with pytest.raises(ConditionFailed) as failed:
            await other.delete_item("things", KEY, "attribute_exists(PK)")
        assert failed.value.item is None
        await other.delete_item("things", KEY)
        await other.put_item("things", {**KEY, "mine": True})
        await other.batch_write("chats", deletes=[KEY])
        await other.transaction_write([{"type": "Delete", "table": "chats", "key": KEY}])
        assert_same(await db.get_item("things", KEY), SAMPLE)
        assert_same(await db.get_item("chats", KEY), chat)
        assert_same(await other.get_item("things", KEY), {**KEY, "mine": True})

    async def test_a_tenant_that_drops_its_tables_drops_its_own(self, db: DatabaseInterface, driver: Driver) -> None:
        """The neighbours' stay."""
        other = db.for_tenant(new_tenant())
        await other.ensure_tables()
        for store in (db, other):
            await store.put_item("things", SAMPLE)
        await driver.drop_tables(other.tenant_id, [THINGS])
        assert_same(await db.get_item("things", KEY), SAMPLE)
        await other.ensure_tables()
        assert list(await other.scan("things")) == []

    async def test_a_tenants_token_is_its_own(self, db: DatabaseInterface) -> None:
        """The same word of another tenant is another transaction."""
        other = db.for_tenant(new_tenant())
        await other.ensure_tables()
        for number, store in enumerate((db, other)):
            async with TransactionManager(store, token="same") as manager:  # noqa: S106 - no secret
                manager.add_put("things", {**KEY, "n": number})
        assert_same(await db.get_item("things", KEY), {**KEY, "n": 0})
        assert_same(await other.get_item("things", KEY), {**KEY, "n": 1})

    async def test_tenants_with_similar_names_are_apart(self, db: DatabaseInterface, driver: Driver) -> None:
        """However name and table are joined; each that a backend cannot name is refused, not changed."""
        stem, stores = new_tenant(), []
        for pattern in AWKWARD:
            store = DatabaseInterface(driver, tables=[THINGS], tenant=pattern.format(stem), options=db.options)
            store._owns_driver = False
            await store.ensure_tables()
            stores.append(store)
        for number, store in enumerate(stores):
            await store.put_item("things", {**KEY, "n": number})
        for number, store in enumerate(stores):
            assert_same(list(await store.scan("things")), [{**KEY, "n": number}])
            await driver.drop_tables(store.tenant_id, [THINGS])

    async def test_nothing_is_asked_without_a_tenant(self, driver: Driver) -> None:
        """Every method says so, by name."""
        store = DatabaseInterface(driver, tables=[THINGS])
        for call in calls(
            lambda: store.ensure_tables(),
            lambda: store.get_item("things", KEY),
            lambda: store.put_item("things", KEY),
            lambda: store.update_item("things", KEY, None),
            lambda: store.delete_item("things", KEY),
            lambda: store.query("things", "PK = :p", {":p": "p"}),
            lambda: store.scan("things"),
            lambda: store.batch_get("things", [KEY]),
            lambda: store.batch_write("things", [KEY]),
            lambda: store.transaction_write([{"type": "Delete", "table": "things", "key": KEY}]),
            lambda: store.explain("things", "PK = :p", {":p": "p"}),
            lambda: store.expire("things"),
        ):
            with pytest.raises(TenantMissing, match="no tenant"):
                await call()
        for tenant in ("", "a\nb", "x" * 256):
            with pytest.raises(InputError):
                store.for_tenant(tenant)

    async def test_an_error_says_whose_data_it_is_about_and_not_what_it_is(self, db: DatabaseInterface) -> None:
        """Tenant, table and key are in the message, other values are not."""
        await db.put_item("things", {**KEY, "secret": "hunter2"})
        with pytest.raises(ConditionFailed) as failed:
            await db.put_item("things", {**KEY, "secret": "swordfish"}, "attribute_not_exists(PK)")
        assert db.tenant_id in str(failed.value)
        assert "things" in str(failed.value)
        assert "hunter2" not in str(failed.value)
        assert "swordfish" not in str(failed.value)

    async def test_nothing_is_added_to_what_is_stored(self, db: DatabaseInterface) -> None:
        """Reads bring what was put, by every way; an attribute ``tenant_id`` is one like any other."""
        await put_all(db, "things", [{**KEY, "tenant_id": "somebody else"}])
        for found in (
            [await db.get_item("things", KEY)],
            list(await db.query("things", "PK = :p", {":p": "p"})),
            list(await db.scan("things", "tenant_id = :t", {":t": "somebody else"})),
            await db.batch_get("things", [KEY]),
        ):
            assert_same(found, [{**KEY, "tenant_id": "somebody else"}])
