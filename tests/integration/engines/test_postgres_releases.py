"""The release suite against the embedded PostgreSQL and against a distribution's, entered by an ordinary login over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import ReleaseDriver
from manor.errors import Code, EngineError, UnreachableError
from manor.testing.engine_fixtures import Connect, at_most, settled
from manor.testing.engine_samples import Tenant
from manor.testing.release_fixtures import NOTES, Look, change, step, the_prepared, versions
from manor.testing.releases import ReleaseDriverSuite, ServerBench

SETTINGS = {
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "standard_conforming_strings": "off",
    "statement_timeout": "100",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "100",
    "idle_session_timeout": "100",
}
SHOW = (
    "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) AS settings FROM pg_settings WHERE name IN "
    "('search_path', 'lock_timeout', 'statement_timeout', 'standard_conforming_strings', 'bytea_output')"
)
SLOW = "SELECT pg_sleep(0.3)"


@contextlib.asynccontextmanager
async def holding(url: str, statement: str) -> AsyncIterator[int]:
    """A session in whose open transaction the statement has run; its process id."""
    connection = await psycopg.AsyncConnection.connect(url, application_name="reporting")
    try:
        await connection.execute(statement.encode())
        yield connection.info.backend_pid
    finally:
        await connection.close()


class PostgresReleasePromises(ReleaseDriverSuite):
    """What is particular to PostgreSQL, on any server."""

    # Sessions that are not as usual

    async def test_settings_of_the_database_change_nothing(
        self, releases: ReleaseDriver, bench: Any, tenant: Tenant, look: Look, gid: str
    ) -> None:
        """Read-only, serializable, impatient, old-fashioned about backslashes: every way of changing works as ever."""
        for name, value in SETTINGS.items():
            await bench.ask(bench.url, f"ALTER DATABASE {tenant.database} SET {name} = {value}")
        seen = "CREATE TABLE seen AS SELECT 'a\\b' AS text, current_setting('transaction_isolation') AS isolation"
        odd = replace(step("001", f"{seen}; {SLOW}"), name="back\\slash\\' it's")
        assert (await releases.rehearse(tenant.database, change(odd))).ran == ("001",)
        assert (await releases.apply(tenant.database, change(odd))).ran == ("001",)
        assert await look(tenant, "SELECT * FROM seen") == [("a\\b", "read committed")]
        assert (await releases.history(tenant.database))[0].name == odd.name
        apart = change(step("002", SLOW), before="001")
        await releases.run_apart(tenant.database, apart, 0, SLOW)
        await releases.apply(tenant.database, change(step("002", None), before="001"))
        for kept, version, before in ((1, "003", "001 002"), (0, "004", "001 002 003")):
            async with releases.ballot(connections=kept) as ballot:
                await ballot.vote(tenant.database, change(step(version, SLOW), before=before), f"{gid}a")
                await asyncio.sleep(0.3)  # longer than the server lets sessions be idle here
                assert await ballot.commit(tenant.database, f"{gid}a")

    async def test_what_a_script_sets_is_over_with_it(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """The next step has the search path, the limits and the reading of strings that it would have had alone."""
        setting = (
            "SELECT set_config('search_path', '', false); SET LOCAL lock_timeout = 1; SET statement_timeout = 0; "
            "SET standard_conforming_strings = off; SET bytea_output = escape"
        )
        steps = (
            step("001", f"CREATE TABLE seen AS {SHOW}"),
            step("002", setting),
            step("003", f"INSERT INTO seen {SHOW}"),
        )
        await releases.apply(tenant.database, change(*steps))
        ((first,), (second,)) = await look(tenant, "SELECT * FROM seen")
        assert first == second
        assert "lock_timeout=5000" in first

    # What scripts may hold

    async def test_a_flood_of_notices_and_rows_is_taken(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """A script may say and return as much as it likes."""
        loud = "DO $$ BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE '%', i; END LOOP; END $$"
        text = f"{loud}; SELECT repeat('x', 100) FROM generate_series(1, 100000); {NOTES}"
        assert (await releases.apply(tenant.database, change(step("001", text)))).ran == ("001",)

    async def test_a_script_of_five_megabytes_runs(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """And its last line has its place."""
        rows = "".join(f"INSERT INTO notes VALUES ({n}, '{'x' * 5000}');\n" for n in range(1000))
        await releases.apply(tenant.database, change(step("001", f"{NOTES};\n{rows}")))
        assert await look(tenant, "SELECT count(*) FROM notes") == [(1000,)]
        with pytest.raises(EngineError) as error:
            await releases.apply(tenant.database, change(step("002", f"DELETE FROM notes;\n{rows}absent"), before="001"))
        assert str(error.value.place) == "002.sql:1004:1"

    @pytest.mark.parametrize("text", ["COPY orders FROM stdin", "COPY orders TO STDOUT; SELECT 1"])
    async def test_a_script_that_copies_from_or_to_us_is_bad_input(
        self, releases: ReleaseDriver, tenant: Tenant, text: str
    ) -> None:
        """Nobody would send or take the rows; it is not taken for a lost connection."""
        with pytest.raises(EngineError, match="COPY") as error:
            await releases.apply(tenant.database, change(step("001", text)))
        assert (error.value.code, error.value.transient, str(error.value.place)) == (Code.BAD_INPUT, False, "001.sql:3:5")
        assert await versions(releases, tenant) == []

    async def test_a_grant_on_all_tables_does_not_give_away_the_history(
        self, releases: ReleaseDriver, bench: ServerBench, tenant: Tenant
    ) -> None:
        """Ours are not meant by it."""
        grant = "GRANT ALL ON ALL\n TABLES IN SCHEMA public TO manor_tenant"
        await releases.apply(tenant.database, change(step("001", NOTES)))
        await releases.apply(tenant.database, change(step("002", grant), before="001"))
        await bench.ask(tenant.url, "TRUNCATE notes")
        for statement in ("DELETE FROM schema_migrations", "UPDATE manor_fence SET token = 9"):
            with pytest.raises(bench.refused, match="permission denied"):
                await bench.ask(tenant.url, statement)

    # Waiting

    async def test_a_lock_that_is_not_to_be_had_is_told_with_its_holder(
        self, releases: ReleaseDriver, connect: Connect, tenant: Tenant, name: str
    ) -> None:
        """The change gives up within its lock timeout; meanwhile the session in its way is named, not what it says."""
        await releases.apply(tenant.database, change(step("001", NOTES)))
        ours = connect(name).releases
        wanted = change(step("002", "ALTER TABLE notes ADD COLUMN n integer"), before="001", lock_timeout_seconds=2.0)
        query = "/* secret; */ -- secret\n insert INTO notes VALUES (1, 'secret')"
        async with holding(tenant.url, query) as pid:
            begin = time.monotonic()
            waiting = asyncio.ensure_future(ours.apply(tenant.database, wanted))

            async def blocked() -> bool:
                return tenant.database in await releases.blockers(name)

            await settled(blocked)
            found = (await releases.blockers(name))[tenant.database]
            with pytest.raises(EngineError) as error:
                await waiting
            assert 1.8 < time.monotonic() - begin < 10
        assert (error.value.code, error.value.transient) == (Code.TIMEOUT, True)
        assert (found.database, found.pid, found.user) == (tenant.database, pid, tenant.login.role)
        assert "secret" not in f"{found!r} {found}".lower()
        self.check_blocker(found)
        assert await releases.blockers(name) == {}

    def check_blocker(self, found: Any) -> None:
        assert (found.application, found.state, found.command) == ("reporting", "idle in transaction", "INSERT")
        assert 0 < found.transaction_seconds < 60
        assert re.search(r"session \d+ of .* \(reporting\), idle in transaction, transaction open for \d+ s", str(found))

    async def test_a_prepared_transaction_in_the_way_is_told_as_one(
        self, releases: ReleaseDriver, connect: Connect, tenant: Tenant, name: str, gid: str
    ) -> None:
        """It has no session: an atomic release that was not settled."""
        async with releases.ballot(connections=0) as ballot:
            await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")
        ours = connect(name).releases
        waiting = asyncio.ensure_future(ours.apply(tenant.database, change(step("001", NOTES), lock_timeout_seconds=2.0)))

        async def blocked() -> bool:
            return tenant.database in await releases.blockers(name)

        await settled(blocked)
        found = (await releases.blockers(name))[tenant.database]
        with pytest.raises(EngineError) as error:
            await waiting
        assert error.value.code is Code.TIMEOUT
        assert str(found) == "a transaction prepared for two-phase commit"

    @pytest.mark.parametrize("apart", [False, True], ids=["transaction", "apart"])
    async def test_a_statement_that_takes_too_long_is_ended(self, releases: ReleaseDriver, tenant: Tenant, apart: bool) -> None:
        """After its time, in a transaction and outside; the code is `timeout`."""
        slow = "SELECT pg_sleep(60)"
        wanted = change(step("001", slow), statement_timeout_seconds=0.2)
        work = releases.run_apart(tenant.database, wanted, 0, slow) if apart else releases.apply(tenant.database, wanted)
        with pytest.raises(EngineError, match="001") as error:
            await work
        assert error.value.code is Code.TIMEOUT

    # Votes

    @pytest.mark.parametrize(
        "text",
        [
            "CREATE INDEX CONCURRENTLY orders_amount ON orders (amount)",
            "LISTEN channel",
            "NOTIFY channel",
            "DO $$ BEGIN CREATE TEMP TABLE scratch (id integer); END $$",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        ],
    )
    async def test_what_cannot_be_prepared_leaves_nothing(
        self, bench: ServerBench, connect: Connect, tenant: Tenant, gid: str, text: str
    ) -> None:
        """The server says why; nothing is prepared and no session stays."""
        releases = connect(gid).releases
        async with releases.ballot(connections=3) as ballot:
            with pytest.raises(EngineError) as error:
                await ballot.vote(tenant.database, change(step("001", f"{text}")), f"{gid}a")
            # Refused inside the transaction, or only when it is to be prepared.
            assert error.value.code in (Code.BAD_INPUT, Code.UNSUPPORTED)
            assert not error.value.transient
            await settled(lambda: at_most(bench, gid, 0))
        assert await the_prepared(releases, gid) == []
        assert await versions(releases, tenant) == []

    async def test_without_a_free_slot_a_vote_is_no(
        self, server: ServerDriver, bench: Any, connect: Connect, tenant: Tenant, gid: str
    ) -> None:
        """The code is `exhausted`; nothing is left, and there is a vote again when a slot is free."""
        slots = (await server.facts()).max_prepared_transactions
        releases = connect(gid).releases
        with psycopg.connect(bench.url, autocommit=True) as connection:
            for number in range(slots):
                connection.execute(f"BEGIN; PREPARE TRANSACTION '{gid}slot{number}'".encode())
            try:
                async with releases.ballot(connections=1) as ballot:
                    with pytest.raises(EngineError) as error:
                        await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")
                    assert error.value.code is Code.EXHAUSTED
                    await settled(lambda: at_most(bench, gid, 0))
                    assert await the_prepared(releases, f"{gid}a") == []
                    connection.execute(f"ROLLBACK PREPARED '{gid}slot0'".encode())
                    assert (await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")).ran == ("001",)
                    assert await ballot.roll_back(tenant.database, f"{gid}a")
            finally:
                for number in range(slots):
                    with contextlib.suppress(psycopg.errors.UndefinedObject):
                        connection.execute(f"ROLLBACK PREPARED '{gid}slot{number}'".encode())

    async def test_a_kept_connection_that_was_ended_is_replaced(
        self, releases: ReleaseDriver, bench: Any, connect: Connect, tenant: Tenant, gid: str
    ) -> None:
        """The first try hears that the connection is gone and may be repeated; the second goes by a new one."""
        async with connect(gid).releases.ballot(connections=1) as ballot:
            await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")
            ending = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name"
            await bench.ask(bench.outside, f"{ending} = 'manor {gid}'")
            with pytest.raises(UnreachableError) as error:
                await ballot.commit(tenant.database, f"{gid}a")
            assert error.value.transient
            assert await ballot.commit(tenant.database, f"{gid}a")
        assert await versions(releases, tenant) == ["001"]


class TestEmbeddedReleases(PostgresReleasePromises):
    """Every promise of the port, entered as the superuser."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, wiped_server: Callable[[], str], postgres_bench: Callable[..., ServerBench]) -> ServerBench:
        url = wiped_server()
        return postgres_bench(url=url, outside=url, dead_url="")

    async def test_who_a_script_becomes_is_over_with_it(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """After SET ROLE and SET SESSION AUTHORIZATION the next step is the login's again."""
        steps = (
            step("001", f'SET ROLE "{tenant.login.role}"'),
            step("002", f'SET SESSION AUTHORIZATION "{tenant.login.role}"'),
            step("003", "CREATE TABLE seen AS SELECT current_user::text = session_user AND current_user = 'manor_admin'"),
        )
        await releases.apply(tenant.database, change(*steps))
        assert await look(tenant, "SELECT * FROM seen") == [(True,)]
        apart = change(step("004", "SET ROLE manor_tenant"), before="001 002 003")
        await releases.run_apart(tenant.database, apart, 0, "SET ROLE manor_tenant")
        assert [state.state for state in await releases.begin_apart(tenant.database, apart) or ()] == ["done"]


@contextlib.contextmanager
def slots_for_votes(binaries: Path, plain_server: Any, slots: int) -> Iterator[None]:
    """The plain server with so many prepared transactions, until the end of the block."""
    for value in (str(slots), "DEFAULT"):
        plain_server.ask(f"ALTER SYSTEM SET max_prepared_transactions = {value}")
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            found = pwd.getpwnam("postgres")
            account = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        data, log = plain_server.folder / "data", plain_server.folder / "log"
        command = [binaries / "pg_ctl", "-D", data, "-l", log, "-m", "fast", "-w", "-t", "60", "restart"]
        with (plain_server.folder / "restart").open("wb") as output:
            subprocess.run(command, cwd="/", stdout=output, stderr=output, check=True, timeout=120, **account)
        if value != "DEFAULT":
            yield


class TestPlainLoginReleases(PostgresReleasePromises):
    """The same promises where Manor is no superuser."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(
        cls, require: Any, plain_server: Any, postgres_bench: Callable[..., ServerBench], platform_password: str
    ) -> Iterator[ServerBench]:
        with slots_for_votes(require("debian-postgresql"), plain_server, 8):
            url = plain_server.url("platform", platform_password)
            yield postgres_bench(url=url, outside=plain_server.outside, dead_url="")

    def check_blocker(self, found: Any) -> None:
        """Such a login may not look at other roles' sessions, and says so."""
        assert (found.application, found.state, found.command) == ("reporting", "", "")
        assert str(found) == f"session {found.pid} of {found.user} (reporting); this login may not see what it does"


async def test_a_server_without_two_phase_commit_takes_no_votes(
    plain_server: Any, platform_password: str, postgres_bench: Callable[..., Any]
) -> None:
    """The code is `exhausted` and the hint says which setting it needs."""
    bench = postgres_bench(url=plain_server.url("platform", platform_password), outside=plain_server.outside, dead_url="")
    server = bench.connect(operation="voteless")
    await server.prepare()
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE voteless")
    async with server.releases.ballot(connections=1) as ballot:
        with pytest.raises(EngineError) as error:
            await ballot.vote("voteless", change(step("001", NOTES)), "voteless")
    assert error.value.code is Code.EXHAUSTED
    assert "max_prepared_transactions" in error.value.hint
    await server.drop_database("voteless")
    await server.close()
