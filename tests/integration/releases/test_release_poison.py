"""Tenants that cannot take a release: they are named with their cause, and nobody else pays for it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import psycopg
import pytest

Fleet = Any

SECRET = "s3cret in a row of the tenant"
STRATEGY = """\
deployment_strategy:
  type: atomic
  canary: {initial_percentage: 25, increment_percentage: 25, evaluation_period: 0}
"""


@dataclass(frozen=True, kw_only=True)
class Poison:
    """``{n}`` in a statement is the migration's number, so that one fleet serves all tests."""

    sick: str
    migration: str
    cure: str
    code: str
    words: str


ROW = f"INSERT INTO items VALUES (8, '{SECRET}', -5), (9, '{SECRET}', NULL), (10, '{SECRET}', -5)"
NO_ROWS = "DELETE FROM items WHERE id > 1"
FULL = "RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'"
POISONS = {
    "duplicates": Poison(
        sick=ROW,
        migration="ALTER TABLE items ADD CONSTRAINT once_{n} UNIQUE (price); ALTER TABLE items DROP CONSTRAINT once_{n};",
        cure=NO_ROWS,
        code="bad_input",
        words="once_",
    ),
    "check": Poison(
        sick=ROW,
        migration="ALTER TABLE items ADD CONSTRAINT positive_{n} CHECK (price > 0);"
        "ALTER TABLE items DROP CONSTRAINT positive_{n};",
        cure=NO_ROWS,
        code="bad_input",
        words="positive_",
    ),
    "not null": Poison(
        sick=ROW,
        migration="ALTER TABLE items ALTER price SET NOT NULL; ALTER TABLE items ALTER price DROP NOT NULL, ADD n_{n} integer;",
        cure=NO_ROWS,
        code="bad_input",
        words="price",
    ),
    "missing table": Poison(
        sick="ALTER TABLE items RENAME TO elsewhere",
        migration="ALTER TABLE items ADD COLUMN c_{n} integer;",
        cure="ALTER TABLE elsewhere RENAME TO items",
        code="bad_input",
        words='"items" does not exist',
    ),
    "column is there": Poison(
        sick="ALTER TABLE items ADD COLUMN c_{n} integer",
        migration="ALTER TABLE items ADD COLUMN c_{n} integer;",
        cure="ALTER TABLE items DROP COLUMN c_{n}",
        code="bad_input",
        words="already exists",
    ),
    "other schema": Poison(
        sick="ALTER TABLE items ADD COLUMN theirs integer",
        migration="ALTER TABLE items ADD COLUMN c_{n} integer;",
        cure="ALTER TABLE items DROP COLUMN theirs",
        code="drift",
        words="would not be the released one",
    ),
    "disk full": Poison(
        sick="CREATE SCHEMA full_disk",
        migration=f"""DO $$ BEGIN IF to_regnamespace('full_disk') IS NOT NULL THEN {FULL}; END IF; END $$;
        ALTER TABLE items ADD COLUMN c_{{n}} integer;""",
        cure="DROP SCHEMA full_disk",
        code="exhausted",
        words="No space left",
    ),
    "deferred": Poison(
        sick=ROW,
        migration="""CREATE TABLE parents_{n} (id integer PRIMARY KEY); INSERT INTO parents_{n} VALUES (10);
        CREATE TABLE children_{n} (price integer REFERENCES parents_{n} DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO children_{n} SELECT price FROM items;""",
        cure=NO_ROWS,
        code="bad_input",
        words="children_",
    ),
}


@pytest.fixture(scope="module")
def module_fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Fleet:
    """Four tenants of one table, for the whole module."""
    return fixtures.build_fleet(tmp_path_factory.mktemp("poison") / "p", wiped_server(), extra=STRATEGY)


@dataclass(frozen=True, kw_only=True)
class Ward:
    """The fleet with the number of the migration that is next."""

    fleet: Fleet
    number: int

    @property
    def version(self) -> str:
        return f"{self.number:03d}"

    @property
    def before(self) -> list[str]:
        return [f"{number:03d}" for number in range(1, self.number)]

    @property
    def after(self) -> list[str]:
        return [*self.before, self.version]

    def write(self, text: str) -> None:
        self.fleet.write(self.version, text.replace("{n}", str(self.number)))

    def ask(self, statement: str, *numbers: int) -> None:
        for number in numbers:
            self.fleet.ask(statement.replace("{n}", str(self.number)), self.fleet.databases[number - 1])


@pytest.fixture
def ward(module_fleet: Fleet) -> Iterator[Ward]:
    """All tenants at one version before, and at the next one afterwards."""
    fleet = module_fleet
    ward = Ward(fleet=fleet, number=len(list((fleet.environment / "migrations").glob("*.sql"))) + 1)
    yield ward
    assert fleet.histories() == [ward.after] * 4
    fleet.check_truth()


def check_named(report: Any, databases: list[str], poison: Poison) -> None:
    """Each sick tenant has its own cause, and none of its rows is told."""
    found = fixtures.errors(report)
    assert sorted(found) == sorted(databases)
    for database, error in found.items():
        assert error["code"] == poison.code, error
        assert poison.words in error["message"], error
        assert database in error["message"]
    assert SECRET not in json.dumps(report)


@pytest.mark.parametrize("kind", POISONS)
def test_rolling_changes_everybody_but_the_poisoned_tenant(ward: Ward, kind: str) -> None:
    """Others succeed, the sick one is named with its cause and unchanged, retry touches only what was left."""
    poison, fleet = POISONS[kind], ward.fleet
    ward.ask(poison.sick, 2)
    ward.write(poison.migration)
    report = fleet.migrate("--strategy", "rolling", code=1)
    sick = fleet.databases[1]
    assert fixtures.statuses(report) == {d: "error" if d == sick else "success" for d in fleet.databases}
    check_named(report, [sick], poison)
    assert fleet.histories() == [ward.after, ward.before, ward.after, ward.after]
    fleet.check_truth()
    again = fleet.json("operation", "retry", report["operation"]["id"], code=1)
    check_named(again, [sick], poison)
    ward.ask(poison.cure, 2)
    rows = "SELECT version, xmin::text, applied_at FROM schema_migrations ORDER BY version"
    healthy = [fleet.databases[number] for number in (0, 2, 3)]
    before = [fleet.ask(rows, database) for database in healthy]
    last = fleet.json("operation", "retry", again["operation"]["id"])
    assert fixtures.statuses(last) == {sick: "success"}
    assert [fleet.ask(rows, database) for database in healthy] == before
    assert fleet.json("operation", "show", last["operation"]["id"])["operation"]["parent"] == again["operation"]["id"]
    assert fleet.json("operation", "retry", last["operation"]["id"], code=3)["error"]["code"] == "refused"


@pytest.mark.parametrize("kind", POISONS)
def test_atomic_changes_nobody_and_names_every_sick_tenant(ward: Ward, kind: str) -> None:
    """Two of four say no: both are named with their own cause, the others rolled back; after the cure retry changes all."""
    poison, fleet = POISONS[kind], ward.fleet
    ward.ask(poison.sick, 2, 4)
    ward.write(poison.migration)
    report = fleet.migrate("--strategy", "atomic", code=1)
    sick = [fleet.databases[1], fleet.databases[3]]
    assert fixtures.statuses(report) == {d: "error" if d in sick else "rolled_back" for d in fleet.databases}
    check_named(report, sick, poison)
    assert fleet.histories() == [ward.before] * 4
    fleet.check_truth()
    shown = fleet.json("operation", "show", report["operation"]["id"])
    assert (shown["operation"]["state"], shown["operation"]["decision"]) == ("failed", "rollback")
    ward.ask(poison.cure, 2, 4)
    again = fleet.json("operation", "retry", report["operation"]["id"])
    assert fixtures.statuses(again) == dict.fromkeys(fleet.databases, "success")


@pytest.mark.parametrize("sick", [1, 2])
def test_a_canary_stops_at_the_wave_of_the_sick_tenant(ward: Ward, sick: int) -> None:
    """The wave's outcome stays, no further tenant is begun, and retry goes on with the rest after the cure."""
    poison, fleet = POISONS["duplicates"], ward.fleet
    ward.ask(poison.sick, sick)
    ward.write(poison.migration)
    report = fleet.migrate("--strategy", "canary", code=1)
    words = ["success"] * (sick - 1) + ["error"] + ["not_started"] * (4 - sick)
    assert fixtures.statuses(report) == dict(zip(fleet.databases, words, strict=True))
    assert fleet.histories() == [ward.after] * (sick - 1) + [ward.before] * (5 - sick)
    fleet.check_truth()
    ward.ask(poison.cure, sick)
    again = fleet.json("operation", "retry", report["operation"]["id"])
    assert fixtures.statuses(again) == dict.fromkeys(fleet.databases[sick - 1 :], "success")


def _hold(fleet: Fleet, number: int) -> Any:
    return fixtures.holding(fleet, fleet.databases[number - 1], f"SELECT id, '{SECRET}' FROM items")


COLUMN = "ALTER TABLE items ADD COLUMN c_{n} integer;"


@pytest.mark.parametrize("strategy", ["atomic", "rolling"])
def test_who_holds_the_lock_is_named(ward: Ward, strategy: str) -> None:
    """The release gives up in time; the message has the session's pid, user, application and age, and not its statement."""
    fleet = ward.fleet
    ward.write(COLUMN)
    with _hold(fleet, 3) as pid:
        began = time.monotonic()
        report = fleet.migrate("--strategy", strategy, "--lock-timeout", 1, code=1)
        took = time.monotonic() - began
    other = "rolled_back" if strategy == "atomic" else "success"
    assert fixtures.statuses(report) == {d: "error" if d == fleet.databases[2] else other for d in fleet.databases}
    error = fixtures.errors(report)[fleet.databases[2]]
    assert error["code"] == "timeout"
    assert f"session {pid} of " in error["message"]
    assert "(reporting)" in error["message"]
    assert "idle in transaction, transaction open for" in error["message"]
    assert f"pg_terminate_backend({pid})" in error["hint"]
    assert SECRET not in json.dumps(report)
    assert took < 30
    fleet.check_truth()
    fleet.json("operation", "retry", report["operation"]["id"])


def test_a_vote_gives_up_at_its_deadline(ward: Ward) -> None:
    """The lock's own limit is longer than the time for all votes: the earlier of them counts, and everything is rolled back."""
    fleet = ward.fleet
    ward.write(COLUMN)
    with _hold(fleet, 3) as pid:
        began = time.monotonic()
        report = fleet.migrate("--strategy", "atomic", "--lock-timeout", 60, "--prepare-deadline", 3, code=1)
        took = time.monotonic() - began
    assert took < 25
    assert fleet.histories() == [ward.before] * 4
    assert f"session {pid} " in fixtures.errors(report)[fleet.databases[2]]["message"]
    fleet.check_truth()
    fleet.json("operation", "retry", report["operation"]["id"])


def test_an_active_blocker_is_named_with_the_age_of_its_query(ward: Ward) -> None:
    """First word and age of what it runs, nothing else of it."""
    fleet = ward.fleet
    ward.write(COLUMN)
    with contextlib.closing(psycopg.connect(fleet.url, dbname=fleet.databases[0], autocommit=True)) as connection:
        connection.pgconn.send_query(f"SELECT pg_sleep(60), '{SECRET}' FROM items".encode())
        connection.pgconn.flush()
        fixtures.wait_until(lambda: fleet.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        report = fleet.migrate("--lock-timeout", 1, code=1)
        fleet.ask(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
    assert "SELECT running for" in fixtures.errors(report)[fleet.databases[0]]["message"]
    assert SECRET not in json.dumps(report)
    fleet.json("operation", "retry", report["operation"]["id"])


def test_poisons_of_several_kinds_are_told_apart(ward: Ward) -> None:
    """Everybody is asked although one no is enough, and each no has its own cause."""
    fleet, poison = ward.fleet, POISONS["duplicates"]
    ward.ask(POISONS["missing table"].sick, 1)
    ward.ask(poison.sick, 2)
    ward.write(poison.migration)
    with _hold(fleet, 4):
        report = fleet.migrate("--lock-timeout", 1, code=1)
    found = fixtures.errors(report)
    assert [found[d]["code"] for d in fleet.databases if d in found] == ["bad_input", "bad_input", "timeout"]
    assert "items" in found[fleet.databases[0]]["message"]
    assert "once" in found[fleet.databases[1]]["message"]
    reason = next(o["detail"] for o in report["outcomes"] if o["status"] == "rolled_back")
    assert "3 of 4 said no" in reason
    assert SECRET not in json.dumps(report)
    ward.ask(POISONS["missing table"].cure, 1)
    ward.ask(poison.cure, 2)
    fleet.json("operation", "retry", report["operation"]["id"])


@pytest.mark.parametrize("kind", ["duplicates", "deferred"])
@pytest.mark.parametrize("strategy", ["atomic", "rolling"])
def test_a_rehearsal_names_the_sick_and_changes_nothing(ward: Ward, kind: str, strategy: str) -> None:
    """No table, no row of history, no operation in the journal and none in the audit log, nothing prepared; what is only looked
    at when a transaction ends is looked at too."""
    fleet, poison = ward.fleet, POISONS[kind]
    ward.ask(poison.sick, 2, 3)
    ward.write(poison.migration)
    before = fleet.everything()
    report = fleet.migrate("--rehearse", "--strategy", strategy, code=1)
    after = fleet.everything()
    assert fixtures.statuses(report) == dict(zip(fleet.databases, ("success", "error", "error", "success"), strict=True))
    check_named(report, fleet.databases[1:3], poison)
    for key in ("audit", "operations", "recorded", "histories", "tables", "prepared"):
        assert after[key] == before[key], key
    ward.ask(poison.cure, 2, 3)
    fleet.migrate()


@pytest.fixture(scope="module")
def plain_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, str]]:
    """Three tenants on a server of their own, where Manor's login is no superuser; and the superuser's URL."""
    from manor.control.engines.embedded.server import EmbeddedServer

    folder = tmp_path_factory.mktemp("plain")
    (folder / "server").mkdir()
    server = EmbeddedServer(folder / "server")
    try:
        server.start()
        url = server.ensure_running()
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE ROLE platform LOGIN CREATEDB CREATEROLE")
            admin.execute("GRANT CONNECT ON DATABASE postgres, template1 TO platform")
            admin.execute("CREATE ROLE stranger")
            (access,) = admin.execute("SHOW hba_file").fetchone() or ("",)
            text = Path(access).read_text(encoding="utf-8").splitlines()
            Path(access).write_text("\n".join(["local all platform trust", *text]) + "\n", encoding="utf-8")
            admin.execute("SELECT pg_reload_conf()")
        plain = url.replace("manor_admin@", "platform@")
        yield fixtures.build_fleet(folder / "p", plain, tenants=3), url
    finally:
        server.destroy()


@pytest.mark.parametrize(("strategy", "other"), [("atomic", "rolled_back"), ("rolling", "success")])
def test_a_table_of_another_owner_is_denied_by_name(plain_fleet: tuple[Fleet, str], strategy: str, other: str) -> None:
    """Manor's login may not change what somebody else owns: that tenant is named, and the others go as the strategy says."""
    fleet, admin = plain_fleet
    number = len(list((fleet.environment / "migrations").glob("*.sql"))) + 1
    fleet.write(f"{number:03d}", f"ALTER TABLE items ADD COLUMN c_{number} integer;")
    with psycopg.connect(admin, dbname=fleet.databases[1], autocommit=True) as connection:
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'items'").fetchone()
        assert owner
        connection.execute("ALTER TABLE items OWNER TO stranger")
        report = fleet.migrate("--strategy", strategy, code=1)
        connection.execute(f'ALTER TABLE items OWNER TO "{owner[0]}"')
    assert fixtures.statuses(report) == {d: "error" if d == fleet.databases[1] else other for d in fleet.databases}
    error = fixtures.errors(report)[fleet.databases[1]]
    assert error["code"] == "denied"
    assert "must be owner of table items" in error["message"]
    fleet.check_truth()
    fleet.json("operation", "retry", report["operation"]["id"])
    assert fleet.histories() == [[f"{one:03d}" for one in range(1, number + 1)]] * 3
    fleet.check_truth()
