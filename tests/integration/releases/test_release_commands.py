"""The commands of releases as a user meets them: what they print, what they end with, what they keep to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import psycopg
import pytest
import yaml

CANARY = "deployment_strategy:\n  type: canary\n"
OUTCOME = {"database", "tenant_id", "group", "template", "server", "status", "duration_seconds", "detail", "error", "facts"}
HOOK = """\
import json, os, sys
told = json.load(sys.stdin)
told["argument"] = os.environ["MANOR_TENANT_ID"]
told["secrets"] = sorted(name for name in os.environ if "PASSWORD" in name or name.endswith("URL"))
with open("told.jsonl", "a") as file:
    file.write(json.dumps(told) + "\\n")
if os.path.exists("refuse") and told["hook_kind"] == open("refuse").read() and told["database"].endswith("002"):
    print("not this one")
    sys.exit(3)
"""


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> Any:
    """Four tenants, at no version."""
    return fixtures.build_fleet(tmp_path / "p", server_url)


@pytest.fixture
def longer_fleet(tmp_path: Path, server_url: str) -> Any:
    """Eight tenants: targets are claimed some at a time, and those that are claimed may still be carried out."""
    return fixtures.build_fleet(tmp_path / "p", server_url, tenants=8)


def slow(fleet: Any, seconds: float = 0.0) -> str:
    """A migration that waits while somebody holds the advisory lock 7 of its database."""
    fleet.write("001", "SELECT pg_advisory_xact_lock(7); CREATE TABLE one (id integer);", "DROP TABLE one;")
    return "SELECT pg_advisory_lock(7)"


def running(fleet: Any) -> str:
    """The id of the operation that runs, as soon as it waits for the lock of a tenant."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%advisory_xact%'"
    fixtures.wait_until(lambda: fleet.ask(waits), seconds=60)
    found: str = fleet.ask("SELECT id FROM manor.operations WHERE state = 'running'", "manor_catalog")[0][0]
    return found


ONE_BY_ONE = ("--strategy", "rolling", "--parallel", 1, "--lock-timeout", 60)


@pytest.mark.parametrize("verb", ["pause", "abort"])
def test_a_release_is_stopped_between_two_tenants(longer_fleet: Any, verb: str) -> None:
    """What is under way is brought to its end, the rest is not started; a paused release goes on, an aborted one does not."""
    fleet = longer_fleet
    statement = slow(fleet)
    with psycopg.connect(fleet.url, dbname=fleet.databases[1], autocommit=True) as held:
        held.execute(statement.encode())
        command = fleet.popen("tenant", "migrate", "--all", *ONE_BY_ONE)
        operation = running(fleet)
        view = fleet.json("operation", "show", operation)
        assert view["operation"]["alive"] is True
        assert view["operation"]["state"] == "running"
        asked = fleet.json("operation", verb, operation)
        assert asked["wanted"] == verb
        assert set(asked) == {"operation", "wanted", "answer"}
    stdout, stderr = command.communicate(timeout=60)
    assert command.returncode == 130, stdout + stderr
    report = json.loads(stdout)
    words = list(fixtures.statuses(report).values())
    done = words.count("success")
    rest = "pending" if verb == "pause" else "not_started"
    assert words == ["success"] * done + [rest] * (8 - done)
    assert 2 <= done <= 4
    assert fleet.histories() == [["001"]] * done + [[]] * (8 - done)
    state = {"pause": "paused", "abort": "aborted"}[verb]
    assert report["release"]["state"] == state
    assert fleet.operations()[0]["state"] == state
    if verb == "abort":
        assert fleet.json("operation", "resume", operation, code=3)["error"]["code"] == "refused"
        again = fleet.json("operation", "retry", operation)
        assert list(fixtures.statuses(again).values()) == ["success"] * (8 - done)
    else:
        assert fleet.json("operation", "undo", operation, code=3)["error"]["code"] == "refused"
        resumed = fleet.json("operation", "resume", operation)
        assert resumed["operation"]["id"] == operation
        assert fixtures.statuses(resumed) == dict.fromkeys(fleet.databases, "success")
    fleet.check_truth()


def test_ctrl_c_interrupts_and_resume_goes_on(fleet: Any) -> None:
    """What is under way is finished and recorded; the exit code is 130."""
    import signal

    statement = slow(fleet)
    with psycopg.connect(fleet.url, dbname=fleet.databases[1], autocommit=True) as held:
        held.execute(statement.encode())
        command = fleet.popen("tenant", "migrate", "--all", *ONE_BY_ONE)
        operation = running(fleet)
        command.send_signal(signal.SIGINT)
        assert command.stderr.readline()
    stdout, stderr = command.communicate(timeout=60)
    assert command.returncode == 130, stdout + stderr
    assert fleet.operations()[0]["state"] == "interrupted"
    assert fleet.histories() == [["001"], ["001"], [], []]
    assert fleet.json("operation", "resume", operation)["summary"] == {"success": 4}
    fleet.check_truth()


def test_an_atomic_release_under_way_is_aborted_as_a_whole(fleet: Any) -> None:
    """Nobody is changed."""
    statement = slow(fleet)
    with psycopg.connect(fleet.url, dbname=fleet.databases[1], autocommit=True) as held:
        held.execute(statement.encode())
        command = fleet.popen("tenant", "migrate", "--all", "--strategy", "atomic", "--lock-timeout", 60)
        operation = running(fleet)
        fleet.json("operation", "abort", operation)
    stdout, stderr = command.communicate(timeout=60)
    report = json.loads(stdout)
    assert command.returncode == 130, stderr
    assert set(fixtures.statuses(report).values()) <= {"rolled_back", "not_started"}
    assert fleet.histories() == [[], [], [], []]
    assert fleet.operations()[0]["state"] == "aborted"
    fleet.check_truth()


def test_two_releases_of_one_tenant_exclude_each_other(fleet: Any) -> None:
    """The second is refused, by name of the first; one about other tenants goes its way."""
    statement = slow(fleet)
    with psycopg.connect(fleet.url, dbname=fleet.databases[0], autocommit=True) as held:
        held.execute(statement.encode())
        command = fleet.popen("tenant", "migrate", "--tenant-id", "001", "--strategy", "rolling", "--lock-timeout", 60)
        operation = running(fleet)
        error = fleet.json("tenant", "migrate", "--all", code=3)["error"]
        assert error["code"] == "conflict"
        assert operation in error["message"] + error["hint"]
        assert fleet.json("tenant", "migrate", "--tenant-id", "003")["summary"] == {"success": 1}
    stdout, stderr = command.communicate(timeout=60)
    assert command.returncode == 0, stdout + stderr
    assert fleet.histories() == [["001"], [], ["001"], []]
    fleet.check_truth()


def test_watch_follows_to_the_end(fleet: Any) -> None:
    """It ends with the operation, and says with its exit code whether all is done."""
    statement = slow(fleet)
    with psycopg.connect(fleet.url, dbname=fleet.databases[1], autocommit=True) as held:
        held.execute(statement.encode())
        command = fleet.popen("tenant", "migrate", "--all", *ONE_BY_ONE)
        operation = running(fleet)
        watching = fleet.popen("operation", "watch", operation)
        fixtures.wait_until(lambda: watching.poll() is None)
    command.communicate(timeout=60)
    stdout, stderr = watching.communicate(timeout=60)
    assert watching.returncode == 0, stdout + stderr
    assert json.loads(stdout)["operation"]["state"] == "succeeded"
    assert fleet("operation", "watch", operation).code == 0


def test_undo_takes_back_exactly_what_was_changed(fleet: Any) -> None:
    """Two tenants were moved, and two go back; then there is nothing to undo any more, and the release can be made again."""
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    first = fleet.migrate("--tenant-id", "001", "--tenant-id", "002", everyone=False)
    back = fleet.json("operation", "undo", first["operation"]["id"])
    assert fixtures.statuses(back) == dict.fromkeys(fleet.databases[:2], "success")
    assert fleet.histories() == [[], [], [], []]
    assert fleet.has("one") == [False] * 4
    fleet.check_truth()
    assert fleet.json("operation", "undo", first["operation"]["id"], code=None)["error"]["code"] in ("bad_input", "refused")
    assert fleet.migrate()["summary"] == {"success": 4}
    fleet.check_truth()


def test_nothing_to_do_is_no_operation(fleet: Any) -> None:
    """Every tenant is skipped with its version, the journal and the audit log stay as they are."""
    assert fleet.migrate()["summary"] == {"skipped": 4}
    fleet.write("001", "CREATE TABLE one (id integer);")
    fleet.migrate()
    before = fleet.everything()
    report = fleet.migrate()
    assert report["operation"]["id"] == ""
    assert report["summary"] == {"skipped": 4}
    assert {outcome["detail"] for outcome in report["outcomes"]} == {"nothing to do, at version 001"}
    assert fleet.everything() == before
    assert "4 skipped" in fleet("tenant", "migrate", "--all").text


def test_documents_are_stable(fleet: Any) -> None:
    """The keys that scripts rely on, of the report and of what operation list and show print."""
    fleet.write("001", "CREATE TABLE one (id integer);")
    file = fleet.folder / "report.json"
    report = fleet.migrate("--report", file)
    assert json.loads(file.read_text(encoding="utf-8")) == report
    assert set(report) == {"operation", "summary", "outcomes", "orphans", "notices", "problems", "release"}
    head = {"id", "verb", "dry_run", "digest", "source", "started_at", "duration_seconds"}
    assert set(report["operation"]) == head
    assert all(set(outcome) == OUTCOME for outcome in report["outcomes"])
    release = {"strategy", "release", "state", "waves", "cohorts", "lint", "mixed_version_window_seconds", "prepare_seconds"}
    assert set(report["release"]) == release
    identity = report["operation"]["id"]
    listed = fleet.json("operation", "list")
    assert set(listed) == {"operations", "in_doubt"}
    row = {"id", "verb", "state", "source", "started_at", "finished_at", "actor", "arguments", "summary"}
    assert set(listed["operations"][0]) >= row
    shown = fleet.json("operation", "show", identity)
    assert set(shown) >= {"operation", "summary", "outcomes", "in_doubt"}
    keys = {"id", "verb", "state", "alive", "strategy", "release", "decision", "decided_at", "wanted", "parent", "source"}
    assert set(shown["operation"]) >= keys | {"digest", "actor", "started_at", "finished_at"}
    assert set(fleet.json("operation", "recover")) == {"settled", "in_doubt"}


def test_tables_say_the_same(fleet: Any) -> None:
    """For people: each database, status and version; the operation's id leads on."""
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    text = fleet("tenant", "migrate", "--all", "--strategy", "rolling").text
    assert "4 success" in text
    operation = fleet.operations()[0]["id"]
    assert operation in text
    for words in (("list",), ("show", operation)):
        shown = fleet("operation", *words).text
        assert operation in shown
        assert "succeeded" in shown
    for database in fleet.databases:
        assert database in shown
    assert "none → 001" in shown
    assert "0 dead operations settled" in fleet("operation", "recover").text
    assert "4 success" in fleet("operation", "undo", operation).text
    assert fleet("operation", "pause", operation, code=3).text
    assert fleet("operation", "abort", operation, code=3).text
    assert fleet("operation", "retry", operation, code=3).text
    assert fleet("operation", "resume", operation, code=3).text
    assert fleet("operation", "decide", operation, "--tenant-id", "001", "--as", "done", code=3).text


@pytest.mark.parametrize("words", [("show",), ("watch",), ("pause",), ("abort",), ("resume",), ("retry",), ("undo",)], ids=str)
def test_an_unknown_operation_is_not_found(fleet: Any, words: tuple[str, ...]) -> None:
    """Bad input, in both formats."""
    fleet.write("001", "CREATE TABLE one (id integer);")
    fleet.migrate()
    assert fleet.json("operation", *words, "20200101T000000-00000000", code=2)["error"]["code"] == "not_found"
    assert "20200101T000000-00000000" in fleet("operation", *words, "20200101T000000-00000000", code=2).stderr


def test_a_deploy_is_no_release(fleet: Any) -> None:
    """It is shown, and cannot be paused, resumed, retried or undone."""
    deploy = fleet.operations()[-1]["id"]
    assert fleet.json("operation", "show", deploy)["operation"]["verb"] == "deploy"
    for verb in ("pause", "abort", "resume", "retry", "undo"):
        assert fleet.json("operation", verb, deploy, code=3)["error"]["code"] == "refused", verb


def hooked(fleet: Any) -> None:
    scripts = fleet.environment / "scripts"
    scripts.mkdir()
    (scripts / "hook.py").write_text(HOOK, encoding="utf-8")
    fleet.add('hooks:\n  pre_update: ["./scripts/hook.py"]\n  post_update: ["./scripts/hook.py"]\n')


def told(fleet: Any) -> list[dict[str, Any]]:
    file = fleet.environment / "told.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_update_hooks_are_told_what_is_documented(fleet: Any) -> None:
    """Before and after each tenant, with its versions and outcome, and without any password."""
    hooked(fleet)
    fleet.write("001", "CREATE TABLE one (id integer);")
    fleet.write("002", "CREATE TABLE two (id integer);")
    report = fleet.migrate("--strategy", "rolling")
    found = told(fleet)
    assert len(found) == 8
    for one in found:
        assert one["operation_id"] == report["operation"]["id"]
        assert one["verb"] == "migrate"
        assert one["argument"] == one["tenant_id"]
        assert (one["from_version"] or None, one["to_version"], one["versions"]) == (None, "002", ["001", "002"])
        assert one["secrets"] == []
        assert one["attempt"] == 1
    kinds = [one["hook_kind"] for one in found if one["database"] == fleet.databases[0]]
    assert kinds == ["pre_update", "post_update"]
    assert {one["status"] for one in found if one["hook_kind"] == "post_update"} == {"success"}
    runs = report["outcomes"][0]["facts"]["hooks"]
    assert [(run["kind"], run["exit"]) for run in runs] == [("pre_update", 0), ("post_update", 0)]


@pytest.mark.parametrize(("kind", "moved"), [("pre_update", False), ("post_update", True)])
def test_a_hook_that_fails_makes_its_tenant_an_error(fleet: Any, kind: str, moved: bool) -> None:
    """Before: the tenant is not changed. After: its migrations stay. Others go on, and the hook's words are in the report."""
    hooked(fleet)
    (fleet.environment / "refuse").write_text(kind, encoding="utf-8")
    fleet.write("001", "CREATE TABLE one (id integer);")
    report = fleet.migrate("--strategy", "rolling", code=1)
    sick = fleet.databases[1]
    assert fixtures.statuses(report) == {d: "error" if d == sick else "success" for d in fleet.databases}
    assert "not this one" in fixtures.errors(report)[sick]["message"]
    assert fleet.histories() == [["001"], ["001"] if moved else [], ["001"], ["001"]]
    fleet.check_truth()


def test_update_hooks_under_atomic_are_run_or_refused(fleet: Any) -> None:
    """A hook that is declared is never passed over in silence, whatever the strategy."""
    hooked(fleet)
    fleet.write("001", "CREATE TABLE one (id integer);")
    done = fleet("--format", "json", "tenant", "migrate", "--all", "--strategy", "atomic", code=None)
    ran = (fleet.environment / "told.jsonl").exists()
    assert ran or "hook" in done.text, done.text


@pytest.mark.parametrize("key", ["hooks:\n  post_update: [{}]\n", "{}"], ids=["hook", "gate"])
@pytest.mark.parametrize("written", ["./scripts/none.sh", "../../../etc/passwd"])
def test_programs_that_cannot_be_run_are_found_before_anything_is_changed(fleet: Any, key: str, written: str) -> None:
    """With the place in the registry, also by a dry run."""
    gate = f'{CANARY}  health_gate:\n    scripts: ["{written}"]\n' if key == "{}" else ""
    fleet.add(gate or key.format(f'"{written}"'))
    fleet.write("001", "CREATE TABLE one (id integer);")
    for options in ((), ("--dry-run",)):
        done = fleet("tenant", "migrate", "--all", *options, code=2)
        assert written in done.stderr
        assert f"{fleet.registry.name}:" in done.stderr
    assert fleet.histories() == [[], [], [], []]


def test_settings_that_cannot_be_kept_are_refused(fleet: Any) -> None:
    """As deploy does, with the place."""
    fleet.add("migration_config:\n  schema_version_tracking: false\n")
    fleet.write("001", "CREATE TABLE one (id integer);")
    done = fleet("tenant", "migrate", "--all", code=3)
    assert "schema_version_tracking" in done.stderr
    assert fleet.histories() == [[], [], [], []]


def test_options_that_mean_nothing_are_refused(fleet: Any) -> None:
    """An empty variable of a pipeline is no version; a plan is no rehearsal."""
    fleet.write("001", "CREATE TABLE one (id integer);")
    assert "--to" in fleet("tenant", "migrate", "--all", "--to", "", code=2).stderr
    assert "--rehearse" in fleet("tenant", "migrate", "--all", "--dry-run", "--rehearse", code=2).stderr
    assert fleet.histories() == [[], [], [], []]


def test_a_canary_stops_at_its_health_gate(fleet: Any) -> None:
    """A query of the user's is false after the first wave: the rest is not started, and the reason is told."""
    fleet.add(
        f"{CANARY}  canary: {{initial_percentage: 25, increment_percentage: 25, evaluation_period: 0}}\n"
        '  health_gate:\n    sql: ["SELECT count(*) = 0 FROM items"]\n'
    )
    fleet.write("001", "CREATE TABLE one (id integer);")
    done = fleet("--format", "json", "tenant", "migrate", "--all", code=None)
    report = done.document
    assert list(fixtures.statuses(report).values()) == ["success", "not_started", "not_started", "not_started"]
    assert done.code in (1, 130)
    assert "SELECT count(*) = 0 FROM items" in done.stdout
    assert fleet.histories() == [["001"], [], [], []]
    fleet.check_truth()


def test_a_resumed_canary_begins_with_the_gate_that_it_stopped_at(fleet: Any) -> None:
    """Nobody else is changed as long as the cause is there; then it goes on, and nobody is changed twice."""
    fleet.add(
        f"{CANARY}  canary: {{initial_percentage: 25, increment_percentage: 25, evaluation_period: 0}}\n"
        '  health_gate:\n    sql: ["SELECT count(*) = 0 FROM items"]\n'
    )
    fleet.write("001", "CREATE TABLE one (id integer);")
    stopped = fleet("--format", "json", "tenant", "migrate", "--all", code=1).document["operation"]["id"]
    for _ in range(2):
        report = fleet.json("operation", "resume", stopped, code=1)
        assert "SELECT count(*) = 0 FROM items" in json.dumps(report)
        assert fleet.histories() == [["001"], [], [], []]
    for database in fleet.databases:
        fleet.ask("DELETE FROM items", database)
    fleet.json("operation", "resume", stopped)
    assert fleet.histories() == [["001"]] * 4
    fleet.check_truth()


ONCE = """#!/usr/bin/env python3
import json, pathlib, sys
seen = pathlib.Path("seen-" + json.load(sys.stdin)["database"])
if seen.exists():
    sys.exit("it went bad meanwhile")
seen.touch()
"""


def test_what_goes_bad_while_a_canary_soaks_stops_it(fleet: Any) -> None:
    """The checks are made again at the end of the evaluation period, before the next wave begins; all are named."""
    scripts = fleet.environment / "scripts"
    scripts.mkdir()
    (scripts / "once.py").write_text(ONCE, encoding="utf-8")
    fleet.add(
        f"{CANARY}  canary: {{initial_percentage: 50, increment_percentage: 50, evaluation_period: 1}}\n"
        '  health_gate:\n    scripts: ["./scripts/once.py"]\n'
    )
    fleet.write("001", "CREATE TABLE one (id integer);")
    done = fleet("--format", "json", "tenant", "migrate", "--all", code=1)
    assert list(fixtures.statuses(done.document).values()) == ["success", "success", "not_started", "not_started"]
    assert "it went bad meanwhile" in done.stdout
    assert "2 of 2 are not healthy" in done.stdout
    assert all(database in done.stdout for database in fleet.databases[:2])
    assert fleet.histories() == [["001"], ["001"], [], []]
    fleet.check_truth()


def test_unhealthy_tenants_within_the_error_rate_are_named(fleet: Any) -> None:
    """The release goes on, and its report says who was not healthy."""
    fleet.add(
        f"{CANARY}  canary: {{initial_percentage: 50, increment_percentage: 50, evaluation_period: 0}}\n"
        '  health_gate:\n    sql: ["SELECT count(*) = 0 FROM items"]\n    max_error_rate: 100\n'
    )
    fleet.write("001", "CREATE TABLE one (id integer);")
    report = fleet.migrate()
    assert report["summary"] == {"success": 4}
    told = " ".join(report["notices"])
    assert all(database in told for database in fleet.databases), report["notices"]


def test_a_gate_that_is_true_lets_all_pass(fleet: Any) -> None:
    """The checks see the new schema with the tenant's own role."""
    fleet.add(
        f"{CANARY}  canary: {{initial_percentage: 25, increment_percentage: 50, evaluation_period: 0}}\n"
        '  health_gate:\n    sql: ["SELECT count(*) = 0 FROM one", "SELECT current_user <> session_user OR true"]\n'
    )
    fleet.write("001", "CREATE TABLE one (id integer);")
    report = fleet.migrate()
    assert report["summary"] == {"success": 4}
    assert report["release"]["waves"] == 3
    fleet.check_truth()


def test_a_tenant_that_is_beyond_its_pin_is_skipped(fleet: Any) -> None:
    """The others are released, and its outcome says why it is not."""
    for version in ("001", "002"):
        fleet.write(version, f"CREATE TABLE t{version} (id integer);")
    fleet.migrate("--strategy", "rolling")
    fleet.add('deployment_strategy:\n  type: rolling\n  pins: {"002": "001"}\n')
    fleet.write("003", "CREATE TABLE t003 (id integer);")
    report = fleet.migrate()
    assert fixtures.statuses(report) == {d: "skipped" if d == fleet.databases[1] else "success" for d in fleet.databases}
    assert "pinned to 001" in {o["database"]: o["detail"] for o in report["outcomes"]}[fleet.databases[1]]
    fleet.check_truth()


def test_the_error_budget_stops_a_rolling_release(fleet: Any) -> None:
    """One failure is allowed; the second ends it, and who was not begun is not started."""
    fleet.write("001", "ALTER TABLE items ADD COLUMN more integer;")
    for database in fleet.databases[:2]:
        fleet.ask("DROP TABLE items", database)
    options = ("--strategy", "rolling", "--max-failures", 1, "--batch-size", 1, "--parallel", 1)
    report = fleet.migrate(*options, code=1)
    assert list(fixtures.statuses(report).values()) == ["error", "error", "not_started", "not_started"]
    assert fleet.histories() == [[], [], [], []]
    fleet.check_truth()


def test_order_and_first_are_kept_to(fleet: Any) -> None:
    """Named ones lead, the others follow in the order that was asked for."""
    fleet.write("001", "CREATE TABLE one (id integer);")
    options = ("--strategy", "rolling", "--batch-size", 1, "--order-by", "-tenant_id", "--first", "id = '002'")
    report = fleet.migrate(*options, "--dry-run")
    waves = {outcome["facts"]["wave"]: outcome["database"][-3:] for outcome in report["outcomes"]}
    assert [waves[wave] for wave in sorted(waves)] == ["002", "004", "003", "001"]
    fleet.migrate(*options, "--parallel", 1)
    applied = "SELECT applied_at FROM schema_migrations"
    assert sorted(range(4), key=lambda n: fleet.ask(applied, fleet.databases[n])) == [1, 3, 2, 0]


def test_pins_and_hold_backs_are_kept_to(fleet: Any) -> None:
    """A pinned tenant stops at its version, one that is held back stays out unless it is named; each says so."""
    fleet.add('deployment_strategy:\n  type: rolling\n  pins: {"002": "001"}\n  hold_back: ["003"]\n')
    fleet.write("001", "CREATE TABLE one (id integer);")
    fleet.write("002", "CREATE TABLE two (id integer);")
    report = fleet.migrate()
    assert list(report["summary"].items()) == [("success", 3), ("skipped", 1)] or report["summary"] == {
        "success": 3,
        "skipped": 1,
    }
    details = {outcome["database"]: outcome["detail"] for outcome in report["outcomes"]}
    assert "held back" in details[fleet.databases[2]]
    assert fleet.histories() == [["001", "002"], ["001"], [], ["001", "002"]]
    named = fleet.migrate("--tenant-id", "003", everyone=False)
    assert named["summary"] == {"success": 1}
    assert fleet.histories()[2] == ["001", "002"]
    fleet.check_truth()


def test_to_stops_at_a_version(fleet: Any) -> None:
    """And the next release goes on from there."""
    for number in (1, 2, 3):
        fleet.write(f"{number:03d}", f"CREATE TABLE t{number} (id integer);")
    assert fleet.migrate("--to", "002")["summary"] == {"success": 4}
    assert fleet.histories() == [["001", "002"]] * 4
    assert fleet.migrate("--filter", "id = '004'", everyone=False)["summary"] == {"success": 1}
    assert fleet.histories()[3] == ["001", "002", "003"]
    assert fleet.migrate("--group", "tenants", everyone=False)["summary"] == {"success": 3, "skipped": 1}
    fleet.check_truth()


def test_yaml_is_a_document_too(fleet: Any) -> None:
    """The same as JSON."""
    fleet.write("001", "CREATE TABLE one (id integer);")
    document = yaml.safe_load(fleet("--format", "yaml", "tenant", "migrate", "--all", "--dry-run").stdout)
    assert document["summary"] == {"pending": 4}
