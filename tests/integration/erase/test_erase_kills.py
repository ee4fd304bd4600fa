"""``kill -9`` at every boundary between two steps: the same command goes on, and nobody gets in meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet_fixtures import Fleet
from leaving import Leaving, build, killed_at, leaving, request_of

BEFORE = ("tenant.suspended",)
"""Boundaries at which the tenant is not shut out yet."""
UNEXPORTED = (*BEFORE, "tenant.shut_out", "backup.stored", "backup.sealed")
"""Boundaries before the final export stands: what was said before the erasure begins is forgotten with it."""
BOUNDARIES = (
    "tenant.suspended",
    "tenant.shut_out",
    "backup.stored",
    "backup.sealed",
    "erase.exported",
    "erase.begun",
    "erase.closed",
    "erase.database_sealed",
    "erase.sealed",
    "erase.database_dropped",
    "erase.databases",
    "erase.role",
    "erase.objects",
    "erase.backups",
    "erase.keys",
    "erase.entries",
    "erase.searching",
    "erase.searched",
    "erase.certified",
)
NEIGHBOURS = 2


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Fleet:
    """A tenant for each boundary, and two who stay."""
    return build(tmp_path_factory.mktemp("kills"), wiped_server(), tenants=len(BOUNDARIES) + NEIGHBOURS, encrypt=True)


def neighbours(fleet: Fleet) -> Any:
    """What must not change: the rows of those who stay."""
    return [fleet.ask("SELECT id, name, price FROM items ORDER BY id", name) for name in fleet.databases[-NEIGHBOURS:]]


def erase_until(tenant: Leaving, kind: str, export: Path) -> bool:
    async def work(runtime: Any, workplace: Any) -> Any:
        from manor.control.operations.erase import delete

        return await delete(runtime, tenant.id, request_of(workplace, export_to=str(export), search_for=(tenant.marker,)))

    return killed_at(tenant.fleet, kind, work)


@pytest.mark.parametrize("kind", BOUNDARIES)
def test_a_killed_erasure_lets_nobody_in_and_is_finished_by_the_same_command(fleet: Fleet, kind: str, tmp_path: Path) -> None:
    tenant = leaving(fleet, BOUNDARIES.index(kind) + 1)
    before = neighbours(fleet)
    assert erase_until(tenant, kind, tmp_path / "export"), f"nothing happens at {kind}"
    assert tenant.may_log_in == (kind in BEFORE)
    deployed = fleet.json("multi-tenant", "deploy", "--registry", fleet.registry, code=None)
    (outcome,) = [one for one in deployed["outcomes"] if one["tenant_id"] == tenant.id]
    assert outcome["status"] != "success", outcome
    assert tenant.may_log_in == (kind in BEFORE)
    done = fleet.json("tenant", "delete", "--tenant-id", tenant.id, "--confirm", "--search-for", tenant.marker)
    assert not tenant.may_log_in
    assert tenant.left_behind() == []
    if kind not in UNEXPORTED:
        assert done["certificate"]["final_export"]["location"] == str(tmp_path / "export")
        assert list((tmp_path / "export").rglob("*.manifest.json"))
    assert done["certificate"]["scan"]["hits_elsewhere"] == []
    assert neighbours(fleet) == before


def test_after_all_those_deaths_the_others_are_well_and_the_audit_log_is_whole(fleet: Fleet) -> None:
    health = fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)
    assert health["summary"] == {"success": NEIGHBOURS, "skipped": len(BOUNDARIES)}
    assert fleet.json("audit", "verify")["ok"]
    assert [one for one in fleet.operations() if one["state"] == "running"] == []
    strays = fleet.ask("SELECT datname FROM pg_database WHERE datname ~ '^manor_(new|green|kept)'")
    assert strays == []


def test_moving_to_another_key_in_mid_erasure_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str], tmp_path: Path
) -> None:
    fleet = build(tmp_path_factory.mktemp("keys"), wiped_server(), tenants=2, encrypt=True)
    tenant = leaving(fleet, 1)
    assert erase_until(tenant, "erase.entries", tmp_path / "export")
    fleet("catalog", "rotate-key", "--retire")
    assert fleet.json("tenant", "delete", "--due", "--confirm")["summary"] == {"success": 1}
    assert tenant.left_behind() == []
    file = tmp_path / "certificate.json"
    fleet("tenant", "certificate", tenant.id, "--output", file)
    fleet("catalog", "rotate-key", "--retire")
    assert fleet.json("audit", "verify-certificate", file)["ok"]
