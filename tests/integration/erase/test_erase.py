"""Erasures: what is asked first, what is refused, what is left, and what stays for ever."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fleet_fixtures import Fleet, wait_until
from leaving import Leaving, build, give_away, leaving, run

COUNT = 30
_next = iter(range(1, COUNT - 1))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Fleet:
    """A tenant for each test, and two who stay."""
    return build(tmp_path_factory.mktemp("erase"), wiped_server(), tenants=COUNT, encrypt=True)


@pytest.fixture
def tenant(fleet: Fleet) -> Leaving:
    """One that has everything, and that nobody else uses."""
    return leaving(fleet, next(_next))


def erase(tenant: Leaving, *arguments: object, code: int | None = 0) -> Any:
    return tenant.fleet.json("tenant", "delete", "--tenant-id", tenant.id, "--confirm", *arguments, code=code)


def as_it_was(tenant: Leaving) -> Any:
    """What a refusal must not change."""
    catalog = f"SELECT is_active FROM manor.tenants WHERE id = '{tenant.id}'"
    return (
        tenant.may_log_in,
        tenant.fleet.ask("SELECT * FROM items ORDER BY 1", tenant.database),
        tenant.fleet.ask(catalog, "manor_catalog"),
        tenant.fleet.ask("SELECT tenant FROM manor.erasures ORDER BY 1", "manor_catalog"),
        sorted(path for path in tenant.fleet.folder.rglob(f"{tenant.id}/*")),
    )


def test_without_confirm_nothing_is_done_and_everything_is_named(fleet: Fleet, tenant: Leaving) -> None:
    before = as_it_was(tenant)
    said = fleet("tenant", "delete", "--tenant-id", tenant.id, code=3).stderr
    for word in (f"database {tenant.database}", f"role {tenant.database}", "1 backup", str(tenant.objects), "--confirm"):
        assert word in said
    plan = fleet.json("tenant", "delete", "--tenant-id", tenant.id, "--dry-run")
    assert len(plan["would_erase"]) == 5
    assert plan["refused"] == []
    assert as_it_was(tenant) == before


def test_an_erased_tenant_is_gone_and_its_neighbours_are_as_they_were(fleet: Fleet, tenant: Leaving) -> None:
    stays = leaving(fleet, COUNT)
    before = as_it_was(stays)
    fleet("tenant", "backup", "--tenant-id", tenant.id, "--output", fleet.folder / "elsewhere", "--plain")
    done = erase(tenant, "--reason", "contract ended")
    assert done["summary"] == {"success": 1}
    assert tenant.left_behind() == []
    assert not tenant.may_log_in
    assert [path for path in (fleet.folder / "elsewhere").rglob("*") if path.is_file()] == []
    kinds = {one["kind"] for one in done["certificate"]["erased"]}
    assert kinds == {"database", "role", "objects", "backups", "keys", "entries"}
    assert done["certificate"]["reason"] == "contract ended"
    assert as_it_was(stays)[:3] == before[:3]
    assert stays.objects.exists()
    assert stays.backups.exists()


def test_a_repository_of_pgbackrest_is_named_as_a_place_that_still_holds_the_tenant(fleet: Fleet, tenant: Leaving) -> None:
    environ = fleet.environment / "environ.yaml"
    before = environ.read_text(encoding="utf-8")
    environ.write_text(before.replace("backup: {", "backup: {pgbackrest: {main: {stanza: fleet}}, "), encoding="utf-8")
    try:
        named = [one["where"] for one in erase(tenant)["certificate"]["remaining"] if one["kind"] == "base_backup"]
    finally:
        environ.write_text(before, encoding="utf-8")
    assert "pgBackRest's repository, stanza fleet" in named


def test_kept_and_snapshot_databases_go_too(fleet: Fleet, tenant: Leaving) -> None:
    fleet.write("0001", "ALTER TABLE items ADD COLUMN note text;", "ALTER TABLE items DROP COLUMN note;")
    fleet.json("tenant", "migrate", "--tenant-id", tenant.id, "--strategy", "blue_green")
    assert len(fleet.ask("SELECT 1 FROM pg_database WHERE datname ~ '^manor_kept_'")) == 1
    done = erase(tenant)
    assert len([one for one in done["certificate"]["erased"] if one["kind"] == "database"]) == 2
    assert fleet.ask("SELECT 1 FROM pg_database WHERE datname ~ '^manor_kept_'") == []
    assert tenant.left_behind() == []
    fleet("tenant", "migrate", "--all", "--strategy", "rolling")


def test_nobody_makes_an_erased_tenant_again(fleet: Fleet, tenant: Leaving) -> None:
    erase(tenant)
    for extra in ((), ("--recreate-missing",)):
        deployed = fleet.json("multi-tenant", "deploy", "--registry", fleet.registry, *extra)
        (outcome,) = [one for one in deployed["outcomes"] if one["tenant_id"] == tenant.id]
        assert outcome["status"] == "skipped"
        assert "erased on" in outcome["detail"]
    health = fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)
    assert [one["status"] for one in health["outcomes"] if one["tenant_id"] == tenant.id] == ["skipped"]
    assert tenant.left_behind() == []
    assert "was erased on" in fleet("tenant", "show", tenant.id, code=2).stderr
    assert "was erased on" in fleet("tenant", "resume", tenant.id, code=2).stderr


def test_a_tenant_that_was_created_by_hand_cannot_be_created_again(fleet: Fleet) -> None:
    fleet("tenant", "create", "--name", "byhand")
    fleet("tenant", "delete", "--tenant-id", "byhand", "--confirm")
    assert "erased on" in fleet("tenant", "create", "--name", "byhand", code=3).stderr


def test_deleting_again_says_when_and_shows_the_same_certificate(fleet: Fleet, tenant: Leaving) -> None:
    first = erase(tenant)["certificate"]
    again = erase(tenant)
    assert again["summary"] == {"skipped": 1}
    assert again["certificate"] == first == fleet.json("tenant", "certificate", "--tenant-id", tenant.id)
    assert fleet.json("tenant", "delete", tenant.id, "--dry-run")["would_erase"] == []


def test_who_asks_for_an_erased_tenant_is_told_when_it_was_erased(fleet: Fleet, tenant: Leaving, tmp_path: Path) -> None:
    """And is not led to another tenant whose name is like it."""
    fleet("tenant", "delete", "--tenant-id", tenant.id, "--confirm", "--no-search")
    for words in (
        ("backup", "--tenant-id", tenant.id),
        ("export", "--tenant-id", tenant.id, "--bundle", tmp_path / "gone.tar"),
        ("restore", "--tenant-id", tenant.id, "--backup-file", tmp_path / "any.dump"),
    ):
        error = fleet.json("tenant", *words, code=2)["error"]
        assert f"{tenant.id} was erased on" in error["message"]
        assert "did you mean" not in error["hint"]


def test_an_unknown_tenant_is_not_found(fleet: Fleet) -> None:
    assert "there is no tenant 'nobody'" in fleet("tenant", "delete", "--tenant-id", "nobody", "--confirm", code=2).stderr
    assert "no tenant 'nobody' was erased" in fleet("tenant", "certificate", "nobody", code=2).stderr


def test_a_legal_hold_refuses_until_it_is_lifted(fleet: Fleet, tenant: Leaving) -> None:
    before = as_it_was(tenant)
    fleet("tenant", "hold", tenant.id, "--reason", "case 4711")
    said = fleet("tenant", "delete", tenant.id, "--confirm", code=3).stderr
    assert "case 4711" in said
    fleet("tenant", "hold", tenant.id, "--reason", "case 4711")
    assert "case 4711" in fleet("tenant", "hold", tenant.id, "--reason", "case 9", code=3).stderr
    assert "case 4711" in fleet("tenant", "delete", tenant.id, "--confirm", code=3).stderr
    assert fleet.json("tenant", "delete", tenant.id, "--dry-run")["refused"] != []
    assert fleet("tenant", "delete", tenant.id, "--confirm", "--after", "30d", code=3)
    fleet("tenant", "unhold", tenant.id, "--reason", "case closed")
    (backup,) = fleet.json("backup", "list", "--tenant-id", tenant.id)
    fleet("backup", "hold", backup["backup"], "--reason", "case 4712")
    assert "case 4712" in fleet("tenant", "delete", tenant.id, "--confirm", code=3).stderr
    assert as_it_was(tenant) == before
    fleet("backup", "release", backup["backup"], "--reason", "case closed")
    erase(tenant)
    actions = {entry["action"] for entry in fleet.json("audit", "list", "--subject", tenant.id)}
    assert {"tenant.hold", "tenant.unhold", "tenant.erase", "tenant.erased", "tenant.delete"} <= actions
    assert "no tenant" not in fleet("tenant", "hold", tenant.id, "--reason", "late", code=2).stderr.replace(
        "there is no tenant", ""
    )


def test_what_a_release_holds_is_refused_by_name(fleet: Fleet) -> None:
    tenant = leaving(fleet, COUNT - 1)
    fleet.write("0002", "ALTER TABLE items ADD COLUMN more text;", "ALTER TABLE items DROP COLUMN more;")
    arguments = ("--strategy", "canary", "--evaluation-period", "600", "--initial-percentage", "10")
    release = fleet.popen("tenant", "migrate", "--all", *arguments)
    try:
        claim = f"SELECT operation FROM manor.claims WHERE tenant = '{tenant.id}'"
        ((operation,),) = wait_until(lambda: fleet.ask(claim, "manor_catalog"))
        wait_until(lambda: [o for o in fleet.json("operation", "show", operation)["outcomes"] if o["status"] == "success"])
        for verb, *words in (("delete", "--confirm"), ("suspend",)):
            said = fleet("tenant", verb, tenant.id, *words, code=3).stderr
            assert operation in said
            assert tenant.id in said
        assert tenant.may_log_in
    finally:
        release.terminate()
        release.communicate(timeout=60)
    erase(tenant)
    fleet("tenant", "migrate", "--all", "--strategy", "rolling")


def test_a_release_that_failed_is_resumed_without_who_was_erased_since(fleet: Fleet, tenant: Leaving) -> None:
    fleet.ask("UPDATE items SET price = -1", tenant.database)
    up, down = "ALTER TABLE items ADD CONSTRAINT positive CHECK (price >= 0);", "ALTER TABLE items DROP CONSTRAINT positive;"
    fleet.write("0004", up, down)
    failed = fleet.migrate("--strategy", "rolling", "--max-failures", "100%", code=1)
    assert failed["summary"]["error"] == 1
    erase(tenant)
    resumed = fleet.json("operation", "resume", failed["operation"]["id"])
    assert set(resumed["summary"]) == {"success", "skipped"}


def test_undoing_a_release_leaves_out_who_was_erased_since(fleet: Fleet, tenant: Leaving) -> None:
    fleet.write("0005", "ALTER TABLE items ADD COLUMN last text;", "ALTER TABLE items DROP COLUMN last;")
    released = fleet.migrate("--strategy", "rolling")
    erase(tenant)
    undone = fleet.json("operation", "undo", released["operation"]["id"])
    assert set(undone["summary"]) == {"success"}
    assert any(tenant.id in notice for notice in undone["notices"])


def test_a_prepared_transaction_is_told_before_anything_is_changed(fleet: Fleet, tenant: Leaving) -> None:
    with psycopg.connect(fleet.url, dbname=tenant.database, autocommit=True) as session:
        session.execute("BEGIN")
        session.execute("INSERT INTO items (id, name) VALUES (77, 'x')")
        session.execute("PREPARE TRANSACTION 'somebody'")
    try:
        assert "somebody" in fleet("tenant", "delete", tenant.id, "--confirm", code=3).stderr
        assert tenant.may_log_in
    finally:
        with psycopg.connect(fleet.url, dbname=tenant.database, autocommit=True) as session:
            session.execute("ROLLBACK PREPARED 'somebody'")


def test_another_database_of_that_name_is_left_alone(fleet: Fleet, tenant: Leaving) -> None:
    fleet.ask(f"COMMENT ON DATABASE \"{tenant.database}\" IS 'somebody else''s'")
    said = fleet("tenant", "delete", tenant.id, "--confirm", code=3).stderr
    assert "does not bear the mark" in said
    assert tenant.may_log_in


def test_a_grace_period_suspends_and_resuming_takes_it_back(fleet: Fleet, tenant: Leaving, tmp_path: Path) -> None:
    said = erase(tenant, "--after", "30d", "--final-export", tmp_path / "gift")
    assert said["summary"] == {"success": 1}
    assert not tenant.may_log_in
    assert list((tmp_path / "gift").rglob("*.manifest.json"))
    due = fleet.json("tenant", "delete", "--due", "--confirm")
    assert due["outcomes"] == []
    fleet("tenant", "resume", tenant.id)
    assert tenant.may_log_in
    erase(tenant, "--after", "30d", "--final-export", tmp_path / "gift")
    fleet.ask("UPDATE manor.suspensions SET erase_after = now() - interval '1 minute'", "manor_catalog")
    done = fleet.json("tenant", "delete", "--due", "--confirm")
    assert [one["tenant_id"] for one in done["outcomes"]] == [tenant.id]
    assert done["certificate"]["final_export"]["location"] == str(tmp_path / "gift")
    assert tenant.left_behind() == []


def test_the_final_export_holds_all_rows_and_opens_without_any_key(fleet: Fleet, tenant: Leaving, tmp_path: Path) -> None:
    rows = fleet.ask("SELECT count(*) FROM items", tenant.database)[0][0]
    done = erase(tenant, "--final-export", tmp_path / "gift")
    export = done["certificate"]["final_export"]
    manifest = json.loads(next((tmp_path / "gift").rglob("*.manifest.json")).read_text("utf-8"))
    assert manifest["kind"] == "final_export"
    assert manifest["photograph"]["rows"]["public.items"] == rows == export["rows"]
    assert Path(export["file"]).read_bytes().startswith(b"PGDMP")
    assert fleet.json("backup", "list", "--tenant-id", "nobody", code=None)


def test_a_certificate_proves_itself_and_shows_every_change(fleet: Fleet, tenant: Leaving, tmp_path: Path) -> None:
    erase(tenant)
    file = tmp_path / "certificate.json"
    fleet("tenant", "certificate", tenant.id, "--output", file)
    good = fleet.json("audit", "verify-certificate", file)
    assert good["ok"]
    assert good["tenant_id"] == tenant.id
    assert fleet.json("audit", "verify-certificate", file, "--fingerprint", good["fingerprint"])["ok"]
    assert "none of those" in fleet("audit", "verify-certificate", file, "--fingerprint", "00" * 32, code=1).stdout
    document = json.loads(file.read_text("utf-8"))
    for change in ({"tenant": "acme/tenants/999"}, {"remaining": []}, {"erased_at": "2020-01-01T00:00:00+00:00"}):
        file.write_text(json.dumps({**document, **change}), encoding="utf-8")
        assert not fleet.json("audit", "verify-certificate", file, code=1)["ok"]
    file.write_text("{}", encoding="utf-8")
    fleet("audit", "verify-certificate", file, code=2)


def test_tombstones_and_audit_entries_cannot_be_removed(fleet: Fleet) -> None:
    erased = fleet.ask("SELECT tenant FROM manor.erasures WHERE state = 'erased'", "manor_catalog")
    assert erased
    for statement in (
        "DELETE FROM manor.erasures",
        "TRUNCATE manor.erasures",
        "UPDATE manor.erasures SET certificate = '{}'",
        "DELETE FROM manor.audit_log",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            fleet.ask(statement, "manor_catalog")
    assert fleet.json("audit", "verify")["ok"]
    assert fleet.ask("SELECT tenant FROM manor.erasures WHERE state = 'erased'", "manor_catalog") == erased
    names = fleet.ask("SELECT count(*) FROM manor.erasures WHERE certificate::text ILIKE '%zebra%'", "manor_catalog")
    assert names == [(0,)]


def killed_writers(tenant: Leaving, elsewhere: Path) -> list[Path]:
    """What ``kill -9`` leaves of a backup, a final export and a bundle that hold the tenant in plain."""
    fleet = tenant.fleet
    fleet("tenant", "backup", "--tenant-id", tenant.id, "--plain", "--output", elsewhere)
    fleet("tenant", "export", "--tenant-id", tenant.id, "--bundle", elsewhere / "one.tar")
    left = [
        fleet.folder / ".manor" / "backups" / ".incoming" / "dead",
        elsewhere / ".incoming" / "dead",
        elsewhere / ".manor-export-dead" / "bundle" / "dump" / ".incoming" / "dead",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tenant.marker, encoding="utf-8")
    return left


def test_what_killed_commands_left_of_a_tenant_is_erased_too(fleet: Fleet, tenant: Leaving, tmp_path: Path) -> None:
    """Uploads that had no name yet, and bundles half put together, wherever one was ever written."""
    left = killed_writers(tenant, tmp_path)
    done = erase(tenant, "--search-for", tenant.marker)
    assert [path for path in left if path.exists()] == []
    assert not (tmp_path / ".manor-export-dead").exists()
    assert (tmp_path / "one.tar").exists()
    assert done["certificate"]["scan"]["hits_elsewhere"] == []


def test_what_a_living_command_writes_is_searched_and_named(fleet: Fleet, tenant: Leaving) -> None:
    """An erasure cannot take it away, so that its certificate must not pass over it."""
    path = fleet.folder / ".manor" / "backups" / ".incoming" / "alive"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(tenant.marker)
        file.flush()
        done = erase(tenant, "--search-for", tenant.marker, code=1)
    path.unlink()
    scan = done["certificate"]["scan"]
    assert [hit["where"] for hit in scan["hits_elsewhere"]] == [str(path)]
    assert any(str(path) in one for one in scan["not_searched"])


def backed_up_beside(tenant: Leaving, kind: str) -> Any:
    """The report of a backup whose tenant is erased while it is at ``kind``."""
    from manor.control.operations.backup import BackupRequest, backup
    from manor.control.operations.selecting import Selection
    from manor.wiring import open_vault

    fleet = tenant.fleet

    async def work(runtime: Any, workplace: Any) -> Any:
        request = BackupRequest(selection=Selection(tenants=(tenant.id,)))
        return await backup(runtime, fleet.folder, open_vault(workplace), request)

    def delete() -> None:
        command = fleet.popen("tenant", "delete", "--tenant-id", tenant.id, "--confirm", "--no-search")
        told = command.communicate(timeout=120)
        assert command.returncode == 0, told

    return run(fleet, kind, work, act=delete)


@pytest.mark.parametrize("kind", ["backup.photographed", "backup.stored", "backup.sealed", "target.ended"])
def test_no_backup_that_runs_beside_an_erasure_outlives_it(fleet: Fleet, tenant: Leaving, kind: str) -> None:
    """And it is told as made only if it was whole before."""
    report = backed_up_beside(tenant, kind)
    assert tenant.left_behind() == []
    assert fleet.ask(f"SELECT 1 FROM manor.backups WHERE tenant = '{tenant.id}'", "manor_catalog") == []
    (outcome,) = report.outcomes
    assert (outcome.failure is None) == (kind == "target.ended")
    if kind in ("backup.stored", "backup.sealed"):
        assert "was erased" in outcome.failure.message


def test_a_search_that_was_left_out_is_called_so(fleet: Fleet, tenant: Leaving) -> None:
    done = erase(tenant, "--no-search")
    assert done["certificate"]["scan"]["result"] == "not searched"
    assert done["outcomes"][0]["detail"] == "erased; not searched"


def test_where_the_final_export_fails_nothing_is_erased_and_another_place_is_taken(
    fleet: Fleet, tenant: Leaving, tmp_path: Path
) -> None:
    """The tenant is suspended, no more: resuming it takes it back."""
    failed = erase(tenant, "--final-export", "/proc/nothing/here", code=1)
    assert any("manor tenant resume" in notice for notice in failed["notices"])
    fleet("tenant", "resume", tenant.id)
    assert tenant.may_log_in
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    erase(tenant, "--final-export", tmp_path / "file", code=1)
    done = erase(tenant, "--final-export", tmp_path / "gift")
    assert done["certificate"]["final_export"]["location"] == str(tmp_path / "gift")
    assert list((tmp_path / "gift").rglob("*.manifest.json"))
    assert tenant.left_behind() == []


def test_an_export_of_a_scheduled_deletion_is_made_anew_where_another_place_is_named(
    fleet: Fleet, tenant: Leaving, tmp_path: Path
) -> None:
    erase(tenant, "--after", "30d", "--final-export", tmp_path / "first")
    done = erase(tenant, "--final-export", tmp_path / "second")
    assert done["certificate"]["final_export"]["location"] == str(tmp_path / "second")
    assert list((tmp_path / "second").rglob("*.manifest.json"))


def test_a_backup_of_another_installation_is_left_to_it_and_named(fleet: Fleet, tenant: Leaving) -> None:
    """Two installations on one location may have tenants of the same id."""
    (theirs,) = tenant.backups.glob("*.manifest.json")
    give_away(theirs)
    fleet.ask(f"DELETE FROM manor.backups WHERE tenant = '{tenant.id}'", "manor_catalog")
    fleet("tenant", "backup", "--tenant-id", tenant.id)
    done = erase(tenant, "--search-for", tenant.marker)
    name = theirs.name.partition(".")[0]
    assert {path.name.partition(".")[0] for path in tenant.backups.iterdir()} == {name}
    assert len(list(tenant.backups.iterdir())) == 2
    (named,) = [one for one in done["certificate"]["remaining"] if "another installation" in one["why"]]
    assert named["where"] == f"{tenant.backups / name}."
    assert any(name in notice for notice in done["notices"])
