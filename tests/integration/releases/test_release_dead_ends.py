"""Releases that stopped in an awkward place: there is always a command that goes on, and nobody waits for a stranger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import psycopg
import pytest

from manor.control.engines.embedded.server import EmbeddedServer

WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%advisory_xact%'"
SLOW = "SELECT pg_advisory_xact_lock(7); CREATE TABLE one (id integer);"
HALF = "CREATE TABLE one (id integer);\nINSERT INTO items (id, name) VALUES (77, 'new');\n"
"""Outside a transaction: the first statement stays, the second fails where row 77 is there."""
OUTSIDE = "-- migrate:up transaction:false\n"


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> Any:
    """Four tenants, at no version."""
    return fixtures.build_fleet(tmp_path / "p", server_url)


@pytest.fixture
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A second server."""
    server = EmbeddedServer(tmp_path_factory.mktemp("spare"))
    server.start()
    yield server
    server.destroy()


@pytest.fixture
def wide(tmp_path: Path, server_url: str, spare: EmbeddedServer) -> Any:
    """Two tenants on each of two servers; the catalog is on the first."""
    return fixtures.build_wide(tmp_path / "p", server_url, spare.url)


def _killed_while_voting(fleet: Any, spare: EmbeddedServer) -> str:
    """An atomic release that died when all but the last tenant had prepared; its id."""
    fleet.write("001", SLOW, "DROP TABLE one;")
    with psycopg.connect(spare.url, dbname="acme_o_002", autocommit=True) as held:
        held.execute("SELECT pg_advisory_lock(7)")
        command = fleet.popen("tenant", "migrate", "--all", "--lock-timeout", 60)
        with psycopg.connect(spare.url, autocommit=True) as look:
            fixtures.wait_until(lambda: look.execute(WAITS).fetchall(), seconds=60)
        fixtures.wait_until(lambda: len(fleet.ask(fixtures.PREPARED)) == 2, seconds=60)
        command.kill()
        command.communicate()
    found: str = fleet.operations()[0]["id"]
    return found


def _outcomes(fleet: Any, operation: str) -> dict[str, str]:
    query = f"SELECT database, status FROM manor.outcomes WHERE operation = '{operation}' AND position IS NOT NULL"
    return dict(fleet.ask(query, "manor_catalog"))


def _claims(fleet: Any) -> list[str]:
    return [row[0] for row in fleet.ask("SELECT tenant FROM manor.claims ORDER BY 1", "manor_catalog")]


def test_a_server_that_is_away_keeps_no_other_servers_tenants_locked(wide: Any, spare: EmbeddedServer) -> None:
    """What is prepared elsewhere is rolled back at once, everybody is free, and the rest is rolled back when it is there."""
    operation = _killed_while_voting(wide, spare)
    spare.stop(mode="immediate")
    recovered = wide.json("operation", "recover", code=1)
    assert recovered["settled"][0]["unreachable"] == ["spare"]
    assert wide.ask(fixtures.PREPARED) == []
    assert wide.operations()[0]["state"] == "interrupted"
    assert set(_outcomes(wide, operation).values()) == {"not_started"}
    assert _claims(wide) == []
    assert wide.json("operation", "decide", operation, "--tenant-id", "acme/others/001", "--as", "again", code=3)
    spare.start()
    wide.json("operation", "recover")
    with psycopg.connect(spare.url, autocommit=True) as look:
        assert look.execute(fixtures.PREPARED).fetchall() == []
    assert set(fixtures.statuses(wide.migrate()).values()) == {"success"}


def test_one_closed_database_says_nothing_about_its_neighbours(wide: Any, spare: EmbeddedServer) -> None:
    """All are judged by their own databases, or by the decision that nobody made; the closed one blocks nobody."""
    operation = _killed_while_voting(wide, spare)
    with psycopg.connect(spare.url, autocommit=True) as admin:
        admin.execute("ALTER DATABASE acme_o_001 ALLOW_CONNECTIONS false")
        wide.json("operation", "recover", code=None)
        assert set(_outcomes(wide, operation).values()) == {"not_started"}
        assert _claims(wide) == []
        admin.execute("ALTER DATABASE acme_o_001 ALLOW_CONNECTIONS true")
        wide.json("operation", "recover")
        assert admin.execute(fixtures.PREPARED).fetchall() == []
    assert set(fixtures.statuses(wide.migrate()).values()) == {"success"}


def _half_done(fleet: Any, *arguments: object) -> str:
    """A rolling release of a migration outside transactions that stops half-way in the first two tenants; its id."""
    for database in fleet.databases[:2]:
        fleet.ask("INSERT INTO items (id, name) VALUES (77, 'in the way') RETURNING id", database)
    path = fleet.write("001", HALF, "DROP TABLE one;")
    path.write_text(path.read_text(encoding="utf-8").replace("-- migrate:up\n", OUTSIDE), encoding="utf-8")
    fleet.migrate("--strategy", "rolling", "--parallel", 1, *arguments, code=None)
    found: str = fleet.operations()[0]["id"]
    return found


def test_a_decision_is_not_kept_from_one_tenant_by_another(fleet: Any) -> None:
    """However many failures are allowed: who is decided about is taken up; who is not keeps what it was, and its claim."""
    operation = _half_done(fleet, "--max-failures", 1)
    before = _outcomes(fleet, operation)
    waiting = sorted(database for database, status in before.items() if status == "needs_decision")
    assert len(waiting) == 2, before
    fleet.ask("DELETE FROM items WHERE id = 77 RETURNING id", waiting[0])
    fleet.json("operation", "decide", operation, "--tenant-id", waiting[0], "--as", "again", code=None)
    after = _outcomes(fleet, operation)
    assert after == {**before, waiting[0]: "success"}
    assert _claims(fleet) == [f"acme/tenants/{waiting[1][-3:]}"]


def test_who_needs_a_decision_still_does_where_a_resumed_release_does_not_come_to_it(fleet: Any) -> None:
    """It stops at the first failure; the other one is as it was, with its cause."""
    operation = _half_done(fleet, "--max-failures", 1)
    waiting = [d for d, status in sorted(_outcomes(fleet, operation).items()) if status == "needs_decision"]
    fleet.ask("UPDATE manor.operations SET plan = jsonb_set(plan, '{conduct,max_failures}', '0') RETURNING 1", "manor_catalog")
    fleet.json("operation", "resume", operation, code=None)
    after = fleet.json("operation", "show", operation)
    found = {outcome["database"]: outcome for outcome in after["outcomes"]}
    assert [found[database]["status"] for database in waiting] == ["needs_decision"] * 2
    assert all(found[database]["error"]["message"] for database in waiting)
    assert [claim[-3:] for claim in _claims(fleet)] == [database[-3:] for database in waiting]


def test_tenants_made_while_a_release_was_interrupted_follow_it(fleet: Any) -> None:
    """A deploy between the interruption and the resumption makes them from the old golden; the resumed release brings them."""
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    fleet("tenant", "migrate", "--tenant-id", fleet.databases[0])
    fleet.ask("INSERT INTO items (id, name) VALUES (77, 'in the way') RETURNING id", fleet.databases[1])
    fleet.write("002", "INSERT INTO items (id, name) VALUES (77, 'new'); CREATE TABLE two (id integer);")
    fleet.migrate("--strategy", "rolling", "--parallel", 1, "--max-failures", 0, code=None)
    operation = fleet.operations()[0]["id"]
    fleet("multi-tenant", "add-tenants", "--registry", fleet.registry, "--group", "tenants", "--count", 1)
    fleet("multi-tenant", "deploy", "--registry", fleet.registry, "--allow-large-change")
    assert fleet.history("acme_t_005") != ["001", "002"]
    fleet.ask("DELETE FROM items WHERE id = 77 RETURNING id", fleet.databases[1])
    resumed = fleet.json("operation", "resume", operation)
    assert fixtures.statuses(resumed)["acme_t_005"] == "success"
    assert fleet.history("acme_t_005") == ["001", "002"]
    heads = fleet.ask("SELECT version FROM manor.heads WHERE template = 'small'", "manor_catalog")
    assert heads == [("002",)]


def test_an_abort_gives_up_nobody_who_is_between_two_versions(fleet: Any) -> None:
    """The release ends as one that needs a decision, so that somebody can go on with it."""
    fleet.ask("INSERT INTO items (id, name) VALUES (77, 'in the way') RETURNING id", fleet.databases[0])
    text = f"CREATE TABLE one (id integer);\n{SLOW.split(';')[0]};\nINSERT INTO items (id, name) VALUES (77, 'new');\n"
    path = fleet.write("001", text, "DROP TABLE one;")
    path.write_text(path.read_text(encoding="utf-8").replace("-- migrate:up\n", OUTSIDE), encoding="utf-8")
    with psycopg.connect(fleet.url, dbname=fleet.databases[1], autocommit=True) as held:
        held.execute("SELECT pg_advisory_lock(7)")
        command = fleet.popen("tenant", "migrate", "--all", "--strategy", "rolling", "--parallel", 1, "--lock-timeout", 60)
        fixtures.wait_until(lambda: fleet.ask(WAITS), seconds=60)
        operation = fleet.operations()[0]["id"]
        fleet("operation", "abort", operation)
    command.communicate(timeout=60)
    assert fleet.operations()[0]["state"] == "needs_decision"
    assert _outcomes(fleet, operation)[fleet.databases[0]] == "needs_decision"
    fleet.ask("DELETE FROM items WHERE id = 77 RETURNING id", fleet.databases[0])
    fleet.json("operation", "decide", operation, "--tenant-id", fleet.databases[0], "--as", "again", code=None)
    assert _outcomes(fleet, operation)[fleet.databases[0]] == "success"
    assert _claims(fleet) == []


def test_retry_takes_over_who_needs_a_decision(fleet: Any) -> None:
    """The tenants that are between two versions are brought to their end, and the others are not touched."""
    operation = _half_done(fleet)
    before = _outcomes(fleet, operation)
    waiting = sorted(database for database, status in before.items() if status == "needs_decision")
    assert waiting == fleet.databases[:2]
    for database in waiting:
        fleet.ask("DELETE FROM items WHERE id = 77 RETURNING id", database)
    again = fleet.json("operation", "retry", operation)
    assert fixtures.statuses(again) == dict.fromkeys(waiting, "success")
    assert _claims(fleet) == []
    assert fleet.has("one") == [True] * 4


def test_drift_is_noticed_before_steps_that_stay(fleet: Any) -> None:
    """A tenant that somebody changed by hand is not moved at all; once that is taken back, it is."""
    fleet.ask("CREATE INDEX by_hand ON items (price); SELECT 1", fleet.databases[1])
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    path = fleet.write("002", "CREATE INDEX CONCURRENTLY two ON items (name);", "DROP INDEX two;")
    path.write_text(path.read_text(encoding="utf-8").replace("-- migrate:up\n", OUTSIDE), encoding="utf-8")
    report = fleet.migrate("--strategy", "rolling", code=1)
    assert fixtures.errors(report)[fleet.databases[1]]["code"] == "drift"
    assert fleet.history(fleet.databases[1]) == []
    assert fleet.has("one") == [True, False, True, True]
    fleet.ask("DROP INDEX by_hand; SELECT 1", fleet.databases[1])
    assert fixtures.statuses(fleet.json("operation", "retry", report["operation"]["id"])) == {fleet.databases[1]: "success"}


def test_a_step_that_fails_behind_steps_that_stay_needs_a_decision(fleet: Any) -> None:
    """It says what is done; undo names it, and resuming goes on behind it."""
    fleet.ask("INSERT INTO items (id, name) VALUES (77, 'in the way') RETURNING id", fleet.databases[1])
    path = fleet.write("001", "CREATE INDEX CONCURRENTLY one_index ON items (name);", "DROP INDEX one_index;")
    path.write_text(path.read_text(encoding="utf-8").replace("-- migrate:up\n", OUTSIDE), encoding="utf-8")
    fleet.write("002", "SELECT 1;\nINSERT INTO items (id, name) VALUES (77, 'new');", "DELETE FROM items WHERE id = 77;")
    report = fleet.migrate("--strategy", "rolling", code=1)
    operation, sick = report["operation"]["id"], fleet.databases[1]
    assert fixtures.statuses(report)[sick] == "needs_decision"
    error = fixtures.errors(report)[sick]
    assert error["message"].endswith("; 001 before it is done and stays")
    assert "operation resume" in error["hint"]
    assert fleet.histories() == [["001", "002"], ["001"], ["001", "002"], ["001", "002"]]
    undone = fleet.json("operation", "undo", operation, code=None)
    assert any(fleet.tenant(2) in notice for notice in undone["notices"]), undone["notices"]
    assert fleet.json("operation", "undo", operation, code=3)["error"]["message"].endswith("is undone already")
    fleet.ask("DELETE FROM items WHERE id = 77 RETURNING id", sick)
    resumed = fleet.json("operation", "resume", operation, code=None)
    assert fixtures.statuses(resumed)[sick] == "success"


def _unclear(fleet: Any, text: str, waits: str) -> str:
    """A release outside transactions that was killed while the first tenant was at the statement of ``text`` that waits for the
    advisory lock; its id."""
    path = fleet.write("001", text, "ALTER TABLE items DROP COLUMN plan;")
    path.write_text(path.read_text(encoding="utf-8").replace("-- migrate:up\n", OUTSIDE), encoding="utf-8")
    with psycopg.connect(fleet.url, dbname=fleet.databases[0], autocommit=True) as held:
        held.execute("SELECT pg_advisory_lock(7)")
        command = fleet.popen(
            "tenant", "migrate", "--tenant-id", fleet.databases[0], "--strategy", "rolling", "--lock-timeout", 60
        )
        fixtures.wait_until(lambda: fleet.ask(waits), seconds=60)
        command.kill()
        command.communicate()
        found: str = fleet.operations()[0]["id"]
        fleet.json("operation", "recover")
    return found


BEGUN = "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7); ALTER TABLE items ADD COLUMN plan text; END $$;\n"
AT_IT = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%DO %'"


@pytest.mark.parametrize("after", ["", "CREATE INDEX CONCURRENTLY by_plan ON items (plan);\n"], ids=["alone", "before another"])
def test_who_said_done_of_what_was_not_is_told_the_way_on(fleet: Any, after: str) -> None:
    """The command that the hint names brings the tenant to its end, as the release would have."""
    operation = _unclear(fleet, BEGUN + after, AT_IT)
    database = fleet.databases[0]
    (asked,) = fixtures.errors(fleet.json("operation", "resume", operation, code=1)).values()
    decide = f"manor operation decide {operation} --tenant-id {database}"
    assert f"`{decide} --as done` if it was, else `--as again`" in asked["hint"]
    wrong = fleet.json("operation", "decide", operation, "--tenant-id", database, "--as", "done", code=1)
    assert fixtures.statuses(wrong)[database] == "needs_decision"
    (error,) = fixtures.errors(wrong).values()
    assert "DO $$ BEGIN PERFORM" in error["message"] + error["hint"]
    assert f"`{decide} --as again` runs it" in error["hint"]
    right = fleet.json("operation", "decide", operation, "--tenant-id", database, "--as", "again")
    assert fixtures.statuses(right)[database] == "success"
    assert fleet.history(database) == ["001"]
    fleet.migrate("--strategy", "rolling")
    fleet.check_truth()


def test_a_statement_done_by_half_is_finished_by_hand(fleet: Any) -> None:
    """`tenant show --drift` lists what is there of the migration, and `--as done` is right once the rest is there too."""
    text = "CALL do_both();\n"
    fleet.write(
        "000",
        "CREATE PROCEDURE do_both() LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE half (id integer); COMMIT; "
        "PERFORM pg_advisory_xact_lock(7); ALTER TABLE items ADD COLUMN plan text; END $$;",
    )
    fleet.migrate("--strategy", "rolling")
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%CALL do_both%'"
    operation = _unclear(fleet, text, waits)
    database = fleet.databases[0]
    fleet.json("operation", "resume", operation, code=1)
    wrong = fleet.json("operation", "decide", operation, "--tenant-id", database, "--as", "done", code=1)
    (error,) = fixtures.errors(wrong).values()
    assert f"`manor tenant show {database} --drift` lists what is there of the migration" in error["hint"]
    shown = fleet("tenant", "show", database, "--drift", code=1).stdout
    assert "half" in shown
    assert "plan" not in shown
    fleet.ask("ALTER TABLE items ADD COLUMN plan text", database)
    done = fleet.json("operation", "decide", operation, "--tenant-id", database, "--as", "done")
    assert fixtures.statuses(done)[database] == "success"


def test_who_was_astray_from_the_beginning_is_not_taken_up_by_a_resumed_release(fleet: Any) -> None:
    """`--verify` left it out: the release has no steps for it, and its cause stays as it was."""
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    astray = fleet.databases[0]
    fleet.ask("ALTER TABLE items ADD COLUMN odd integer", astray)
    first = fleet.migrate("--verify", "--strategy", "rolling", code=1)
    operation = first["operation"]["id"]
    before = fixtures.errors(first)[astray]
    assert before["code"] == "drift"
    resumed = fleet.json("operation", "resume", operation, code=1)
    assert fixtures.statuses(resumed)[astray] == "error"
    assert fixtures.errors(resumed)[astray] == before
    assert fleet.history(astray) == []
