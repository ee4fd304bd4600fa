"""What a loaded dump lacks, and isolated columns that change hands: on the embedded server, and with an ordinary login."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from server_talk import ask, once

from manor.control.engines.driver import ServerDriver
from manor.control.engines.dumps import DumpForm, MissingRole
from manor.control.engines.embedded.binaries import bundled_program
from manor.control.engines.postgres.driver import PostgresServer
from manor.errors import Code, EngineError
from manor.testing.engine_fixtures import EngineFixtures
from manor.testing.engine_samples import Tenant, customers, marker

Make = Callable[..., Awaitable[Tenant]]


class RestoreSuite(EngineFixtures):
    """What every server must do."""

    @pytest.fixture
    async def tenant(self, make: Make) -> Tenant:
        return await make("a", customers("x", "y", "z"))

    @pytest.fixture
    async def loaded(self, server: ServerDriver, tenant: Tenant) -> str:
        """A copy of the tenant's database, from a dump without rights."""
        dump = b"".join([chunk async for chunk in server.dumps.dump(tenant.database, form=DumpForm.PLAIN)])
        lines = [line for line in dump.splitlines(True) if not line.startswith((b"GRANT", b"REVOKE", b"ALTER DEFAULT"))]
        name = f"{tenant.database}_loaded"
        await server.dumps.create_empty(name, like=tenant.database, marker=marker("building", tenant="a"))
        await server.dumps.load(name, once(b"".join(lines)), form=DumpForm.PLAIN)
        return name

    async def test_rights_are_those_of_a_golden(self, server: ServerDriver, tenant: Tenant, loaded: str) -> None:
        """The fingerprint, which covers them, is the live one's again; twice is as good as once."""
        live, _ = await server.fingerprint(tenant.database, tenant.isolation)
        assert (await server.fingerprint(loaded, tenant.isolation))[0] != live
        for _ in range(2):
            await server.restores.regrant(loaded)
            assert (await server.fingerprint(loaded, tenant.isolation))[0] == live

    async def test_what_no_dump_brings_along_comes_from_the_live_database(
        self, server: ServerDriver, bench: Any, tenant: Tenant, loaded: str
    ) -> None:
        """Settings, limit and statistics; and no runner of a former life is ahead of the next one."""
        await server.releases.fence(loaded, "an earlier operation", 999)
        await ask(
            bench.admin_url("postgres"),
            f'ALTER DATABASE "{tenant.database}" SET search_path = public, pg_catalog',
            f'ALTER DATABASE "{tenant.database}" CONNECTION LIMIT 7',
        )
        for _ in range(2):
            await server.restores.furnish(loaded, like=tenant.database)
        settings = await ask(
            bench.admin_url(loaded),
            "SELECT current_setting('search_path'), datconnlimit FROM pg_database WHERE datname = current_database()",
        )
        assert settings == [("public, pg_catalog", 7)]
        assert await ask(bench.admin_url(loaded), "SELECT reltuples::int FROM pg_class WHERE relname = 'customers'") == [(3,)]
        await server.releases.fence(loaded, "the next operation", 1)

    async def test_isolated_columns_change_hands_with_their_rows(
        self, server: ServerDriver, bench: Any, tenant: Tenant, loaded: str
    ) -> None:
        """All of them hold the other value, the check keeps the old one out, and triggers are as they were."""
        url = bench.admin_url(loaded)
        await ask(
            url,
            "CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$",
            *(f"CREATE TRIGGER t{n} BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION complain()" for n in range(4)),
            "ALTER TABLE customers DISABLE TRIGGER t1",
            "ALTER TABLE customers ENABLE REPLICA TRIGGER t2",
            "ALTER TABLE customers ENABLE ALWAYS TRIGGER t3",
        )
        after = [replace(column, value="somebody else") for column in tenant.isolation]
        counts = await server.restores.hand_over(loaded, tenant.isolation, after)
        assert counts["customers"] == 3
        _, isolated = await server.fingerprint(loaded, after)
        assert isolated
        modes = "SELECT string_agg(tgenabled::text, '' ORDER BY tgname) FROM pg_trigger WHERE tgname ~ '^t[0-3]$'"
        assert await ask(url, modes) == [("ODRA",)]

    async def test_a_row_with_a_third_value_keeps_everything_as_it_was(
        self, server: ServerDriver, bench: Any, tenant: Tenant, loaded: str
    ) -> None:
        """Nothing of the transaction remains."""
        (column, *_) = [c for c in tenant.isolation if c.table == "customers"]
        url, before = bench.admin_url(loaded), await server.fingerprint(loaded, tenant.isolation)
        third = [replace(one, value="a third one") for one in tenant.isolation]
        after: Sequence[Any] = [replace(one, value="somebody else") for one in tenant.isolation]
        with pytest.raises(EngineError, match="hold a value that is not their tenant's") as caught:
            await server.restores.hand_over(loaded, third, after)
        assert caught.value.code is Code.CONFLICT
        assert await server.fingerprint(loaded, tenant.isolation) == before
        assert await ask(url, f"SELECT count(*) FROM customers WHERE \"{column.column}\"::text = '{column.value}'") == [(3,)]

    async def test_rights_of_another_role_are_taken_for_those_of_the_first(
        self, server: ServerDriver, bench: Any, tenant: Tenant, make: Make
    ) -> None:
        """The fingerprint with roles exchanged is that of the other database."""
        other = await make("b", customers("x", "y", "z"))
        for one in (tenant, other):
            await ask(bench.admin_url(one.database), f'GRANT TRUNCATE ON customers TO "{one.login.role}"')
        live, _ = await server.fingerprint(tenant.database, tenant.isolation)
        roles = {other.login.role: tenant.login.role}
        assert (await server.fingerprint(other.database, other.isolation))[0] != live
        assert await server.restores.fingerprint_as(other.database, other.isolation, roles) == live

    async def test_a_role_that_is_not_there_is_named_and_can_be_replaced(self, server: ServerDriver, tenant: Tenant) -> None:
        """Its objects are ours then, and it was never seen."""
        dump = b"".join([chunk async for chunk in server.dumps.dump(tenant.database, form=DumpForm.PLAIN)])
        dump += b'ALTER TABLE public.customers OWNER TO "Some Body";\nGRANT SELECT ON public.customers TO "Some Body";\n'
        name = f"{tenant.database}_other"
        await server.dumps.create_empty(name, like=tenant.database, marker=marker("building", tenant="a"))
        with pytest.raises(MissingRole) as caught:
            await server.dumps.load(name, once(dump), form=DumpForm.PLAIN)
        assert caught.value.role == "Some Body"
        await server.dumps.load(name, once(dump), form=DumpForm.PLAIN, roles={"Some Body": ""})
        assert "Some Body" not in await server.roles()
        await server.restores.regrant(name)
        live, _ = await server.fingerprint(tenant.database, tenant.isolation)
        assert (await server.fingerprint(name, tenant.isolation))[0] == live


class TestEmbeddedRestores(RestoreSuite):
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


class TestPlainRestores(RestoreSuite):
    """As a login with CREATEDB and CREATEROLE and no more, over TLS, with the machine's programs."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, plain_server: Any, postgres_bench: Callable[..., Any], platform_password: str) -> Any:
        url = plain_server.url("platform", platform_password)
        return postgres_bench(url=url, outside=plain_server.outside, dead_url=url.replace(f":{plain_server.port}/", ":1/"))
