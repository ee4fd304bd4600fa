"""What somebody else did to the server: deploy and healthcheck name it, touch nothing of it, and do the rest of their work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
Manor = Callable[..., "CompletedProcess[str]"]
Verdicts = dict[str, tuple[str, str, str]]
"""By database: (status, code of the error or '', what is said)."""


def run(manor: Manor, verb: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A verb of the fleet: exit code and report."""
    result = manor("--format", "json", "multi-tenant", verb, *REGISTRY, *arguments)
    assert "Traceback" not in result.stderr
    return result.returncode, json.loads(result.stdout)


def verdicts(document: dict[str, Any]) -> Verdicts:
    """What became of each database."""
    return {o["database"]: (o["status"], o["error"]["code"] if o["error"] else "", o["detail"]) for o in document["outcomes"]}


def others(found: Verdicts, *names: str) -> set[str]:
    """The statuses of all databases but those."""
    return {status for name, (status, _, _) in found.items() if name not in names}


def sql(url: str, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
    """Run statements as the administrator; rows of the last one."""
    with psycopg.connect(url, dbname=database, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def orphans(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(o["database"], o["kind"]) for o in document["orphans"]}


def test_a_database_of_the_name_that_manor_did_not_make_is_never_touched(manor: Manor, server_url: str) -> None:
    """Its rows, its doors and its comment stay; the target is an error that names it; the others succeed."""
    sql(server_url, "CREATE DATABASE acme_t_002", "COMMENT ON DATABASE acme_t_002 IS 'the ledger'")
    sql(server_url, "CREATE TABLE ledger AS SELECT 42 AS amount", database="acme_t_002")
    look = "SELECT datacl::text, shobj_description(oid, 'pg_database'), datdba FROM pg_database WHERE datname = 'acme_t_002'"
    before = sql(server_url, look)
    for _ in range(2):
        code, document = run(manor, "deploy")
        found = verdicts(document)
        assert code == 1
        assert found["acme_t_002"][:2] == ("error", "conflict")
        assert "acme_t_002" in found["acme_t_002"][2]
        assert others(found, "acme_t_002") <= {"success", "skipped"}
    assert sql(server_url, look) == before
    assert sql(server_url, "SELECT amount FROM ledger", database="acme_t_002") == [(42,)]
    assert sql(server_url, "SELECT count(*) FROM pg_roles WHERE rolname = 'acme_t_002'") == [(0,)]


def test_a_role_of_the_name_that_manor_did_not_make_is_never_touched(manor: Manor, server_url: str) -> None:
    """Its password and its memberships stay; no database is made for it."""
    sql(server_url, "CREATE ROLE acme_t_003 LOGIN PASSWORD 'of somebody else'")
    look = "SELECT rolpassword, rolcanlogin FROM pg_authid WHERE rolname = 'acme_t_003'"
    before = sql(server_url, look)
    for _ in range(2):
        code, document = run(manor, "deploy")
        found = verdicts(document)
        assert code == 1
        assert found["acme_t_003"][:2] == ("error", "conflict")
        assert "acme_t_003" in found["acme_t_003"][2]
        assert others(found, "acme_t_003") <= {"success", "skipped"}
    assert sql(server_url, look) == before
    assert sql(server_url, "SELECT 1 FROM pg_database WHERE datname = 'acme_t_003'") == []
    assert sql(server_url, "SELECT 1 FROM pg_auth_members WHERE member = 'acme_t_003'::regrole") == []


def test_a_database_that_is_gone_is_an_error_until_recreating_is_asked_for(
    manor: Manor, server_url: str, fleet_check: Any
) -> None:
    """An empty database in the place of a customer's data would be the worst answer."""
    assert run(manor, "deploy")[0] == 0
    sql(server_url, "DROP DATABASE acme_t_001")
    code, document = run(manor, "deploy")
    found = verdicts(document)
    assert code == 1
    assert found["acme_t_001"][0] == "error"
    assert "gone" in found["acme_t_001"][2]
    assert others(found, "acme_t_001") == {"skipped"}
    assert ("acme_t_001", "missing") in orphans(document)
    code, document = run(manor, "deploy", "--recreate-missing")
    assert (code, document["summary"], orphans(document)) == (0, {"success": 1, "skipped": 4}, set())
    assert fleet_check.problems() == []


def test_a_column_added_by_hand_is_named_as_drift_by_deploy_healthcheck_and_show(manor: Manor, server_url: str) -> None:
    """Nothing is changed back."""
    assert run(manor, "deploy")[0] == 0
    sql(server_url, "ALTER TABLE users ADD COLUMN nickname text", database="acme_t_004")
    for verb, well in (("deploy", "skipped"), ("healthcheck", "success")):
        code, document = run(manor, verb)
        found = verdicts(document)
        assert code == 1
        assert found["acme_t_004"][:2] == ("error", "drift")
        assert others(found, "acme_t_004") == {well}
    shown = manor("--format", "json", "tenant", "show", "acme_t_004", "--drift")
    drift = json.loads(shown.stdout)["drift"]
    assert any("nickname" in line and "users" in line for line in drift), shown.stdout + shown.stderr
    assert json.loads(manor("--format", "json", "tenant", "show", "acme_t_003", "--drift").stdout)["drift"] == []
    assert sql(server_url, "SELECT 1 FROM pg_database WHERE datname LIKE 'manor\\_new\\_%'") == []


@pytest.mark.parametrize(
    ("harm", "broken", "said", "also"),
    [
        ("ALTER DATABASE acme_t_002 RENAME TO acme_elsewhere", "acme_t_002", "does not exist", ""),
        ("REVOKE CONNECT ON DATABASE acme_t_002 FROM acme_t_002", "acme_t_002", "permission denied", ""),
        ("GRANT CONNECT ON DATABASE acme_t_002 TO PUBLIC", "acme_t_001", "can enter acme_t_002", "acme_t_002"),
        ("ALTER ROLE acme_t_002 PASSWORD 'another'", "acme_t_002", "password authentication failed", ""),
        ("ALTER ROLE acme_t_002 NOLOGIN", "acme_t_002", "not permitted to log in", ""),
        ("ALTER DATABASE acme_t_002 CONNECTION LIMIT 0", "acme_t_002", "too many connections", ""),
    ],
)
def test_one_broken_database_never_hides_the_others(
    manor: Manor, server_url: str, harm: str, broken: str, said: str, also: str
) -> None:
    """Healthcheck says what is wrong with the one (``also``: with the one whose door is open) and that the others are well."""
    assert run(manor, "deploy")[0] == 0
    sql(server_url, harm)
    code, document = run(manor, "healthcheck")
    found = verdicts(document)
    assert code == 1
    assert found[broken][0] == "error"
    assert said in found[broken][2]
    assert {name: verdict for name, verdict in found.items() if verdict[0] != "success"}.keys() == {broken, also} - {""}
    unhealthy = 2 if also else 1
    assert document["health"] == {"total": 5, "healthy": 5 - unhealthy, "unhealthy": unhealthy}


GOLDEN = "SELECT datname FROM pg_database WHERE datname LIKE 'manor\\_golden\\_%' ORDER BY oid"


@pytest.mark.parametrize(
    "harm",
    [
        "DROP DATABASE {name}",
        "COMMENT ON DATABASE {name} IS NULL",
        "UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{name}'",
    ],
)
def test_a_golden_database_that_is_gone_or_damaged_is_built_anew_when_it_is_needed(
    manor: Manor, registry: Path, server_url: str, fleet_check: Any, harm: str
) -> None:
    """Until then a deploy that only verifies does not ask for it."""
    assert run(manor, "deploy")[0] == 0
    for (name,) in sql(server_url, GOLDEN):
        sql(server_url, harm.format(name=name))
    assert run(manor, "deploy")[1]["summary"] == {"skipped": 5}
    registry.write_text(registry.read_text(encoding="utf-8").replace("tenant_count: 4", "tenant_count: 5"), encoding="utf-8")
    code, document = run(manor, "deploy")
    assert (code, document["summary"]) == (0, {"success": 1, "skipped": 5})
    broken = sql(server_url, "SELECT datname FROM pg_database WHERE datconnlimit = -2")
    assert [problem for problem in fleet_check.problems() if "golden" not in problem] == []
    assert len(broken) <= 1, "the golden that is in use was not built anew"


def test_orphans_are_named_both_ways(manor: Manor, registry: Path, server_url: str) -> None:
    """A database of ours without an entry, an entry without a database, an entry that nothing declares any more."""
    assert run(manor, "deploy")[0] == 0
    registry.write_text(registry.read_text(encoding="utf-8").replace("tenant_count: 4", "tenant_count: 2"), encoding="utf-8")
    forget = [
        "DELETE FROM manor.databases WHERE tenant = 'acme/tenants/004'",
        "DELETE FROM manor.tenants WHERE id = 'acme/tenants/004'",
    ]
    sql(server_url, *forget, database="manor_catalog")
    sql(server_url, "DROP DATABASE acme_t_001")
    expected = {("acme_t_004", "unrecorded"), ("acme_t_003", "undeclared"), ("acme_t_001", "missing")}
    assert orphans(run(manor, "deploy", "--dry-run")[1]) == expected
    code, document = run(manor, "deploy")
    assert code == 1
    assert orphans(document) == expected
    assert sql(server_url, "SELECT count(*) FROM pg_database WHERE datname IN ('acme_t_003', 'acme_t_004')") == [(2,)]


def test_a_database_whose_entry_was_lost_is_recorded_again_without_a_change_to_its_rows(
    manor: Manor, server_url: str, fleet_check: Any
) -> None:
    """Its own marker says whose it is; it gets a new password, because nobody knows the old one."""
    assert run(manor, "deploy")[0] == 0
    forget = [
        "DELETE FROM manor.databases WHERE tenant = 'acme/tenants/004'",
        "DELETE FROM manor.tenants WHERE id = 'acme/tenants/004'",
    ]
    sql(server_url, *forget, database="manor_catalog")
    code, document = run(manor, "deploy")
    assert (code, document["summary"]) == (0, {"success": 1, "skipped": 4})
    assert fleet_check.problems() == []


def test_deploy_notices_a_database_whose_doors_were_opened(manor: Manor, server_url: str) -> None:
    """Proof that a tenant is as it was made includes who may enter it."""
    assert run(manor, "deploy")[0] == 0
    sql(server_url, "GRANT CONNECT ON DATABASE acme_t_002 TO PUBLIC")
    code, document = run(manor, "deploy")
    assert code == 1
    assert verdicts(document)["acme_t_002"][:2] == ("error", "drift")
    shown = manor("--format", "json", "tenant", "show", "acme_t_002", "--drift")
    assert [line for line in json.loads(shown.stdout)["drift"] if "PUBLIC" in line], shown.stdout + shown.stderr


def test_the_inspection_of_these_tests_finds_what_it_must(manor: Manor, server_url: str, fleet_check: Any) -> None:
    """A check that never fails proves nothing."""
    assert run(manor, "deploy")[0] == 0
    assert fleet_check.problems() == []
    harms = {
        "acme_t_001: settings": "UPDATE settings SET setting_value = 'x' WHERE setting_key = 'tenant.type'",
        "acme_t_002: orders: 1 rows": "DELETE FROM orders WHERE id = 2",
        "acme_t_003: users: 4 rows": "INSERT INTO users (username, email, tenant_id) VALUES ('a', 'a', 'acme_t_003')",
    }
    for name, statement in harms.items():
        sql(server_url, statement, database=name.partition(":")[0])
    sql(server_url, "GRANT CONNECT ON DATABASE acme_t_004 TO PUBLIC", "CREATE DATABASE manor_new_x", "CREATE ROLE leftover")
    found = fleet_check.problems()
    for expected in [*harms, "acme_t_004 lets in", "database manor_new_x was left behind", "leftover"]:
        assert any(expected in problem for problem in found), expected
