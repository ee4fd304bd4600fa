"""The conformance suite of the engine port (``manor.control.engines.driver.ServerDriver``).

A driver's test file is a fixture and a subclass::

    @pytest.fixture(scope="module")
    def bench() -> ServerBench: ...

    class TestMyEngine(ServerDriverSuite):
        ...  # what is particular to this engine

``bench`` (see ``manor.testing.engine_samples``) stands for a real server that nobody else uses meanwhile. Each test names one
promise, makes databases and roles of its own and takes them away again; one golden database is kept for all of them. Needs
pytest and pytest-asyncio.
"""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace

import pytest

from manor.control.engines.driver import ServerDriver
from manor.errors import Code, EngineError, ManorError, UnreachableError
from manor.testing.engine_fixtures import Connect, Make, at_most, busy, settled, slow_fill
from manor.testing.engine_making import MakingPromises
from manor.testing.engine_samples import (
    AWKWARD_PASSWORD,
    AWKWARD_TEXT,
    Golden,
    ServerBench,
    customers,
    isolation,
    marker,
    new_login,
)

__all__ = ["ServerBench", "ServerDriverSuite"]


class ServerDriverSuite(MakingPromises):
    """Every promise of the port, one test each."""

    # What is there

    async def test_facts_say_what_the_server_is_and_what_our_login_may_do(self, server: ServerDriver) -> None:
        """Version, rights and connections come from the server itself; no pooler is seen where there is none."""
        facts = await server.facts()
        assert facts.engine == server.engine
        assert facts.version
        assert facts.version_number > 0
        assert facts.user
        assert facts.can_create_databases
        assert facts.can_create_roles
        assert 0 < facts.used_connections < facts.max_connections
        assert facts.pooler is None

    async def test_facts_count_the_sessions_of_every_role(self, server: ServerDriver, bench: ServerBench, make: Make) -> None:
        """Sessions of tenants count as used connections, also where our login may not look into them."""
        tenant = await make("a")
        before = (await server.facts()).used_connections
        async with bench.session(tenant.url), bench.session(tenant.url):
            assert (await server.facts()).used_connections >= before + 2

    async def test_a_server_that_never_crashed_has_no_stray_folders(self, server: ServerDriver) -> None:
        """Or this login may not look; never a database's own folder."""
        assert not await server.stray_folders()

    async def test_databases_come_with_their_markers(self, server: ServerDriver, make: Make) -> None:
        """A marker is read back as it was written; a database that Manor did not mark has none."""
        awkward = marker("tenant", tenant=f"acme/standard/{AWKWARD_TEXT}", digest="0" * 64, operation="op")
        tenant = await make("a")
        await server.restrict({tenant.database: awkward})
        found = await server.databases()
        assert found[tenant.database].marker == awkward
        assert found[tenant.database].owner
        assert not found[tenant.database].broken
        unmarked = [d for d in found.values() if d.marker is None]
        assert unmarked, "the server's own databases are listed too, without a marker"

    async def test_roles_are_listed(self, server: ServerDriver, name: str) -> None:
        """Roles appear and disappear with what is done to them."""
        await server.prepare()
        assert name not in await server.roles()
        await server.create_roles([new_login(name)])
        assert name in await server.roles()
        await server.drop_role(name)
        assert name not in await server.roles()

    async def test_prepare_can_be_repeated_and_raced(self, server: ServerDriver) -> None:
        """Twice at once and once more: what all tenants share is there once."""
        await asyncio.gather(server.prepare(), server.prepare())
        before = await server.roles()
        await server.prepare()
        assert await server.roles() == before

    # Proof

    async def test_two_tenants_have_one_fingerprint_until_one_is_changed(
        self, server: ServerDriver, bench: ServerBench, make: Make
    ) -> None:
        """Rows, names and tenant values do not count; a column more does, and is told in words."""
        a, b = await make("a", customers("x")), await make("b", customers("y", "z"), value="someone else")
        assert await server.fingerprint(a.database, a.isolation) == await server.fingerprint(b.database, b.isolation)
        expected = await server.describe(a.database, a.isolation)
        assert expected == sorted(expected)
        assert server.explain_drift(expected, await server.describe(b.database, b.isolation)) == []
        await bench.ask(bench.admin_url(b.database), "ALTER TABLE orders ADD COLUMN smuggled integer")
        fingerprint, isolated = await server.fingerprint(b.database, b.isolation)
        assert fingerprint != (await server.fingerprint(a.database, a.isolation))[0]
        assert isolated
        drift = server.explain_drift(expected, await server.describe(b.database, b.isolation))
        assert any("orders" in line and "smuggled" in line for line in drift), drift

    async def test_a_wrong_tenant_value_is_found(self, server: ServerDriver, make: Make) -> None:
        """A database that holds another tenant's value has the right fingerprint and the wrong isolation."""
        tenant = await make("a", value="right")
        fingerprint, isolated = await server.fingerprint(tenant.database, isolation("wrong"))
        assert not isolated
        assert re.fullmatch("[0-9a-f]{64}", fingerprint)

    async def test_check_sees_a_database_through_its_tenants_eyes(
        self, server: ServerDriver, bench: ServerBench, golden: Golden, make: Make
    ) -> None:
        """Fingerprint, isolation, size, other sessions; and the neighbour's database stays closed to it."""
        a, b = await make("a"), await make("b")
        async with bench.session(a.url):
            facts = await server.check(a.database, a.login, a.isolation, other=b.database)
        assert (facts.fingerprint, facts.isolation_ok) == (golden.fingerprint, True)
        assert facts.bytes > 0
        assert facts.connections == 1
        assert (facts.reaches_other, facts.probed) == (False, b.database)

    async def test_check_without_a_neighbour_probes_nobody(self, server: ServerDriver, make: Make) -> None:
        """A lonely tenant is healthy, and the probe says that it had nobody to try."""
        tenant = await make("a")
        facts = await server.check(tenant.database, tenant.login, tenant.isolation, other=None)
        assert (facts.reaches_other, facts.probed) == (False, None)

    async def test_check_finds_a_neighbour_that_is_open(self, server: ServerDriver, bench: ServerBench, make: Make) -> None:
        """Where somebody let every role into the neighbour's database, the probe gets in and says so."""
        a, b = await make("a"), await make("b")
        await bench.open_to_public(b.database)
        facts = await server.check(a.database, a.login, a.isolation, other=b.database)
        assert facts.reaches_other

    async def test_a_probe_that_could_not_be_made_proves_nothing(self, server: ServerDriver, make: Make, name: str) -> None:
        """A neighbour that is not there is an error, never `isolation holds`."""
        a = await make("a")
        with pytest.raises(ManorError) as error:
            await server.check(a.database, a.login, a.isolation, other=f"{name}_absent")
        assert error.value.code is Code.NOT_FOUND

    # Changing and dropping

    async def test_set_password_replaces_the_old_one(self, server: ServerDriver, bench: ServerBench, make: Make) -> None:
        """The new password opens, the old one no longer does."""
        tenant = await make("a")
        changed = replace(tenant.login, password=AWKWARD_PASSWORD)
        await server.set_password(changed, tenant.database)
        assert await bench.ask(server.url(tenant.database, changed), "SELECT 1") == [(1,)]
        with pytest.raises(bench.refused):
            await bench.ask(tenant.url, "SELECT 1")

    async def test_a_role_is_as_it_was_made_or_its_fault_is_told(self, server: ServerDriver, make: Make) -> None:
        """A tenant's role has no fault; one that is not there has. Setting its password again changes neither."""
        tenant = await make("a")
        roles = {tenant.login.role: tenant.database}
        assert await server.role_faults(roles) == {}
        await server.set_password(tenant.login, tenant.database)
        assert await server.role_faults(roles) == {}
        absent = f"{tenant.database}_absent"
        assert (await server.role_faults({**roles, absent: tenant.database})).keys() == {absent}

    async def test_drop_database_ends_the_sessions_in_it(self, server: ServerDriver, bench: ServerBench, make: Make) -> None:
        """A tenant that is connected does not stop it; dropping again is no error."""
        tenant = await make("a")
        async with bench.session(tenant.url):
            await server.drop_database(tenant.database)
        assert tenant.database not in await server.databases()
        await server.drop_database(tenant.database)

    async def test_drop_role_drops_it_and_repeats(self, server: ServerDriver, make: Make) -> None:
        """Once the database is gone its role can go; an absent role is no error."""
        tenant = await make("a")
        await server.drop_database(tenant.database)
        await server.drop_role(tenant.login.role)
        await server.drop_role(tenant.login.role)
        assert tenant.login.role not in await server.roles()

    # Sessions

    async def test_end_sessions_ends_one_operations_sessions_and_waits(
        self, server: ServerDriver, bench: ServerBench, connect: Connect, golden: Golden, name: str
    ) -> None:
        """A dead operation's statement is broken off and its sessions are gone on return; other operations' stay."""
        dead, alive = connect(f"{name} dead"), connect(f"{name} alive")
        await server.clone(golden.spec.database, name)
        await server.restrict({name: marker("building")})
        await alive.facts()
        work = asyncio.ensure_future(dead.fill(name, slow_fill(bench, golden)))
        await settled(lambda: busy(bench, f"{name} dead", 1))
        assert await server.end_sessions(f"{name} dead") >= 1
        assert await bench.sessions_of(f"{name} dead") == (0, 0)
        assert (await bench.sessions_of(f"{name} alive"))[0] == 1
        with pytest.raises(ManorError) as error:
            await work
        assert error.value.transient
        assert await server.end_sessions(f"{name} dead") == 0

    async def test_the_budget_of_sessions_is_kept(
        self, server: ServerDriver, bench: ServerBench, connect: Connect, golden: Golden, name: str
    ) -> None:
        """However much is asked for at once, idle and busy connections together stay within ``sessions``; all gets done."""
        operation, budget = f"{name} budget", 3
        bounded = connect(operation, budget)
        for number in range(budget):
            await server.clone(golden.spec.database, f"{name}_{number}")
            await server.restrict({f"{name}_{number}": marker("building")})
        await asyncio.gather(*(bounded.databases() for _ in range(4 * budget)))
        work = [asyncio.ensure_future(bounded.fill(f"{name}_{n}", slow_fill(bench, golden))) for n in range(budget)]
        await settled(lambda: busy(bench, operation, budget))
        waiting = asyncio.ensure_future(bounded.databases())
        await settled(lambda: at_most(bench, operation, budget))
        assert not waiting.done()
        for task in work:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*work)
        assert name + "_0" in await waiting

    async def test_close_leaves_no_session(self, bench: ServerBench, connect: Connect, name: str) -> None:
        """After ``close`` the server has no session of this driver left."""
        driver = connect(name)
        await asyncio.gather(*(driver.databases() for _ in range(5)))
        assert (await bench.sessions_of(name))[0] >= 1
        await driver.close()
        await settled(lambda: at_most(bench, name, 0))

    async def test_checkpoint_is_never_an_error(self, server: ServerDriver) -> None:
        """A login that may not force one goes on without."""
        await server.checkpoint()

    # Errors and URLs

    async def test_a_wrong_password_is_denied_and_told_without_it(self, server: ServerDriver, make: Make) -> None:
        """The code is ``denied``, trying again does not help, and no password is in the message, the hint or the repr."""
        tenant = await make("a")
        wrong = replace(tenant.login, password="hunter2-is-not-it")  # noqa: S106 - wrong on purpose
        with pytest.raises(EngineError) as error:
            await server.check(tenant.database, wrong, tenant.isolation, other=None)
        assert error.value.code is Code.DENIED
        assert not error.value.transient
        for text in (str(error.value), error.value.hint, repr(error.value), repr(wrong)):
            assert "hunter2" not in text

    async def test_a_server_that_does_not_run_is_unreachable(self, bench: ServerBench) -> None:
        """It is a transient ``UnreachableError`` that names the server and not its password."""
        server = bench.unreachable()
        with pytest.raises(UnreachableError) as error:
            await server.facts()
        assert error.value.transient
        assert server.name in str(error.value)
        assert error.value.hint
        assert "secret" not in f"{error.value} {error.value.hint}"
        await server.close()

    async def test_an_unknown_database_is_not_found(self, server: ServerDriver, name: str) -> None:
        """Looking into a database that does not exist says so."""
        with pytest.raises(EngineError) as error:
            await server.fingerprint(f"{name}_absent", ())
        assert error.value.code is Code.NOT_FOUND
        assert not error.value.transient

    @pytest.mark.parametrize("suffix", ["with space", "quo'te\"s", "a/b?c=d&e#f%41:@", "日本"])
    async def test_a_url_leads_back_whatever_the_names_and_the_password_are(
        self, bench: ServerBench, make: Make, suffix: str
    ) -> None:
        """The URL of a tenant opens exactly its database as exactly its role, whatever needs quoting in them."""
        tenant = await make(suffix, password=AWKWARD_PASSWORD)
        found = await bench.ask(tenant.url, "SELECT current_database(), current_user")
        assert found == [(tenant.database, tenant.login.role)]
