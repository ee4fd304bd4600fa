"""The engine suite against a distribution's PostgreSQL over TLS, entered by a role with CREATEDB and CREATEROLE and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from manor.control.engines.driver import ServerDriver
from manor.errors import EngineError, UnreachableError
from manor.testing.engines import ServerBench, ServerDriverSuite


@pytest.fixture(scope="module")
def bench(plain_server: Any, postgres_bench: Callable[..., ServerBench], platform_password: str) -> ServerBench:
    return postgres_bench(
        url=plain_server.url("platform", platform_password),
        outside=plain_server.outside,
        dead_url=plain_server.url("platform", "secret").replace(f":{plain_server.port}/", ":1/"),
    )


class TestPlainLogin(ServerDriverSuite):
    """Every promise of the port, and what is particular to such a server."""

    async def test_the_login_is_no_superuser_and_the_session_is_encrypted(self, server: ServerDriver) -> None:
        """What the suite just ran with is what the product asks for, and not more."""
        facts = await server.facts()
        assert (facts.superuser, facts.encrypted, facts.data_directory) == (False, True, None)

    async def test_a_url_without_a_database_leads_to_the_maintenance_database(
        self, plain_server: Any, platform_password: str, postgres_bench: Callable[..., Any]
    ) -> None:
        """`postgresql://user:password@host:port/` is how settings tell people to write it, and it works."""
        bare = plain_server.url("platform", platform_password, database="")
        server = postgres_bench(url=bare, outside=plain_server.outside, dead_url="").connect(operation="bare")
        assert (await server.facts()).user == "platform"
        await server.close()

    async def test_a_wrong_administrators_password_is_denied(
        self, plain_server: Any, postgres_bench: Callable[..., Any]
    ) -> None:
        """The code is `denied`, trying again does not help, and the password is not told."""
        url = plain_server.url("platform", "hunter2")
        server = postgres_bench(url=url, outside=url, dead_url="").connect(operation="wrong")
        with pytest.raises(EngineError) as error:
            await server.facts()
        assert (str(error.value.code), error.value.transient) == ("denied", False)
        assert "hunter2" not in f"{error.value} {error.value.hint}"

    async def test_a_certificate_that_does_not_fit_is_refused(
        self, plain_server: Any, platform_password: str, postgres_bench: Callable[..., Any]
    ) -> None:
        """With verify-full a server of another name is not spoken to."""
        url = plain_server.url("platform", platform_password).replace("127.0.0.1", "localhost", 1)
        server = postgres_bench(url=url, outside=url, dead_url="").connect(operation="verify")
        with pytest.raises(UnreachableError, match="certificate"):
            await server.facts()
