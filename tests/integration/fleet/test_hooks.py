"""Provision hooks of whole deploys: when they run, what they see, and what becomes of a target whose hook says no."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from manor.errors import Code
from manor.telemetry import Event

DRIVER = Path(__file__).with_name("deploy_driver.py")
TENANTS = ["acme/fixed/acme_common", *(f"acme/tenants/{n:03d}" for n in range(1, 5))]
CATALOG_OUTCOMES = "SELECT operation, tenant, status, facts FROM manor.outcomes ORDER BY at, tenant"
NOTE = '#!/bin/sh\necho "$MANOR_HOOK_KIND $MANOR_TENANT_ID" >> log\necho said\n'
REFUSE_ONE = NOTE + '[ "$MANOR_TENANT_ID" != acme/tenants/002 ] || { echo no room; exit 3; }\n'
ENTER = """\
# manor:needs TENANT_URL
import json, os, sys
import psycopg
told = json.load(sys.stdin)
with psycopg.connect(os.environ["MANOR_TENANT_URL"]) as connection:
    row = connection.execute("SELECT current_database(), current_user, count(*) FROM pg_tables WHERE schemaname = 'public'")
    database, user, tables = row.fetchone()
assert database == user == told["database"] and tables, (database, user, tables)
assert told["status"] == "success" and told["error"] is None
print(os.environ["MANOR_TENANT_URL"])
"""


Hook = Callable[..., None]


@pytest.fixture
def hook(registry: Path) -> Hook:
    """``hook(name, text, executable=True)``: write a script beside the registry."""
    (registry.parent / "scripts").mkdir()

    def write(name: str, text: str, *, executable: bool = True) -> None:
        path = registry.parent / "scripts" / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if executable else 0o644)

    return write


def declare(registry: Path, **hooks: list[str]) -> None:
    """Name hooks in the registry."""
    lines = "".join(f"  {kind}: {json.dumps([f'./scripts/{name}' for name in names])}\n" for kind, names in hooks.items())
    registry.write_text(f"{registry.read_text(encoding='utf-8')}hooks:\n{lines}", encoding="utf-8")


def log(registry: Path) -> list[str]:
    """What the scripts noted, sorted: targets of a wave have no order among themselves."""
    path = registry.parent / "log"
    return sorted(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []


def noted(kind: str, tenants: list[str] = TENANTS) -> list[str]:
    return [f"{kind} {tenant}" for tenant in tenants]


def recorded_outcomes(server_url: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """The catalog's rows, the older first."""
    with psycopg.connect(server_url, dbname="manor_catalog") as connection:
        return connection.execute(CATALOG_OUTCOMES).fetchall()


def statuses(report: Any) -> dict[str, str]:
    return {str(o.target.tenant): str(o.status) for o in report.outcomes}


def test_hooks_run_around_each_database(driver, registry, server_url, fleet_check, hook) -> None:
    """Before its intent and after its record, the latter with a URL that works; report and catalog keep what they said."""
    hook("before.sh", NOTE)
    hook("note.sh", NOTE)
    hook("enter.py", ENTER, executable=False)
    declare(registry, pre_provision=["before.sh"], post_provision=["note.sh", "enter.py"])
    events: list[Event] = []
    report = driver.deploy_once(registry, events.append)
    assert report.summary == {"success": 5}, [o.detail for o in report.outcomes]
    assert log(registry) == noted("post_provision") + noted("pre_provision")
    for tenant in TENANTS:
        about = [e.details.get("hook_kind", e.kind) for e in events if e.subject == tenant]
        assert [k for k in about if k in {"pre_provision", "target.intent", "target.recorded", "post_provision"}] == [
            "pre_provision",
            "target.intent",
            "target.recorded",
            "post_provision",
            "post_provision",
        ]
        assert about[-1] == "target.ended"
    runs = report.outcomes[0].facts["hooks"]
    assert [(r["hook"], r["kind"], r["exit"]) for r in runs] == [
        ("./scripts/before.sh", "pre_provision", 0),
        ("./scripts/note.sh", "post_provision", 0),
        ("./scripts/enter.py", "post_provision", 0),
    ]
    assert runs[0]["output"] == "said\n"
    assert ":***@" in runs[2]["output"]
    by_tenant = {str(o.target.tenant): o for o in report.outcomes}
    for _, tenant, status, facts in recorded_outcomes(server_url):
        assert status == "success"
        assert facts == json.loads(json.dumps(by_tenant[tenant].facts))
    assert fleet_check.problems() == []


def test_a_hook_before_that_fails_stops_its_target_alone(driver, registry, server_url, fleet_check, hook) -> None:
    """Nothing of it was begun, not even in the catalog; the others are made, and the next deploy makes it too."""
    hook("before.sh", REFUSE_ONE)
    hook("after.sh", NOTE)
    declare(registry, pre_provision=["before.sh"], post_provision=["after.sh"])
    report = driver.deploy_once(registry)
    refused = "acme/tenants/002"
    others = [tenant for tenant in TENANTS if tenant != refused]
    assert statuses(report) == {**dict.fromkeys(others, "success"), refused: "error"}
    (failed,) = (o for o in report.outcomes if o.failure is not None)
    assert failed.failure.code is Code.REFUSED
    assert failed.detail == "pre_provision hook './scripts/before.sh' ended with exit code 3: said / no room"
    assert [(r["exit"], r["output"]) for r in failed.facts["hooks"]] == [(3, "said\nno room\n")]
    assert log(registry) == noted("post_provision", others) + noted("pre_provision")
    assert refused not in fleet_check.recorded().states
    with psycopg.connect(server_url) as connection:
        names = connection.execute("SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles").fetchall()
    assert not [name for (name,) in names if name == "acme_t_002" or name.startswith("manor_new_")]
    hook("before.sh", NOTE)
    again = driver.deploy_once(registry)
    assert statuses(again) == {**dict.fromkeys(others, "skipped"), refused: "success"}
    assert fleet_check.problems() == []


def test_a_hook_after_that_fails_leaves_the_database_ready(driver, registry, fleet_check, hook) -> None:
    """Its target is an error with the hook's failure; the next deploy verifies the database and does not repeat the hook."""
    hook("after.sh", REFUSE_ONE)
    declare(registry, post_provision=["after.sh"])
    report = driver.deploy_once(registry)
    assert report.summary == {"success": 4, "error": 1}
    (failed,) = (o for o in report.outcomes if o.failure is not None)
    assert str(failed.target.tenant) == "acme/tenants/002"
    assert failed.detail.startswith(
        "the database is ready, but post_provision hook './scripts/after.sh' ended with exit code 3"
    )
    assert "does not run this hook again" in failed.failure.hint
    assert fleet_check.problems() == []
    (registry.parent / "log").unlink()
    assert driver.deploy_once(registry).summary == {"skipped": 5}
    assert log(registry) == []


def test_hooks_of_one_wave_run_together_but_not_more_than_the_limit(driver, registry, hook) -> None:
    """Each waits until as many run as may: fewer at once would wait for ever, and more would be counted."""
    (registry.parent / "running").mkdir()
    wait = (
        '#!/bin/sh\ntouch "running/$MANOR_DATABASE" "begun-$MANOR_DATABASE"\nls running | wc -l >> counts\n'
        'until [ "$(ls begun-* | wc -l)" -ge 2 ]; do :; done\nrm "running/$MANOR_DATABASE"\n'
    )
    hook("wait.sh", wait)
    declare(registry, pre_provision=["wait.sh"])
    report = driver.deploy_once(registry, parallel=2)
    assert report.summary == {"success": 5}, [o.detail for o in report.outcomes]
    counts = [int(line) for line in (registry.parent / "counts").read_text().split()]
    assert len(counts) == 5
    assert max(counts) <= 2


def test_a_dry_run_runs_no_hook_and_validate_looks_at_them(manor, registry, hook) -> None:
    """And a report as a file has what they said."""
    hook("before.sh", NOTE)
    declare(registry, pre_provision=["before.sh"])
    arguments = ("--registry", registry)
    assert manor("multi-tenant", "validate", *arguments).returncode == 0
    assert manor("multi-tenant", "deploy", "--dry-run", *arguments).returncode == 0
    assert log(registry) == []
    done = manor("multi-tenant", "deploy", *arguments, "--report", "report.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((registry.parent.parent / "report.json").read_text())
    assert {o["facts"]["hooks"][0]["output"] for o in report["outcomes"]} == {"said\n"}
    (registry.parent / "scripts" / "before.sh").unlink()
    missing = manor("multi-tenant", "validate", *arguments)
    assert missing.returncode == 2
    assert "the hook './scripts/before.sh' does not exist" in missing.stdout + missing.stderr


def kill(registry: Path, kind: str, occurrence: int) -> None:
    """A deploy that dies at a boundary."""
    command = [sys.executable, str(DRIVER), str(registry), "--at", kind, "--occurrence", str(occurrence)]
    dead = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert dead.returncode == -signal.SIGKILL, f"{dead.stdout}{dead.stderr}"


@pytest.mark.parametrize(("kind", "occurrence"), [("hook.ended", 3), ("target.intent", 2), ("target.filled", 2)])
def test_after_a_kill_hooks_before_run_again(driver, registry, fleet_check, hook, kind, occurrence) -> None:
    """At least once for each database, and once for each hook after it."""
    hook("note.sh", NOTE)
    declare(registry, pre_provision=["note.sh"], post_provision=["note.sh"])
    kill(registry, kind, occurrence)
    first = log(registry)
    report = driver.deploy_once(registry)
    assert report.summary == {"success": 5}, [o.detail for o in report.outcomes]
    assert log(registry) == sorted(first + noted("pre_provision") + noted("post_provision"))
    assert fleet_check.problems() == []


def test_databases_that_a_later_deploy_finishes_get_their_hooks_after(driver, registry, fleet_check, hook) -> None:
    """Killed between publishing and recording: the hooks before have run, those after run once the record is there."""
    hook("note.sh", NOTE)
    hook("enter.py", ENTER, executable=False)
    declare(registry, pre_provision=["note.sh"], post_provision=["note.sh", "enter.py"])
    kill(registry, "target.published", 5)
    assert log(registry) == noted("pre_provision")
    report = driver.deploy_once(registry)
    assert report.summary == {"success": 5}, [o.detail for o in report.outcomes]
    assert log(registry) == noted("post_provision") + noted("pre_provision")
    assert [r["hook"] for r in report.outcomes[0].facts["hooks"]] == ["./scripts/note.sh", "./scripts/enter.py"]
    assert fleet_check.problems() == []


def test_a_kill_between_the_record_and_the_hooks_after_it_can_be_seen(driver, registry, server_url, fleet_check, hook) -> None:
    """The databases stay ready, the outcomes of that operation say ``in_progress``, and the hooks are not made up for."""
    hook("note.sh", NOTE)
    declare(registry, post_provision=["note.sh"])
    kill(registry, "target.recorded", 1)
    assert {status for _, _, status, _ in recorded_outcomes(server_url)} == {"in_progress"}
    assert driver.deploy_once(registry).summary == {"skipped": 5}
    assert log(registry) == []
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "run-hooks.md").read_text(encoding="utf-8")
    query = page.partition("```sql\n")[2].partition("```")[0]
    with psycopg.connect(server_url, dbname="manor_catalog") as connection:
        assert sorted(tenant for (tenant,) in connection.execute(query).fetchall()) == TENANTS
    assert fleet_check.problems() == []
