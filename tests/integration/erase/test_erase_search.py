"""The proof: before an erasure the search finds the tenant's marker in every kind of place, afterwards in those only that the
certificate names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_fixtures import Fleet
from leaving import Leaving, build_embedded, leaving, run

EVERYWHERE = {"data", "log", "wal", "wal_archive", "base_backup", "dump", "storage", "catalog"}
ALLOWED = {"wal", "wal_archive", "base_backup"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three tenants on an embedded server of their own."""
    from manor.control.engines.embedded.server import EmbeddedServer

    folder = tmp_path_factory.mktemp("search")
    try:
        yield build_embedded(folder, tenants=3)
    finally:
        EmbeddedServer(folder).destroy()


def search(tenant: Leaving) -> dict[str, int]:
    """Hits of the marker by kind of place, as the tenant's erasure would search."""

    async def work(runtime: Any, workplace: Any) -> Any:
        from manor.control.backup.scan import Finder, Term
        from manor.control.rollout.erasure.places import look_around
        from manor.control.rollout.erasure.search import Search
        from manor.wiring import erasure_surroundings

        around = erasure_surroundings(workplace)
        record = await runtime.catalog.database_by_tenant(tenant.id)
        owned = await look_around(runtime, record, around)
        finder = Finder([Term(text=tenant.marker, label="marker")])
        return await Search(runtime=runtime, around=around, finder=finder, objects=owned.objects).run(tenant.id)

    found: dict[str, int] = {}
    result = run(tenant.fleet, "", work)
    assert result.unsearched == ()
    for hit in result.hits:
        found[str(hit.kind)] = found.get(str(hit.kind), 0) + hit.count
    return found


def plant(tenant: Leaving) -> None:
    """The marker in every kind of place."""
    fleet = tenant.fleet
    fleet("backup", "base")
    fleet.ask(f"DO $$ BEGIN RAISE LOG '{tenant.marker}'; END $$", tenant.database)
    fleet.ask(f"UPDATE manor.tenants SET name = '{tenant.marker}' WHERE id = '{tenant.id}'", "manor_catalog")
    fleet.ask("SELECT pg_switch_wal()")
    fleet("backup", "mark", "done")


def test_the_marker_is_everywhere_before_and_afterwards_only_where_the_certificate_says(fleet: Fleet, tmp_path: Path) -> None:
    tenant = leaving(fleet, 2)
    plant(tenant)
    before = search(tenant)
    assert before.keys() == EVERYWHERE, before
    fleet("backup", "base")
    done = fleet.json("tenant", "delete", "--tenant-id", tenant.id, "--confirm", "--search-for", tenant.marker, code=1)
    assert "still holds what was searched for" in done["problems"][0]["message"]
    certificate = done["certificate"]
    elsewhere = {hit["kind"] for hit in certificate["scan"]["hits_elsewhere"]}
    assert elsewhere == {"log"}, "a log of the server is nobody's to edit: it is told"
    found = {hit["kind"] for hit in certificate["scan"]["hits"] if hit["term"] == "marker 1"}
    assert found - {"log"} <= ALLOWED
    named = {(one["kind"], one["where"]) for one in certificate["remaining"] if one["holds"] == "content"}
    for hit in certificate["scan"]["hits"]:
        if hit["term"] == "marker 1" and hit["kind"] != "log":
            assert any(kind == hit["kind"] and hit["where"].startswith(where) for kind, where in named), hit
    assert len([one for one in certificate["remaining"] if one["kind"] == "base_backup"]) == 2
    assert tenant.left_behind() == []
    (key,) = [one for one in certificate["erased"] if one["kind"] == "keys"]
    assert key["recipients"]


def test_backups_and_wal_of_the_others_go_on(fleet: Fleet) -> None:
    assert fleet.json("tenant", "backup", "--all")["summary"] == {"success": 2}
    fleet("backup", "base")
    assert fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)["summary"] == {"success": 2, "skipped": 1}
