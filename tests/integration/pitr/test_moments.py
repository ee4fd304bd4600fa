"""One tenant at a moment of the past, beside neighbours that go on working."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pitr_site import Site, side_url

from manor.control.backup.recover import Target
from manor.control.operations.backup_base import mark_moment
from manor.control.operations.restore_to import Moment
from manor.control.rollout.bases.place import BasePlace
from manor.control.runtime import Runtime
from manor.errors import Code, ManorError


class Neighbour:
    """Writes rows into a tenant's ledger as fast as it can, until it is told to stop."""

    def __init__(self, site: Site, tenant: str) -> None:
        self._site, self._tenant = site, tenant
        self.rows: list[int] = []
        self.largest_gap = 0.0
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        try:
            with self._site.connect(self._site.database(self._tenant)) as connection:
                last = time.monotonic()
                while not self._stop.is_set():
                    number = 1_000_000 + len(self.rows)
                    connection.execute("INSERT INTO ledger VALUES (%s, 'neighbour')", [number])
                    self.rows.append(number)
                    now = time.monotonic()
                    self.largest_gap, last = max(self.largest_gap, now - last), now
        except BaseException as error:
            self.failure = error


def test_rows_committed_before_the_moment_are_there_and_later_ones_are_not_while_neighbours_write(
    site: Site, record_property: Any
) -> None:
    with Neighbour(site, "002") as neighbour:
        moment = site.write("001", 40)
        then = list(site.written[site.database("001")])
        site.write("001", 40)
        assert site.ledger_at("001", Target(time=moment)) == then
    assert neighbour.failure is None
    assert set(neighbour.rows) <= set(site.ledger("002"))
    record_property("largest gap of the neighbour in seconds", round(neighbour.largest_gap, 3))
    assert site.ledger("001") == site.written[site.database("001")]


def test_a_moment_just_after_the_last_commit_is_reached_although_nothing_was_archived_since(site: Site) -> None:
    moment = site.write("001", 3)
    assert site.ledger_at("001", Target(time=moment)) == site.written[site.database("001")]


def test_a_mark_and_a_position_are_moments_too(site: Site) -> None:
    site.write("001", 2)
    then = list(site.written[site.database("001")])
    lsn = int(site.sql("postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'"))

    async def work(runtime: Runtime, _: BasePlace) -> None:
        await mark_moment(runtime, "before the upgrade", "embedded")
        with pytest.raises(ManorError, match="already"):
            await mark_moment(runtime, "before the upgrade", "embedded")

    site.act(work)
    site.write("001", 2)
    assert site.ledger_at("001", Target(mark="before the upgrade")) == then
    assert site.ledger_at("001", Target(lsn=lsn)) == then


def test_files_of_neighbours_are_not_laid_out(site: Site) -> None:
    neighbour = site.sql("postgres", "SELECT oid FROM pg_database WHERE datname = 'acme_t_004'")
    seen: list[str] = []

    def look(moment: Moment, data: Path) -> None:
        assert str(neighbour) not in moment.then.laid_out
        seen.extend(path.name for path in (data / "base" / str(neighbour)).iterdir())

    site.ledger_at("001", Target(time=site.write("001")), look)
    large = {"PG_VERSION", *(name for name in seen if name.isdigit())}
    assert "PG_VERSION" in seen
    # Only what the log itself has brought since (the ledger's CREATE TABLE came before the base backup).
    assert len(large) < 20, sorted(seen)


def test_the_same_moment_is_restored_twice_at_once(site: Site) -> None:
    moment = site.write("001", 2)
    then = list(site.written[site.database("001")])

    async def work(runtime: Runtime, place: BasePlace) -> list[list[int]]:
        async def one() -> list[int]:
            async with site.moment(runtime, place, "001", Target(time=moment)) as found:
                async with await psycopg.AsyncConnection.connect(side_url(found)) as connection:
                    rows = await (await connection.execute("SELECT n FROM ledger ORDER BY n")).fetchall()
                return [row[0] for row in rows]

        return list(await asyncio.gather(one(), one()))

    assert site.act(work) == [then, then]
    assert site.side_rooms() == []


def test_databases_that_were_copied_created_and_dropped_since_the_base_do_not_stop_the_replay(site: Site) -> None:
    site.sql(
        "postgres",
        "CREATE DATABASE copied TEMPLATE acme_t_003 STRATEGY FILE_COPY",
        "CREATE DATABASE logged TEMPLATE template0 STRATEGY WAL_LOG",
        "CREATE DATABASE gone TEMPLATE acme_t_003 STRATEGY FILE_COPY",
        "DROP DATABASE gone",
    )
    site.sql("copied", "CREATE TABLE more AS SELECT generate_series(1, 1000) AS n", "VACUUM more")
    site.sql("logged", "CREATE TABLE more AS SELECT generate_series(1, 1000) AS n")
    moment = site.write("001", 2)
    then = list(site.written[site.database("001")])
    site.sql("postgres", "DROP DATABASE copied", "DROP DATABASE logged")
    assert site.ledger_at("001", Target(time=moment)) == then


def test_a_tenant_that_was_made_after_the_base_backup_is_restored_from_its_golden(site: Site) -> None:
    registry = "customer_a/tenant_registry.yaml"
    made = site.manor("tenant", "create", "--name", "late", "--registry", registry)
    assert made.returncode == 0, made.stderr + made.stdout
    database = site.sql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE '%late'")
    site.sql(database, "CREATE TABLE ledger (n bigint)", "INSERT INTO ledger VALUES (7)")
    moment = site.write("001")
    site.sql(database, "DELETE FROM ledger")
    assert site.ledger_at("late", Target(time=moment)) == [7]


def test_a_tenant_that_did_not_exist_at_the_moment_is_not_found(site: Site) -> None:
    moment = site.write("001")
    registry = "customer_a/tenant_registry.yaml"
    made = site.manor("tenant", "create", "--name", "later", "--registry", registry)
    assert made.returncode == 0, made.stderr + made.stdout
    with pytest.raises(ManorError, match="had no database") as caught:
        site.ledger_at("later", Target(time=moment))
    assert caught.value.code is Code.NOT_FOUND


def test_a_database_that_took_the_tenants_place_after_the_base_is_found_by_its_marker(site: Site) -> None:
    marker = site.sql("postgres", "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'acme_t_003'")
    site.write("003", 3)
    site.sql(
        "postgres",
        "CREATE DATABASE green TEMPLATE acme_t_003 STRATEGY FILE_COPY",
        "ALTER DATABASE acme_t_003 RENAME TO blue",
        "COMMENT ON DATABASE blue IS '" + marker.replace('"tenant"', '"kept"', 1) + "'",
        "ALTER DATABASE green RENAME TO acme_t_003",
        f"COMMENT ON DATABASE acme_t_003 IS '{marker}'",
    )
    moment = site.write("003", 3)
    then = list(site.written["acme_t_003"])
    site.write("003", 3)
    assert site.ledger_at("003", Target(time=moment)) == then


def test_a_tenants_database_that_was_copied_from_a_stranger_is_recovered_with_all_files(site: Site) -> None:
    marker = site.sql("postgres", "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'acme_t_004'")
    site.sql("postgres", "ALTER DATABASE acme_t_004 RENAME TO former", "COMMENT ON DATABASE former IS NULL")
    site.sql("postgres", "CREATE DATABASE acme_t_004 TEMPLATE acme_t_002 STRATEGY FILE_COPY")
    site.sql("postgres", f"COMMENT ON DATABASE acme_t_004 IS '{marker}'")
    then = site.ledger("002")
    moment = site.write("001")
    pieces: list[int] = []
    assert site.ledger_at("004", Target(time=moment), lambda found, _: pieces.append(len(found.then.laid_out))) == then
    few: list[int] = []
    site.ledger_at("001", Target(time=moment), lambda found, _: few.append(len(found.then.laid_out)))
    assert pieces > few


def test_transactions_in_doubt_at_the_moment_are_rolled_back_and_told(site: Site) -> None:
    site.write("001", 1)
    with site.connect(site.database("001")) as connection:
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
        connection.execute("INSERT INTO ledger VALUES (-1, 'in doubt')")
        connection.execute("PREPARE TRANSACTION 'doubtful one'")
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        connection.execute("COMMIT PREPARED 'doubtful one'")
        connection.execute("DELETE FROM ledger WHERE n = -1")
    told: list[tuple[str, ...]] = []
    found = site.ledger_at("001", Target(time=row[0]), lambda moment, _: told.append(moment.then.rolled_back))
    assert found == site.written[site.database("001")]
    assert told == [("doubtful one",)]


def test_temporary_and_unlogged_tables_of_the_moment_are_no_missing_files(site: Site) -> None:
    with site.connect(site.database("001")) as connection:
        connection.execute("CREATE TEMPORARY TABLE passing AS SELECT 1 AS n")
        connection.execute("CREATE UNLOGGED TABLE quick AS SELECT 1 AS n")
        moment = site.write("001")
        pieces: list[int] = []
        then = list(site.written[site.database("001")])
        assert site.ledger_at("001", Target(time=moment), lambda found, _: pieces.append(len(found.then.laid_out))) == then
        connection.execute("DROP TABLE quick")
    manifest = max((site.backups / "bases" / site.server).glob("*/manifest.json"))
    assert pieces < [len(json.loads(manifest.read_text("utf-8"))["members"])]
