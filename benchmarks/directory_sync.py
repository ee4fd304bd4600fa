"""Syncing a table of 100,000 tenants into the directory, and searching there."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from benchmarks.ground import Ground, open_ground
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Spread, Verdict, alternate, sample_rows
from manor.control.catalog.catalog import Catalog
from manor.control.operations.directory_search import search_directory
from manor.control.operations.sync import SyncReport, SyncRequest, sync
from manor.control.registry.directory_home import DirectoryHome
from manor.control.registry.sql_table.engine import SqlPlace
from manor.control.registry.sql_table.provider import DatabaseTenantProvider

TENANTS = 100_000
CHANGES = 100
TARGET_SECONDS = 10
TARGET_MILLISECONDS = 50
SEARCHES = (
    ("by id", "tenant_id = 't0054321'"),
    ("by customer and status", "customer_code = 'c4321' AND status = 'active'"),
    ("by the beginning of a name", "customer_name LIKE 'Customer 5432%'"),
    ("by tier, a hundredth of all", "tier = 'tier42' AND region IN ('asia', 'eu')"),
)
METHOD = f"""\
A table in SQLite with 100,000 tenants, read through the SQL source. *First sync*: an empty directory. *{CHANGES} changes*: tier
changed in {CHANGES} rows of the table before each run; the whole operation from opening servers and catalog to the anchored
audit log, with the settings of those tenants. *Nothing changed*: the same without a change. Rows that are written are counted
by a trigger. *Searches*: the parsed and compiled query in the catalog, records built; the first run of each is not measured."""


def run(settings: Settings) -> Result:
    """Alternating; the directory is filled first."""
    count = TENANTS // 10 if settings.quick else TENANTS
    with open_ground(settings) as ground, tempfile.TemporaryDirectory(prefix="manor-bench-") as folder:
        table = _Table(Path(folder) / "crm.sqlite", count)
        bench = _Bench(ground, table)
        first = bench.sample(bench.sync)
        written: list[int] = []

        def changed() -> Sample:
            table.change()
            sample, rows = bench.counting(bench.sync)
            written.append(rows)
            return sample

        legs: dict[str, Callable[[], Sample]] = {
            f"{CHANGES} changes": changed,
            "nothing changed": lambda: bench.sample(bench.sync),
        }
        samples = {"first sync": [first], **alternate(legs, settings.rounds_or(5))}
        searches = {name: bench.search(query) for name, query in SEARCHES}
    return _result(samples, written, searches, count)


def _result(samples: dict[str, list[Sample]], written: list[int], searches: dict[str, Spread], count: int) -> Result:
    taken = Spread.of([sample.seconds for sample in samples[f"{CHANGES} changes"]])
    slowest = max(searches.values(), key=lambda spread: spread.middle)
    verdicts = [
        Verdict(
            what=f"sync of {count:,} tenants with {CHANGES} changes",
            target=f"≤ {TARGET_SECONDS} s",
            measured=f"{taken.show()} s",
            reached=taken.middle <= TARGET_SECONDS,
        ),
        Verdict(
            what="rows of the directory that it writes",
            target=f"{CHANGES}",
            measured=", ".join(map(str, sorted(set(written)))),
            reached=set(written) == {CHANGES},
        ),
        Verdict(
            what=f"search of {count:,} tenants by an indexed field, the slowest of {len(searches)}",
            target=f"≤ {TARGET_MILLISECONDS} ms",
            measured=f"{slowest.show(1)} ms",
            reached=slowest.middle <= TARGET_MILLISECONDS,
        ),
    ]
    remarks = [f"search {name}: {spread.show(1)} ms" for name, spread in searches.items()]
    rows = sample_rows(samples, count=count)
    header = (*SAMPLE_HEADER[:2], "tenants/s", *SAMPLE_HEADER[3:])
    return Result(title="The directory", method=METHOD, header=header, rows=rows, verdicts=verdicts, remarks=remarks)


class _Table:
    """A CRM's table."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self._count = count
        self._turn = 0
        with sqlite3.connect(path) as database:
            database.execute(
                "CREATE TABLE tenants (tenant_id TEXT PRIMARY KEY, customer_code TEXT, customer_name TEXT, region TEXT,"
                " tier TEXT, status TEXT, created_at TEXT, isolation_strategy TEXT, instances TEXT, billing_info TEXT)"
            )
            database.execute("CREATE TABLE tenant_configs (tenant_id TEXT PRIMARY KEY, config TEXT)")
            database.executemany("INSERT INTO tenants VALUES (?,?,?,?,?,?,?,?,?,?)", map(_row, range(count)))
        database.close()

    def change(self) -> None:
        """Another tier for some tenants, spread over the table."""
        self._turn += 1
        ids = [(f"changed{self._turn}", f"t{number:07}") for number in range(0, self._count, self._count // CHANGES)][:CHANGES]
        with sqlite3.connect(self.path) as database:
            database.executemany("UPDATE tenants SET tier = ? WHERE tenant_id = ?", ids)
        database.close()


def _row(number: int) -> tuple[str, ...]:
    return (
        f"t{number:07}",
        f"c{number % 10_000}",
        f"Customer {number}",
        ("asia", "eu", "us")[number % 3],
        f"tier{number % 100}",
        ("active", "active", "suspended")[number % 3],
        f"2026-01-{1 + number % 28:02}T00:00:00+00:00",
        "database",
        "main;test" if number % 5 == 0 else "main",
        json.dumps({"plan": "gold", "seats": number % 50}),
    )


class _Bench:
    def __init__(self, ground: Ground, table: _Table) -> None:
        self._ground = ground
        self._table = table

    async def sync(self) -> SyncReport:
        """The whole operation."""
        project = self._ground.workplace.project.folder
        home = DirectoryHome.at(project, self._ground.workplace.environment.folder, "crm")
        provider = DatabaseTenantProvider(SqlPlace(source="crm", url=f"sqlite:///{self._table.path}"))
        try:
            async with self._ground.runtime() as runtime:
                return await sync(runtime, provider, SyncRequest(source="crm", home=home))
        finally:
            await provider.aclose()

    def sample(self, work: Callable[[], Awaitable[object]]) -> Sample:
        """One measurement."""
        return self._ground.timed(work, checkpoint=False)

    def counting(self, work: Callable[[], Awaitable[object]]) -> tuple[Sample, int]:
        """The same, and how many rows of the directory were written meanwhile."""
        with psycopg.connect(self._ground.url, dbname="manor_catalog", autocommit=True) as direct:
            direct.execute("SET search_path TO manor")
            direct.execute("CREATE TABLE IF NOT EXISTS touched (tenant_id text)")
            direct.execute("TRUNCATE touched")
            direct.execute(
                "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN INSERT INTO manor.touched VALUES (NEW.tenant_id); RETURN NEW; END$$"
            )
            direct.execute("DROP TRIGGER IF EXISTS touch ON directory")
            direct.execute("CREATE TRIGGER touch AFTER INSERT OR UPDATE ON directory FOR EACH ROW EXECUTE FUNCTION touch()")
            sample = self.sample(work)
            row = direct.execute("SELECT count(*) FROM touched").fetchone()
        return sample, row[0] if row else 0

    def search(self, query: str, times: int = 20) -> Spread:
        """Milliseconds of one search, its parsing included."""

        async def all_of_them() -> list[float]:
            async with self._ground.runtime() as runtime:
                catalog: Catalog = runtime.catalog
                await search_directory(catalog, query)
                return [await _timed(catalog, query) for _ in range(times)]

        return Spread.of(asyncio.run(all_of_them()))


async def _timed(catalog: Catalog, query: str) -> float:
    began = time.perf_counter()
    await search_directory(catalog, query)
    return (time.perf_counter() - began) * 1_000
