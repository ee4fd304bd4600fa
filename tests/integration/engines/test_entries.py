"""Shutting tenants out, on the embedded server and on one that Manor enters as an ordinary login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from server_talk import ask

from manor.control.engines.driver import ServerDriver
from manor.control.engines.entries import ERASING
from manor.errors import Code, EngineError
from manor.testing.engine_fixtures import EngineFixtures
from manor.testing.engine_samples import Tenant, customers, marker

Make = Callable[..., Awaitable[Tenant]]


class EntrySuite(EngineFixtures):
    """What every server must do."""

    async def test_a_role_that_is_shut_out_and_let_in_again(self, server: ServerDriver, make: Make) -> None:
        """Its sessions are ended, a neighbour's are not; both verbs may be repeated."""
        tenant, neighbour = await make("a", customers("x")), await make("b", customers("n"))
        role, entries = tenant.login.role, server.entries
        session = await psycopg.AsyncConnection.connect(tenant.url, autocommit=True)
        async with await psycopg.AsyncConnection.connect(neighbour.url, autocommit=True) as theirs:
            assert await entries.shut_out(role, tenant.database) == 1
            with pytest.raises(psycopg.OperationalError):
                await session.execute("SELECT 1")
            await theirs.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            await ask(tenant.url, "SELECT 1")
        assert await entries.shut_out(role, tenant.database) == 0
        assert not await entries.may_log_in(role)
        faults = {role: tenant.database}
        assert (await server.role_faults(faults, closed=[role])) == {}
        assert (await server.role_faults(faults)).keys() == {role}
        for _ in range(2):
            await entries.let_in(role)
        assert await ask(tenant.url, "SELECT name FROM customers") == [("x",)]
        assert (await server.role_faults(faults, closed=[role])).keys() == {role}

    async def test_a_sealed_database_lets_nobody_in_and_can_be_dropped(
        self, server: ServerDriver, make: Make, bench: Any
    ) -> None:
        """Not even the administrator; what is not there is sealed, too."""
        tenant = await make("a", customers("x"))
        session = await psycopg.AsyncConnection.connect(tenant.url, autocommit=True)
        for _ in range(2):
            await server.entries.seal(tenant.database, marker(ERASING, tenant="a"))
        with pytest.raises(psycopg.OperationalError):
            await session.execute("SELECT 1")
        for url in (tenant.url, bench.admin_url(tenant.database)):
            with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
                await ask(url, "SELECT 1")
        found = (await server.databases())[tenant.database].marker
        assert found is not None
        assert (found.kind, found.tenant) == (ERASING, "a")
        await server.drop_database(tenant.database)
        await server.entries.seal(tenant.database, marker(ERASING, tenant="a"))
        assert await server.entries.foreign_possessions(tenant.login.role) == []
        await server.drop_role(tenant.login.role)
        assert await server.entries.shut_out(tenant.login.role, tenant.database) == 0
        with pytest.raises(EngineError) as error:
            await server.entries.let_in(tenant.login.role)
        assert error.value.code is Code.NOT_FOUND

    async def test_a_role_that_somebody_else_made_is_left_alone(self, server: ServerDriver, bench: Any, name: str) -> None:
        """It is no member of the tenants' group."""
        await ask(bench.url, f"CREATE ROLE {name}_theirs LOGIN")
        with pytest.raises(EngineError) as error:
            await server.entries.shut_out(f"{name}_theirs", "nowhere")
        assert error.value.code is Code.CONFLICT
        assert await server.entries.may_log_in(f"{name}_theirs")
        await ask(bench.url, f"DROP ROLE {name}_theirs")

    async def test_what_keeps_a_role_from_being_dropped_is_told(self, server: ServerDriver, make: Make, bench: Any) -> None:
        """Rights in another database."""
        tenant, other = await make("a", customers("x")), await make("b", customers("n"))
        await ask(bench.url, f"GRANT CONNECT ON DATABASE {other.database} TO {tenant.login.role}")
        assert await server.entries.foreign_possessions(tenant.login.role) == [other.database]
        await ask(bench.url, f"REVOKE CONNECT ON DATABASE {other.database} FROM {tenant.login.role}")


class TestEmbeddedEntries(EntrySuite):
    """As a superuser."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, wiped_server: Callable[[], str], postgres_bench: Callable[..., Any]) -> Any:
        url = wiped_server()
        return postgres_bench(url=url, outside=url, dead_url="postgresql://manor:secret@/postgres?host=/nowhere")


class TestPlainEntries(EntrySuite):
    """As a login with CREATEDB and CREATEROLE and no more."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, plain_server: Any, postgres_bench: Callable[..., Any], platform_password: str) -> Any:
        url = plain_server.url("platform", platform_password)
        return postgres_bench(url=url, outside=plain_server.outside, dead_url=url.replace(f":{plain_server.port}/", ":1/"))
