"""Closing, copying and switching databases, on the embedded server and on one that Manor enters as an ordinary login."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from server_talk import ask

from manor.control.engines.driver import ServerDriver
from manor.control.engines.swaps import Census, Switch, writes_between
from manor.errors import Code, EngineError
from manor.testing.engine_fixtures import EngineFixtures
from manor.testing.engine_samples import Tenant, customers, marker

RUN, OTHER = "20260101T000000-aaaaaaaa:1", "20260101T000000-bbbbbbbb:1"
Make = Callable[..., Awaitable[Tenant]]


WRITES = (
    "INSERT INTO customers (name) VALUES ('w')",
    "INSERT INTO customers (id, name) OVERRIDING SYSTEM VALUE VALUES (900, 'v')",
    "UPDATE customers SET note = 'changed' WHERE name = 'x'",
    "UPDATE customers SET name = name",
    "DELETE FROM customers WHERE name = 'x'",
    "DELETE FROM customers WHERE id = 900; INSERT INTO customers (id, name) OVERRIDING SYSTEM VALUE VALUES (900, 'v')",
    "SELECT nextval(pg_get_serial_sequence('customers', 'id'))",
    "BEGIN; SAVEPOINT s; INSERT INTO customers (id, name) OVERRIDING SYSTEM VALUE VALUES (901, 's'); RELEASE s; COMMIT",
    "CREATE TABLE another (id int)",
    "TRUNCATE customers CASCADE",
)


class Swapping:
    """One tenant's databases, and shorthand."""

    def __init__(self, server: ServerDriver, tenant: Tenant) -> None:
        self.server, self.swaps, self.tenant = server, server.swaps, tenant
        self.database = tenant.database
        self.green, self.kept = f"{self.database}_green", f"{self.database}_kept"
        self.grants: tuple[Any, ...] = ()
        self.sessions = 0

    async def close(self, by: str = RUN) -> None:
        closed = await self.swaps.close(self.database, catalog=marker("tenant").catalog, tenant="a", by=by)
        self.grants, self.sessions = closed.grants, closed.sessions

    async def copy(self) -> None:
        await self.swaps.copy(self.database, self.green, marker("building", tenant="a"))

    async def switch(self, by: str = RUN) -> None:
        await self.swaps.switch(Switch(database=self.database, kept=self.kept, incoming=self.green, by=by))

    async def open(self) -> Census:
        return await self.swaps.open_counted(self.database, by=RUN, grants=self.grants, opened=lambda: None)

    async def swap(self) -> Census:
        await self.close()
        await self.copy()
        await self.switch()
        return await self.open()

    async def written(self, before: Census) -> tuple[str, ...]:
        return writes_between(before, await self.swaps.census(self.database, since=before.transaction))

    async def names(self) -> list[str]:
        row = await ask(self.tenant.url, "SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM customers")
        return list(row[0][0])


class SwapSuite(EngineFixtures):
    """What every server must do."""

    @pytest.fixture
    async def swapping(self, server: ServerDriver, make: Make) -> Swapping:
        return Swapping(server, await make("a", customers("x", "y", "z")))

    async def test_a_switch_puts_the_copy_in_place_and_keeps_the_old_one_closed(self, swapping: Swapping, bench: Any) -> None:
        """The tenant's own URL leads to the new database; nobody, not even the administrator, enters the old one."""
        await swapping.close()
        await swapping.copy()
        await swapping.swaps.admit(swapping.green)
        await ask(bench.admin_url(swapping.green), "UPDATE customers SET name = 'new' WHERE name = 'x'")
        await swapping.switch()
        await swapping.open()
        assert await swapping.names() == ["new", "y", "z"]
        with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
            await ask(bench.admin_url(swapping.kept), "SELECT 1")
        found = await swapping.server.databases()
        kept, live = found[swapping.kept].marker, found[swapping.database].marker
        assert kept is not None
        assert live is not None
        assert (kept.kind, live.kind, live.closed, live.tenant) == ("kept", "tenant", "", "a")
        assert swapping.green not in found

    async def test_a_closed_database_opens_as_it_was(self, swapping: Swapping) -> None:
        """Nobody enters in between, and opening twice is as good as once."""
        await swapping.close()
        with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
            await swapping.names()
        for _ in range(2):
            await swapping.swaps.open(swapping.database, by=RUN)
            assert await swapping.names() == ["x", "y", "z"]

    async def test_sessions_are_ended_and_counted_and_the_neighbours_are_not(
        self, swapping: Swapping, make: Make, bench: Any
    ) -> None:
        """Also one that is in a transaction; that of another tenant goes on."""
        neighbour = await make("b", customers("n"))
        async with bench.session(neighbour.url), await psycopg.AsyncConnection.connect(neighbour.url) as theirs:
            await theirs.execute("UPDATE customers SET name = 'm'")
            idle = await psycopg.AsyncConnection.connect(swapping.tenant.url, autocommit=True)
            working = await psycopg.AsyncConnection.connect(swapping.tenant.url)
            await working.execute("UPDATE customers SET name = 'lost' WHERE name = 'x'")
            await swapping.swap()
            assert swapping.sessions == 2
            for connection in (idle, working):
                with pytest.raises(psycopg.OperationalError):
                    await connection.execute("SELECT 1")
                await connection.close()
            await theirs.commit()
        assert await swapping.names() == ["x", "y", "z"]
        assert await ask(neighbour.url, "SELECT name FROM customers") == [("m",)]

    async def test_clients_that_reconnect_in_a_tight_loop_do_not_stop_a_switch(self, swapping: Swapping) -> None:
        """They fail while it is closed and reach the new database at once afterwards."""
        async with reconnecting(swapping.tenant.url, clients=4) as seen:
            before = await swapping.swap()
            await asyncio.wait_for(seen.second.wait(), 20)
        assert await swapping.written(before) == ()
        assert await swapping.names() == ["x", "y", "z"]

    async def test_rights_and_settings_go_with_the_name(self, swapping: Swapping, bench: Any, name: str) -> None:
        """Clones lose them: grants to others, settings of the database and of roles in it, the connection limit."""
        database, role = swapping.database, swapping.tenant.login.role
        reader = f"{name}_reader"
        await ask(
            bench.url,
            f"CREATE ROLE {reader}",
            f"GRANT CONNECT ON DATABASE {database} TO {reader} WITH GRANT OPTION",
            f'ALTER DATABASE {database} SET search_path TO public, "$user"',
            f"ALTER DATABASE {database} SET application_name TO 'it''s = this'",
            f"ALTER ROLE {role} IN DATABASE {database} SET work_mem TO '7MB'",
            f"ALTER DATABASE {database} CONNECTION LIMIT 17",
        )
        query = f"""
            SELECT datconnlimit, datacl::text[] @> ARRAY['{reader}=c*/' || current_user],
                (SELECT array_agg(setconfig::text ORDER BY 1) FROM pg_db_role_setting WHERE setdatabase = d.oid)
            FROM pg_database d WHERE datname = '{database}'
        """
        before = await ask(bench.url, query)
        await swapping.swap()
        assert await ask(bench.url, query) == before
        assert before[0][0] == 17
        shown = await ask(swapping.tenant.url, "SELECT current_setting('search_path'), current_setting('application_name')")
        assert shown == [('public, "$user"', "it's = this")]

    @pytest.mark.parametrize("moment", ["secluded", "switched", "dropped"])
    async def test_rights_that_were_taken_away_come_back_by_themselves(
        self, swapping: Swapping, bench: Any, name: str, moment: str
    ) -> None:
        """Whoever opens need not know them; a role that was dropped in between keeps nobody out."""
        reader = f"{name}_{moment}"
        await ask(bench.url, f"CREATE ROLE {reader}", f"GRANT CONNECT ON DATABASE {swapping.database} TO {reader}")
        query = (
            f"SELECT datacl::text, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{swapping.database}'"
        )
        (rights, comment), *_ = await ask(bench.url, query)
        await swapping.close()
        await swapping.copy()
        for _ in range(2):
            await swapping.swaps.seclude(swapping.database, by=RUN)
        assert reader not in (await ask(bench.url, query))[0][0]
        if moment == "switched":
            await swapping.switch()
        if moment == "dropped":
            await ask(bench.url, f"DROP ROLE {reader}")
        await swapping.swaps.open(swapping.database, by=RUN)
        after = (await ask(bench.url, query))[0]
        assert sorted(after[0].split(",")) == sorted(rights.split(",")) or moment == "dropped"
        assert after[1] == comment or moment == "switched"
        assert "rights" not in after[1]
        assert await swapping.names() == ["x", "y", "z"]

    async def test_a_clone_lets_nobody_in_until_it_is_switched_to(self, swapping: Swapping, bench: Any, make: Make) -> None:
        """It has the default rights otherwise, and would be open to every tenant of the server."""
        neighbour = await make("b")
        await swapping.close()
        await swapping.copy()
        await swapping.swaps.admit(swapping.green)
        for login in (neighbour.login, swapping.tenant.login):
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                await ask(swapping.server.url(swapping.green, login), "SELECT 1")
        await swapping.switch()
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            await swapping.names()
        await swapping.open()
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            await ask(swapping.server.url(swapping.database, neighbour.login), "SELECT 1")

    async def test_only_the_run_that_closed_a_database_switches_or_opens_it(self, swapping: Swapping) -> None:
        """A runner that was taken for dead changes nothing after its successor."""
        await swapping.close()
        await swapping.copy()
        for attempt in (
            lambda: swapping.swaps.open(swapping.database, by=OTHER),
            lambda: swapping.switch(by=OTHER),
            lambda: swapping.close(by=OTHER),
            lambda: swapping.swaps.seclude(swapping.database, by=OTHER),
        ):
            with pytest.raises(EngineError) as error:
                await attempt()
            assert error.value.code is Code.CONFLICT
            assert not error.value.transient
        assert {swapping.database, swapping.green} <= (await swapping.server.databases()).keys()
        await swapping.swaps.open(swapping.database, by=RUN)
        with pytest.raises(EngineError, match="taken over"):
            await swapping.switch()
        assert await swapping.names() == ["x", "y", "z"]

    async def test_every_step_can_be_repeated(self, swapping: Swapping) -> None:
        """The answer to any of them may be lost."""
        for _ in range(2):
            await swapping.close()
        await swapping.copy()
        for _ in range(2):
            await swapping.switch()
        for _ in range(2):
            await swapping.swaps.open(swapping.database, by=RUN, grants=swapping.grants)
        assert await swapping.names() == ["x", "y", "z"]

    async def test_a_database_of_another_tenant_or_without_a_mark_is_not_closed(self, swapping: Swapping, bench: Any) -> None:
        """Its comment says whose it is."""
        with pytest.raises(EngineError, match="mark of tenant b"):
            await swapping.swaps.close(swapping.database, catalog=marker("tenant").catalog, tenant="b", by=RUN)
        await ask(bench.url, f"COMMENT ON DATABASE {swapping.database} IS 'mine'")
        with pytest.raises(EngineError, match="left alone"):
            await swapping.close()
        assert await swapping.names() == ["x", "y", "z"]

    async def test_no_write_of_a_tenant_goes_unnoticed(self, swapping: Swapping, bench: Any) -> None:
        """Not even after vacuum has tidied up behind it and frozen all rows."""
        owner = bench.admin_url(swapping.database)
        for statements in WRITES:
            before = await swapping.swaps.census(swapping.database)
            try:
                await ask(swapping.tenant.url, statements)
            except psycopg.errors.InsufficientPrivilege:  # what a tenant may not, its owner does
                await ask(owner, statements)
            await ask(owner, "VACUUM (FREEZE, FULL) customers", "VACUUM (FREEZE, FULL) orders")
            assert await swapping.written(before) != (), statements

    async def test_reading_and_vacuuming_are_no_writes(self, swapping: Swapping, bench: Any) -> None:
        """Nor is a row that was locked, or a transaction that was rolled back."""
        before = await swapping.swap()
        await ask(swapping.tenant.url, "SELECT * FROM customers", "BEGIN; SELECT * FROM customers FOR UPDATE; COMMIT")
        await ask(swapping.tenant.url, "BEGIN; UPDATE customers SET name = 'gone' WHERE name = 'x'; ROLLBACK")
        await ask(bench.admin_url(swapping.database), "VACUUM (FREEZE, FULL, ANALYZE)", "ANALYZE")
        assert Census.from_json(before.to_json()) == before
        assert await swapping.written(before) == ()

    async def test_a_table_that_hides_rows_is_not_taken_for_proved(self, swapping: Swapping, bench: Any) -> None:
        """With row security the count would be a part of the truth: a login that is bound by it is told so."""
        before = await swapping.swap()
        superuser = (await swapping.server.facts()).superuser
        admin = bench.admin_url(swapping.database)
        await ask(admin, "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY")
        if superuser:
            assert await swapping.written(before) == ()
        else:
            with pytest.raises(EngineError, match="row-level security"):
                await swapping.written(before)

    async def test_a_large_object_is_seen_or_makes_the_count_fail(self, swapping: Swapping, bench: Any) -> None:
        """An ordinary login may not look into them, and must not say that nobody wrote."""
        before = await swapping.swap()
        await ask(swapping.tenant.url, "SELECT lo_from_bytea(4711, 'large')")
        if (await swapping.server.facts()).superuser:
            assert "table pg_catalog.pg_largeobject is new" in await swapping.written(before)
        else:
            with pytest.raises(EngineError, match="pg_largeobject"):
                await swapping.written(before)

    async def test_what_was_there_counts_as_of_the_opening(self, swapping: Swapping, bench: Any) -> None:
        """Writes of the first session in, made while the count is still going on, are writes."""
        await swapping.close()
        await swapping.copy()
        await swapping.switch()

        def opened() -> None:
            with psycopg.connect(swapping.tenant.url, autocommit=True) as connection:
                connection.execute("UPDATE customers SET note = 'at once'")

        before = await swapping.swaps.open_counted(swapping.database, by=RUN, grants=swapping.grants, opened=opened)
        assert await swapping.written(before) == ("table public.customers has 3 new or changed rows",)

    async def test_many_openings_at_a_time_need_no_more_sessions_than_the_budget(
        self, bench: Any, make: Make, connect: Callable[..., ServerDriver]
    ) -> None:
        """Each holds one connection while it asks for another: they take turns, and none waits for ever."""
        narrow = connect("narrow", sessions=2)
        tenants = [Swapping(narrow, await make(suffix)) for suffix in "cdef"]
        for one, suffix in zip(tenants, "cdef", strict=True):
            closed = await one.swaps.close(one.database, catalog=marker("tenant").catalog, tenant=suffix, by=RUN)
            one.grants = closed.grants
            await one.swaps.copy(one.database, one.green, marker("building", tenant=suffix))
            await one.switch()
        await asyncio.wait_for(asyncio.gather(*(one.open() for one in tenants)), 30)
        for one in tenants:
            assert await one.names() == []


class TestEmbeddedSwaps(SwapSuite):
    """As a superuser."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, wiped_server: Callable[[], str], postgres_bench: Callable[..., Any]) -> Any:
        url = wiped_server()
        return postgres_bench(url=url, outside=url, dead_url="postgresql://manor:secret@/postgres?host=/nowhere")

    async def test_a_prepared_transaction_is_refused_by_name(self, swapping: Swapping) -> None:
        """It would come out in a database that nobody looks at any more; the tenant is not closed for it."""
        url = swapping.tenant.url
        await ask(url, "BEGIN; DELETE FROM customers; PREPARE TRANSACTION 'of the user'")
        with pytest.raises(EngineError, match="of the user") as error:
            await swapping.close()
        assert error.value.code is Code.CONFLICT
        assert await swapping.names() == ["x", "y", "z"]
        await ask(url, "ROLLBACK PREPARED 'of the user'")


class TestPlainSwaps(SwapSuite):
    """As a login with CREATEDB and CREATEROLE and no more."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, plain_server: Any, postgres_bench: Callable[..., Any], platform_password: str) -> Any:
        url = plain_server.url("platform", platform_password)
        return postgres_bench(url=url, outside=plain_server.outside, dead_url=url.replace(f":{plain_server.port}/", ":1/"))

    async def test_a_session_that_this_login_may_not_end_is_told(self, swapping: Swapping, plain_server: Any) -> None:
        """A superuser's: the error says where it is, and the tenant can be opened again."""
        theirs = plain_server.url("postgres", plain_server.superuser_password, swapping.database)
        async with await psycopg.AsyncConnection.connect(theirs):
            with pytest.raises(EngineError) as error:
                await swapping.close()
            assert error.value.code is Code.DENIED
            assert swapping.database in error.value.hint
            await swapping.swaps.open(swapping.database, by=RUN)
        assert await swapping.names() == ["x", "y", "z"]


class _Seen:
    """What clients that reconnect have reached."""

    def __init__(self) -> None:
        self.databases: set[str] = set()
        self.failures = 0
        self.first, self.second = asyncio.Event(), asyncio.Event()

    def reached(self, oid: str) -> None:
        self.databases.add(oid)
        (self.first if len(self.databases) == 1 else self.second).set()


@contextlib.asynccontextmanager
async def reconnecting(url: str, *, clients: int) -> AsyncIterator[_Seen]:
    """Clients that connect, look and leave, again and again."""
    seen = _Seen()

    async def client() -> None:
        while True:
            try:
                rows = await ask(url, "SELECT oid::text FROM pg_database WHERE datname = current_database()")
                seen.reached(rows[0][0])
            except psycopg.Error:
                seen.failures += 1

    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    try:
        await seen.first.wait()
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
