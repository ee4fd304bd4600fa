"""What cannot be released is refused before any tenant is changed, with file, line and column where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import pytest

STRATEGIES = ("atomic", "rolling")
SHOWN = "customer_a/migrations"
IN_SECRET = "DO $$ BEGIN EXECUTE 'CREATE ' || 'TEMP ' || 'TABLE scratch (id integer)'; END $$;"
"""A statement that no parser sees through; a transaction that made a temporary table cannot be prepared."""

OPENINGS = {
    "to all": "DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database()); END $$;",
    "to every tenant": "DO $$ BEGIN EXECUTE format('GRANT TEMP ON DATABASE %I TO manor_tenant', current_database()); END $$;",
}


@pytest.fixture(scope="module")
def module_fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Any:
    """Three tenants at version 002, and one of an older one."""
    fleet = fixtures.build_fleet(tmp_path_factory.mktemp("bad") / "p", wiped_server())
    fleet.write("001", "CREATE TABLE one (id integer);")
    fleet.write("002", "CREATE TABLE two (id integer);", "DROP TABLE two;")
    fleet.migrate()
    return fleet


@pytest.fixture
def fleet(module_fleet: Any) -> Iterator[Any]:
    """The fleet, which must be as it was afterwards; so are the files."""
    kept = {file: file.read_bytes() for file in module_fleet.environment.rglob("*") if file.is_file()}
    before = module_fleet.everything()
    yield module_fleet
    after = module_fleet.everything()
    for file in list(module_fleet.environment.rglob("*")):
        if file.is_file() and file not in kept:
            file.unlink()
    for file, content in kept.items():
        file.write_bytes(content)
    for key in ("recorded", "histories", "tables", "prepared"):
        assert after[key] == before[key], key


def refused(fleet: Any, *arguments: object, code: int = 2) -> Any:
    """Migrate all, which is refused before it becomes an operation; the error."""
    before = (fleet.operations(), fleet.everything()["audit"])
    found = fleet.migrate(*arguments, code=code)
    assert (fleet.operations(), fleet.everything()["audit"]) == before
    return found["error"]


def finding(error: Any) -> tuple[str, int, int, str]:
    """The only finding: file, line, column, message."""
    (one,) = error["findings"]
    return one["file"], one["line"], one["column"], one["message"]


@pytest.mark.parametrize("how", [(), ("--dry-run",), ("--rehearse",), ("--strategy", "rolling")], ids=str)
def test_an_edited_history_is_refused(fleet: Any, how: tuple[str, ...]) -> None:
    """The file of a version that tenants have seen has other statements now: named with the version and the file."""
    fleet.write("002", "CREATE TABLE two (id bigint);")
    error = refused(fleet, *how)
    assert error["code"] == "bad_input"
    assert "002" in error["message"]
    assert "4 tenants" in error["message"]


def test_a_version_that_is_gone_is_refused(fleet: Any) -> None:
    """Tenants have seen 002, and no file says what that was."""
    (fleet.environment / "migrations" / "002_change.sql").unlink()
    fleet.write("003", "CREATE TABLE three (id integer);")
    assert "002" in refused(fleet)["message"]


def test_a_version_older_than_the_head_is_refused_unless_it_is_allowed(fleet: Any) -> None:
    """Out of order is a word of its own."""
    fleet.write("0015", "CREATE TABLE between (id integer);")
    fleet.write("001.5", "CREATE TABLE between (id integer);")
    (fleet.environment / "migrations" / "0015_change.sql").unlink()
    error = refused(fleet)
    assert "001.5" in error["message"]
    assert "--allow-out-of-order" in error["message"] + error["hint"] + str(error.get("findings"))
    assert fixtures.statuses(fleet.migrate("--allow-out-of-order", "--dry-run")) == dict.fromkeys(fleet.databases, "pending")


def test_an_unknown_version_is_refused(fleet: Any) -> None:
    """``--to`` must name a migration, and the nearest is suggested."""
    fleet.write("003", "CREATE TABLE three (id integer);")
    error = refused(fleet, "--to", "033")
    assert "033" in error["message"]


def test_the_same_version_in_two_folders_is_refused(fleet: Any) -> None:
    """Both files are named."""
    fleet.write("003", "CREATE TABLE three (id integer);")
    fleet.write("003", "CREATE TABLE other (id integer);", folder="small", name="other")
    error = refused(fleet)
    text = error["message"] + str(error["findings"])
    assert f"{SHOWN}/003_change.sql" in text
    assert "customer_a/small/migrations/003_other.sql" in text


@pytest.mark.parametrize("content", [b"\xff\xfe\x00broken", b"-- migrate:up\nSELECT '\xff';\n"], ids=["utf-16", "latin-1"])
def test_a_file_that_is_no_text_is_refused(fleet: Any, content: bytes) -> None:
    """By name, as bad input."""
    (fleet.environment / "migrations" / "003_broken.sql").write_bytes(content)
    error = refused(fleet)
    assert error["code"] == "bad_input"
    assert f"{SHOWN}/003_broken.sql" in error["message"] + str(error["findings"])


def test_a_link_to_nowhere_is_refused(fleet: Any) -> None:
    """A file that cannot be read is never passed over."""
    link = fleet.environment / "migrations" / "003_gone.sql"
    link.symlink_to("nowhere.sql")
    try:
        error = refused(fleet)
    finally:
        link.unlink()
    assert "003_gone.sql" in error["message"] + str(error.get("findings"))


def test_a_file_with_another_name_is_told(fleet: Any) -> None:
    """Something in the folder that is no migration by its name is never left out in silence."""
    (fleet.environment / "migrations" / "add-column.sql").write_text("SELECT 1;\n")
    error = refused(fleet)
    assert "add-column.sql" in error["message"] + str(error["findings"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_syntax_error_is_found_before_any_tenant_is_touched(fleet: Any, strategy: str) -> None:
    """By the parser or by the copy of the golden, with line and column."""
    fleet.write("003", "CREATE TABLE three (id integer);\nCREATE TABEL four (id integer);")
    done = fleet("--format", "json", "tenant", "migrate", "--all", "--strategy", strategy, code=None)
    assert done.code in (1, 2)
    assert f"{SHOWN}/003_change.sql:3:" in done.stdout
    if done.code == 1:
        assert set(fixtures.statuses(done.document).values()) == {"not_started"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_only_a_server_knows_is_found_on_the_golden(fleet: Any, strategy: str) -> None:
    """A column that is not there: the copy of the golden says so, no target is begun, and the exit code says failed."""
    fleet.write("003", "CREATE TABLE three (id integer);\nALTER TABLE items\n  DROP COLUMN nowhere;")
    report = fleet.migrate("--strategy", strategy, code=1)
    assert fixtures.statuses(report) == dict.fromkeys(fleet.databases, "not_started")
    (problem,) = report["problems"]
    assert "nowhere" in problem["message"]
    assert f"{SHOWN}/003_change.sql:" in problem["message"]
    assert report["release"]["state"] == "failed"
    fleet.check_truth()


@pytest.mark.parametrize(
    "statement",
    ["CREATE INDEX CONCURRENTLY fast ON items (price);", "CREATE TEMP TABLE scratch (id integer);", "LISTEN news;"],
)
def test_what_cannot_be_prepared_is_refused_under_atomic(fleet: Any, statement: str) -> None:
    """The lint knows: file, line and column, and what to do instead."""
    fleet.write("003", f"CREATE TABLE three (id integer);\n{statement}")
    error = refused(fleet, "--strategy", "atomic", code=3 if "CONC" not in statement else None)
    assert f"{SHOWN}/003_change.sql:3:1" in error["message"] + str(error.get("findings"))


def test_what_cannot_be_prepared_and_no_parser_sees_is_found_on_the_golden(fleet: Any) -> None:
    """A temporary table made by a text that is put together at run time: nobody is changed."""
    fleet.write("003", f"CREATE TABLE three (id integer);\n{IN_SECRET}")
    report = fleet.migrate("--strategy", "atomic", code=1)
    assert fixtures.statuses(report) == dict.fromkeys(fleet.databases, "not_started")
    (problem,) = report["problems"]
    assert "cannot be all or none" in problem["message"]
    assert "--strategy rolling" in problem["hint"]
    fleet.check_truth()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
def test_a_migration_that_opens_the_database_is_refused_on_the_golden(fleet: Any, opening: str, strategy: str) -> None:
    """No golden with other doors than its owner's becomes the standard, so no tenant is opened."""
    fleet.write("003", f"CREATE TABLE three (id integer);\n{opening}")
    report = fleet.migrate("--strategy", strategy, code=1)
    assert fixtures.statuses(report) == dict.fromkeys(fleet.databases, "not_started")
    (problem,) = report["problems"]
    assert "opens the database" in problem["message"]
    assert "003" in problem["message"]
    fleet.check_truth()
    assert fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)["summary"] == {"success": 4}


def test_a_grant_on_the_database_is_refused(fleet: Any) -> None:
    """The lint knows the plain spelling."""
    fleet.write("003", "CREATE TABLE three (id integer);\nGRANT CONNECT ON DATABASE acme_t_001 TO PUBLIC;")
    assert finding(refused(fleet))[:3] == (f"{SHOWN}/003_change.sql", 3, 1)


def test_a_migration_that_touches_the_history_is_refused(fleet: Any) -> None:
    """``schema_migrations`` is Manor's."""
    fleet.write("003", "CREATE TABLE three (id integer);\nDELETE FROM schema_migrations;")
    error = refused(fleet)
    assert finding(error)[:3] == (f"{SHOWN}/003_change.sql", 3, 1)
    assert "Manor's own tables" in finding(error)[3]


def test_a_migration_that_ends_its_transaction_is_refused(fleet: Any) -> None:
    """COMMIT inside a migration would leave half of it behind."""
    fleet.write("003", "CREATE TABLE three (id integer);\nCOMMIT;\nCREATE TABLE four (id integer);")
    error = refused(fleet)
    assert finding(error)[:3] == (f"{SHOWN}/003_change.sql", 3, 1)


def test_a_baseline_of_what_is_not_there_is_refused(fleet: Any) -> None:
    """Else a golden without the table would be the measure of all who have it. The release that makes the table is in order
    afterwards, of one tenant first and then of its neighbours."""
    fleet.write("003", "CREATE TABLE three (id integer);", "DROP TABLE three;")
    for words in (("--all",), ("--tenant-id", fleet.databases[0])):
        report = fleet.json("migration", "baseline", "--to", "003", *words, code=1)
        assert set(fixtures.statuses(report).values()) == {"not_started"}
        (problem,) = report["problems"]
        assert "003" in problem["message"]
        assert "must not be recorded as done" in problem["message"]
        assert f"{SHOWN}/003_change.sql" in problem["message"]
    fleet.check_truth()
    first = fleet.json("tenant", "migrate", "--tenant-id", fleet.databases[0], "--strategy", "rolling")
    rest = fleet.migrate("--strategy", "rolling")
    assert sorted(fixtures.statuses(rest).values()) == ["skipped", "success", "success", "success"]
    for report in (rest, first):
        fleet.json("operation", "undo", report["operation"]["id"])


def test_an_undo_without_a_down_section_is_refused(fleet: Any) -> None:
    """Before anything is touched, with the migration's place."""
    operation = fleet.operations()[-2]["id"]
    assert fleet.json("operation", "show", operation)["operation"]["verb"] == "migrate"
    error = fleet.json("operation", "undo", operation, code=2)["error"]
    file, line, _, message = finding(error)
    assert (file, line) == (f"{SHOWN}/001_change.sql", 1)
    assert "no down section" in message


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--all", "--group", "tenants"),
        ("--tenant-id", "001", "--filter", "tier = 'x'"),
        ("--group", "tenants", "--filter", "tier = 'x'"),
    ],
    ids=["none", "all and group", "id and filter", "group and filter"],
)
def test_exactly_one_selector_is_wanted(fleet: Any, arguments: tuple[str, ...]) -> None:
    """None, or two of them, is a mistake of the command line."""
    error = fleet.json("tenant", "migrate", *arguments, code=2)["error"]
    assert "one of --all" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--tenant-id", "9999"), "not_found", "9999"),
        (("--tenant-id", "acme/tenants/9"), "not_found", "acme/tenants/9"),
        (("--tenant-id", "'; DROP TABLE manor.databases; --"), "not_found", "DROP TABLE"),
        (("--group", "tenant"), "not_found", "tenant"),
        (("--group", "' OR '1'='1"), "not_found", "1"),
        (("--filter", "tier = 'a' OR 1=1; DROP TABLE manor.databases"), "bad_input", ""),
        (("--filter", "tier = 'a'' UNION SELECT url FROM manor.databases --'"), "", ""),
        (("--filter", "nosuchfield = 'a'"), "bad_input", "nosuchfield"),
        (("--filter", "tier = "), "bad_input", ""),
        (("--filter", ""), "bad_input", ""),
        (("--filter", "(" * 2000 + "tier = 'a'" + ")" * 2000), "bad_input", ""),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, tuple) else "",
)
def test_selectors_are_data(fleet: Any, arguments: tuple[str, ...], code: str, words: str) -> None:
    """Names and searches that are not there or cannot be read are told; whatever they hold, none of it is SQL."""
    found = fleet.json("tenant", "migrate", *arguments, code=None)
    if code:
        assert found["error"]["code"] == code
        assert words in found["error"]["message"]
    else:
        assert found["outcomes"] == []


def test_another_plans_digest_is_refused(fleet: Any) -> None:
    """A dry run prints plan and digest and changes nothing; only that digest is acted on."""
    fleet.write("003", "CREATE TABLE three (id integer);\nALTER TABLE items ADD COLUMN note text DEFAULT 'x';")
    before = fleet.everything()
    plan = fleet.migrate("--dry-run")
    assert fleet.everything() == before
    assert plan["operation"]["dry_run"] is True
    assert fixtures.statuses(plan) == dict.fromkeys(fleet.databases, "pending")
    assert plan["release"]["cohorts"][0]["steps"] == ["up 003"]
    assert [statement["table"] for statement in plan["release"]["statements"]] == ["", "items"]
    assert plan["release"]["statements"][1]["lock"] == "ACCESS EXCLUSIVE"
    assert fleet.migrate("--dry-run")["operation"]["digest"] == plan["operation"]["digest"]
    fleet.write("003", "CREATE TABLE three (id bigint);")
    assert fleet.migrate("--dry-run")["operation"]["digest"] != plan["operation"]["digest"]
    error = refused(fleet, "--plan-digest", plan["operation"]["digest"], code=3)
    assert error["code"] == "refused"
    assert "not the reviewed" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategy", "atomic", "--batch-size", 2), "--batch-size"),
        (("--strategy", "rolling", "--prepare-deadline", 2), "--prepare-deadline"),
        (("--strategy", "rolling", "--max-failures", "lots"), "max-failures"),
        (("--strategy", "rolling", "--order-by", "-"), "order-by"),
        (("--strategy", "rolling", "--first", "tier ="), "first"),
        (("--strategy", "canary", "--initial-percentage", 0), "initial-percentage"),
        (
            (
                "--strategy",
                "sideways",
            ),
            "sideways",
        ),
        (("--report", "nowhere/report.txt"), "report"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(fleet: Any, arguments: tuple[Any, ...], words: str) -> None:
    """Each is named; none is ignored."""
    fleet.write("003", "CREATE TABLE three (id integer);")
    error = refused(fleet, *arguments)
    assert words in error["message"] + error["hint"]


@pytest.mark.parametrize("slots", [0, 2])
def test_a_server_without_room_for_prepared_transactions_is_refused(tmp_path: Path, slots: int) -> None:
    """None, or fewer than tenants: what there is, what is needed, and the alternative, before anything is changed."""
    from manor.control.engines.embedded.server import EmbeddedServer
    from manor.control.engines.embedded.settings import EmbeddedSettings

    folder = tmp_path / "server"
    folder.mkdir()
    server = EmbeddedServer(folder, EmbeddedSettings(max_prepared_transactions=slots))
    try:
        server.start()
        small = fixtures.build_fleet(tmp_path / "p", server.ensure_running(), tenants=3)
        small.write("001", "CREATE TABLE one (id integer);")
        error = refused(small, code=2 if slots == 0 else 3)
        assert error["code"] == ("unsupported" if slots == 0 else "refused")
        assert "max_prepared_transactions" in error["hint"]
        assert "--strategy rolling" in error["hint"]
        if slots:
            assert "2 free slots" in error["message"]
            assert "3 are needed" in error["message"]
        assert small.histories() == [[], [], []]
        assert small.migrate("--strategy", "rolling")["summary"] == {"success": 3}
    finally:
        server.destroy()


WINDOWS = """
deployment_strategy:
  type: "rolling"
  maintenance_windows:
    - opens: "02:00"
      closes: "04:00"
      where: "tire = 'gold'"
"""


def test_a_misspelt_name_in_a_search_is_refused(fleet: Any) -> None:
    """A window or a group that goes first would mean nobody, and protect nobody."""
    fleet.write("003", "CREATE TABLE three (id integer);")
    error = refused(fleet, "--first", "tire = 'gold'", "--strategy", "canary")
    assert "tire" in error["message"], error
    registry = fleet.registry
    registry.write_text(registry.read_text(encoding="utf-8") + WINDOWS, encoding="utf-8")
    error = refused(fleet, "--strategy", "rolling")
    assert "tire" in error["message"], error


SLIPS = """
deployment_strategy:
  type: "rolling"
  first: "status ="
  hold_back: ["nobody"]
  pins: {acme/tenants/009: "001"}
  maintenance_windows: [{opens: "02:00", closes: "04:00", where: "tire = 'gold'"}]
"""


def test_validate_finds_what_a_release_would_refuse(fleet: Any) -> None:
    """Searches are errors; names of tenants are remarks, as one may have been made outside the registry. All have places."""
    fleet.registry.write_text(fleet.registry.read_text(encoding="utf-8") + SLIPS, encoding="utf-8")
    verdict = fleet.json("multi-tenant", "validate", "--registry", fleet.registry, code=2)
    found = {(one["line"], one["message"].split()[0]) for one in verdict["findings"]}
    lines = fleet.registry.read_text(encoding="utf-8").splitlines()
    first = 1 + next(index for index, line in enumerate(lines) if "status =" in line)
    assert [line for line, _ in sorted(found)] == [first, first + 3], verdict["findings"]
    remarks = "\n".join(verdict["notices"])
    assert f":{first + 1}:" in remarks
    assert "'nobody'" in remarks
    assert "acme/tenants/009" in remarks
