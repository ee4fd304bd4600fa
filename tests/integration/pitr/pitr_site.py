"""A deployed fleet on an embedded server of its own, and what tests of moments do with it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from manor.control.backup.recover import Target
from manor.control.operations.backup_base import backup_base
from manor.control.operations.restore_to import Moment, at_moment
from manor.control.operations.tenants import find_tenant
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.take import BaseOrder
from manor.control.runtime import Runtime
from manor.settings import load_environment, load_project
from manor.telemetry import Telemetry
from manor.wiring import Workplace, base_place, embedded_server, open_runtime

T = TypeVar("T")
TENANTS = ("001", "002", "003", "004")
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Site:
    """One project; every tenant has a table ``ledger``."""

    project: Path
    server: str = "embedded"
    written: dict[str, list[int]] = field(default_factory=dict)
    """By database, the numbers in its ledger."""

    @property
    def workplace(self) -> Workplace:
        project = load_project(self.project)
        environment = load_environment(project, self.project / "customer_a")
        return Workplace(project=project, environment=environment, telemetry=Telemetry())

    @property
    def url(self) -> str:
        """The administrator's."""
        deployment = self.workplace.environment.deployments[0]
        return deployment.url or embedded_server(self.workplace.project, self.workplace.environment).url

    @property
    def archive(self) -> Path:
        """The folder of segments."""
        workplace = self.workplace
        if workplace.environment.deployments[0].embedded:
            return embedded_server(workplace.project, workplace.environment).archive_folder
        return self.project / ".manor" / "backups" / "wal" / self.server

    @property
    def backups(self) -> Path:
        return self.project / ".manor" / "backups"

    def manor(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command as a user would."""
        return subprocess.run(
            self.command(*arguments), cwd=self.project, capture_output=True, text=True, timeout=240, check=False, **options
        )

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "manor.cli.main", *map(str, arguments)]

    def deploy(self) -> None:
        """The fleet, and its ledgers."""
        done = self.manor("multi-tenant", "deploy", "--registry", "customer_a/tenant_registry.yaml")
        assert done.returncode == 0, done.stderr + done.stdout
        for tenant in TENANTS:
            self.sql(self.database(tenant), "CREATE TABLE ledger (n bigint PRIMARY KEY, filler text)")

    def database(self, tenant: str) -> str:
        return f"acme_t_{tenant}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(make_conninfo(self.url, dbname=database), autocommit=True)

    def sql(self, database: str, *statements: str) -> Any:
        """Run statements, each its own transaction; the first column of the last one's first row."""
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def write(self, tenant: str, count: int = 1) -> dt.datetime:
        """Commit ``count`` rows, one transaction each; a moment after the last commit, by the server's clock."""
        database = self.database(tenant)
        rows = self.written.setdefault(database, [])
        with self.connect(database) as connection:
            for _ in range(count):
                rows.append(len(rows) + 1)
                connection.execute("INSERT INTO ledger VALUES (%s, repeat('x', 200))", [rows[-1]])
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        return after(row[0])

    def ledger(self, tenant: str) -> list[int]:
        """What the live database holds."""
        with self.connect(self.database(tenant)) as connection:
            return [row[0] for row in connection.execute("SELECT n FROM ledger ORDER BY n").fetchall()]

    def act(self, work: Callable[[Runtime, BasePlace], Awaitable[T]]) -> T:
        """Do something with an open runtime."""

        async def opened() -> T:
            workplace = self.workplace
            async with open_runtime(workplace) as runtime:
                return await work(runtime, base_place(workplace))

        return asyncio.run(opened())

    def take_base(self, *, incremental: bool = False) -> Any:
        """Take a base backup; its manifest."""
        order = BaseOrder(server=self.server, incremental=incremental, archive_deadline_seconds=PATIENCE_SECONDS)
        return self.act(lambda runtime, place: backup_base(runtime, place, order))

    @contextlib.asynccontextmanager
    async def moment(self, runtime: Runtime, place: BasePlace, tenant: str, target: Target) -> AsyncIterator[Moment]:
        record = await find_tenant(runtime, tenant)
        async with at_moment(runtime, place, record, target, deadline_seconds=PATIENCE_SECONDS) as moment:
            yield moment

    def ledger_at(self, tenant: str, target: Target, look: Callable[[Moment, Path], None] | None = None) -> list[int]:
        """The tenant's ledger as it was; ``look`` sees the moment and the side instance's data directory."""

        async def work(runtime: Runtime, place: BasePlace) -> list[int]:
            async with self.moment(runtime, place, tenant, target) as moment:
                async with await psycopg.AsyncConnection.connect(side_url(moment)) as connection:
                    folder = await (await connection.execute("SHOW data_directory")).fetchone()
                    rows = await (await connection.execute("SELECT n FROM ledger ORDER BY n")).fetchall()
                if look is not None and folder is not None:
                    look(moment, Path(folder[0]))
                return [row[0] for row in rows]

        return self.act(work)

    def switch_segment(self) -> str:
        """End a segment and wait until it is archived; its file name."""
        name: str = self.sql("postgres", "SELECT pg_walfile_name(pg_switch_wal() - 1)")
        wait_until(lambda: (self.archive / name).exists(), f"segment {name} archived")
        return name

    def side_rooms(self) -> list[Path]:
        """Folders of side instances."""
        found = [*(self.project / ".manor" / "side").glob("*"), *(self.archive.parent / "side").glob("*")]
        return [path for path in found if path.is_dir()]


def after(at: dt.datetime) -> dt.datetime:
    """A moment that no transaction which was committed before ``at`` lies behind, and none that begins now lies before."""
    return at.astimezone(dt.UTC)


def side_url(moment: Moment) -> str:
    sessions = moment.then.server._sessions  # type: ignore[attr-defined]
    return make_conninfo(sessions.admin_url, dbname=moment.then.database)


def wait_until(true: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.01)


@contextlib.contextmanager
def changed(path: Path, change: Callable[[bytes], bytes | None]) -> Iterator[None]:
    """A file with other content (None: gone) for the block."""
    before, status = path.read_bytes(), path.stat()
    content = change(before)
    try:
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        yield
    finally:
        path.write_bytes(before)
        import os

        os.chown(path, status.st_uid, status.st_gid)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        path.chmod(status.st_mode & 0o777)
