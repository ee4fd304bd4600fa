"""URLs, tenants, cursor keys: how a store is opened, and how its parts are declared."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manor.data import connect
from manor.data.documents import DatabaseInterface, Index, Key, Options, Table, TransactionManager
from manor.data.documents.capabilities import Capability, Degree, capabilities, capability_rows, never, partly
from manor.data.documents.cursors import read_cursor, write_cursor
from manor.data.documents.driver import Query
from manor.data.documents.faults import CursorRefused, TenantMissing
from manor.data.documents.memory import MemoryDriver
from manor.errors import InputError, UnsupportedError
from manor.tenancy import TenantId
from manor.testing.documents import DocumentSuite

CHATS = Table(
    name="chats",
    partition_key="PK",
    sort_key="SK",
    indexes=(
        Index(name="UserIndex", partition_key="user_id", sort_key="created_at"),
        Index(name="TimestampIndex", partition_key="tenant_id", sort_key="created_at", projection="KEYS_ONLY"),
    ),
)
ITEM = {"PK": "CHAT#1", "SK": "METADATA", "user_id": "u", "created_at": "2026", "tenant_id": "acme"}


async def test_a_store_in_memory_is_empty_unless_it_has_a_name() -> None:
    """A named one is shared by all of the process that have it."""
    async with connect("memory://", tenant="acme", tables=[CHATS]) as db:
        await db.ensure_tables()
        await db.put_item("chats", ITEM)
    async with connect("memory://", tenant="acme", tables=[CHATS]) as db:
        await db.ensure_tables()
        assert await db.get_item("chats", {"PK": "CHAT#1", "SK": "METADATA"}) is None
    one = connect("memory://shared", tenant="acme", tables=[CHATS])
    async with one, connect("memory://shared", tenant=str(TenantId("c", "g", "1")), tables=[CHATS]) as other:
        await one.ensure_tables()
        await one.put_item("chats", ITEM)
        assert await other.for_tenant("acme").get_item("chats", {"PK": "CHAT#1", "SK": "METADATA"}) == ITEM


@pytest.mark.parametrize("url", ["", "memry://", "redis://x", "/a/path", "http://x"])
def test_a_scheme_that_nobody_knows_is_refused(url: str) -> None:
    """With those that there are, or the nearest."""
    with pytest.raises(InputError) as refused:
        connect(url, tenant="acme")
    assert "memory" in refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "memory://n?x=y",
        "memory:///p",
        "memory://n#f",
        "memory:n",
        "postgresql://[::1",
        "sqlite:///a#b.db",
        "postgres://u:p#w@host/d",
    ],
)
def test_a_url_that_would_be_taken_for_something_else_is_refused(url: str) -> None:
    """No part of it is ignored; nor is it repeated where it may hold a password."""
    with pytest.raises(InputError) as refused:
        connect(url, tenant="acme")
    assert "p#w" not in str(refused.value)


@pytest.mark.parametrize("connections", ["a", 0, -1, True, 1.5, None])
def test_a_number_of_connections_is_one(connections: Any) -> None:
    """Before anything is opened, whatever the driver calls it."""
    with pytest.raises(InputError, match="connections"):
        connect("postgresql://host/d", tenant="acme", connections=connections)
    with pytest.raises(InputError, match="max_connections"):
        connect("dynamodb://eu-central-1", tenant="acme", max_connections=connections)


def test_what_is_no_name_is_no_tenant() -> None:
    """Such as bytes, whose text would be another name."""
    root = connect("memory://")
    for tenant in (b"acme", 5, ["acme"]):
        with pytest.raises(InputError, match="tenant"):
            root.for_tenant(tenant)  # type: ignore[arg-type]
    assert root.for_tenant(TenantId("c", "g", "1")).tenant_id == "c/g/1"  # type: ignore[arg-type]
    with pytest.raises(InputError, match="credentials"):
        connect("memory://", credentials={"user": "u"})


def test_a_driver_says_which_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of it is imported before."""
    from manor.data import opening

    monkeypatch.setitem(opening.SCHEMES, "cosmos", ("manor.data.documents.no_such_driver", "azure"))
    with pytest.raises(UnsupportedError) as refused:
        connect("cosmos://x", tenant="acme")
    assert "manor[azure]" in refused.value.hint


def test_an_option_that_a_driver_does_not_know_is_refused() -> None:
    """By name."""
    with pytest.raises(InputError, match="pool_size"):
        connect("memory://", tenant="acme", pool_size=3)


async def test_cursors_pass_between_processes_that_share_a_key() -> None:
    """And not otherwise."""
    cursors, stores = [], []
    for key in (b"k" * 16, b"k" * 16, b"other key of 16+"):
        db = connect("memory://cursors", tenant="acme", tables=[CHATS], cursor_key=key)
        await db.ensure_tables()
        await db.put_item("chats", ITEM)
        await db.put_item("chats", {**ITEM, "SK": "2"})
        cursors.append((await db.query("chats", "PK = :p", {":p": "CHAT#1"}, limit=1)).cursor)
        stores.append(db)
    assert cursors[0] == cursors[1] != cursors[2]
    assert len(await stores[1].query("chats", "PK = :p", {":p": "CHAT#1"}, cursor=cursors[0])) == 1
    with pytest.raises(CursorRefused):
        await stores[2].query("chats", "PK = :p", {":p": "CHAT#1"}, cursor=cursors[0])
    for key in (b"short", "k" * 32):
        with pytest.raises(InputError, match="cursor_key"):
            connect("memory://", cursor_key=key)  # type: ignore[arg-type]


async def test_a_store_without_a_tenant_only_makes_stores_with_one() -> None:
    """For a server that learns the tenant with each request."""
    async with connect("memory://", tables=[CHATS]) as root:
        with pytest.raises(TenantMissing):
            _ = root.tenant_id
        db = root.for_tenant("acme")
        await db.ensure_tables()
        await db.close()
        await db.put_item("chats", ITEM)
        assert "acme" in repr(db)
        assert root.for_tenant("other").driver is db.driver


async def test_the_calls_of_the_design_document_work_as_written_there() -> None:
    """By position, with the indexes it describes."""
    async with connect("memory://", tenant="acme", tables=[CHATS]) as db:
        await db.ensure_tables()
        await db.put_item("chats", ITEM)
        found = await db.query(
            "chats", "user_id = :user_id", {":user_id": "u"}, index_name="UserIndex", limit=20, scan_forward=False
        )
        assert list(found) == [ITEM]
        found = await db.query(
            "chats",
            "tenant_id = :tenant AND created_at > :cutoff",
            {":tenant": "acme", ":cutoff": "2025"},
            index_name="TimestampIndex",
        )
        assert len(found) == 1
        manager = TransactionManager(db)
        manager.add_update("chats", {"PK": "CHAT#1", "SK": "METADATA"}, "SET user_id = :new_user", {":new_user": "w"})
        manager.add_put("chats", {"PK": "AUDIT#1", "SK": "TRANSFER#1"})
        await manager.commit()
        assert await db.query("chats", "user_id = :u", {":u": "u"}, "UserIndex") == []


def test_capabilities_are_full_unless_something_is_said() -> None:
    """With a reason; the table has a row for each."""
    table = capabilities(expiry=partly("within days"), binary_keys=never("no such type"))
    assert table[Capability.EXPIRY].degree is Degree.PARTIAL
    assert table[Capability.ATOMIC_TRANSACTIONS].degree is Degree.FULL
    rows = capability_rows([("memory", MemoryDriver.capabilities), ("other", table)])
    assert ("binary_keys", "other", "none", "no such type") in rows
    assert len(rows) == 2 * len(Capability)


def test_every_capability_is_proved_by_a_case_of_the_suite() -> None:
    """A flag that nothing checks is worth nothing."""
    cases = [getattr(DocumentSuite, name) for name in dir(DocumentSuite) if name.startswith("test_")]
    assert set(Capability) - {getattr(case, "capability", None) for case in cases} == set()


def test_the_public_names_are_those_of_the_design_document() -> None:
    """With its parameters, in its order."""
    import inspect

    order = {
        "get_item": ["table_name", "key", "consistent_read"],
        "put_item": ["table_name", "item", "condition_expression"],
        "update_item": ["table_name", "key", "update_expression", "expression_values", "condition_expression"],
        "delete_item": ["table_name", "key", "condition_expression"],
        "query": [
            "table_name",
            "key_condition",
            "expression_values",
            "index_name",
            "limit",
            "scan_forward",
            "projection_expression",
        ],
        "scan": ["table_name", "filter_expression", "expression_values", "limit", "projection_expression"],
        "batch_write": ["table_name", "items"],
        "batch_get": ["table_name", "keys"],
        "transaction_write": ["transactions"],
    }
    for name, wanted in order.items():
        assert list(inspect.signature(getattr(DatabaseInterface, name)).parameters)[1 : len(wanted) + 1] == wanted


async def test_a_table_that_a_backend_cannot_keep_is_refused_when_it_is_made() -> None:
    """With the backend's reason."""

    class Small(MemoryDriver):
        capabilities = capabilities(binary_keys=never("keys are text here"), secondary_indexes=never("no indexes"))

    db = DatabaseInterface(Small(), tenant="acme")
    for table in (CHATS, Table(name="b", partition_key=Key("k", "B"))):
        with pytest.raises(UnsupportedError, match=table.name) as refused:
            await db.ensure_tables([table])
        assert refused.value.hint in {"keys are text here", "no indexes"}
        db.tables.clear()


async def test_an_operation_is_as_it_was_when_it_was_added() -> None:
    """What becomes of the item between adding and committing is not written."""
    async with connect("memory://", tenant="acme", tables=[CHATS]) as db:
        await db.ensure_tables()
        item = {**ITEM, "tags": ["a"]}
        async with TransactionManager(db) as manager:
            manager.add_put("chats", item)
            item["tags"].append("b")  # type: ignore[attr-defined]
        found = await db.get_item("chats", {"PK": "CHAT#1", "SK": "METADATA"})
        assert found == {**ITEM, "tags": ["a"]}
        with pytest.raises(InputError, match="token"):
            await db.transaction_write([{"type": "Put", "table": "chats", "item": ITEM}], token="x" * 37)


async def test_options_and_parameters_go_together() -> None:
    """Neither makes the other ineffective."""
    db = connect("memory://", tenant="acme", tables=[CHATS], options=Options(now=lambda: 5), allow_scans=True)
    await db.ensure_tables()
    assert db.options.now() == 5
    assert list(await db.scan("chats")) == []


@given(st.integers(min_value=0), st.integers(1, 255))
@settings(deadline=None)
def test_no_byte_of_a_cursor_can_be_changed(position: int, change: int) -> None:
    """Whichever it is."""
    query = Query(table=CHATS)
    cursor = write_cursor(b"key", "acme", query, {"PK": "p", "SK": "s"})
    assert read_cursor(b"key", "acme", query, cursor) == {"PK": "p", "SK": "s"}
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[position % len(raw)] ^= change
    with pytest.raises(CursorRefused):
        read_cursor(b"key", "acme", query, base64.urlsafe_b64encode(bytes(raw)).decode())
