"""Deploys that must not simply go on: a change too large, a plan that nobody reviewed, templates that the server refuses."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest

from manor.control.rollout.waves import waves
from manor.telemetry import Event

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
Manor = Callable[..., "CompletedProcess[str]"]
TENANTS = {"acme_t_001", "acme_t_002", "acme_t_003", "acme_t_004"}


def deploy(manor: Manor, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report (or error)."""
    result = manor("--format", "json", "multi-tenant", "deploy", *REGISTRY, *arguments)
    assert "Traceback" not in result.stderr
    return result.returncode, json.loads(result.stdout)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def names_on(url: str, catalog_of: str = "pg_database", column: str = "datname") -> set[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        return {name for (name,) in connection.execute(f"SELECT {column} FROM {catalog_of}").fetchall()}  # type: ignore[arg-type]


def test_a_registry_that_lost_most_of_its_tenants_is_refused_unless_that_is_meant(
    manor: Manor, registry: Path, server_url: str
) -> None:
    """Exit code 3 before anything is done; with the word for it nothing is dropped either, the lost ones are named."""
    assert deploy(manor)[0] == 0
    edit(registry, "tenant_count: 4", "tenant_count: 1")
    code, document = deploy(manor)
    assert code == 3
    assert "3 of 5" in document["error"]["message"]
    assert "--allow-large-change" in document["error"]["hint"]
    code, document = deploy(manor, "--allow-large-change")
    assert (code, document["summary"]) == (0, {"skipped": 2})
    assert {o["database"] for o in document["orphans"]} == TENANTS - {"acme_t_001"}
    assert names_on(server_url) >= TENANTS


def test_a_changed_template_is_refused_unless_that_is_meant_and_rebuilds_nothing(
    manor: Manor, registry: Path, fleet_check: Any
) -> None:
    """With the word for it each changed target is an error by name, and every database stays as it was."""
    assert deploy(manor)[0] == 0
    before = registry.read_text(encoding="utf-8")
    shutil.copytree(registry.parent / "tenant_type1", registry.parent / "tenant_type3")
    edit(registry, 'template: "tenant_type1"', 'template: "tenant_type3"')
    code, document = deploy(manor)
    assert code == 3
    assert "4 would change" in document["error"]["message"]
    code, document = deploy(manor, "--allow-large-change")
    assert (code, document["summary"]) == (1, {"error": 4, "skipped": 1})
    registry.write_text(before, encoding="utf-8")
    assert deploy(manor)[1]["summary"] == {"skipped": 5}
    assert fleet_check.problems() == []


def test_a_reviewed_plan_is_carried_out_and_another_one_is_refused(manor: Manor, registry: Path, server_url: str) -> None:
    """The digest of --dry-run is the one that --plan-digest takes, until something changes."""
    code, planned = deploy(manor, "--dry-run")
    assert code == 0
    digest = planned["operation"]["digest"]
    code, document = deploy(manor, "--plan-digest", "0" * 64)
    assert code == 3
    assert digest[:12] in document["error"]["message"]
    assert not names_on(server_url) & TENANTS
    settings = registry.parent / "tenant_type1" / "main@settings.dat"
    edit(settings, "ja_JP", "en_US")
    assert deploy(manor, "--plan-digest", digest)[0] == 3
    edit(settings, "en_US", "ja_JP")
    code, document = deploy(manor, "--plan-digest", digest)
    assert (code, document["summary"]) == (0, {"success": 5})
    assert deploy(manor, "--plan-digest", digest)[0] == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("main@users.dat", 'username: "operator"', 'username: "admin"', "uq_users_username"),
        ("main@products.dat", 'sku: "SUPPORT-EMAIL"', 'sku: "PLAN-STD-MONTHLY"', "uq_products_sku"),
        (
            "main@orders.dat",
            'ordered_at: "2024-01-01 09:05:00"',
            "ordered_at: !sql \"NOW() + (1/0) * interval '1 day'\"",
            "division by zero",
        ),
        ("main@orders.dat", 'ordered_at: "2024-01-01 09:05:00"', "ordered_at: !sql no_such_function()", "no_such_function"),
    ],
)
def test_rows_that_the_server_refuses_fail_their_own_group_by_name(
    manor: Manor, registry: Path, server_url: str, fleet_check: Any, file: str, old: str, new: str, said: str
) -> None:
    """The other group's databases are made, nothing of the failed ones is left, and the corrected template deploys."""
    data = registry.parent / "tenant_type1" / file
    right = data.read_text(encoding="utf-8")
    edit(data, old, new)
    code, document = deploy(manor)
    assert code == 1, document
    failed = {o["database"]: o["error"] for o in document["outcomes"] if o["status"] == "error"}
    assert failed.keys() == TENANTS
    assert document["summary"] == {"error": 4, "success": 1}
    assert all(said in error["message"] for error in failed.values()), failed
    assert not any(name.startswith("manor_new_") or name in TENANTS for name in names_on(server_url))
    assert not names_on(server_url, "pg_roles", "rolname") & TENANTS
    data.write_text(right, encoding="utf-8")
    assert deploy(manor)[1]["summary"] == {"success": 4, "skipped": 1}
    assert fleet_check.problems() == []


def test_after_a_stop_no_further_wave_is_begun(driver: Any, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is finished; the rest is named as not started, and nothing is made for it."""
    monkeypatch.setattr("manor.control.operations.deploy.waves", functools.partial(waves, size=2))
    stops: list[Any] = []
    begun = 0

    def stop(event: Event) -> None:
        nonlocal begun
        begun += event.kind == "wave.started"
        if event.kind == "target.filled":
            stops[0].stop.set()

    report = driver.deploy_once(registry, stop, wrap=lambda runtime: stops.append(runtime) or runtime)
    assert begun == 1
    assert report.summary == {"success": 2, "not_started": 3}
    assert report.exit_code == 130
    assert driver.deploy_once(registry).summary == {"success": 3, "skipped": 2}
