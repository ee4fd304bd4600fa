"""What is told of backups without reading them: their state, leftovers, and whether a registry wants any."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from manor.control.catalog.backups import BackupRecord
from manor.control.operations.backup_list import BackupState, Listed, state_of
from manor.control.operations.backup_prune import leftovers
from manor.control.registry.coverage import backup_excluded
from manor.control.registry.model import Registry
from manor.control.rollout.backups.vault import Listing, id_of, tenant_of
from manor.storage.driver import Found
from manor.tenancy import TenantId

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
RECORD = BackupRecord(
    id="x1",
    location="/backups",
    key="acme/tenants/001/x1.manifest.json",
    tenant="acme/tenants/001",
    kind="logical",
    form="custom",
    database="acme_t_001",
    server="main",
    bytes=10,
    rows=1,
    version="",
    fingerprint="",
    digest="0" * 64,
    encrypted="",
    operation="",
    made_by="",
    made_at=NOW,
)
MANIFEST = Found(key=RECORD.key, size=5, modified=NOW)


def dump(size: int = 10, *, age_hours: float = 0) -> Found:
    return Found(key="acme/tenants/001/x1.dump", size=size, modified=NOW - dt.timedelta(hours=age_hours))


@pytest.mark.parametrize(
    ("listing", "state"),
    [
        (Listing(manifests={"x1": MANIFEST}, dumps={"x1": dump()}), BackupState.COMPLETE),
        (Listing(dumps={"x1": dump()}), BackupState.GONE),
        (Listing(), BackupState.GONE),
        (Listing(manifests={"x1": MANIFEST}), BackupState.NO_DUMP),
        (Listing(manifests={"x1": MANIFEST}, dumps={"x1": dump(9)}), BackupState.OTHER_SIZE),
    ],
)
def test_the_state_of_a_recorded_backup(listing: Listing, state: BackupState) -> None:
    """The storage is believed, not the catalog."""
    assert state_of(RECORD, "/backups", listing) is state


def test_a_backup_of_another_store_is_not_missed_in_this_one() -> None:
    """It is where it was put."""
    assert state_of(RECORD, "s3://bucket", Listing()) is BackupState.ELSEWHERE


def test_a_backup_whose_verification_found_something_counts_for_nothing() -> None:
    """Retention must not take it for the newest one."""
    import dataclasses

    sound = Listed(id="x1", tenant="t", key="k", dump_key="d", state=BackupState.COMPLETE, record=RECORD)
    assert sound.usable
    assert not dataclasses.replace(sound, record=dataclasses.replace(RECORD, problem="altered")).usable
    assert not dataclasses.replace(sound, state=BackupState.NO_DUMP).usable


def test_only_old_dumps_without_a_manifest_are_leftovers() -> None:
    """A younger one may be waiting for its manifest."""
    assert leftovers(Listing(dumps={"x1": dump(age_hours=25)}), NOW) == [dump(age_hours=25)]
    assert leftovers(Listing(dumps={"x1": dump(age_hours=23)}), NOW) == []
    assert leftovers(Listing(dumps={"x1": dump(age_hours=25)}, manifests={"x1": MANIFEST}), NOW) == []


def test_a_key_tells_its_backup_and_its_tenant() -> None:
    """Whatever its ending."""
    for name in ("b1.dump", "b1.dump.age", "b1.sql", "b1.manifest.json"):
        assert (id_of(f"acme/tenants/v1.2/{name}"), tenant_of(f"acme/tenants/v1.2/{name}")) == ("b1", "acme/tenants/v1.2")


def registry(**groups: Any) -> Registry:
    return Registry.model_validate(
        {"registry_version": "2.0", "customer_info": {"customer_code": "acme", "region": "tokyo"}, "database_groups": groups}
    )


def numbered(**more: Any) -> dict[str, Any]:
    return {"type": "tenant_group", "template": "t", "naming_pattern": "x_{tenant_id}", **more}


def fixed(*databases: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "fixed_group", "databases": [{"template": "t", **database} for database in databases], **more}


@pytest.mark.parametrize(
    ("groups", "excluded"),
    [
        ({"g": numbered()}, False),
        ({"g": numbered(backup_enabled=True)}, False),
        ({"g": numbered(backup_enabled=False)}, True),
        ({"other": numbered(backup_enabled=False)}, False),
        ({"g": fixed({"name": "001"})}, False),
        ({"g": fixed({"name": "001", "backup_enabled": False})}, True),
        ({"g": fixed({"name": "002", "backup_enabled": False})}, False),
        ({"g": fixed({"name": "001", "backup_enabled": True}, backup_enabled=False)}, True),
    ],
)
def test_a_registry_says_which_databases_are_not_backed_up(groups: dict[str, Any], excluded: bool) -> None:
    """A group's false counts for all of it, a database's own for itself; unknown tenants are backed up."""
    assert backup_excluded(registry(**groups), TenantId("acme", "g", "001")) is excluded


def test_names_with_variables_are_known_too() -> None:
    """A fixed database's id is its final name."""
    found = registry(g=fixed({"name": "{customer_code}_{region}", "backup_enabled": False}))
    assert backup_excluded(found, TenantId("acme", "g", "acme_tokyo"))
