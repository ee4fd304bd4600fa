"""``manor migration status``, ``baseline`` and ``squash`` on a real fleet of four numbered tenants and a fixed database."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

REGISTRY = "customer_a/tenant_registry.yaml"
FIRST, SECOND = "CREATE TABLE plans (id int PRIMARY KEY);", "ALTER TABLE plans ADD COLUMN name text;"
Manor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(manor: Manor) -> Callable[..., Any]:
    """``ask("migration", "status", code=0)``: the JSON document that a command prints."""

    def ask(*words: object, code: int = 0) -> Any:
        done = manor("--format", "json", *words)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    return ask


@pytest.fixture
def fleet(project: Path, ask: Callable[..., Any]) -> Path:
    """The project, deployed: acme_t_001 to acme_t_004, and acme_common."""
    ask("multi-tenant", "deploy", "--registry", REGISTRY)
    return project


@pytest.fixture
def sql(server_url: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Run a statement in a database as the server's administrator."""

    def sql(database: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(server_url, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return sql


def write(project: Path, name: str, up: str) -> Path:
    """A migration of the registry's folder."""
    file = project / "customer_a" / "migrations" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"-- migrate:up\n{up}\n", encoding="utf-8")
    return file


def of_tenants(document: Any) -> Any:
    """The chain of the numbered tenants' template."""
    return next(chain for chain in document["chains"] if chain["template"] == "tenant_type1")


def test_status_counts_tenants_by_version_from_the_catalog_alone(
    fleet: Path, ask: Callable[..., Any], manor: Manor, sql: Callable[..., Any]
) -> None:
    """What is pending, and an edited or lost file is a problem that names its tenants and ends with exit code 1."""
    write(fleet, "1_plans.sql", FIRST)
    ask("tenant", "migrate", "--all")
    second = write(fleet, "2_name.sql", SECOND)
    ask("tenant", "migrate", "--tenant-id", "003")
    sql("postgres", "ALTER DATABASE acme_t_001 ALLOW_CONNECTIONS false")  # nobody needs to enter it
    chain = of_tenants(ask("migration", "status"))
    assert chain["versions"] == [{"version": "1", "tenants": 3}, {"version": "2", "tenants": 1}]
    assert {m["version"]: m["pending"] for m in chain["migrations"]} == {"1": 0, "2": 3}
    assert of_tenants(ask("migration", "status", "--filter", "id = '003'"))["tenants"] == 1
    second.write_text(second.read_text().replace("text", "varchar(9)"))
    (problem,) = of_tenants(ask("migration", "status", code=1))["problems"]
    assert (problem["code"], problem["version"], problem["tenants"]) == ("edited", "2", ["acme/tenants/003"])
    second.write_text(second.read_text().replace("varchar(9)", "text"))
    (fleet / "customer_a" / "migrations" / "1_plans.sql").unlink()
    assert {p["code"] for p in of_tenants(ask("migration", "status", code=1))["problems"]} == {"gap"}
    said = manor("migration", "status")
    assert "its file is gone" in said.stdout
    assert "tenant_type1 (customer_a/tenant_registry.yaml): 4 tenants, newest 2" in said.stdout


def test_status_of_one_tenant_is_read_from_its_own_database(
    fleet: Path, ask: Callable[..., Any], manor: Manor, sql: Callable[..., Any]
) -> None:
    """And says where that is not what the catalog knows."""
    write(fleet, "1_plans.sql", FIRST)
    ask("tenant", "migrate", "--all")
    write(fleet, "2_name.sql", SECOND)
    found = ask("migration", "status", "--tenant-id", "001")
    assert [(m["version"], m["state"]) for m in found["migrations"]] == [("1", "applied"), ("2", "pending")]
    assert found["migrations"][0]["applied_at"]
    assert found["differences"] == []
    sql("acme_t_001", "UPDATE schema_migrations SET version = '7', checksum = ''")
    said = manor("migration", "status", "--tenant-id", "001")
    assert said.returncode == 1
    assert "1 is recorded in the catalog, and the database has not seen it" in said.stdout
    assert "7 is in the database, and the catalog does not know it" in said.stdout


def test_a_baseline_records_without_running_where_the_schema_is_the_templates(
    fleet: Path, ask: Callable[..., Any], manor: Manor, sql: Callable[..., Any]
) -> None:
    """A tenant with another schema is named and left alone; new tenants of the same template follow the registry's word."""
    (table,) = sql("acme_t_001", "SELECT min(tablename) FROM pg_tables WHERE schemaname = 'public'")[0]
    write(fleet, "1_held.sql", f'CREATE TABLE "{table}" (id int);')  # would fail: it is there
    sql("acme_t_002", f'ALTER TABLE "{table}" ADD COLUMN odd int')
    said = manor("migration", "baseline", "--to", "1", "--all", "--strategy", "rolling")
    assert said.returncode == 1
    assert "acme_t_002" in said.stdout
    found = ask("migration", "status")
    assert of_tenants(found)["versions"] == [{"version": "", "tenants": 1}, {"version": "1", "tenants": 3}]
    assert sql("acme_t_001", "SELECT version, name FROM schema_migrations") == [("1", "held")]
    sql("acme_t_002", f'ALTER TABLE "{table}" DROP COLUMN odd')
    said = manor("migration", "baseline", "--to", "1", "--tenant-id", "002")
    assert said.returncode == 0, said.stdout + said.stderr
    assert 'write baseline: "1" under migration_config in customer_a/tenant_registry.yaml' in said.stdout
    registry = fleet / REGISTRY
    text = registry.read_text().replace("tenant_count: 4", "tenant_count: 5")
    registry.write_text(text + 'migration_config:\n  baseline: "1"\n')
    write(fleet, "2_plans.sql", FIRST)
    ask("tenant", "migrate", "--all")
    ask("multi-tenant", "deploy", "--registry", REGISTRY)
    assert of_tenants(ask("migration", "status"))["versions"] == [{"version": "2", "tenants": 5}]
    assert sql("acme_t_005", "SELECT version FROM schema_migrations ORDER BY 1") == [("1",), ("2",)]


def test_a_squash_is_recorded_where_all_was_run_and_run_on_new_tenants(
    fleet: Path, ask: Callable[..., Any], sql: Callable[..., Any]
) -> None:
    """Nothing is run twice, and old and new tenants have the same schema."""
    write(fleet, "1_plans.sql", FIRST)
    write(fleet, "2_name.sql", SECOND)
    ask("tenant", "migrate", "--all")
    made = ask("migration", "squash", "--through", "2", "--delete-files")
    assert made["version"] == "3"
    chain = of_tenants(ask("migration", "status"))
    assert (chain["problems"], chain["migrations"][0]["pending"]) == ([], 4)
    ask("tenant", "migrate", "--all")
    assert of_tenants(ask("migration", "status"))["versions"] == [{"version": "3", "tenants": 4}]
    registry = fleet / REGISTRY
    registry.write_text(registry.read_text().replace("tenant_count: 4", "tenant_count: 5"))
    ask("multi-tenant", "deploy", "--registry", REGISTRY)
    assert sql("acme_t_005", "SELECT version FROM schema_migrations") == [("3",)]
    assert sql("acme_t_001", "SELECT version FROM schema_migrations ORDER BY 1") == [("1",), ("2",), ("3",)]
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'plans' ORDER BY 1"
    assert sql("acme_t_005", columns) == sql("acme_t_001", columns) == [("id",), ("name",)]
    assert of_tenants(ask("migration", "status"))["versions"] == [{"version": "3", "tenants": 5}]


def test_a_squash_is_refused_as_long_as_a_tenant_lacks_what_it_folds(
    fleet: Path, ask: Callable[..., Any], sql: Callable[..., Any]
) -> None:
    """Those are named with their version, whatever newer ones they have seen; nothing is written, and no word overrides it."""
    write(fleet, "1_plans.sql", FIRST)
    ask("tenant", "migrate", "--all")
    write(fleet, "2_name.sql", SECOND)
    ask("tenant", "migrate", "--tenant-id", "001", "--tenant-id", "002")
    lone = fleet / "later.sql"
    lone.write_text("CREATE TABLE later (id int);")
    lone.rename(fleet / "v9.sql")
    ask("batch", "deploy-schema", "--migration", "v9.sql", "--filter", "id = '004'")
    folder = fleet / "customer_a" / "migrations"
    for words in ((), ("--without-catalog",)):
        refused = ask("migration", "squash", "--through", "2", "--delete-files", *words, code=3)["error"]
        assert "2 tenants did not see all migrations up to 2" in refused["message"]
        assert "acme/tenants/003 (at 1), acme/tenants/004 (at 9)" in refused["message"]
        assert "`manor tenant migrate` first" in refused["hint"]
        assert sorted(path.name for path in folder.iterdir()) == ["1_plans.sql", "2_name.sql"]
    ask("migration", "squash", "--through", "1", code=2)  # nothing to fold, but nobody lacks it
    ask("tenant", "migrate", "--all", "--allow-out-of-order")
    assert ask("migration", "squash", "--through", "2", "--delete-files")["squashes"] == ["1", "2"]
    ask("tenant", "migrate", "--all", "--allow-out-of-order")
    assert {row[0] for row in sql("acme_t_004", "SELECT version FROM schema_migrations")} == {"1", "2", "3", "9"}


def test_rows_of_another_tool_count_as_applied_where_the_schema_is_right(
    fleet: Path, ask: Callable[..., Any], sql: Callable[..., Any]
) -> None:
    """dbmate's table, or one written by hand: what it names is not run again, and the schema is compared all the same."""
    write(fleet, "1_plans.sql", FIRST)
    write(fleet, "2_name.sql", SECOND)
    rows = "CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY); INSERT INTO schema_migrations VALUES ('1')"
    for tenant in ("acme_t_001", "acme_t_002"):
        sql(tenant, rows)
    sql("acme_t_001", FIRST)  # in 002 the row says what is not so
    found = ask("tenant", "migrate", "--all", "--strategy", "rolling", code=1)
    assert {o["database"]: o["status"] for o in found["outcomes"] if o["database"] != "acme_common"} == {
        "acme_t_001": "success",
        "acme_t_002": "error",
        "acme_t_003": "success",
        "acme_t_004": "success",
    }
    assert sql("acme_t_001", "SELECT version FROM schema_migrations ORDER BY 1") == [("1",), ("2",)]
