"""A sync or a provision that dies anywhere leaves the directory as before or as after, and databases whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

PROGRAM = Path(__file__).with_name("killed.py")
MANY = 3_000


def run(site: Any, *arguments: object) -> int:
    command = [sys.executable, str(PROGRAM), str(site.project), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def state(site: Any) -> dict[str, Any]:
    """All that a sync writes, but for times."""
    url = site.workplace().environment.deployments[0].url
    with psycopg.connect(url, dbname="manor_catalog") as direct:
        ask = direct.execute
        return {
            "tiers": Counter(row[0] for row in ask("SELECT tier FROM manor.directory").fetchall()),
            "kinds": Counter(row[0] for row in ask("SELECT kind FROM manor.directory_changes").fetchall()),
            "sources": ask("SELECT name, generation, tenants FROM manor.sources").fetchall(),
            "operations": Counter(ask("SELECT verb, state FROM manor.operations").fetchall()),
            "audit": ask("SELECT count(*) FROM manor.audit_log").fetchone()[0],
        }


@pytest.mark.parametrize("kind", ["sync.read", "sync.planned", "sync.recorded", "audit.anchored"])
def test_a_sync_killed_at_a_boundary_leaves_before_or_after(site, make_tenant, kind):
    site.sync([make_tenant(number) for number in range(MANY)])
    before = state(site)
    assert run(site, "sync", "--tenants", MANY, "--tier", "premium", "--at", kind) == -signal.SIGKILL
    found = state(site)
    if kind in ("sync.read", "sync.planned"):
        assert found == before
    else:
        assert found["tiers"] == {"premium": MANY}
        assert found["kinds"] == before["kinds"] + Counter(changed=MANY)
    assert run(site, "sync", "--tenants", MANY, "--tier", "premium") == 0
    assert state(site)["tiers"] == {"premium": MANY}
    assert state(site)["kinds"] == {"new": MANY, "changed": MANY}


def test_a_sync_killed_at_any_time_while_it_writes_leaves_before_or_after(site, make_tenant):
    """Each time there is one more state than the kills left."""
    site.sync([make_tenant(number) for number in range(MANY)])
    killed = 0
    for turn, milliseconds in enumerate((1, 20, 60, 120, 200, 300, 450)):
        before = state(site)
        tier = f"tier{turn}"
        killed += run(site, "sync", "--tenants", MANY, "--tier", tier, "--after-ms", milliseconds) != 0
        found = state(site)
        assert found == before or found["tiers"] == {tier: MANY}
        done = found["sources"][0][1]
        assert found["kinds"] == {"new": MANY, **({"changed": MANY * (done - 1)} if done > 1 else {})}
        assert found["operations"] == {("sync", "succeeded"): done}
    assert killed


@pytest.mark.parametrize("kind", ["operation.planned", "target.intent", "target.cloned", "target.filled", "target.published"])
def test_a_provision_killed_anywhere_is_finished_by_the_next_one(site, make_tenant, kind):
    site.sync([make_tenant(number) for number in range(3)])
    assert run(site, "provision", "--at", kind) == -signal.SIGKILL
    report = site.provision()
    assert report.exit_code == 0
    assert len(report.outcomes) == 3

    async def read(runtime):
        names = await runtime.servers["main"].databases()
        records = await runtime.catalog.databases()
        return sorted(n for n in names if n.startswith("manor_new")), {r.database: r.state for r in records}

    left, records = site.run(read)
    assert left == []
    assert records == {f"c{number}_asia_main": "ready" for number in range(3)}
