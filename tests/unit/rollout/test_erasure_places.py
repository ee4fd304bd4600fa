"""Where a tenant's objects are: never in somebody else's place."""

from __future__ import annotations

import pytest

from manor.control.catalog.records import DatabaseRecord
from manor.control.rollout.erasure.places import object_locations, split
from manor.errors import InputError
from manor.storage.opening import open_store
from manor.tenancy import TenantId


def record(short: str, group: str = "t") -> DatabaseRecord:
    return DatabaseRecord(
        tenant=TenantId("acme", group, short),
        database=f"acme_{group}_{short}",
        server="main",
        group=group,
        template="small",
        state="ready",
        role="",
    )


def test_the_full_id_tells_all_tenants_apart() -> None:
    others = [record("2"), record("1", "u"), record("11")]
    assert object_locations(["s3://b/storage/{tenant_id}/"], record("1"), others) == ("s3://b/storage/acme/t/1",)
    assert object_locations(["/data/{database}"], record("1"), others) == ("/data/acme_t_1",)


@pytest.mark.parametrize("template", ["s3://b/{id}", "s3://b/{customer_code}", "s3://b/{group}/x"])
def test_a_place_that_is_shared_is_refused_with_who_shares_it(template: str) -> None:
    with pytest.raises(InputError, match="acme/"):
        object_locations([template], record("1"), [record("1", "u"), record("2")])


@pytest.mark.parametrize("template", ["s3://b/all", "s3://b/{nobody}", "s3://b/{", "s3://b/{0}"])
def test_a_place_without_the_tenant_or_with_unknown_names_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="storage"):
        object_locations([template], record("1"), [])


def test_a_location_is_a_store_and_what_is_removed_in_it() -> None:
    found = split("/data/acme/t/1", open_store)
    assert (str(found.store.location), found.prefix) == ("/data/acme/t", "1")
