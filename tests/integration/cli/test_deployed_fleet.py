"""A deployed fleet seen through the command line. These tests only read, or put back what they changed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
DATABASES = ["acme_std_001", "acme_std_002", "acme_partner_001", "acme_partner_002", "acme_later_001", "acme_common"]
OUTCOME_KEYS = {"database", "tenant_id", "group", "template", "server", "status", "duration_seconds", "error"}


def assert_contract(document: dict[str, Any], verb: str) -> None:
    """What every report promises to programs."""
    assert document["operation"].keys() >= {"id", "verb", "dry_run", "digest"}
    assert document["operation"]["verb"] == verb
    assert [o["database"] for o in document["outcomes"]] == DATABASES
    for outcome in document["outcomes"]:
        assert outcome.keys() >= OUTCOME_KEYS
        assert (outcome["error"] is not None) == (outcome["status"] == "error")
        if outcome["error"] is not None:
            assert outcome["error"].keys() == {"code", "message", "hint"}
    assert document["summary"] == dict(Counter(o["status"] for o in document["outcomes"]))


def test_the_first_deploys_report_keeps_the_contract(fleet: Any) -> None:
    """One outcome per target in the registry's order, a summary that adds up, an id and a digest."""
    assert_contract(fleet.report, "deploy")
    assert fleet.report["summary"] == {"success": 5, "skipped": 1}
    assert fleet.report["operation"]["dry_run"] is False
    assert len(fleet.report["operation"]["digest"]) == 64
    later = fleet.report["outcomes"][4]
    assert "auto_provision" in later["detail"]


def test_a_customer_name_is_data_whatever_it_looks_like(fleet: Any, awkward_name: str) -> None:
    """Quotes, newlines, template syntax and SQL arrive in a row character by character, and nothing was executed."""
    query = "SELECT config_value FROM system_config WHERE config_key = 'customer.name'"
    assert fleet.ask(query, "acme_common") == [(awkward_name,)]


def test_a_dry_run_shows_the_plan_whose_digest_a_deploy_can_be_held_to(fleet: Any) -> None:
    """The digest is stable; a deploy with it runs, one with another is refused and does nothing."""
    plan = fleet.manor.json("multi-tenant", "deploy", *REGISTRY, "--dry-run")
    assert_contract(plan, "deploy")
    assert plan["operation"]["dry_run"] is True
    digest = plan["operation"]["digest"]
    assert fleet.manor.json("multi-tenant", "deploy", *REGISTRY, "--dry-run")["operation"]["digest"] == digest
    again = fleet.manor.json("multi-tenant", "deploy", *REGISTRY, "--plan-digest", digest)
    assert again["summary"] == {"skipped": 6}
    refused = fleet.manor.json("multi-tenant", "deploy", *REGISTRY, "--plan-digest", "0" * 64, code=3)
    assert refused["error"]["code"] == "refused"


def test_healthcheck_keeps_the_contract_and_measures(fleet: Any, tmp_path: Path) -> None:
    """Each database is entered as its own role, measured and probed; reports in JSON and YAML say what stdout says."""
    for ending in ("json", "yaml", "yml"):
        report = tmp_path / f"report.{ending}"
        document = fleet.manor.json("multi-tenant", "healthcheck", *REGISTRY, "--parallel", 30, "--report", report)
        written = report.read_text(encoding="utf-8")
        assert (json.loads(written) if ending == "json" else yaml.safe_load(written)) == document
    assert_contract(document, "healthcheck")
    assert document["health"] == {"total": 6, "healthy": 5, "unhealthy": 0}
    facts = [o["facts"] for o in document["outcomes"] if o["status"] == "success"]
    assert {f["isolation_probe"] for f in facts} == {"refused"}
    assert all(f["bytes"] > 1_000_000 and len(f["fingerprint"]) == 64 for f in facts)


def test_a_report_that_cannot_be_written_is_found_before_the_work(fleet: Any, tmp_path: Path) -> None:
    """A wrong ending or a missing folder ends the command with exit code 2 before anything is touched."""
    for path in (tmp_path / "report.txt", tmp_path / "missing" / "report.json"):
        done = fleet.manor("multi-tenant", "deploy", *REGISTRY, "--report", path, code=2)
        assert "--report" in done.stderr
        assert done.stdout == ""


def test_a_report_replaces_an_earlier_one_and_nothing_else(fleet: Any, tmp_path: Path) -> None:
    """The registry least of all."""
    for ending in ("json", "yaml"):
        report = tmp_path / f"report.{ending}"
        for _ in range(2):
            fleet.manor("multi-tenant", "deploy", *REGISTRY, "--dry-run", "--report", report)
    before = fleet.manor.registry.read_bytes()
    done = fleet.manor("multi-tenant", "healthcheck", *REGISTRY, "--report", fleet.manor.registry, code=2)
    assert "is not an earlier report" in done.stderr
    assert fleet.manor.registry.read_bytes() == before


def test_group_and_limit_select_targets(fleet: Any) -> None:
    """`--group` and `--limit` narrow every verb down; a group that is not there is told with those that are."""
    for verb in ("deploy", "healthcheck"):
        chosen = fleet.manor.json("multi-tenant", verb, *REGISTRY, "--group", "partners", "--limit", 1)
        assert [o["database"] for o in chosen["outcomes"]] == ["acme_partner_001"]
    error = fleet.manor.json("multi-tenant", "healthcheck", *REGISTRY, "--group", "partner", code=2)["error"]
    assert error["code"] == "not_found"
    assert "partners" in error["hint"]


def test_one_broken_database_is_exit_code_1_and_hides_no_other(fleet: Any) -> None:
    """A column that was added by hand is drift: named with its cause and a hint, the others stay healthy."""
    fleet.ask("ALTER TABLE users ADD COLUMN smuggled integer", "acme_std_002")
    try:
        document = fleet.manor.json("multi-tenant", "healthcheck", *REGISTRY, code=1)
        assert_contract(document, "healthcheck")
        assert document["summary"] == {"success": 4, "skipped": 1, "error": 1}
        failed = next(o for o in document["outcomes"] if o["error"])
        assert (failed["database"], failed["error"]["code"]) == ("acme_std_002", "drift")
        assert failed["error"]["hint"]
        told = fleet.manor("tenant", "show", "acme_std_002", "--drift", code=1).stdout
        assert "smuggled" in told
        assert len(fleet.manor.json("tenant", "show", "acme_std_002", "--drift", code=1)["drift"]) == 1
        table = fleet.manor("multi-tenant", "healthcheck", *REGISTRY, code=1).stdout
        assert "acme_std_002" in table
        assert "acme_std_001" not in table
        verified = fleet.manor.json("multi-tenant", "deploy", *REGISTRY, code=1)
        assert verified["summary"] == {"skipped": 5, "error": 1}
    finally:
        fleet.ask("ALTER TABLE users DROP COLUMN smuggled", "acme_std_002")
    assert "no drift" in fleet.manor("tenant", "show", "acme_std_002", "--drift").stdout


def test_progress_and_notices_never_mix_with_a_document(fleet: Any) -> None:
    """With `--format yaml`, too, stdout is the document alone; `--quiet` leaves stderr empty."""
    done = fleet.manor("multi-tenant", "deploy", *REGISTRY, "--format", "yaml", "--quiet")
    assert_contract(yaml.safe_load(done.stdout), "deploy")
    assert done.stderr == ""


def test_tenants_are_listed_and_shown(fleet: Any) -> None:
    """Each recorded tenant with what it is; no password anywhere."""
    listed = fleet.manor.json("tenant", "list")
    assert sorted(t["database"] for t in listed) == sorted(d for d in DATABASES if d != "acme_later_001")
    assert {t["state"] for t in listed} == {"ready"}
    assert [t["group"] for t in fleet.manor.json("tenant", "list", "--group", "fixed")] == ["fixed"]
    error = fleet.manor.json("tenant", "list", "--group", "partner", code=2)["error"]
    assert (error["code"], error["hint"]) == ("not_found", "did you mean 'partners'?")
    url = fleet.manor("tenant", "url", "acme/partners/002").stdout.strip()
    password = url.split(":", 2)[2].split("@")[0]
    for told in (fleet.manor("tenant", "list").stdout, fleet.manor("tenant", "show", "acme/partners/002").stdout):
        assert "acme_partner_002" in told
        assert password not in told
    shown = fleet.manor.json("tenant", "show", "--tenant-id", "acme/partners/002")
    assert shown["variables"]["DATABASE_NAME"] == "acme_partner_002"
    assert password not in json.dumps(shown)


@pytest.mark.parametrize("name", ["acme/partners/002", "acme_partner_002"])
def test_a_tenant_is_found_by_id_and_by_database(fleet: Any, name: str) -> None:
    """The full id, and the name of the database where it is unique."""
    assert fleet.manor.json("tenant", "show", name)["tenant_id"] == "acme/partners/002"


def test_a_short_id_of_two_tenants_lists_the_candidates(fleet: Any) -> None:
    """`001` is in two groups: bad input, and the hint names both; nobody is guessed."""
    error = fleet.manor.json("tenant", "show", "001", code=2)["error"]
    assert error["code"] == "bad_input"
    assert "acme/standard/001" in error["hint"]
    assert "acme/partners/001" in error["hint"]


def test_an_unknown_tenant_is_not_found_with_a_suggestion(fleet: Any) -> None:
    """One letter off: the nearest known one is named."""
    error = fleet.manor.json("tenant", "url", "acme/partner/001", code=2)["error"]
    assert error["code"] == "not_found"
    assert "acme/partners/001" in error["hint"] + error["message"]


def test_psql_enters_as_the_tenants_own_role(fleet: Any) -> None:
    """`tenant psql T -- …` runs psql in the tenant's database; the password is on no command line."""
    done = fleet.manor("tenant", "psql", "acme_common", "--", "-Atc", "SELECT current_user || '@' || current_database()")
    assert done.stdout.strip() == "acme_common@acme_common"


def test_rotating_a_password_shuts_the_old_one_out(fleet: Any) -> None:
    """The old URL is refused afterwards, the new one works, and healthcheck is content."""
    psycopg = pytest.importorskip("psycopg")
    old = fleet.manor("tenant", "url", "acme_std_001").stdout.strip()
    psycopg.connect(old).close()
    done = fleet.manor("tenant", "rotate-password", "acme_std_001")
    new = fleet.manor("tenant", "url", "acme_std_001").stdout.strip()
    assert new != old
    assert new.split(":", 2)[2].split("@")[0] not in done.stdout + done.stderr
    psycopg.connect(new).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(old)
    assert fleet.manor.json("multi-tenant", "healthcheck", *REGISTRY)["health"]["unhealthy"] == 0


def test_doctor_is_content(fleet: Any) -> None:
    """Exit code 0, every verdict one of three, and a forecast of what the registry has beyond what is deployed."""
    found = fleet.manor.json("doctor", *REGISTRY)
    assert {e["verdict"] for e in found} <= {"ok", "warning"}
    assert {"version", "privileges", "connections", "disk", "leftovers"} <= {e["subject"] for e in found}
    assert "; 1 databases need" in next(e["message"] for e in found if e["subject"] == "disk")


def test_the_embedded_servers_verbs_do_not_touch_a_server_of_ones_own(fleet: Any) -> None:
    """Where the environment names servers, `manor server` says so instead of starting another one."""
    for verb in (("status",), ("start",), ("stop",), ("logs",), ("destroy", "--confirm")):
        assert "main" in fleet.manor("server", *verb, code=2).stderr


def test_add_tenants_edits_and_deploy_makes_them(fleet: Any) -> None:
    """A dry run changes nothing; the edit keeps comments and order; the next deploy makes exactly the new ones."""
    fleet.manor.edit("  fixed:\n", "  fixed:  # listed one by one\n")
    before = fleet.manor.registry.read_text(encoding="utf-8")
    words = ("multi-tenant", "add-tenants", *REGISTRY, "--group", "later", "--count", 2)
    assert "Would add 2 tenants" in fleet.manor(*words, "--dry-run").stdout
    assert fleet.manor.registry.read_text(encoding="utf-8") == before
    told = fleet.manor.json(*words)
    assert (told["before"], told["after"], told["first_id"], told["last_id"]) == (1, 3, "002", "003")
    after = fleet.manor.registry.read_text(encoding="utf-8")
    assert after == before.replace("tenant_count: 1\n", "tenant_count: 3\n")
    fleet.manor("multi-tenant", "add-tenants", *REGISTRY, "--group", "nope", "--count", 1, code=2)
    fleet.manor("multi-tenant", "add-tenants", *REGISTRY, "--group", "fixed", "--count", 1, code=2)
    fleet.manor.registry.write_text(before, encoding="utf-8")
