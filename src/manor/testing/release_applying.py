"""The release suite, first half: histories, fences, and what a change in one transaction does."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
import datetime as dt
import re
from dataclasses import replace

import pytest

from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import Change, HistoryRow, ReleaseDriver
from manor.errors import Code, EngineError, InputError, ManorError
from manor.testing.engine_fixtures import Make
from manor.testing.engine_samples import AWKWARD_TEXT, ServerBench, Tenant, isolation, marker
from manor.testing.release_fixtures import (
    NOTES,
    OTHER_TOOL,
    Look,
    ReleaseFixtures,
    change,
    checksum,
    fingerprint_after,
    only_row,
    step,
    versions,
)

FAILING = [
    pytest.param("CREATE nonsense", 3, 12, id="first line"),
    pytest.param("CREATE TABLE made (id integer);\n\n  SELECT absent FROM made;", 5, 10, id="later line"),
    pytest.param("SELECT 1;\n-- nothing\n  SELECT 2; SELECT 1 / 0;\nSELECT 3", 5, 13, id="statement without a position"),
    pytest.param("SELECT '日本語 🗾';\nSELECT '🗾', absent", 4, 13, id="behind wide characters"),
]


class ApplyingPromises(ReleaseFixtures):
    """Changes that run and commit in the tenant's own database."""

    # Histories

    async def test_a_database_that_no_release_has_seen_has_an_empty_history(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look
    ) -> None:
        """Looking is no change: no table is made by it."""
        assert await releases.history(tenant.database) == ()
        assert await look(tenant, "SELECT 1 FROM pg_tables WHERE tablename = 'schema_migrations'") == []

    async def test_another_tools_history_is_read(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """A table with nothing but versions, as dbmate makes it, is a history without checksums."""
        for statement in (OTHER_TOOL, "INSERT INTO schema_migrations VALUES ('002'), ('001')"):
            await look(tenant, statement)
        assert await releases.history(tenant.database) == (HistoryRow(version="001"), HistoryRow(version="002"))

    async def test_another_tools_history_is_adopted(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """Its rows stay and get their checksums, and the tool can still write what it always wrote."""
        for statement in (OTHER_TOOL, "INSERT INTO schema_migrations VALUES ('001')"):
            await look(tenant, statement)
        changed = await releases.apply(tenant.database, change(step("002", NOTES), before="001"))
        assert changed.ran == ("002",)
        await look(tenant, "INSERT INTO schema_migrations (version) VALUES ('003')")
        found = [(row.version, row.checksum) for row in await releases.history(tenant.database)]
        assert found == [("001", checksum("001")), ("002", checksum("002")), ("003", "")]

    async def test_what_another_tool_has_run_is_not_run_again(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look
    ) -> None:
        """Its row without a checksum stands for the step."""
        for statement in (OTHER_TOOL, "INSERT INTO schema_migrations VALUES ('001')", NOTES):
            await look(tenant, statement)
        assert (await releases.apply(tenant.database, change(step("001", NOTES)))).ran == ()

    async def test_every_step_has_its_row(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """With checksum, name, time and operation, whatever characters are in them."""
        odd = replace(step("001", NOTES), name=AWKWARD_TEXT, checksum="it's \\ odd")
        begin = dt.datetime.now(dt.UTC)
        changed = await releases.apply(tenant.database, change(odd, operation="o'p"))
        row = await only_row(releases, tenant)
        assert changed.ran == ("001",)
        assert (row.version, row.checksum, row.name, row.operation) == ("001", odd.checksum, AWKWARD_TEXT, "o'p")
        assert row.applied_at is not None
        assert abs(row.applied_at - begin) < dt.timedelta(minutes=5)

    async def test_steps_run_in_their_order(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """A later one sees what an earlier one made."""
        second = step("002", "INSERT INTO notes VALUES (1, '50% \\ off {} $1')")
        assert (await releases.apply(tenant.database, change(step("001", NOTES), second))).ran == ("001", "002")
        assert await look(tenant, "SELECT body FROM notes") == [("50% \\ off {} $1",)]

    # Failures

    @pytest.mark.parametrize(("text", "line", "column"), FAILING)
    async def test_a_statement_that_fails_is_found_in_its_file(
        self, releases: ReleaseDriver, tenant: Tenant, text: str, line: int, column: int
    ) -> None:
        """The error names database and migration, and its place counts from where the text begins in the file."""
        with pytest.raises(EngineError, match=re.escape(tenant.database)) as error:
            await releases.apply(tenant.database, change(step("001", "SELECT 1"), step("002", text)))
        assert "migration 002" in str(error.value)
        assert str(error.value.place) == f"002.sql:{line}:{column}"
        assert (error.value.code, error.value.transient) == (Code.BAD_INPUT, False)

    async def test_a_statement_that_fails_changes_nothing(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """Neither the steps before it nor the history nor the fence stay."""
        await releases.apply(tenant.database, change(step("001", "SELECT 1"), token=3))
        with pytest.raises(EngineError):
            await releases.apply(
                tenant.database, change(step("002", NOTES), step("003", "SELECT 1 / 0"), before="001", token=9)
            )
        assert await versions(releases, tenant) == ["001"]
        assert (await releases.apply(tenant.database, change(step("002", NOTES), before="001", token=4))).ran == ("002",)

    async def test_a_script_with_a_nul_character_is_refused(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """It would end there in silence, and be recorded as if all of it had run."""
        with pytest.raises(InputError, match="NUL") as error:
            await releases.apply(tenant.database, change(step("001", f"{NOTES};\n SELECT\0 1 / 0")))
        assert str(error.value.place) == "001.sql:4:8"
        assert await versions(releases, tenant) == []

    @pytest.mark.parametrize("text", [f"{NOTES}; COMMIT", f"{NOTES}; COMMIT; BEGIN", "ROLLBACK; BEGIN; SELECT 1", "COMMIT"])
    async def test_a_script_that_ends_its_transaction_is_refused(
        self, releases: ReleaseDriver, tenant: Tenant, text: str
    ) -> None:
        """Also where it begins another one; it is not recorded as done, and nobody is told that nothing was changed."""
        with pytest.raises(EngineError, match="ends the transaction") as error:
            await releases.apply(tenant.database, change(step("001", text)))
        assert error.value.code is Code.BAD_INPUT
        assert "may stay" in str(error.value)
        assert await versions(releases, tenant) == []

    # Repeating

    async def test_applying_again_does_nothing_and_proves_the_outcome(
        self, server: ServerDriver, releases: ReleaseDriver, tenant: Tenant, look: Look
    ) -> None:
        """What ran is left out; the fingerprint is compared all the same."""
        wanted = change(step("001", NOTES), isolation=tenant.isolation)
        proved = replace(wanted, fingerprint=await fingerprint_after(server, tenant, wanted))
        again = await releases.apply(tenant.database, proved)
        assert (again.ran, again.fingerprint) == ((), proved.fingerprint)
        await look(tenant, "ALTER TABLE notes ADD COLUMN smuggled integer")
        with pytest.raises(EngineError) as error:
            await releases.apply(tenant.database, proved)
        assert error.value.code is Code.DRIFT

    async def test_of_two_that_come_at_once_one_runs_the_steps(self, releases: ReleaseDriver, make: Make, look: Look) -> None:
        """The other waits and finds them done, also where the history's table is still to be made."""
        for number in range(4):
            tenant = await make(f"race{number}")
            wanted = change(step("001", NOTES), step("002", "INSERT INTO notes VALUES (1)"))
            done = await asyncio.gather(*(releases.apply(tenant.database, wanted) for _ in range(3)))
            assert sorted(one.ran for one in done) == [(), (), ("001", "002")]
            assert await look(tenant, "SELECT count(*) FROM notes") == [(1,)]

    async def test_a_rehearsal_leaves_nothing(self, releases: ReleaseDriver, tenant: Tenant, look: Look) -> None:
        """It says what would have run; there is no table, no history, and no fence against a lower token."""
        assert (await releases.rehearse(tenant.database, change(step("001", NOTES), token=9))).ran == ("001",)
        assert await look(tenant, "SELECT tablename FROM pg_tables WHERE tablename ~ 'notes|manor_|migrations'") == []
        assert (await releases.apply(tenant.database, change(step("001", NOTES), token=1))).ran == ("001",)

    async def test_a_rehearsal_fails_as_the_change_would(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """Also by what is only looked at when a transaction ends."""
        late = step(
            "001",
            "CREATE TABLE parent (id integer PRIMARY KEY);"
            "CREATE TABLE child (parent integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED); INSERT INTO child VALUES (7)",
        )
        for method in (releases.rehearse, releases.apply):
            with pytest.raises(EngineError, match="foreign key") as error:
                await method(tenant.database, change(late))
            assert error.value.code is Code.BAD_INPUT
        assert await versions(releases, tenant) == []

    # Fences

    @pytest.mark.parametrize("method", ["apply", "rehearse", "begin_apart", "run_apart", "vote"])
    async def test_a_lower_token_is_refused(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look, gid: str, method: str
    ) -> None:
        """A runner that was taken for dead changes nothing after its successor."""
        await releases.apply(tenant.database, change(token=7))
        late = change(step("001", NOTES), token=6)
        with pytest.raises(EngineError, match="token 6") as error:
            await _by(releases, method, tenant, late, gid)
        assert (error.value.code, error.value.transient) == (Code.CONFLICT, False)
        assert await versions(releases, tenant) == []
        assert await look(tenant, "SELECT tablename FROM pg_tables WHERE tablename = 'notes'") == []

    async def test_an_equal_token_passes_and_a_higher_one_raises_the_fence(
        self, releases: ReleaseDriver, tenant: Tenant
    ) -> None:
        """The same runner may come again; after a later one it may not."""
        for token in (7, 7, 8):
            await releases.apply(tenant.database, change(token=token))
        with pytest.raises(EngineError, match="token 7"):
            await releases.apply(tenant.database, change(token=7))

    @pytest.mark.parametrize(
        ("before", "problem"),
        [("001 002 003", "003 is missing"), ("001", "002 is not known"), ("001 002 003 004", "003 is missing, 004 is missing")],
    )
    async def test_another_history_is_refused_by_name(
        self, releases: ReleaseDriver, tenant: Tenant, before: str, problem: str
    ) -> None:
        """What is missing and what nobody knows is named, and no step runs."""
        await releases.apply(tenant.database, change(step("001", None), step("002", None)))
        with pytest.raises(EngineError, match=problem) as error:
            await releases.apply(tenant.database, change(step("005", NOTES), before=before))
        assert error.value.code is Code.CONFLICT
        assert await versions(releases, tenant) == ["001", "002"]

    async def test_a_migration_that_was_run_with_another_text_is_named(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """An edited file is told by its checksum: one that ran before, and one of this very change."""
        await releases.apply(tenant.database, change(step("001", NOTES)))
        edited = Change(operation="op", token=5, before=(("001", "other"),), steps=(step("002", "SELECT 1"),))
        for wanted in (edited, change(replace(step("001", NOTES), checksum="other"))):
            with pytest.raises(EngineError, match="001 was run with another text") as error:
                await releases.apply(tenant.database, wanted)
            assert error.value.code is Code.CONFLICT

    # Kinds of steps

    async def test_a_step_down_takes_its_row_away(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """Its text runs, the row goes, and doing it again does nothing."""
        await releases.apply(tenant.database, change(step("001", NOTES), step("002", None)))
        down = change(step("002", None, down=True), step("001", "DROP TABLE notes", down=True), before="001 002")
        assert (await releases.apply(tenant.database, down)).ran == ("002", "001")
        assert await versions(releases, tenant) == []
        assert (await releases.apply(tenant.database, down)).ran == ()
        assert (await releases.apply(tenant.database, change(step("001", NOTES)))).ran == ("001",)

    async def test_a_step_that_fails_on_its_way_down_says_so(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """The message tells the two sections of a file apart."""
        await releases.apply(tenant.database, change(step("001", NOTES)))
        with pytest.raises(EngineError, match=r"migration 001 \(down\)"):
            await releases.apply(tenant.database, change(step("001", "DROP TABLE absent", down=True), before="001"))
        assert await versions(releases, tenant) == ["001"]

    async def test_a_step_without_text_is_only_recorded(self, releases: ReleaseDriver, tenant: Tenant) -> None:
        """A baseline: the database has it already."""
        assert (await releases.apply(tenant.database, change(step("001", None)))).ran == ("001",)
        assert (await only_row(releases, tenant)).checksum == checksum("001")

    async def test_the_marker_comes_with_the_change(self, server: ServerDriver, releases: ReleaseDriver, make: Make) -> None:
        """It is the database's afterwards, whatever its name; a change that fails leaves the old one."""
        tenant = await make("quo'te\" %s")
        wanted = marker("tenant", tenant=AWKWARD_TEXT, digest="1" * 64, operation="op")
        await releases.apply(tenant.database, change(step("001", NOTES), marker=wanted))
        failing = change(step("002", "SELECT 1"), before="001", marker=marker("warm"), fingerprint="0" * 64)
        with pytest.raises(ManorError):
            await releases.apply(tenant.database, failing)
        assert (await server.databases())[tenant.database].marker == wanted

    # Proof

    async def test_a_change_with_another_outcome_is_rolled_back(
        self, server: ServerDriver, releases: ReleaseDriver, make: Make, look: Look
    ) -> None:
        """Where another schema would come out nothing is changed; where the released one does, it is."""
        wanted = change(step("001", NOTES))
        expected = await fingerprint_after(server, await make("model"), wanted)
        drifted, sound = await make("drifted"), await make("sound")
        await look(drifted, "ALTER TABLE orders ADD COLUMN smuggled integer")
        with pytest.raises(EngineError, match="rolled back") as error:
            await releases.apply(drifted.database, replace(wanted, fingerprint=expected, isolation=drifted.isolation))
        assert error.value.code is Code.DRIFT
        assert await versions(releases, drifted) == []
        changed = await releases.apply(sound.database, replace(wanted, fingerprint=expected, isolation=sound.isolation))
        assert changed.fingerprint == expected

    async def test_another_tenants_value_is_not_accepted(
        self, server: ServerDriver, releases: ReleaseDriver, make: Make
    ) -> None:
        """The schema is right and the isolated column is not: nothing is changed."""
        wanted = change(step("001", NOTES))
        expected = await fingerprint_after(server, await make("model"), wanted)
        tenant = await make("a", value="mine")
        with pytest.raises(EngineError, match="isolated column") as error:
            await releases.apply(tenant.database, replace(wanted, fingerprint=expected, isolation=isolation("theirs")))
        assert error.value.code is Code.DRIFT
        assert await versions(releases, tenant) == []

    # What the tenant may

    async def test_tables_of_a_migration_are_the_tenants_to_use(
        self, releases: ReleaseDriver, bench: ServerBench, tenant: Tenant
    ) -> None:
        """Rows yes, structure no."""
        await releases.apply(tenant.database, change(step("001", NOTES)))
        await bench.ask(tenant.url, "INSERT INTO notes VALUES (1, 'mine'); UPDATE notes SET body = 'still'; DELETE FROM notes")
        with pytest.raises(bench.refused):
            await bench.ask(tenant.url, "DROP TABLE notes")

    @pytest.mark.parametrize("adopted", [False, True], ids=["made", "adopted"])
    async def test_a_tenant_reads_its_history_and_writes_none_of_it(
        self, releases: ReleaseDriver, bench: ServerBench, tenant: Tenant, look: Look, adopted: bool
    ) -> None:
        """Neither history nor fence nor journal can be changed by it; fence and journal it cannot even see."""
        if adopted:
            await look(tenant, OTHER_TOOL)
        await releases.apply(tenant.database, change(step("001", NOTES)))
        assert await bench.ask(tenant.url, "SELECT version FROM schema_migrations") == [("001",)]
        for statement in (
            "INSERT INTO schema_migrations (version) VALUES ('9')",
            "UPDATE schema_migrations SET version = '9'",
            "DELETE FROM schema_migrations",
            "UPDATE manor_fence SET token = 999",
            "SELECT token FROM manor_fence",
            "DELETE FROM manor_statements",
            "SELECT * FROM manor_statements",
        ):
            with pytest.raises(bench.refused, match="permission denied"):
                await bench.ask(tenant.url, statement)

    @pytest.mark.parametrize(
        ("query", "answer"), [("SELECT count(*) = 0 FROM notes", True), ("SELECT 0", False), ("SELECT 1 WHERE false", False)]
    )
    async def test_a_check_is_a_querys_first_value(
        self, releases: ReleaseDriver, tenant: Tenant, query: str, answer: bool
    ) -> None:
        """No row is no."""
        await releases.apply(tenant.database, change(step("001", NOTES)))
        assert await releases.holds(tenant.database, tenant.login, query) is answer

    async def test_a_check_runs_as_the_tenant_and_changes_nothing(
        self, releases: ReleaseDriver, tenant: Tenant, look: Look
    ) -> None:
        """It may not write, not even behind a COMMIT of its own."""
        await releases.apply(tenant.database, change(step("001", NOTES)))
        asked = f"SELECT current_user = '{tenant.login.role}' AND 'x%' LIKE '%'"
        assert await releases.holds(tenant.database, tenant.login, asked)
        for query in ("INSERT INTO notes VALUES (1) RETURNING true", "SELECT true; COMMIT; INSERT INTO notes VALUES (1)"):
            with pytest.raises(EngineError) as error:
                await releases.holds(tenant.database, tenant.login, query)
            assert error.value.code is Code.BAD_INPUT
        assert await look(tenant, "SELECT * FROM notes") == []


async def _by(releases: ReleaseDriver, method: str, tenant: Tenant, wanted: Change, gid: str) -> None:
    """Do the change in one of the ways that there are."""
    if method == "run_apart":
        await releases.run_apart(tenant.database, wanted, 0, NOTES)
    elif method == "vote":
        async with releases.ballot(connections=1) as ballot:
            await ballot.vote(tenant.database, wanted, f"{gid}late")
    else:
        await getattr(releases, method)(tenant.database, wanted)
