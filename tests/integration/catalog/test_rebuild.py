"""The catalog is lost and comes back from the servers: what is recorded afterwards is what was recorded before."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import killed_command
import psycopg
import pytest

KNOWN = """
SELECT d.tenant, d.server, d.database, d.grp, d.template, d.role, d.state, d.golden, d.fingerprint, d.version, t.source,
       t.name, t.is_active, t.variables::text, t.config::text
FROM manor.databases d JOIN manor.tenants t ON t.id = d.tenant ORDER BY 1
"""
GOLDENS = "SELECT server, template, digest, database, fingerprint FROM manor.goldens ORDER BY 1, 2, 3"
LINEAGES = "SELECT digest, base, history::text FROM manor.lineages ORDER BY 1"
HEADS = "SELECT source, template, version FROM manor.heads ORDER BY 1, 2"
SCRIPTS = "SELECT version, checksum, body->'up'->>'text' FROM manor.scripts ORDER BY 1"
POOL = "SELECT server, database, digest FROM manor.warm_pool ORDER BY 1, 2"


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> fixtures.Fleet:
    """Three tenants with two migrations, and a fourth that `tenant create` made."""
    fleet = fixtures.build_fleet(tmp_path / "a project", server_url, tenants=3)
    fleet.write("1", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    fleet.write("2", "CREATE TABLE two (id integer);", "DROP TABLE two;")
    fleet.migrate()
    fleet("tenant", "create", "--name", "late", "--group", "tenants")
    return fleet


def lose(fleet: fixtures.Fleet) -> None:
    fleet.ask("DROP DATABASE manor_catalog WITH (FORCE)")


def held(fleet: fixtures.Fleet) -> dict[str, Any]:
    """What the catalog knows, but for times, operations and URLs."""
    queries = {"tenants": KNOWN, "goldens": GOLDENS, "lineages": LINEAGES, "heads": HEADS, "scripts": SCRIPTS, "pool": POOL}
    return {name: fleet.ask(text, "manor_catalog") for name, text in queries.items()} | {
        "id": fleet.ask("SELECT id FROM manor.catalog", "manor_catalog")
    }


def contents(fleet: fixtures.Fleet) -> list[tuple[Any, ...]]:
    """What is on the server beside the catalog: databases with their marks, rights and owners, roles without passwords."""
    databases = """SELECT datname, shobj_description(oid, 'pg_database'), datacl::text, datdba::regrole::text
                   FROM pg_database WHERE datname <> 'manor_catalog' ORDER BY 1"""
    return [*fleet.ask(databases), *fleet.ask("SELECT rolname, rolcanlogin FROM pg_roles ORDER BY 1")]


def works(fleet: fixtures.Fleet) -> None:
    """Deploy has nothing to do, every tenant is healthy through its own URL, and a new release goes on."""
    registry = ("--registry", fleet.registry)
    assert set(fixtures.statuses(fleet.json("multi-tenant", "deploy", *registry)).values()) == {"skipped"}
    assert set(fixtures.statuses(fleet.json("multi-tenant", "healthcheck", *registry)).values()) == {"success"}
    for tenant in fleet.json("tenant", "list"):
        url = fleet.json("tenant", "url", tenant["tenant_id"])["url"]
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT name FROM items").fetchall() == [("first",)]
    fleet.write("3", "CREATE TABLE three (id integer);", "DROP TABLE three;")
    report = fleet.migrate()
    assert set(fixtures.statuses(report).values()) == {"success"}
    fleet("operation", "undo", report["operation"]["id"])


def test_a_rebuilt_catalog_holds_what_the_lost_one_held(fleet: fixtures.Fleet) -> None:
    """The same id, tenants, goldens, lineages, heads and scripts; nothing on the server differs but passwords."""
    known, there = held(fleet), contents(fleet)
    old = {t["tenant_id"]: fleet.json("tenant", "url", t["tenant_id"])["url"] for t in fleet.json("tenant", "list")}
    lose(fleet)
    report = fleet.json("catalog", "rebuild")
    assert report["summary"] == {"success": 4}
    assert contents(fleet) == there
    found = held(fleet)
    late = [row for row in found["tenants"] if row[0].endswith("/late")]
    assert found == known
    assert late
    for tenant, url in old.items():
        assert fleet.json("tenant", "url", tenant)["url"] != url
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
    works(fleet)


def test_the_audit_log_says_that_it_was_lost(fleet: fixtures.Fleet) -> None:
    """`audit verify` tells the break and fails until it is allowed; a later edit is found all the same."""
    before = fleet.json("audit", "verify")
    lose(fleet)
    fleet("catalog", "rebuild")
    verdict = fleet.json("audit", "verify", code=1)
    assert verdict["problems"] == []
    (lost,) = verdict["breaks"]
    assert f"entries 1 to {before['entries']} are lost" in lost
    assert "rebuilt" in lost
    assert fleet.json("audit", "verify", "--allow-rebuilt")["ok"] is True
    assert fleet.json("audit", "list", "--limit", 1000)[-1]["action"] == "catalog.rebuild"
    works(fleet)
    assert fleet.json("audit", "verify", "--allow-rebuilt")["ok"] is True
    fleet.ask("ALTER TABLE manor.audit_log DISABLE TRIGGER ALL", "manor_catalog")
    fleet.ask("UPDATE manor.audit_log SET actor = 'nobody' WHERE action = 'catalog.rebuild'", "manor_catalog")
    assert fleet.json("audit", "verify", "--allow-rebuilt", code=1)["problems"]


def test_a_second_loss_is_told_too(fleet: fixtures.Fleet) -> None:
    """Every entry up to the last anchor is missed, those of the first rebuild among them."""
    lose(fleet)
    fleet("catalog", "rebuild")
    count = fleet.ask("SELECT sequence FROM manor.audit_head", "manor_catalog")[0][0]
    lose(fleet)
    fleet("catalog", "rebuild")
    (lost,) = fleet.json("audit", "verify", code=1)["breaks"]
    assert f"entries 1 to {count} are lost" in lost


def test_a_dry_run_changes_nothing(fleet: fixtures.Fleet) -> None:
    """It prints what would be recorded and what is lost, and makes no catalog."""
    there = contents(fleet)
    url = fleet.json("tenant", "url", fleet.tenant(1))["url"]
    lose(fleet)
    report = fleet.json("catalog", "rebuild", "--dry-run")
    assert set(fixtures.statuses(report).values()) == {"pending"}
    assert any("audit log" in one for one in report["lost"])
    assert any("late" in one for one in report["lost"])
    assert contents(fleet) == there
    assert fleet.ask("SELECT count(*) FROM pg_database WHERE datname = 'manor_catalog'") == [(0,)]
    psycopg.connect(url).close()


def test_a_catalog_with_tenants_is_not_rebuilt(fleet: fixtures.Fleet) -> None:
    """Refused before anything is looked at twice, also after a rebuild has come to its end."""
    everything = fleet.everything()
    error = fleet.json("catalog", "rebuild", code=3)["error"]
    assert "has 4 tenants" in error["message"]
    assert fleet.everything() == everything


def test_a_catalog_that_was_made_in_vain_is_put_aside(fleet: fixtures.Fleet) -> None:
    """Whoever deploys after the loss gets a new catalog and conflicts; the rebuild keeps it under another name."""
    known = held(fleet)
    lose(fleet)
    report = fleet.json("multi-tenant", "deploy", "--registry", fleet.registry, code=1)
    assert set(fixtures.statuses(report).values()) == {"error"}
    (vain,) = fleet.ask("SELECT id FROM manor.catalog", "manor_catalog")[0]
    report = fleet.json("catalog", "rebuild")
    assert report["summary"] == {"success": 4}
    assert any(f"manor_catalog_{vain}" in notice for notice in report["notices"])
    assert held(fleet) == known
    assert fleet.ask("SELECT count(*) > 0 FROM manor.audit_log", f"manor_catalog_{vain}") == [(True,)]


KILLS = [
    *((kind, 1) for kind in ("catalog.begun", "operation.started", "stock.recorded", "operation.recorded")),
    ("golden.recorded", 1),
    *((f"target.{step}", n) for step in ("intent", "unlocked", "recorded") for n in (1, 3)),
]


@pytest.mark.parametrize(("kind", "occurrence"), KILLS)
def test_killed_anywhere_it_is_gone_on_with(fleet: fixtures.Fleet, kind: str, occurrence: int) -> None:
    """Run again, it comes to the same end, and the log tells one break."""
    known = held(fleet)
    lose(fleet)
    done = killed_command.killed(fleet.folder, kind, occurrence, "catalog", "rebuild")
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    report = fleet.json("catalog", "rebuild", code=3 if kind == "operation.recorded" else 0)
    if kind != "operation.recorded":
        assert report["summary"] == {"success": 4}
    assert held(fleet) == known
    assert len(fleet.json("audit", "verify", code=1)["breaks"]) == 1
    works(fleet)


def test_drift_is_not_taken_for_the_truth(fleet: fixtures.Fleet) -> None:
    """A database that differs from its golden is recorded with the golden's fingerprint: healthcheck finds it as before."""
    fleet.ask("CREATE TABLE stray (id integer)", "acme_t_002")
    lose(fleet)
    report = fleet.json("catalog", "rebuild")
    details = {o["database"]: o["detail"] for o in report["outcomes"]}
    assert "schema is not that of its golden" in details["acme_t_002"]
    health = fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry, code=1)
    assert fixtures.errors(health).keys() == {"acme_t_002"}


def test_two_databases_of_one_tenant_are_named(fleet: fixtures.Fleet) -> None:
    """Neither is recorded, the others are; with the wrong one gone, running it again records the right one."""
    comment = fleet.ask("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'acme_t_001'")[0][0]
    fleet.ask("CREATE DATABASE twin")
    fleet.ask(f"COMMENT ON DATABASE twin IS '{comment}'")
    lose(fleet)
    report = fleet.json("catalog", "rebuild", code=1)
    assert report["summary"] == {"success": 3, "error": 2}
    assert "two databases" in fixtures.errors(report)["twin"]["message"]
    fleet.ask("DROP DATABASE twin")
    assert fleet.json("catalog", "rebuild")["summary"] == {"success": 4}
    works(fleet)


def test_several_lost_catalogs_are_a_question(fleet: fixtures.Fleet, tmp_path: Path, make_project: Callable[..., Path]) -> None:
    """Two environments on one server: which of their catalogs was lost is asked, and with the id it is clear."""
    ((mine,),) = fleet.ask("SELECT id FROM manor.catalog", "manor_catalog")
    lose(fleet)
    other = fleet.folder.parent / "another"
    stranger = fixtures.build_fleet.__globals__["Fleet"](folder=make_project(other, fleet.url), url=fleet.url, tenants=0)
    stranger.registry.write_text(stranger.registry.read_text().replace("acme", "zeta"), encoding="utf-8")
    stranger("multi-tenant", "deploy", "--registry", stranger.registry)
    lose(fleet)
    error = fleet.json("catalog", "rebuild", code=2)["error"]
    assert mine in error["message"]
    assert "--catalog-id" in error["hint"]
    assert fleet.json("catalog", "rebuild", "--catalog-id", mine)["summary"] == {"success": 4}


def test_what_no_registry_declares_is_recorded_and_named(fleet: fixtures.Fleet) -> None:
    """Without the registry everything but its own knowledge comes back, and what is missing is listed tenant by tenant."""
    lose(fleet)
    registry = fleet.registry.read_text(encoding="utf-8")
    fleet.registry.unlink()
    report = fleet.json("--environment", "customer_a", "catalog", "rebuild")
    assert report["summary"] == {"success": 4}
    assert sum("no registry here declares it" in one for one in report["lost"]) == 4
    assert sum("is in no folder" in one for one in report["lost"]) == 2
    fleet.registry.write_text(registry, encoding="utf-8")
    assert fleet.recorded() == dict.fromkeys([*fleet.databases, "acme_t_late"], "2")


@pytest.mark.parametrize("kind", ["", "target.unlocked"])
def test_who_was_suspended_stays_suspended(fleet: fixtures.Fleet, kind: str) -> None:
    """Also where the rebuild dies just when the role has its new password; `resume` lets it in."""
    fleet("tenant", "suspend", "--tenant-id", "acme/tenants/001", "--reason", "unpaid")
    lose(fleet)
    if kind:
        done = killed_command.killed(fleet.folder, kind, 1, "catalog", "rebuild", "--parallel", "1")
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    report = fleet.json("catalog", "rebuild")
    assert any("acme/tenants/001 is suspended" in one for one in report["lost"]) or kind
    assert fleet.ask("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'acme_t_001'") == [(False,)]
    assert fleet.json("tenant", "show", "acme/tenants/001")["is_active"] is False
    fleet("tenant", "resume", "--tenant-id", "acme/tenants/001")
    works(fleet)


def deployed(fleet: fixtures.Fleet) -> dict[str, tuple[str, str]]:
    report = fleet.json("multi-tenant", "deploy", "--registry", fleet.registry)
    return {outcome["database"]: (outcome["status"], outcome["detail"]) for outcome in report["outcomes"]}


def test_who_was_erased_is_not_made_again(fleet: fixtures.Fleet) -> None:
    """The registry still declares it; a dry run and a second loss know it too, and nothing but its id was kept for that."""
    fleet("tenant", "delete", "--tenant-id", "acme/tenants/002", "--confirm", "--no-final-export", "--no-search")
    for _ in range(2):
        lose(fleet)
        told = fleet.json("catalog", "rebuild", "--dry-run")["notices"]
        assert "acme/tenants/002 was erased, and stays so" in told
        assert fleet.json("catalog", "rebuild")["summary"] == {"success": 3}
        status, detail = deployed(fleet)["acme_t_002"]
        assert status == "skipped"
        assert detail.startswith("erased on ")
        assert fleet.ask("SELECT datname FROM pg_database WHERE datname = 'acme_t_002'") == []
    assert "was lost with the catalog" in fleet.json("tenant", "certificate", "--tenant-id", "acme/tenants/002")["note"]
    lines = (fleet.folder / ".manor" / "erased.tombstones").read_text("utf-8").splitlines()
    assert [set(json.loads(line)) for line in lines] == [{"catalog", "tenant", "state", "at", "operation"}] * 2
    again = fleet.json("tenant", "delete", "--tenant-id", "acme/tenants/002", "--confirm", "--no-final-export")
    assert set(fixtures.statuses(again).values()) == {"skipped"}


def test_an_erasure_that_was_under_way_is_gone_on_with(fleet: fixtures.Fleet) -> None:
    """Its database was gone when the catalog was lost: no deploy makes a new one, and `delete` erases the rest."""
    words = ("tenant", "delete", "--tenant-id", "acme/tenants/002", "--confirm", "--no-final-export", "--no-search")
    done = killed_command.killed(fleet.folder, "erase.databases", 1, *words)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    lose(fleet)
    report = fleet.json("catalog", "rebuild")
    assert report["summary"] == {"success": 3}
    assert any("the erasure of acme/tenants/002 had begun" in one for one in report["notices"])
    status, detail = deployed(fleet)["acme_t_002"]
    assert status == "skipped"
    assert detail.startswith("is being erased")
    assert fleet.ask("SELECT rolname FROM pg_roles WHERE rolname = 'acme_t_002'") == [("acme_t_002",)]
    fleet(*words)
    assert fleet.ask("SELECT rolname FROM pg_roles WHERE rolname = 'acme_t_002'") == []
    assert deployed(fleet)["acme_t_002"][1].startswith("erased on ")
