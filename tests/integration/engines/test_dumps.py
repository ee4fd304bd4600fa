"""Photographs, dumps and what is loaded from them, on the embedded server and on one that Manor enters as an ordinary login."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from server_talk import ask, once

from manor.control.engines.driver import ServerDriver
from manor.control.engines.dumps import DumpForm, differences
from manor.control.engines.embedded.binaries import bundled_program
from manor.control.engines.postgres.driver import PostgresServer
from manor.errors import Code, EngineError, ManorError, UnsupportedError
from manor.testing.engine_fixtures import EngineFixtures
from manor.testing.engine_samples import AWKWARD_TEXT, Tenant, customers, marker

Make = Callable[..., Awaitable[Tenant]]


async def dumped(server: ServerDriver, tenant: Tenant, form: DumpForm) -> tuple[Any, bytes]:
    """A photograph and the dump that belongs to it."""
    async with server.dumps.photographing(tenant.database, tenant.isolation) as (photograph, snapshot):
        chunks = [chunk async for chunk in server.dumps.dump(tenant.database, form=form, snapshot=snapshot)]
    return photograph, b"".join(chunks)


class DumpSuite(EngineFixtures):
    """What every server must do."""

    @pytest.fixture
    async def tenant(self, make: Make) -> Tenant:
        return await make("a", customers("x", "y", AWKWARD_TEXT))

    @pytest.mark.parametrize("form", list(DumpForm))
    async def test_what_is_loaded_is_what_was_photographed(
        self, server: ServerDriver, bench: Any, tenant: Tenant, form: DumpForm
    ) -> None:
        """Schema, history, rows and isolation; every row as it was."""
        rows = "SELECT * FROM customers ORDER BY id"
        before = await ask(bench.admin_url(tenant.database), rows)
        photograph, content = await dumped(server, tenant, form)
        copy = f"{tenant.database}_copy"
        await server.dumps.create_empty(copy, like=tenant.database, marker=marker("building", tenant="a"))
        await server.dumps.load(copy, once(content), form=form)
        found = await server.dumps.photograph(copy, tenant.isolation)
        # Its role may enter the one and not the other: that is part of a fingerprint, and of no dump.
        told = [words for words in differences(photograph, found) if words != "its schema is another one"]
        assert (told, photograph.rows["public.customers"]) == ([], 3)
        assert await ask(bench.admin_url(copy), rows) == before

    async def test_a_dump_shows_the_moment_of_its_photograph(self, server: ServerDriver, bench: Any, tenant: Tenant) -> None:
        """Rows written between the two are in neither."""
        url = bench.admin_url(tenant.database)
        async with server.dumps.photographing(tenant.database, tenant.isolation) as (photograph, snapshot):
            await ask(url, "INSERT INTO customers (name) VALUES ('came later')")
            chunks = [c async for c in server.dumps.dump(tenant.database, form=DumpForm.PLAIN, snapshot=snapshot)]
        assert photograph.rows["public.customers"] == 3
        assert b"came later" not in b"".join(chunks)

    async def test_the_shape_of_tables_stands_still_while_they_are_dumped(
        self, server: ServerDriver, bench: Any, tenant: Tenant
    ) -> None:
        """A change of a table waits for the end, reading and writing do not."""
        url = bench.admin_url(tenant.database)
        async with server.dumps.photographing(tenant.database, tenant.isolation):
            await ask(url, "UPDATE customers SET note = 'written'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await ask(url, "SET lock_timeout = '200ms'", "ALTER TABLE customers ADD COLUMN extra int")
        await ask(url, "ALTER TABLE customers ADD COLUMN extra int")

    async def test_tables_that_come_and_go_do_not_break_a_photograph(
        self, server: ServerDriver, bench: Any, tenant: Tenant
    ) -> None:
        """Each shows a moment that there was: both tables or none."""
        url = bench.admin_url(tenant.database)
        stop = asyncio.Event()

        async def churn() -> None:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                while not stop.is_set():
                    await connection.execute("CREATE TABLE one (); CREATE TABLE two ()")
                    await connection.execute("DROP TABLE one, two")

        task = asyncio.create_task(churn())
        try:
            for _ in range(15):
                with contextlib.suppress(EngineError):  # said to be too restless: no photograph is better than a wrong one
                    found = await server.dumps.photograph(tenant.database, tenant.isolation)
                    assert len({"public.one", "public.two"} & found.rows.keys()) in (0, 2)
        finally:
            stop.set()
            await task

    async def test_a_table_that_somebody_holds_too_long_is_an_error_that_names_the_database(
        self, bench: Any, tenant: Tenant
    ) -> None:
        """It can be tried again, and says so."""
        server = PostgresServer("suite", bench.url, operation="suite", dump_lock_timeout=0.3)
        async with await psycopg.AsyncConnection.connect(bench.admin_url(tenant.database)) as other:
            await other.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(EngineError, match=tenant.database) as error:
                await server.dumps.photograph(tenant.database, tenant.isolation)
        await server.close()
        assert (error.value.code, error.value.transient) == (Code.TIMEOUT, True)

    async def test_a_database_that_is_not_there_is_not_found(self, server: ServerDriver, name: str) -> None:
        """Photographed or dumped."""
        with pytest.raises(ManorError, match=name) as error:
            await server.dumps.photograph(f"{name}_none", ())
        assert error.value.code is Code.NOT_FOUND
        with pytest.raises(EngineError, match=f"{name}_none") as error:
            async for _ in server.dumps.dump(f"{name}_none", form=DumpForm.CUSTOM):
                pass
        assert error.value.code is Code.NOT_FOUND

    async def test_large_objects_and_comments_are_dumped(self, server: ServerDriver, bench: Any, tenant: Tenant) -> None:
        """What a photograph spares pg_dump looking for is looked for where it is there."""
        url = bench.admin_url(tenant.database)
        await ask(url, "SELECT lo_from_bytea(0, 'large and round')", "COMMENT ON TABLE customers IS 'those who pay'")
        photograph, content = await dumped(server, tenant, DumpForm.PLAIN)
        assert photograph.rows["pg_catalog.pg_largeobject_metadata"] == 1
        assert b"those who pay" in content
        assert b"6c6172676520616e6420726f756e64" in content  # the object's bytes, as hex

    async def test_a_history_of_another_tool_is_read(self, server: ServerDriver, bench: Any, tenant: Tenant) -> None:
        """dbmate's has versions only."""
        url = bench.admin_url(tenant.database)
        await ask(url, "CREATE TABLE public.schema_migrations (version varchar(128) PRIMARY KEY)")
        await ask(url, "INSERT INTO public.schema_migrations VALUES ('002'), ('001')")
        found = await server.dumps.photograph(tenant.database, tenant.isolation)
        assert (found.history, found.version) == ((("001", "", ""), ("002", "", "")), "002")

    async def test_what_belonged_to_one_role_is_loaded_for_another(
        self, server: ServerDriver, bench: Any, tenant: Tenant, make: Make
    ) -> None:
        """The role that the dump names keeps its name and its password, whether it is there or not."""
        other = await make("b")
        url = bench.admin_url(tenant.database)
        await ask(url, f'GRANT SELECT ON customers TO "{tenant.database}"')
        for form in DumpForm:
            _, content = await dumped(server, tenant, form)
            copy = f"{tenant.database}_{form}"
            await server.dumps.create_empty(copy, marker=marker("building", tenant="b"))
            await server.dumps.load(copy, once(content), form=form, roles={tenant.database: other.database})
            grants = "SELECT relacl::text FROM pg_class WHERE relname = 'customers'"
            (acl,) = (await ask(bench.admin_url(copy), grants))[0]
            assert f"{other.database}=r/" in acl
            assert f"{tenant.database}=r/" not in acl
        assert await ask(tenant.url, "SELECT 1") == [(1,)]
        assert await ask(other.url, "SELECT 1") == [(1,)]

    @pytest.mark.parametrize("form", list(DumpForm))
    async def test_a_stream_that_breaks_leaves_nothing_loaded(
        self, server: ServerDriver, bench: Any, tenant: Tenant, form: DumpForm
    ) -> None:
        """What storage raises is raised, and what was loaded until then is rolled back."""
        _, content = await dumped(server, tenant, form)
        copy = f"{tenant.database}_copy"
        await server.dumps.create_empty(copy, marker=marker("building", tenant="a"))

        async def broken() -> AsyncIterator[bytes]:
            yield content
            raise EngineError("the disk is on fire")

        with pytest.raises(EngineError, match="on fire"):
            await server.dumps.load(copy, broken(), form=form)
        tables = "SELECT count(*) FROM pg_class WHERE relname = 'customers'"
        assert await ask(bench.admin_url(copy), tables) == [(0,)]

    async def test_a_cut_archive_is_an_error_and_leaves_nothing_loaded(
        self, server: ServerDriver, bench: Any, tenant: Tenant
    ) -> None:
        """Its table of contents may be whole: the rows are not."""
        _, content = await dumped(server, tenant, DumpForm.CUSTOM)
        copy = f"{tenant.database}_copy"
        await server.dumps.create_empty(copy, marker=marker("building", tenant="a"))
        with pytest.raises(EngineError, match=copy):
            await server.dumps.load(copy, once(content[:-20]), form=DumpForm.CUSTOM)
        assert await ask(bench.admin_url(copy), "SELECT count(*) FROM pg_class WHERE relname = 'customers'") == [(0,)]

    async def test_a_row_that_cannot_be_loaded_is_not_told(self, server: ServerDriver, bench: Any, tenant: Tenant) -> None:
        """Errors name the table and hold nobody's data."""
        copy = f"{tenant.database}_copy"
        await server.dumps.create_empty(copy, marker=marker("building", tenant="a"))
        script = b"CREATE TABLE t (id int PRIMARY KEY);\nCOPY t FROM stdin;\n1\nsecretive\n\\.\n"
        with pytest.raises(EngineError) as error:
            await server.dumps.load(copy, once(script), form=DumpForm.PLAIN)
        assert "ERROR" in error.value.message

    async def test_whoever_stops_reading_ends_the_program(self, server: ServerDriver, bench: Any, tenant: Tenant) -> None:
        """No session of it is left."""
        chunks = server.dumps.dump(tenant.database, form=DumpForm.PLAIN)
        assert await anext(chunks)
        await chunks.aclose()
        inside = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{tenant.database}'"
        for _ in range(100):
            if await ask(bench.outside, inside) == [(0,)]:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("pg_dump is still connected")

    async def test_photographs_never_wait_for_each_other_in_the_budget(
        self, connect: Callable[..., ServerDriver], tenant: Tenant
    ) -> None:
        """Each needs two places: with three there is one at a time, and no standstill."""
        server = connect("narrow", 3)

        async def one() -> int:
            async with server.dumps.photographing(tenant.database, tenant.isolation) as (_, snapshot):
                return len([c async for c in server.dumps.dump(tenant.database, form=DumpForm.CUSTOM, snapshot=snapshot)])

        async with asyncio.timeout(60):
            assert all(await asyncio.gather(*(one() for _ in range(6))))

    async def test_the_table_of_contents_of_an_archive_can_be_read(self, server: ServerDriver, tenant: Tenant) -> None:
        """Without a server; what is no archive is corrupt."""
        photograph, content = await dumped(server, tenant, DumpForm.CUSTOM)
        assert await server.dumps.check(once(content), server_version=photograph.server_version) > 5
        with pytest.raises(EngineError) as error:
            await server.dumps.check(once(content[:40]), server_version=photograph.server_version)
        assert error.value.code is Code.CORRUPT


class TestEmbeddedDumps(DumpSuite):
    """As a superuser, with the bundled programs."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, wiped_server: Callable[[], str], postgres_bench: Callable[..., Any]) -> Any:
        url = wiped_server()
        return postgres_bench(url=url, outside=url, dead_url="postgresql://manor:secret@/postgres?host=/nowhere")

    @pytest.fixture
    async def server(self, bench: Any) -> AsyncIterator[ServerDriver]:
        driver = PostgresServer("suite", bench.url, operation="suite", sessions=8, programs=bundled_program)
        yield driver
        await driver.close()

    @pytest.fixture
    async def connect(self, bench: Any) -> AsyncIterator[Callable[..., ServerDriver]]:
        opened: list[PostgresServer] = []

        def connect(operation: str, sessions: int = 8) -> ServerDriver:
            opened.append(PostgresServer("suite", bench.url, operation=operation, sessions=sessions, programs=bundled_program))
            return opened[-1]

        yield connect
        for driver in opened:
            await driver.close()

    async def test_programs_that_are_older_than_the_server_are_refused(self, bench: Any, tenant: Tenant) -> None:
        """With the version that is needed."""

        def find(name: str, major: int) -> str:
            return bundled_program(name, major + 10)

        server = PostgresServer("suite", bench.url, operation="suite", programs=find)
        with pytest.raises(UnsupportedError, match="older than the server"):
            async for _ in server.dumps.dump(tenant.database, form=DumpForm.CUSTOM):
                pass
        await server.close()


class TestPlainDumps(DumpSuite):
    """As a login with CREATEDB and CREATEROLE and no more, over TLS, with the machine's programs."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, plain_server: Any, postgres_bench: Callable[..., Any], platform_password: str) -> Any:
        url = plain_server.url("platform", platform_password)
        return postgres_bench(url=url, outside=plain_server.outside, dead_url=url.replace(f":{plain_server.port}/", ":1/"))
