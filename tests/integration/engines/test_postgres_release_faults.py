"""Releases whose connection is cut at one message of the protocol: what the caller hears, and what the database has."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import ReleaseDriver
from manor.errors import Code, EngineError, UnreachableError
from manor.testing.engine_samples import Tenant
from manor.testing.pg_proxy import Action, Direction, Fault, Message, PgProxy, matching
from manor.testing.release_fixtures import NOTES, Look, ReleaseFixtures, change, fingerprint_after, step, the_prepared, versions
from manor.testing.releases import ServerBench

TO_SERVER = Direction.TO_SERVER
STATEMENT = "CREATE INDEX CONCURRENTLY orders_amount ON orders USING btree (amount)"
Cut = Callable[[str, Action], Any]


class TestCutConnections(ReleaseFixtures):
    """The embedded server behind a proxy; fixtures look at it without."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, wiped_server: Callable[[], str], postgres_bench: Callable[..., ServerBench]) -> ServerBench:
        url = wiped_server()
        return postgres_bench(url=url, outside=url, dead_url="")

    @pytest.fixture
    def proxy(self, bench: Any) -> Iterator[PgProxy]:
        with PgProxy(bench.url) as proxy:
            yield proxy

    @pytest.fixture
    async def struck(self, proxy: PgProxy, bench: Any) -> AsyncIterator[ReleaseDriver]:
        """The server through the proxy."""
        driver: ServerDriver = replace(bench, url=proxy.url).connect(operation="struck")
        yield driver.releases
        await driver.close()

    @pytest.fixture
    def cut(self, proxy: PgProxy, tenant: Tenant) -> Cut:
        """``cut("COMMIT$", Action.CUT_AFTER)``: once, at the first query that begins so (a regular expression)."""

        def cut(pattern: str, action: Action) -> Any:
            def matches(message: Message) -> bool:
                return (message.type, message.database) == ("Q", tenant.database) and bool(re.match(pattern, message.text))

            return proxy.inject(Fault(direction=TO_SERVER, matches=matches, action=action))

        return cut

    @pytest.mark.parametrize(("action", "committed"), [(Action.CUT_BEFORE, False), (Action.CUT_AFTER, True)])
    async def test_a_commit_whose_answer_is_lost_can_be_repeated(
        self,
        server: ServerDriver,
        struck: ReleaseDriver,
        tenant: Tenant,
        look: Look,
        cut: Cut,
        action: Action,
        committed: bool,
    ) -> None:
        """The caller hears that trying again helps; the second try does what is left, once, and proves it."""
        wanted = change(step("001", NOTES), step("002", "INSERT INTO notes VALUES (1)"), isolation=tenant.isolation)
        fault = cut("COMMIT$", action)
        with pytest.raises(UnreachableError) as error:
            await struck.apply(tenant.database, wanted)
        fault.wait_ended()
        assert error.value.transient
        assert await versions(server.releases, tenant) == (["001", "002"] if committed else [])
        assert (await struck.apply(tenant.database, wanted)).ran == (() if committed else ("001", "002"))
        assert await look(tenant, "SELECT id FROM notes") == [(1,)]
        proved = replace(wanted, fingerprint=await fingerprint_after(server, tenant))
        assert (await struck.apply(tenant.database, proved)).fingerprint == proved.fingerprint

    async def test_a_connection_lost_within_a_script_has_no_place_in_it(
        self, struck: ReleaseDriver, tenant: Tenant, cut: Cut
    ) -> None:
        """It is the network's failure and not the file's; nothing was changed."""
        fault = cut("CREATE TABLE notes", Action.CUT_AFTER)
        with pytest.raises(UnreachableError) as error:
            await struck.apply(tenant.database, change(step("001", NOTES)))
        fault.wait_ended()
        assert (error.value.place, error.value.transient) == (None, True)
        assert await versions(struck, tenant) == []

    @pytest.mark.parametrize(("action", "prepared"), [(Action.CUT_BEFORE, False), (Action.CUT_AFTER, True)])
    async def test_a_vote_whose_answer_is_lost_can_be_rolled_back(
        self, struck: ReleaseDriver, tenant: Tenant, cut: Cut, gid: str, action: Action, prepared: bool
    ) -> None:
        """Whether or not it was prepared: afterwards nothing is, and rolling back says which it was."""
        fault = cut("PREPARE TRANSACTION", action)
        async with struck.ballot(connections=1) as ballot:
            with pytest.raises(UnreachableError):
                await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")
            fault.wait_ended()
            assert await ballot.roll_back(tenant.database, f"{gid}a") is prepared
        assert await the_prepared(struck, gid) == []
        assert await versions(struck, tenant) == []

    @pytest.mark.parametrize("kept", [1, 0], ids=["connection kept", "reconnecting"])
    @pytest.mark.parametrize(("action", "left"), [(Action.CUT_BEFORE, True), (Action.CUT_AFTER, False)])
    async def test_a_second_phase_whose_answer_is_lost_can_be_repeated(
        self, struck: ReleaseDriver, tenant: Tenant, cut: Cut, gid: str, kept: int, action: Action, left: bool
    ) -> None:
        """The repetition says whether there was still something to commit; it is committed either way."""
        async with struck.ballot(connections=kept) as ballot:
            await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")
            fault = cut("COMMIT PREPARED", action)
            with pytest.raises(UnreachableError) as error:
                await ballot.commit(tenant.database, f"{gid}a")
            fault.wait_ended()
            assert error.value.transient
            assert await ballot.commit(tenant.database, f"{gid}a") is left
        assert await versions(struck, tenant) == ["001"]

    @pytest.mark.parametrize(
        ("text", "action", "valid"),
        [
            (re.escape(STATEMENT), Action.CUT_BEFORE, None),
            (re.escape(STATEMENT), Action.CUT_AFTER, True),
            ("UPDATE public.manor_statements", Action.CUT_BEFORE, True),
        ],
        ids=["before the statement", "answer lost", "before it is journaled as done"],
    )
    async def test_a_statement_apart_that_is_cut_off_stays_begun(
        self, struck: ReleaseDriver, tenant: Tenant, cut: Cut, text: str, action: Action, valid: bool | None
    ) -> None:
        """The journal never says more than is known; the database shows what came of it."""
        apart = change(step("001", STATEMENT))
        fault = cut(text, action)
        with pytest.raises(UnreachableError):
            await struck.run_apart(tenant.database, apart, 0, STATEMENT)
        fault.wait_ended()
        (state,) = await struck.begin_apart(tenant.database, apart) or ()
        assert (state.ordinal, state.state) == (0, "begun")
        assert await struck.index_is_valid(tenant.database, "orders_amount") is valid

    async def test_a_statement_apart_does_not_run_before_it_is_journaled(
        self, struck: ReleaseDriver, tenant: Tenant, cut: Cut
    ) -> None:
        """Where the first entry of the journal is lost, so is the statement."""
        fault = cut("COMMIT$", Action.CUT_BEFORE)
        with pytest.raises(UnreachableError):
            await struck.run_apart(tenant.database, change(step("001", STATEMENT)), 0, STATEMENT)
        fault.wait_ended()
        assert await struck.begin_apart(tenant.database, change(step("001", STATEMENT))) == ()
        assert await struck.index_is_valid(tenant.database, "orders_amount") is None

    async def test_a_runner_that_comes_back_late_changes_nothing(
        self, server: ServerDriver, struck: ReleaseDriver, tenant: Tenant, proxy: PgProxy
    ) -> None:
        """Held up on the network while its successor worked, it meets the fence."""
        wanted = matching(type="Q", text="UPDATE public.manor_fence", database=tenant.database)
        held = proxy.inject(Fault(direction=TO_SERVER, matches=wanted, action=Action.HOLD))
        late = asyncio.ensure_future(struck.apply(tenant.database, change(step("001", NOTES), token=1)))
        await asyncio.to_thread(held.wait)
        await server.releases.apply(tenant.database, change(step("001", "SELECT 1"), token=2, operation="successor"))
        held.release()
        with pytest.raises(EngineError, match="token 1") as error:
            await late
        assert error.value.code is Code.CONFLICT
        assert [row.operation for row in await server.releases.history(tenant.database)] == ["successor"]
