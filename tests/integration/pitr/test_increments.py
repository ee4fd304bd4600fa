"""Base backups that hold only what has changed since the one before, put together for one tenant."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import zstandard
from pitr_site import TENANTS, Site, changed, side_url, wait_until

from manor.control.backup.base_manifest import BaseManifest
from manor.control.backup.recover import Target
from manor.control.engines.embedded.processes import is_alive
from manor.control.operations.restore_to import Moment
from manor.control.rollout.bases.adopt import adopt_bases
from manor.control.rollout.bases.place import BasePlace
from manor.control.runtime import Runtime
from manor.errors import Code, ManorError, RefusedError
from manor.wiring import embedded_server

ROWS = "SELECT generate_series(1, 20000) AS n, repeat('x', 100) AS filler"


@dataclass(kw_only=True)
class Chain:
    """A full base backup and two increments, and what went on between them."""

    site: Site
    manifests: list[Any] = field(default_factory=list)
    then: dict[str, list[int]] = field(default_factory=dict)
    """Ledgers after the last increment."""
    moment: Target = field(default_factory=lambda: Target(lsn=1))
    between: Target = field(default_factory=lambda: Target(lsn=1))
    """After the first increment."""
    then_between: list[int] = field(default_factory=list)

    @property
    def folders(self) -> list[Path]:
        return [self.site.backups / "bases" / self.site.server / manifest.id for manifest in self.manifests]

    def member(self, number: int, tenant: str) -> Path:
        """The piece of a tenant's database in one of them."""
        name = self.site.database(tenant)
        oid = next(one.oid for one in self.manifests[number].databases if one.name == name)
        return self.folders[number] / f"{oid}.tar.zst"

    def fails(self) -> ManorError:
        with pytest.raises(ManorError) as caught:
            self.site.ledger_at("001", self.moment)
        assert self.site.side_rooms() == []
        return caught.value


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]) -> Iterator[Chain]:
    site = Site(project=make_project(tmp_path_factory.mktemp("increments") / "a project"))
    try:
        site.deploy()
        yield made(site)
    finally:
        embedded_server(site.workplace.project, site.workplace.environment).destroy()


def made(site: Site) -> Chain:
    """Tables that change in every way between one base backup and the next."""
    chain = Chain(site=site)
    for tenant in TENANTS:
        site.write(tenant, 10)
        site.sql(
            site.database(tenant),
            f"CREATE TABLE large AS {ROWS}",
            f"CREATE TABLE emptied AS {ROWS}",
            "CREATE INDEX large_n ON large (n)",
        )
    marked = "CREATE TABLE marked AS SELECT generate_series(1, 1000) AS n"
    site.sql(site.database("002"), marked, "CREATE INDEX ON marked (n)", "VACUUM ANALYZE marked")
    site.sql("postgres", "CREATE DATABASE passing TEMPLATE acme_t_003")
    chain.manifests.append(site.take_base())

    site.write("001", 10)
    site.sql(
        site.database("001"),
        "UPDATE large SET filler = 'changed' WHERE n % 500 = 0",
        "TRUNCATE emptied",
        "CREATE TABLE made_between AS SELECT generate_series(1, 1000) AS n",
        "VACUUM large",
    )
    site.write("002", 5)
    site.sql(site.database("002"), "DELETE FROM marked WHERE n <= 10")
    create(site, "cloned")
    site.sql("postgres", "DROP DATABASE passing")
    crash(site)
    chain.manifests.append(site.take_base(incremental=True))

    chain.between = Target(time=site.write("001", 10))
    chain.then_between = list(site.written[site.database("001")])
    site.sql(site.database("001"), "DELETE FROM large WHERE n > 15000", "VACUUM FULL large", "DROP TABLE made_between")
    site.sql(cloned(site), "INSERT INTO ledger SELECT generate_series(2, 500)")
    chain.manifests.append(site.take_base(incremental=True))

    site.write("001", 10)
    # Both ways of the visibility map in the log that is replayed: set, and cleared.
    site.sql(site.database("001"), "VACUUM large", "DELETE FROM large WHERE n <= 10")
    site.sql(cloned(site), "INSERT INTO ledger VALUES (501)")
    for tenant in ("002", "003", "004"):
        site.write(tenant, 3)
    chain.moment = Target(time=site.write("001", 1))
    chain.then = {tenant: list(site.written[site.database(tenant)]) for tenant in TENANTS}
    for tenant in TENANTS:
        site.write(tenant, 4)
    site.sql(cloned(site), "DELETE FROM ledger")
    return chain


def crash(site: Site) -> None:
    """The server dies, and recovers what it had not written yet."""
    embedded = embedded_server(site.workplace.project, site.workplace.environment)
    (line,) = (Path(site.sql("postgres", "SHOW data_directory")) / "postmaster.pid").read_text("utf-8").splitlines()[:1]
    os.kill(int(line), signal.SIGQUIT)
    wait_until(lambda: not is_alive(int(line)), "the server's end")
    embedded.start()


def create(site: Site, name: str) -> None:
    done = site.manor("tenant", "create", "--name", name, "--registry", "customer_a/tenant_registry.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
    site.sql(cloned(site), "CREATE TABLE ledger (n bigint)", "INSERT INTO ledger VALUES (1)")


def cloned(site: Site) -> str:
    name: str = site.sql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE '%cloned'")
    return name


@pytest.mark.parametrize("tenant", TENANTS)
def test_every_tenant_is_restored_from_the_chain_row_for_row(chain: Chain, tenant: str) -> None:
    laid_out: list[str] = []
    assert (
        chain.site.ledger_at(tenant, chain.moment, lambda found, _: laid_out.extend(found.then.laid_out)) == chain.then[tenant]
    )
    others = [other for other in TENANTS if other != tenant]
    assert not {chain.member(2, other).name.partition(".")[0] for other in others} & set(laid_out)


def test_tables_that_were_changed_emptied_made_and_dropped_between_are_as_they_were(chain: Chain) -> None:
    assert figures(chain, "001", chain.moment, chain.then["001"]) == [14990, 30, 0, 14990, None]
    assert figures(chain, "001", chain.between, chain.then_between) == [20000, 40, 0, 20000, 1000]
    assert figures(chain, "002", chain.moment, chain.then["002"]) == [20000, 0, 20000, 20000, None]


def figures(chain: Chain, tenant: str, target: Target, ledger: list[int]) -> list[int | None]:
    """Rows of the tables, read through their pages, and through an index and what the visibility map says."""
    found: list[int | None] = []
    queries = (
        "SELECT count(*) FROM large",
        "SELECT count(*) FROM large WHERE filler = 'changed'",
        "SELECT count(*) FROM emptied",
        "SELECT count(*) FROM large WHERE n > 0",
    )

    def look(moment: Moment, data: Path) -> None:
        assert not list(data.rglob("INCREMENTAL.*"))
        assert not (data.parent / "layers").exists()
        with psycopg.connect(side_url(moment)) as connection:
            connection.execute("SET enable_seqscan = off")
            for query in queries:
                found.extend(connection.execute(query.encode()).fetchone() or ())
            made = connection.execute("SELECT 1 FROM pg_class WHERE relname = 'made_between'").fetchone()
            found.extend((connection.execute("SELECT count(*) FROM made_between").fetchone() or ()) if made else (None,))

    assert chain.site.ledger_at(tenant, target, look) == ledger
    return found


def test_rows_that_were_deleted_between_are_not_found_by_an_index_only_scan_either(chain: Chain) -> None:
    """PostgreSQL up to 18.4 leaves the cleared bits of the visibility map out of an increment."""

    def look(moment: Moment, _: Path) -> None:
        with psycopg.connect(side_url(moment)) as connection:
            connection.execute("SET enable_seqscan = off")
            connection.execute("SET enable_bitmapscan = off")
            plan = " ".join(row[0] for row in connection.execute("EXPLAIN SELECT count(*) FROM marked WHERE n > 0").fetchall())
            assert "Index Only Scan" in plan
            assert connection.execute("SELECT count(*) FROM marked WHERE n > 0").fetchone() == (990,)

    chain.site.ledger_at("002", chain.moment, look)


def test_a_tenant_that_was_cloned_by_file_between_two_of_them_is_restored(chain: Chain) -> None:
    assert sorted(chain.site.ledger_at("cloned", chain.moment)) == list(range(1, 502))


def test_neighbours_are_as_they_were(chain: Chain) -> None:
    chain.site.ledger_at("001", chain.moment)
    for tenant in TENANTS:
        assert chain.site.ledger(tenant) == chain.site.written[chain.site.database(tenant)]


def test_an_increment_is_far_smaller_than_the_full_base_backup_and_names_what_it_goes_on_from(chain: Chain) -> None:
    full, first, second = chain.manifests
    assert (full.parent, first.parent, second.parent) == ("", full.id, first.id)
    raw = [unpacked(chain.member(number, "004")) for number in (0, 1, 2)]
    assert raw[1] < raw[0] / 5
    assert raw[2] < raw[0] / 5
    assert first.bytes < full.bytes / 2
    listed = json.loads(chain.site.manor("backup", "bases", "--format", "json").stdout)["bases"]
    assert [one["parent"] for one in listed] == [None, full.id, first.id]
    assert first.id in chain.site.manor("backup", "bases").stdout


def unpacked(member: Path) -> int:
    with zstandard.ZstdDecompressor().stream_reader(member.read_bytes()) as reader:
        return len(reader.read())


def test_a_dry_run_names_the_chain(chain: Chain) -> None:
    moment = chain.moment.time
    assert moment is not None
    full, first, second = (manifest.id for manifest in chain.manifests)
    done = chain.site.manor(
        "tenant", "restore", "--tenant-id", "001", "--to", moment.isoformat(), "--dry-run", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)["outcomes"]
    assert outcome["facts"]["chain"] == [full, first, second]
    assert f"base backup {second}, an increment of {first}, of {full}" in outcome["detail"]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("how", ["altered", "gone"])
def test_a_damaged_piece_of_what_an_increment_goes_on_from_is_named_before_anything_starts(
    chain: Chain, number: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr("manor.control.engines.side.instance.PostgresSide._start", started)
    monkeypatch.setattr("manor.control.engines.side.combine._finished", started)
    member = chain.member(number, "001")
    with changed(member, lambda content: None if how == "gone" else content[:-40] + bytes(8) + content[-32:]):
        error = chain.fails()
    assert error.code is Code.CORRUPT
    assert f"{chain.manifests[number].id}/{member.name}" in error.message


def test_a_full_base_backup_that_is_gone_makes_its_increments_unusable_and_is_named(chain: Chain) -> None:
    full, first, second = (manifest.id for manifest in chain.manifests)
    with changed(chain.folders[0] / "manifest.json", lambda _: None):
        error = chain.fails()
        assert isinstance(error, RefusedError)
        assert f"{second}: it needs base backup {full}" in error.message
        with pytest.raises(RefusedError, match="no base backup that an increment could go on from"):
            chain.site.take_base(incremental=True)
        pruned = chain.site.manor("backup", "archive", "prune", "--keep-bases", "1")
        assert pruned.returncode == 3
        assert f"{first}: it needs base backup {full}" in pruned.stderr


def test_an_increment_between_that_was_changed_for_another_is_refused_by_postgresql(chain: Chain) -> None:
    """Its own log would not fit: every layer says where the one before began."""
    full, first, _ = (manifest.id for manifest in chain.manifests)

    def skip(content: bytes) -> bytes:
        manifest = BaseManifest.from_json(content.decode(), place="here")
        return dataclasses.replace(manifest, parent=full).to_json().encode()

    with changed(chain.folders[2] / "manifest.json", skip):
        error = chain.fails()
    assert error.code is Code.CORRUPT
    assert "starts at LSN" in error.message
    assert first not in error.message


def test_without_summaries_of_the_log_an_increment_is_refused_with_the_alternative(chain: Chain) -> None:
    site, before = chain.site, list(chain.folders[0].parent.iterdir())
    site.sql("postgres", "ALTER SYSTEM SET summarize_wal = off", "SELECT pg_reload_conf()")
    try:
        wait_until(lambda: site.sql("postgres", "SHOW summarize_wal") == "off", "off")
        done = site.manor("backup", "base", "--incremental")
        assert done.returncode == 3
        assert "summarize_wal is off" in done.stderr
        assert "full base backup" in done.stderr
    finally:
        site.sql("postgres", "ALTER SYSTEM RESET summarize_wal", "SELECT pg_reload_conf()")
    assert list(chain.folders[0].parent.iterdir()) == before


def test_summaries_that_are_gone_are_told_with_what_postgresql_says(chain: Chain) -> None:
    site = chain.site
    summaries = Path(site.sql("postgres", "SHOW data_directory")) / "pg_wal" / "summaries"
    before = list(chain.folders[0].parent.iterdir())
    # One for the log since the newest base backup must have been written.
    count = len(list(summaries.glob("*.summary")))
    site.write("001", 1)
    site.sql("postgres", "CHECKPOINT")
    wait_until(lambda: len(list(summaries.glob("*.summary"))) > count, "a summary")
    moved = [path.rename(path.with_name(f"{path.name}.away")) for path in summaries.glob("*.summary")]
    try:
        with pytest.raises(RefusedError, match="cannot go on from the base backup before") as caught:
            site.take_base(incremental=True)
    finally:
        for path in moved:
            path.rename(path.with_suffix(""))
    assert "without --incremental" in caught.value.hint
    assert list(chain.folders[0].parent.iterdir()) == before


def test_the_catalog_learns_of_increments_that_only_storage_knows(chain: Chain) -> None:
    site = chain.site

    async def forget_and_adopt(runtime: Runtime, place: BasePlace) -> tuple[int, list[str]]:
        await runtime.catalog.forget_bases([manifest.id for manifest in chain.manifests], operation_id=runtime.operation)
        return await adopt_bases(runtime, place)

    assert site.act(forget_and_adopt) == (3, [])
    listed = json.loads(site.manor("backup", "bases", "--format", "json").stdout)["bases"]
    assert [one["parent"] for one in listed] == [None, chain.manifests[0].id, chain.manifests[1].id]


def test_an_increment_that_was_killed_does_not_exist(chain: Chain) -> None:
    site, folder = chain.site, chain.folders[0].parent
    before = sorted(path.name for path in folder.iterdir())
    site.sql(site.database("003"), "CREATE TABLE heavy AS SELECT n, md5(n::text) FROM generate_series(1, 500000) AS n")
    killed = subprocess.Popen(site.command("backup", "base", "--incremental"), cwd=site.project, stdout=subprocess.DEVNULL)
    wait_until(lambda: any(list(one.iterdir()) for one in folder.iterdir() if one.name not in before), "a member")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert sorted(path.parent.name for path in folder.glob("*/manifest.json")) == before
    assert chain.site.ledger_at("001", chain.moment) == chain.then["001"]


def test_pruning_never_removes_what_an_increment_needs(chain: Chain) -> None:
    """The last of this file: a base backup is taken and all others go."""
    site, folder = chain.site, chain.folders[0].parent
    names = [manifest.id for manifest in chain.manifests]
    pruned = site.manor("backup", "archive", "prune", "--keep-bases", "1", "--format", "json")
    assert pruned.returncode == 0, pruned.stderr
    assert json.loads(pruned.stdout)["bases"] == []
    assert sorted(path.parent.name for path in folder.glob("*/manifest.json")) == names
    assert site.ledger_at("001", chain.moment) == chain.then["001"]

    full = site.take_base()
    pruned = site.manor("backup", "archive", "prune", "--keep-bases", "1", "--format", "json")
    assert pruned.returncode == 0, pruned.stderr
    assert json.loads(pruned.stdout)["bases"] == names[::-1]
    assert [path.name for path in folder.iterdir()] == [full.id]
