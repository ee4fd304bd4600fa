"""From a source in project.yaml to databases, with the commands of the reference."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = """\
project_name: "shop"
multi_tenant:
  enabled: true
  automation:
    max_parallel_operations: 3
  sources:
    crm:
      provider: database
      config:
        database:
          url: "sqlite:///crm.sqlite"
    sheet:
      provider: csv
      config:
        csv:
          csv_path: "tenants.csv"
    both:
      provider: merged
      config:
        merged:
          sources: ["crm", "sheet"]
"""
SHEET = """\
tenant_id,customer_code,customer_name,region,tier,status,instances
t1,c1,"Acme, Inc.",asia,premium,active,main
t9,c9,株式会社九,asia,standard,active,main;test
"""
Run = Callable[..., Any]


@pytest.fixture
def told(site, manor) -> Run:
    """The site with two sources and their merger; runs a command that must end with ``code`` and gives its JSON."""
    site.project.joinpath("project.yaml").write_text(PROJECT, encoding="utf-8")
    site.project.joinpath("tenants.csv").write_text(SHEET, encoding="utf-8")
    write(site.project, [("t1", "c1", "Acme", "standard", "active"), ("t2", "c2", "Bravo", "standard", "active")])

    def run(*words: object, code: int = 0) -> Any:
        done = manor(*words, "--format", "json")
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


def write(project: Path, rows: list[tuple[str, ...]]) -> None:
    """The CRM's table."""
    with sqlite3.connect(project / "crm.sqlite") as database:
        database.execute("DROP TABLE IF EXISTS tenants")
        database.execute(
            "CREATE TABLE tenants (tenant_id TEXT, customer_code TEXT, customer_name TEXT, tier TEXT, status TEXT)"
        )
        database.executemany("INSERT INTO tenants VALUES (?, ?, ?, ?, ?)", rows)
    database.close()


def kinds(document: Any) -> dict[str, str]:
    return {change["tenant_id"]: change["kind"] for change in document["changes"]}


def test_sync_search_provision_and_health_one_after_the_other(told, site, tmp_path):
    planned = told("tenant", "sync", "--source", "crm", "--dry-run")
    assert (kinds(planned), planned["operation"]["dry_run"]) == ({"t1": "new", "t2": "new"}, True)
    digest = planned["operation"]["digest"]
    done = told("tenant", "sync", "--source", "crm", "--plan-digest", digest, "--report", tmp_path / "sync.json")
    assert (done["summary"], done["operation"]["digest"]) == ({"new": 2}, digest)
    assert json.loads((tmp_path / "sync.json").read_text("utf-8")) == done
    assert told("tenant", "sync", "--source", "crm")["summary"] == {"unchanged": 2}
    found = told("tenant", "search", "tier = 'standard' AND customer_name LIKE 'B%'")
    assert [(one["source"], one["tenant_id"], one["instances"]) for one in found] == [("crm", "t2", ["main"])]
    query = "status='active' AND tier='standard'"
    assert told("tenant", "provision", "--query", query, "--dry-run")["summary"] == {"pending": 2}
    made = told("tenant", "provision", "--query", query, "--parallel", 10, "--report", tmp_path / "made.json")
    assert (made["operation"]["verb"], made["summary"]) == ("provision", {"success": 2})
    assert [outcome["database"] for outcome in made["outcomes"]] == ["c1_main", "c2_main"]
    health = told("batch", "healthcheck", "--parallel", 50, "--report", tmp_path / "health_report.json")
    assert health["health"] == {"total": 2, "healthy": 2, "unhealthy": 0}
    assert json.loads((tmp_path / "health_report.json").read_text("utf-8"))["summary"] == {"success": 2}
    assert [one["database"] for one in told("batch", "healthcheck", "--filter", "id = 't2'")["outcomes"]] == ["c2_main"]
    ran = told("operation", "show", made["operation"]["id"])
    assert {target["tenant_id"]: target["status"] for target in ran["outcomes"]} == {
        "c1/main/t1": "success",
        "c2/main/t2": "success",
    }


def test_show_tells_what_the_source_told_and_when_it_changed(told, site, manor):
    told("tenant", "sync", "--source", "crm")
    write(site.project, [("t1", "c1", "Acme", "standard", "suspended"), ("t2", "c2", "Bravo", "standard", "active")])
    assert kinds(told("tenant", "sync", "--source", "crm")) == {"t1": "suspended"}
    (one,) = told("tenant", "show", "t1")["directory"]
    assert (one["status"], [change["kind"] for change in one["history"]]) == ("suspended", ["suspended", "new"])
    assert one["history"][0]["fields"] == {"status": ["active", "suspended"]}
    text = manor("tenant", "show", "t1").stdout
    assert "suspended: status: active → suspended" in text
    told("tenant", "provision", "--query", "tenant_id = 't2'")
    shown = told("tenant", "show", "c2/main/t2")
    assert (shown["database"], shown["directory"][0]["tenant_id"]) == ("c2_main", "t2")


def test_a_source_that_suddenly_returns_few_is_exit_code_3(told, site, manor):
    write(site.project, [(f"t{n}", f"c{n}", "x", "standard", "active") for n in range(20)])
    told("tenant", "sync", "--source", "crm")
    write(site.project, [(f"t{n}", f"c{n}", "x", "standard", "active") for n in range(2)])
    done = manor("tenant", "sync", "--source", "crm")
    assert done.returncode == 3
    assert "18 of 20 tenants are gone from crm; 30 % is the limit" in done.stderr
    assert "would be refused" in manor("tenant", "sync", "--source", "crm", "--dry-run").stdout
    assert told("tenant", "sync", "--source", "crm", "--allow-large-change")["summary"] == {"gone": 18, "unchanged": 2}
    assert len(told("tenant", "search", "--gone", "tier = 'standard'")) == 18


def test_merged_sources_say_what_they_disagree_about(told):
    document = told("tenant", "sync", "--source", "both")
    assert kinds(document) == {"t1": "new", "t2": "new", "t9": "new"}
    (notice,) = document["notices"]
    assert notice.startswith("the sources of both disagree about 1 tenant: ")
    assert "tier (1)" in notice
    (found,) = told("tenant", "search", "tenant_id = 't1'", "--source", "both")
    assert (found["customer_name"], found["tier"], found["region"]) == ("Acme", "standard", "asia")


def test_a_file_says_what_a_source_is(told, site):
    path = site.project / "elsewhere.yaml"
    path.write_text('provider: csv\nconfig:\n  csv:\n    csv_path: "tenants.csv"\n', encoding="utf-8")
    document = told("tenant", "sync", "--source", "billing", "--config", path)
    assert (document["operation"]["source"], kinds(document)) == ("billing", {"t1": "new", "t9": "new"})
    report = told("tenant", "provision", "--source", "billing", "--query", "tenant_id = 't9'")
    assert sorted(outcome["database"] for outcome in report["outcomes"]) == ["c9_asia_main", "c9_asia_test"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("sync", "--source", "crn"), "there is no source 'crn'"),
        (("sync", "--source", "../x"), "cannot be the name of a source"),
        (("search", "tier = 'x'; DROP TABLE manor.directory"), "QUERY:1:11"),
        (("provision", "--query", "lower(tier) = 'x'"), "--query:1:1"),
        (("provision", "--query", "teir = 'x'"), "there is no field teir"),
        (("provision", "--query", "tier = 'x'", "--source", "sheet"), "'sheet' was never synced"),
    ],
)
def test_bad_words_are_exit_code_2_with_their_place(told, manor, words, reason):
    told("tenant", "sync", "--source", "crm")
    done = manor("tenant", *words)
    assert done.returncode == 2
    assert reason in done.stderr


def test_before_the_first_sync_there_is_nothing_to_find(told, manor):
    assert "there is no catalog yet" in manor("tenant", "search", "tier = 'x'").stderr
    assert manor("tenant", "provision", "--query", "tier = 'x'", "--dry-run").returncode == 2
    told("tenant", "sync", "--source", "crm", "--dry-run")
    assert "was ever synced" in manor("tenant", "provision", "--query", "tier = 'x'").stderr
