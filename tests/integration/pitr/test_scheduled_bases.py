"""Base backups and the catalog's own, taken by the clock instead of by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pitr_site import Site

from manor.control.backup.recover import Target
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
