"""Base backups and the catalog's own, taken by the clock instead of by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pitr_site import Site, wait_until

from manor.control.backup.recover import Target
from manor.control.catalog.bases import BaseRecord
from manor.wiring import embedded_server, open_runtime, scheduled

SETTINGS = """
settings:
  backup:
    keep_bases: 2
    schedules: {base: "0 2 * * 6", catalog: "0 4 * * *"}
"""


async def run(site: Site, name: str) -> str:
    """What a worker does when the schedule is due."""
    schedules, jobs = scheduled(site.workplace)
    assert [one.name for one in schedules] == ["base", "catalog"]
    async with open_runtime(site.workplace) as runtime:
        return await jobs[name](runtime)


@pytest.fixture
def bare(tmp_path: Path, make_project: Callable[..., Path]) -> Site:
    """A deployed fleet without a base backup."""
    site = Site(project=make_project(tmp_path / "a project"))
    site.deploy()
    with (site.project / "customer_a" / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    return site


def test_base_backups_by_the_clock_keep_so_many_and_reach_back_to_the_oldest(bare: Site) -> None:
    try:
        assert asyncio.run(run(bare, "base")) == "1 base backup"
        assert asyncio.run(run(bare, "base")) == "1 base backup"
        moment = bare.write("001", 20)
        then = list(bare.written[bare.database("001")])
        bare.write("001", 5)
        assert asyncio.run(run(bare, "base")) == "1 base backup"
        assert len(list((bare.backups / "bases" / "embedded").iterdir())) == 2
        assert bare.ledger_at("001", Target(time=moment)) == then
        assert asyncio.run(run(bare, "catalog")).startswith("backup ")
        assert len(list((bare.backups / "@catalog").rglob("*.manifest.json"))) == 1
    finally:
        embedded_server(bare.workplace.project, bare.workplace.environment).destroy()


def test_increments_by_the_clock_follow_a_full_one_so_many_times_and_need_what_they_go_on_from(bare: Site) -> None:
    environ = bare.project / "customer_a" / "environ.yaml"
    environ.write_text(
        environ.read_text("utf-8").replace("keep_bases: 2", "keep_bases: 1\n    base_increments: 2"), encoding="utf-8"
    )

    def parents() -> list[str]:
        records = asyncio.run(listed(bare))
        names = [record.id for record in records]
        return [str(names.index(record.parent)) if record.parent else "full" for record in records]

    try:
        found = []
        for _ in range(4):
            assert asyncio.run(run(bare, "base")) == "1 base backup"
            found.append(parents())
        assert found == [["full"], ["full", "0"], ["full", "0", "1"], ["full"]]
        # What keeps an increment from being taken makes a full one of it.
        bare.sql("postgres", "ALTER SYSTEM SET summarize_wal = off", "SELECT pg_reload_conf()")
        wait_until(lambda: bare.sql("postgres", "SHOW summarize_wal") == "off", "off")
        assert asyncio.run(run(bare, "base")) == "1 base backup"
        assert parents() == ["full"]
    finally:
        embedded_server(bare.workplace.project, bare.workplace.environment).destroy()


def test_base_backups_of_a_cluster_that_was_destroyed_do_not_push_out_those_of_the_present_one(
    tmp_path: Path, make_project: Callable[..., Path]
) -> None:
    """Their positions in the log may be higher than any of the new cluster's."""
    site = Site(project=make_project(tmp_path / "a project"))
    with (site.project / "customer_a" / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write(f"settings:\n  backup: {{location: {str(tmp_path / 'elsewhere')!r}}}\n")
    try:
        site.deploy()
        site.write("001", 500)
        former = [site.take_base().id, site.take_base().id]
        assert site.manor("server", "destroy", "--confirm").returncode == 0
        site.deploy()
        mine = site.take_base().id
        moment = site.write("001", 3)
        pruned = site.manor("backup", "archive", "prune", "--keep-bases", "2", "--format", "json")
        assert pruned.returncode == 0, pruned.stderr
        assert json.loads(pruned.stdout)["bases"] == []
        assert json.loads(pruned.stdout)["others"] == former
        assert site.ledger_at("001", Target(time=moment))[-3:] == site.written[site.database("001")][-3:]
        site.take_base()
        site.take_base()
        pruned = site.manor("backup", "archive", "prune", "--keep-bases", "2", "--format", "json")
        assert json.loads(pruned.stdout)["bases"] == [mine]
        assert "2 base backups of a cluster that" in site.manor("backup", "archive", "prune").stdout
        assert site.manor("backup", "archive", "prune", "--keep-bases", "0").stdout.startswith("embedded: 4 base backups and ")
    finally:
        embedded_server(site.workplace.project, site.workplace.environment).destroy()


async def listed(site: Site) -> list[BaseRecord]:
    async with open_runtime(site.workplace) as runtime:
        return await runtime.catalog.bases("embedded")


def test_a_server_whose_base_backup_fails_is_named(bare: Site) -> None:
    """It cannot be written; what the schedule says is what `manor backup schedule` shows."""
    try:
        bare.backups.mkdir(parents=True, exist_ok=True)
        (bare.backups / "bases").write_text("in the way", encoding="utf-8")
        outcome = asyncio.run(run(bare, "base"))
        assert outcome.startswith("failed: embedded: ")
        assert "bases" in outcome
    finally:
        embedded_server(bare.workplace.project, bare.workplace.environment).destroy()
