"""Suspension: nobody but Manor gets in, everything else goes on, and it can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fleet_fixtures import Fleet
from leaving import Leaving, build, killed_at, leaving

COUNT = 12


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Fleet:
    """A tenant for each test."""
    return build(tmp_path_factory.mktemp("suspend"), wiped_server(), tenants=COUNT)


@pytest.fixture
def tenant(fleet: Fleet, request: pytest.FixtureRequest) -> Leaving:
    """One that is open; the same for every test, which leaves it open."""
    fleet("tenant", "resume", fleet.tenant(1))
    return leaving(fleet, 1, furnished=False)


def outcome(report: Any, tenant: Leaving) -> Any:
    (found,) = [one for one in report["outcomes"] if one["tenant_id"] == tenant.id]
    return found


def test_its_role_is_shut_out_and_its_sessions_are_ended(fleet: Fleet, tenant: Leaving) -> None:
    with (
        psycopg.connect(tenant.url, autocommit=True) as session,
        psycopg.connect(leaving(fleet, 2, furnished=False).url) as other,
    ):
        report = fleet.json("tenant", "suspend", "--tenant-id", tenant.id, "--reason", "unpaid")
        assert outcome(report, tenant)["facts"]["sessions_ended"] == 1
        assert not tenant.may_log_in
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
        other.execute("SELECT 1")
    assert fleet.json("tenant", "show", tenant.id)["is_active"] is False
    assert "suspended" in fleet("tenant", "list").stdout


def test_url_and_psql_are_refused_by_name(fleet: Fleet, tenant: Leaving) -> None:
    fleet("tenant", "suspend", tenant.id, "--reason", "unpaid")
    for command in (("url",), ("psql",), ("rotate-password",)):
        said = fleet("tenant", *command, tenant.id, code=3).stderr
        assert tenant.id in said
        assert "unpaid" in said
    assert not tenant.may_log_in


def test_suspending_and_resuming_twice_is_the_same_as_once(fleet: Fleet, tenant: Leaving) -> None:
    fleet("tenant", "suspend", tenant.id, "--reason", "unpaid")
    again = fleet.json("tenant", "suspend", tenant.id)
    assert outcome(again, tenant)["status"] == "skipped"
    assert fleet.ask("SELECT reason FROM manor.suspensions", "manor_catalog") == [("unpaid",)]
    fleet("tenant", "resume", tenant.id)
    assert tenant.may_log_in
    assert outcome(fleet.json("tenant", "resume", tenant.id), tenant)["status"] == "skipped"
    assert tenant.may_log_in


def test_deploy_and_healthcheck_say_so_and_open_nothing(fleet: Fleet, tenant: Leaving) -> None:
    fleet("tenant", "suspend", tenant.id)
    for verb in ("deploy", "healthcheck"):
        found = outcome(fleet.json("multi-tenant", verb, "--registry", fleet.registry), tenant)
        assert found["status"] == "skipped"
        assert "suspended" in found["detail"]
    assert not tenant.may_log_in


def test_an_open_role_of_a_suspended_tenant_is_an_error_that_suspending_again_mends(fleet: Fleet, tenant: Leaving) -> None:
    fleet("tenant", "suspend", tenant.id)
    fleet.ask(f'ALTER ROLE "{tenant.database}" LOGIN')
    for verb in ("deploy", "healthcheck"):
        found = outcome(fleet.json("multi-tenant", verb, "--registry", fleet.registry, code=1), tenant)
        assert "it is suspended, but its role may log in" in found["error"]["message"]
    fleet("tenant", "suspend", tenant.id)
    assert not tenant.may_log_in
    fleet("multi-tenant", "healthcheck", "--registry", fleet.registry)


@pytest.mark.parametrize("strategy", ["atomic", "rolling", "canary", "blue_green"])
def test_releases_and_backups_go_on_and_open_nothing(fleet: Fleet, tenant: Leaving, strategy: str) -> None:
    fleet("tenant", "suspend", tenant.id)
    number = len(list((fleet.environment / "migrations").glob("*.sql"))) if (fleet.environment / "migrations").exists() else 0
    version = f"{number + 1:04}"
    fleet.write(version, f"ALTER TABLE items ADD COLUMN c{version} integer;", f"ALTER TABLE items DROP COLUMN c{version};")
    extra = ("--evaluation-period", 0) if strategy == "canary" else ()
    report = fleet.migrate("--strategy", strategy, *extra)
    assert report["summary"] == {"success": COUNT}
    assert fleet.history(tenant.database)[-1] == version
    assert not tenant.may_log_in
    assert fleet.json("tenant", "backup", "--tenant-id", tenant.id)["summary"] == {"success": 1}
    assert fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)["summary"]["skipped"] == 1
    fleet("tenant", "resume", tenant.id)
    assert tenant.may_log_in
    assert fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)["summary"] == {"success": COUNT}


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        ("suspend", "target.begun"),
        ("suspend", "tenant.suspended"),
        ("suspend", "tenant.shut_out"),
        ("resume", "target.begun"),
        ("resume", "tenant.resumed"),
        ("resume", "tenant.let_in"),
    ],
)
def test_a_killed_suspension_or_resumption_is_finished_by_the_same_command(
    fleet: Fleet, tenant: Leaving, verb: str, kind: str
) -> None:
    if verb == "resume":
        fleet("tenant", "suspend", tenant.id)

    async def work(runtime: Any, _: Any) -> Any:
        from manor.control.operations import suspend

        return await getattr(suspend, verb)(runtime, tenant.id)

    assert killed_at(fleet, kind, work)
    fleet("tenant", verb, tenant.id)
    assert tenant.may_log_in == (verb == "resume")
    health = fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)
    assert health["summary"] == ({"success": COUNT} if verb == "resume" else {"success": COUNT - 1, "skipped": 1})
    fleet("tenant", "resume", tenant.id)
    assert tenant.may_log_in


def test_both_stand_in_the_audit_log_with_their_reason(fleet: Fleet, tenant: Leaving) -> None:
    fleet("tenant", "suspend", tenant.id, "--reason", "unpaid")
    fleet("tenant", "resume", tenant.id)
    actions = [entry["action"] for entry in fleet.json("audit", "list", "--subject", tenant.id)]
    assert actions[:2] == ["tenant.resume", "tenant.suspend"]
    begun = [entry for entry in fleet.json("audit", "list") if entry["action"] == "suspend.begin"]
    assert begun[0]["details"]["reason"] == "unpaid"
    assert fleet.json("audit", "verify")["ok"]


def test_what_is_not_there_or_not_deployed_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    assert "there is no tenant 'nobody'" in fleet("tenant", "suspend", "nobody", code=2).stderr
    assert "there is no tenant 'nobody'" in fleet("tenant", "resume", "nobody", code=2).stderr
    assert "name a tenant" in fleet("tenant", "suspend", code=2).stderr
