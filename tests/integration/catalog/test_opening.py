"""The catalog's database: made, migrated, refused, locked, and found again after a restart."""

from __future__ import annotations

import asyncio
import datetime as dt

import psycopg
import pytest
from cryptography.fernet import Fernet

from manor.control.catalog import schema
from manor.control.catalog.catalog import Catalog
from manor.control.catalog.link import catalog_conninfo, connect
from manor.control.catalog.queries import load_migrations
from manor.control.catalog.records import AuditEvent
from manor.control.catalog.secrets import KeyRing, SecretBox
from manor.errors import CatalogError, Code, ConflictError, InputError, UnreachableError

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)

NEWEST = len(load_migrations())


def schema_dump(server) -> list[str]:
    dump = server.run("pg_dump", "--schema-only", "-h", str(server.folder), "-U", "postgres", "manor_catalog")
    return [line for line in dump.splitlines() if not line.startswith("\\")]


def databases(server) -> set[str]:
    with psycopg.connect(server.url("postgres")) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


async def test_a_login_that_is_no_superuser_makes_the_catalog_and_shuts_the_public_out(server, catalog, direct):
    row = direct.execute("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, True, True)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(server.url("nobody", "manor_catalog"))
    assert len(catalog.id) == 8
    assert int(catalog.id, 16) >= 0


async def test_a_second_open_finds_the_same_catalog_and_migrates_nothing(open_catalog, catalog, direct):
    before = direct.execute("SELECT * FROM manor.schema_version").fetchall()
    again = await open_catalog()
    assert again.id == catalog.id
    assert direct.execute("SELECT * FROM manor.schema_version").fetchall() == before


async def test_eight_creators_at_once_end_up_with_one_catalog(open_catalog):
    catalogs = await asyncio.gather(*(open_catalog() for _ in range(8)))
    assert len({catalog.id for catalog in catalogs}) == 1


async def test_looking_at_a_server_without_a_catalog_makes_nothing(server, admin_url, box):
    assert await Catalog.peek(admin_url, box, application="look") is None
    assert "manor_catalog" not in databases(server)


async def test_looking_at_a_database_whose_creator_was_killed_before_the_first_migration_finds_none(
    admin_url, box, open_catalog
):
    await schema.create_database(admin_url, application="test")
    assert await Catalog.peek(admin_url, box, application="look") is None
    assert (await open_catalog()).id


async def test_looking_at_a_half_migrated_catalog_says_who_finishes_it(admin_url, box, open_catalog):
    await schema.create_database(admin_url, application="test")
    async with await connect(catalog_conninfo(admin_url), application="test") as connection:
        await schema.migrate(connection, load_migrations()[:1])
    with pytest.raises(CatalogError, match=f"version 1, this Manor needs version {NEWEST}") as caught:
        await Catalog.peek(admin_url, box, application="look")
    assert "deploy" in caught.value.hint
    assert (await open_catalog()).id


async def test_looking_at_a_catalog_changes_nothing_in_it(admin_url, box, catalog, direct):
    seen = await Catalog.peek(admin_url, box, application="look")
    assert seen is not None
    assert seen.id == catalog.id
    await seen.close()


async def test_the_schema_is_the_sum_of_its_migrations_in_one_go_and_step_by_step(server, admin_url, box, open_catalog):
    await open_catalog()
    at_once = schema_dump(server)
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute("DROP DATABASE manor_catalog WITH (FORCE)")
    await schema.create_database(admin_url, application="test")
    migrations = load_migrations()
    async with await connect(catalog_conninfo(admin_url), application="test") as connection:
        for count in range(1, len(migrations) + 1):
            assert await schema.migrate(connection, migrations[:count]) == 1
            assert await schema.migrate(connection, migrations[:count]) == 0
    assert schema_dump(server) == at_once
    tables = {line.split()[2] for line in at_once if line.startswith("CREATE TABLE")}
    names = (
        "audit_head audit_log backups bases catalog claims databases directory directory_changes drills erasures goldens heads "
        "kept_databases lineages marks operations outcomes schedules schema_version scripts servers sources suspensions "
        "tenant_holds tenant_keys tenants warm_pool"
    )
    assert tables == {f"manor.{name}" for name in names.split()}


async def test_a_newer_catalog_is_refused_with_both_versions(admin_url, box, catalog, direct):
    newer = NEWEST + 1
    direct.execute(
        "INSERT INTO manor.schema_version (version, phase, name, checksum) VALUES (%s, 'pre', 'future', 'x')", [newer]
    )
    for opener in (Catalog.open, Catalog.peek):
        with pytest.raises(CatalogError, match=f"version {newer}, this Manor knows versions up to {NEWEST}") as caught:
            await opener(admin_url, box, application="test")
        assert caught.value.code is Code.REFUSED


async def test_a_catalog_of_an_edited_migration_is_refused(admin_url, box, catalog, direct):
    direct.execute("UPDATE manor.schema_version SET checksum = 'other' WHERE version = 2")
    with pytest.raises(CatalogError, match="migration 2 of the catalog is not this Manor's"):
        await Catalog.open(admin_url, box, application="test")


@pytest.mark.parametrize("opener", [Catalog.open, Catalog.peek])
async def test_a_wrong_key_is_refused_when_the_catalog_is_opened(admin_url, catalog, opener):
    with pytest.raises(CatalogError, match="not among those of") as caught:
        await opener(admin_url, SecretBox(KeyRing([Fernet.generate_key().decode()])), application="test")
    assert "MANOR_KEY" in caught.value.hint


async def test_no_key_is_refused_with_the_place_where_one_was_looked_for(admin_url, catalog, tmp_path):
    with pytest.raises(CatalogError, match="there is no key") as caught:
        await Catalog.peek(admin_url, SecretBox(KeyRing.load(tmp_path, {})), application="test")
    assert "MANOR_KEY" in caught.value.hint
    assert not (tmp_path / ".manor").exists()


async def test_a_catalog_that_has_lost_its_key_is_given_no_new_one(admin_url, catalog, tmp_path):
    with pytest.raises(CatalogError, match="there is no key"):
        await Catalog.open(admin_url, SecretBox(KeyRing.load(tmp_path, {})), application="test")
    assert not (tmp_path / ".manor").exists()


async def test_a_new_catalog_makes_the_projects_key(admin_url, tmp_path):
    async with await Catalog.open(admin_url, SecretBox(KeyRing.load(tmp_path, {})), application="test") as catalog:
        assert catalog.id
    KeyRing.load(tmp_path, {}).fernets()


async def test_a_login_that_may_not_create_databases_is_told_what_to_grant(server, admin_url, box):
    with pytest.raises(CatalogError, match="nobody may not create the database") as caught:
        await Catalog.open(server.url("nobody"), box, application="test")
    assert caught.value.code is Code.DENIED
    assert "CREATEDB" in caught.value.hint


async def test_a_server_that_is_not_there_is_unreachable_and_a_bad_url_shows_no_password(box):
    with pytest.raises(UnreachableError) as caught:
        await Catalog.open("postgresql://u:geheim@/x?host=/tmp/no-such-folder", box, application="test")
    assert caught.value.transient
    assert "geheim" not in str(caught.value)
    with pytest.raises(InputError) as refused:
        await Catalog.open("postgresql://u:geheim@[::1/x", box, application="test")
    assert "geheim" not in str(refused.value)
    assert refused.value.__suppress_context__


async def test_after_a_restart_of_the_server_the_next_call_reconnects(server, catalog, operation):
    await catalog.begin_operation(operation("op1"))
    server.restart()
    assert [found.id for found in await catalog.operations()] == ["op1"]


async def test_a_connection_lost_within_a_call_is_transient_and_the_next_call_works(server, catalog):
    with psycopg.connect(server.url(database="manor_catalog")) as blocker:
        blocker.execute("SELECT FROM manor.audit_head FOR UPDATE")
        waiting = asyncio.create_task(catalog.append_audit("op1", [AuditEvent(actor="a", action="b", subject="c")]))
        await wait_for_blocked_session(server)
        await asyncio.to_thread(server.restart)
        with pytest.raises(UnreachableError) as caught:
            await waiting
        blocker.close()
    assert caught.value.transient
    assert await catalog.audit_entries() == []
    await catalog.append_audit("op1", [AuditEvent(actor="a", action="b", subject="c")])


async def test_a_cancelled_call_leaves_nothing_behind_and_the_next_one_works(server, catalog):
    with psycopg.connect(server.url(database="manor_catalog")) as blocker:
        blocker.execute("SELECT FROM manor.audit_head FOR UPDATE")
        waiting = asyncio.create_task(catalog.append_audit("op1", [AuditEvent(actor="a", action="b", subject="c")]))
        await wait_for_blocked_session(server)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        blocker.rollback()
    assert await catalog.audit_entries() == []
    await catalog.append_audit("op1", [AuditEvent(actor="a", action="b", subject="c")])
    assert len(await catalog.audit_entries()) == 1


async def wait_for_blocked_session(server) -> None:
    async with await psycopg.AsyncConnection.connect(server.url("postgres"), autocommit=True) as watcher:
        while True:
            found = await watcher.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if found.rowcount:
                return


async def test_the_second_holder_of_a_lock_is_refused_with_the_name_of_the_first(open_catalog, catalog, operation):
    other = await open_catalog()
    async with catalog.lock("fleet", wait_seconds=0, holder="op-first"):
        await catalog.begin_operation(operation("op-first"))
        for wait_seconds in (0, 0.05):
            with pytest.raises(ConflictError) as caught:
                async with other.lock("fleet", wait_seconds=wait_seconds, holder="op-second"):
                    raise AssertionError("two hold the lock")
            assert "operation op-first (deploy by ann@desk (77), since 2026-11-20 12:00:00 UTC)" in str(caught.value)
        async with other.lock("another", wait_seconds=0, holder="op-second"):
            assert [found.id for found in await other.interrupted_operations()] == ["op-first"]
    async with other.lock("fleet", wait_seconds=0, holder="op-second") as held:
        await held.confirm()


async def test_a_lock_is_waited_for(open_catalog, catalog):
    other = await open_catalog()
    order: list[str] = []

    async def second() -> None:
        async with other.lock("fleet", wait_seconds=30, holder="op-second"):
            order.append("second")

    async with catalog.lock("fleet", wait_seconds=0, holder="op-first"):
        waiting = asyncio.create_task(second())
        await wait_for_lock_request(catalog)
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def wait_for_lock_request(catalog) -> None:
    async with await connect(catalog._link.info, application="watcher") as watcher:
        while True:
            found = await watcher.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if found.rowcount:
                return


async def test_a_lock_goes_with_its_connection_and_its_holder_can_tell(server, open_catalog, catalog):
    other = await open_catalog()
    async with catalog.lock("fleet", wait_seconds=0, holder="op-first") as held:
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'op-first'")
        async with other.lock("fleet", wait_seconds=0, holder="op-second"):
            with pytest.raises(ConflictError, match="was lost"):
                await held.confirm()


async def test_an_operation_is_recorded_from_its_begin_to_its_end(catalog, operation):
    await catalog.begin_operation(operation("op1"))
    await catalog.begin_operation(operation("op2"))
    with pytest.raises(ConflictError):
        await catalog.begin_operation(operation("op1"))
    await catalog.finish_operation("op1", "succeeded", {"success": 3})
    await catalog.mark_interrupted("op1")
    await catalog.mark_interrupted("op2")
    newest, oldest = await catalog.operations()
    assert (oldest.id, oldest.state, oldest.summary, newest.state) == ("op1", "succeeded", {"success": 3}, "interrupted")
    assert oldest.started_at == NOW
    assert oldest.finished_at.tzinfo.utcoffset(oldest.finished_at) == dt.timedelta(0)
    assert await catalog.interrupted_operations() == []
    assert len(await catalog.operations(limit=1)) == 1


async def test_no_password_of_an_operations_arguments_is_stored(catalog, direct, operation):
    arguments = {"server": "postgresql://u:geheim@host/x", "password": "geheim", "limit": 5}
    await catalog.begin_operation(operation("op1", arguments=arguments))
    (found,) = await catalog.operations()
    assert found.arguments == {"server": "postgresql://u:***@host/x", "password": "***", "limit": 5}


async def test_a_catalog_url_may_name_the_catalog_itself(server, admin_url, open_catalog):
    assert (await open_catalog(url=server.url(database="manor_catalog"))).id


async def test_a_login_that_does_not_exist_is_denied_and_not_worth_a_retry(server, admin_url, box):
    with pytest.raises(CatalogError, match="refuses us") as caught:
        await Catalog.open(server.url("stranger"), box, application="test")
    assert (caught.value.code, caught.value.transient) == (Code.DENIED, False)
