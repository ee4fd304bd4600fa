"""PgQueuer on a real server keeps the port's promises."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from manor.control.jobs.engine import Carry, JobEngine
from manor.control.jobs.pgqueuer_engine import SCHEMA, PgQueuerEngine
from manor.errors import UnreachableError
from manor.testing.jobs import JobBench, JobEngineSuite, Journal, finish, some

pytestmark = pytest.mark.server


class PgQueuerBench:
    """One coordinator and some workers, each with a connection of its own."""

    def __init__(self, info: str) -> None:
        self.info = info
        self.troubles: list[Exception] = []

    @contextlib.asynccontextmanager
    async def open(
        self, carry: Carry, *, workers: int = 1, servers: tuple[str, ...] = ("north", "south")
    ) -> AsyncIterator[JobEngine]:
        stopped = False
        engine = PgQueuerEngine(self.info, application="coordinator")

        async def work(number: int) -> None:
            worker = PgQueuerEngine(self.info, application=f"worker {number}", dead_after_seconds=2)
            await worker.serve(carry, servers=servers, parallel=4, should_stop=lambda: stopped, on_trouble=self.troubles.append)

        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(work(number))
            try:
                yield engine
            finally:
                stopped = True
        await engine.close()


@pytest.fixture
def queue(server_url: str) -> PgQueuerBench:
    """On an empty database."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE jobs")
    return PgQueuerBench(make_conninfo(server_url, dbname="jobs"))


class TestPgQueuerEngine(JobEngineSuite):
    """The suite."""

    @pytest.fixture
    def bench(self, queue: PgQueuerBench) -> JobBench:
        return queue


async def test_tables_are_made_in_a_schema_of_their_own(queue: PgQueuerBench) -> None:
    """PgQueuer's tables are in one schema and nowhere else; several who begin at once do not disturb each other."""
    journal, batches = Journal(), some()
    async with queue.open(journal.carry, workers=3) as engine:
        await engine.submit(batches)
        await finish(engine, journal, batches)
    with psycopg.connect(queue.info, autocommit=True) as connection:
        statement = "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        assert connection.execute(statement).fetchall() == [(SCHEMA,)]
    assert queue.troubles == []


async def test_a_finished_wave_leaves_no_jobs(queue: PgQueuerBench) -> None:
    """Jobs are gone with their batches: the queue does not grow."""
    journal, batches = Journal(), some()
    async with queue.open(journal.carry) as engine:
        await engine.submit(batches)
        await finish(engine, journal, batches)
    with psycopg.connect(queue.info, autocommit=True) as connection:
        assert connection.execute(f"SELECT count(*) FROM {SCHEMA}.pgqueuer").fetchone() == (0,)


async def test_a_lost_connection_is_opened_anew(queue: PgQueuerBench) -> None:
    """The sessions of coordinator and worker are ended while they wait: the next batch is carried out all the same."""
    journal, batches = Journal(), some()
    async with queue.open(journal.carry) as engine:
        await engine.submit(batches)
        await finish(engine, journal, batches)
        with psycopg.connect(queue.info, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'worker|coord'")
        again = some()
        with contextlib.suppress(UnreachableError):  # said once, and transient
            await engine.submit(again)
        await engine.submit(again)
        await finish(engine, journal, again)
    assert set(journal.done.values()) == {1}


async def test_an_application_that_uses_pgqueuer_itself_does_not_disturb_us(
    queue: PgQueuerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings in the environment are not ours."""
    monkeypatch.setenv("PGQUEUER_SCHEMA", "theirs")
    monkeypatch.setenv("PGQUEUER_PREFIX", "their_")
    monkeypatch.setenv("PGQUEUER_QUEUE_TABLE", "their_queue")
    await test_a_finished_wave_leaves_no_jobs(queue)
