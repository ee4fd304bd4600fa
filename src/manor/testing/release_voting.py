"""The release suite, second half: two-phase commit, statements outside transactions, goldens made of copies."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import ReleaseDriver, StatementState, statement_digest
from manor.errors import Code, EngineError, ManorError
from manor.testing.engine_fixtures import Connect, Make, at_most, settled
from manor.testing.engine_samples import Golden, ServerBench, Tenant, isolation, marker
from manor.testing.release_fixtures import (
    NOTES,
    Look,
    ReleaseFixtures,
    change,
    fingerprint_after,
    step,
    the_prepared,
    versions,
)

TABLES = "SELECT tablename FROM pg_tables WHERE tablename = 'notes'"
INDEX = "CREATE UNIQUE INDEX CONCURRENTLY notes_body ON notes (body)"


class VotingPromises(ReleaseFixtures):
    """Votes and what follows them."""

    async def test_a_vote_is_prepared_and_changes_nothing_yet(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look, gid: str
    ) -> None:
        """It is listed by its prefix with database and time; the table comes with the commit."""
        async with releases.ballot(connections=1) as ballot:
            assert (await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")).ran == ("001",)
            (found,) = await releases.prepared(gid)
            assert (found.gid, found.database) == (f"{gid}a", tenant.database)
            assert abs(found.since - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
            assert await look(tenant, TABLES) == []
            assert await ballot.commit(tenant.database, f"{gid}a") is True
        assert await versions(releases, tenant) == ["001"]
        assert await releases.prepared(gid) == []

    async def test_prepared_transactions_of_others_are_not_listed(
        self, releases: ReleaseDriver, tenant: Tenant, gid: str
    ) -> None:
        """A prefix is a prefix, whatever characters are in it."""
        async with releases.ballot(connections=1) as ballot:
            await ballot.vote(tenant.database, change(), f"{gid}a_b")
        assert await the_prepared(releases, f"{gid}a_b") == [(f"{gid}a_b", tenant.database)]
        assert await the_prepared(releases, f"{gid}a%") == []
        assert await the_prepared(releases, f"{gid}__b") == []

    @pytest.mark.parametrize("kept", [1, 0], ids=["connection kept", "reconnecting"])
    @pytest.mark.parametrize("verb", ["commit", "roll_back"])
    async def test_the_second_phase_can_be_repeated(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look, gid: str, kept: int, verb: str
    ) -> None:
        """True the first time, False when there is nothing to be ended any more."""
        async with releases.ballot(connections=kept) as ballot:
            await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")
            end = getattr(ballot, verb)
            assert [await end(tenant.database, f"{gid}a") for _ in range(3)] == [True, False, False]
        assert await look(tenant, TABLES) == ([("notes",)] if verb == "commit" else [])

    @pytest.mark.parametrize("verb", ["commit", "roll_back"])
    async def test_another_ballot_can_end_what_one_began(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look, gid: str, verb: str
    ) -> None:
        """Leaving a ballot leaves what is prepared; whoever comes after a death settles it."""
        async with releases.ballot(connections=1) as ballot:
            await ballot.vote(tenant.database, change(step("001", NOTES)), f"{gid}a")
        assert await the_prepared(releases, gid) == [(f"{gid}a", tenant.database)]
        async with releases.ballot(connections=1) as ballot:
            assert await getattr(ballot, verb)(tenant.database, f"{gid}a") is True
        assert await look(tenant, TABLES) == ([("notes",)] if verb == "commit" else [])

    async def test_a_ballot_keeps_no_more_connections_than_it_may(
        self, connect: Connect, bench: ServerBench, make: Make, gid: str
    ) -> None:
        """Of three votes two stay connected; after the ballot nobody is."""
        tenants = [await make(suffix) for suffix in "abc"]
        async with connect(gid).releases.ballot(connections=2) as ballot:
            votes = (ballot.vote(t.database, change(step("001", NOTES)), f"{gid}{t.database}") for t in tenants)
            await asyncio.gather(*votes)
            await settled(lambda: at_most(bench, gid, 2))
            assert (await bench.sessions_of(gid))[0] == 2
            for tenant in tenants:
                assert await ballot.commit(tenant.database, f"{gid}{tenant.database}")
        await settled(lambda: at_most(bench, gid, 0))

    async def test_a_vote_that_fails_leaves_nothing(
        self, connect: Connect, bench: ServerBench, tenant: Tenant, look: Look, gid: str
    ) -> None:
        """Nothing prepared, no session, nothing locked, and the reason is that of the statement."""
        releases = connect(gid).releases
        async with releases.ballot(connections=5) as ballot:
            with pytest.raises(EngineError, match="division by zero") as error:
                await ballot.vote(tenant.database, change(step("001", f"{NOTES}; SELECT 1 / 0")), f"{gid}a")
            assert error.value.code is Code.BAD_INPUT
            await settled(lambda: at_most(bench, gid, 0))
            assert await ballot.roll_back(tenant.database, f"{gid}a") is False
        assert await the_prepared(releases, gid) == []
        assert await look(tenant, TABLES) == []

    async def test_a_vote_for_another_outcome_leaves_nothing(self, releases: ReleaseDriver, tenant: Tenant, gid: str) -> None:
        """Drift is found before anything is prepared."""
        async with releases.ballot(connections=5) as ballot:
            with pytest.raises(EngineError) as error:
                await ballot.vote(tenant.database, change(step("001", NOTES), fingerprint="0" * 64), f"{gid}a")
        assert error.value.code is Code.DRIFT
        assert await the_prepared(releases, gid) == []

    # Outside transactions

    async def test_a_statement_outside_transactions_is_journaled(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look
    ) -> None:
        """Nothing before, ``done`` with its digest after; the history's row comes with the end of the step, and the journal
        goes."""
        await releases.apply(tenant.database, change(step("001", NOTES)))
        apart = change(step("002", f"{INDEX};\nANALYZE notes"), before="001")
        assert await releases.begin_apart(tenant.database, apart) == ()
        await releases.run_apart(tenant.database, apart, 0, INDEX)
        done = StatementState(ordinal=0, state="done", digest=statement_digest(INDEX))
        assert await releases.begin_apart(tenant.database, apart) == (done,)
        assert await versions(releases, tenant) == ["001"]
        await releases.apply(tenant.database, change(step("002", None), before="001"))
        assert await releases.begin_apart(tenant.database, apart) is None
        assert await look(tenant, "SELECT 1 FROM manor_statements") == []

    async def test_a_statement_that_fails_outside_transactions_stays_begun(
        self, releases: ReleaseDriver, tenant: Tenant
    ) -> None:
        """Its place is that of the statement in the file; run again it can become done."""
        text = "SELECT 1;\n  SELECT absent"
        apart = change(step("001", text))
        await releases.run_apart(tenant.database, apart, 0, "SELECT 1")
        with pytest.raises(EngineError, match="migration 001") as error:
            await releases.run_apart(tenant.database, apart, 1, "SELECT absent")
        assert str(error.value.place) == "001.sql:4:10"
        states = await releases.begin_apart(tenant.database, apart)
        assert [(state.ordinal, state.state) for state in states or ()] == [(0, "done"), (1, "begun")]
        await releases.unbegin_apart(tenant.database, apart, 0)  # it is done
        await releases.unbegin_apart(tenant.database, replace(apart, operation="another"), 1)
        assert await releases.begin_apart(tenant.database, apart) == states
        await releases.unbegin_apart(tenant.database, apart, 1)
        assert [state.ordinal for state in await releases.begin_apart(tenant.database, apart) or ()] == [0]
        await releases.run_apart(tenant.database, apart, 1, "SELECT 2")
        states = await releases.begin_apart(tenant.database, apart)
        assert [state.state for state in states or ()] == ["done", "done"]

    async def test_a_step_outside_transactions_needs_the_expected_history(
        self, releases: ReleaseDriver, tenant: Tenant
    ) -> None:
        """As any other step."""
        with pytest.raises(EngineError, match="001 is missing") as error:
            await releases.begin_apart(tenant.database, change(step("002", "SELECT 1"), before="001"))
        assert error.value.code is Code.CONFLICT

    async def test_an_index_is_valid_invalid_or_not_there(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """What a failed attempt leaves behind is told from both."""
        rows = "INSERT INTO notes VALUES (1, 'twice'), (2, 'twice')"
        await releases.apply(tenant.database, change(step("001", NOTES), step("002", rows)))
        assert await releases.index_is_valid(tenant.database, "notes_body") is None
        with pytest.raises(ManorError, match="notes_body"):
            await releases.run_apart(tenant.database, change(step("003", INDEX), before="001 002"), 0, INDEX)
        assert await releases.index_is_valid(tenant.database, "notes_body") is False
        await look(tenant, "DROP INDEX notes_body; DELETE FROM notes")
        await releases.run_apart(tenant.database, change(step("003", INDEX), before="001 002"), 0, INDEX)
        assert await releases.index_is_valid(tenant.database, "notes_body") is True
        assert await releases.index_is_valid(tenant.database, 'public."notes_body"') is True
        assert await releases.index_is_valid(tenant.database, '"Notes_Body"') is None
        assert await releases.index_is_valid(tenant.database, "notes") is None, "a table is no index"

    # Goldens

    async def test_a_copy_that_others_may_enter_becomes_no_golden(
        self, server: ServerDriver, releases: ReleaseDriver, golden: Golden, name: str
    ) -> None:
        """A migration that gave everybody a right on its own database is told, and nothing is sealed."""
        building, sealed = f"{name}_building", f"{name}_golden"
        await server.clone(golden.spec.database, building)
        await server.restrict({building: marker("building")})
        opening = f'GRANT CONNECT ON DATABASE "{building}" TO PUBLIC'
        await releases.apply(building, change(step("001", opening)))
        with pytest.raises(ManorError, match="every role would have the right to connect"):
            await releases.seal(building, sealed, marker("golden", digest="3" * 64), isolation("whatever"))
        assert sealed not in await server.databases()

    async def test_a_sealed_copy_has_the_fingerprint_that_tenants_get(
        self, server: ServerDriver, releases: ReleaseDriver, bench: ServerBench, golden: Golden, make: Make, name: str
    ) -> None:
        """A copy of a golden, migrated and sealed, is a golden: marked, closed, and the measure of every tenant."""
        building, sealed = f"{name}_building", f"{name}_golden"
        await server.clone(golden.spec.database, building)
        await server.restrict({building: marker("building")})
        wanted = change(step("001", NOTES))
        await releases.apply(building, wanted)
        fingerprint = await releases.seal(building, sealed, marker("golden", digest="2" * 64), isolation("whatever"))
        found = await server.databases()
        assert building not in found
        assert found[sealed].marker == marker("golden", digest="2" * 64)
        with pytest.raises(bench.refused):
            await bench.ask(bench.admin_url(sealed), "SELECT 1")
        tenant = await make("a")
        assert await fingerprint_after(server, tenant, wanted) == fingerprint
        await server.clone(sealed, f"{name}_copy")
        await server.restrict({f"{name}_copy": marker("building")})
        assert (await releases.apply(f"{name}_copy", wanted)).ran == ()
