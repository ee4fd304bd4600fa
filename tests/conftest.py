"""What every test may ask for. Assumes nothing about the machine: a part that is not there is named, not guessed around.

A test that needs a part of the machine calls ``require("debian-postgresql")`` (a fixture). Where the part is missing the test
is skipped with its name, and the end of the run lists all missing parts; with ``CI=true`` the test fails instead, because there
nothing may be missing.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

MISSING = "missing part: "
MEMORY = Path("/dev/shm")
MEMORY_NEEDED_BYTES = 8 << 30
ON_DISK = "MANOR_TESTS_ON_DISK"

settings.register_profile("nightly", max_examples=10_000, deadline=None)


def _work_in_memory() -> Path | None:
    """Put temporary folders and embedded servers into memory, where the machine has it: databases are thousands of small
    files, and the suite takes less than half the time. Tests kill processes, never the machine, so nothing can be lost by it.

    Workers of one run inherit the folder. ``MANOR_TESTS_ON_DISK=1`` leaves everything where it would be.
    """
    if os.environ.get(ON_DISK) or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < MEMORY_NEEDED_BYTES:
        return None
    folder = Path(tempfile.mkdtemp(prefix="manor-tests-", dir=MEMORY))
    folder.chmod(0o755)  # servers run as another account
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    os.environ.update({"TMPDIR": str(folder / "tmp"), "MANOR_STATE_DIR": str(folder / "state"), ON_DISK: "decided"})
    tempfile.tempdir = None
    return folder


_memory_folder = _work_in_memory()


def pytest_unconfigure() -> None:
    """Give the memory back; only the process that took it has its name."""
    if _memory_folder is not None:
        shutil.rmtree(_memory_folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something of the machine that some tests need."""

    description: str
    remedy: str
    find: Callable[[], Path | None]


def _debian_postgresql() -> Path | None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return programs[-1].parent if programs else None


def _s3_server() -> Path | None:
    return _folder_of("s3-server", "moto_server")


def _ministack() -> Path | None:
    return _folder_of("ministack", "ministack")


def _folder_of(environment: str, program: str) -> Path | None:
    folder = Path(__file__).parents[1] / ".venv" / environment / "bin"
    return folder if (folder / program).exists() else None


def _moto_suite() -> Path | None:
    folder = Path(__file__).parents[1] / ".venv" / "moto-suite"
    return folder if list(folder.glob("installed-*")) else None


def _cosmos_suite() -> Path | None:
    folder = Path(__file__).parents[1] / ".venv" / "cosmos-suite"
    return folder if any(folder.glob("installed-*")) else None


def _age() -> Path | None:
    program = shutil.which("age")
    return Path(program).parent if program else None


def _pgbackrest() -> Path | None:
    program = shutil.which("pgbackrest")
    return Path(program).parent if program else None


def _mariadb() -> Path | None:
    program = shutil.which("mariadbd")
    return Path(program).parent if program else None


def _dbgear() -> Path | None:
    folder = Path(__file__).parents[1] / ".venv" / "dbgear"
    return folder if (folder / "dbgear" / "main.py").exists() else None


PARTS = {
    "debian-postgresql": Part(
        description="a PostgreSQL server of the distribution, for TLS and logins that are not superusers",
        remedy="run tests/setup_machine.sh as root, or apt-get install postgresql",
        find=_debian_postgresql,
    ),
    "s3-server": Part(
        description="a server of S3 and DynamoDB, for storage and documents over HTTP",
        remedy="run tests/setup_machine.sh",
        find=_s3_server,
    ),
    "dbgear": Part(
        description="DBGear, whose projects and plug-ins are tried against it",
        remedy="run tests/setup_machine.sh",
        find=_dbgear,
    ),
    "ministack": Part(
        description="a second DynamoDB server, because each emulator is wrong somewhere",
        remedy="run tests/setup_machine.sh",
        find=_ministack,
    ),
    "moto-suite": Part(
        description="moto's own tests of DynamoDB, which judge our endpoint",
        remedy="run tests/setup_machine.sh",
        find=_moto_suite,
    ),
    "cosmos-suite": Part(
        description="azure-cosmos's own tests, which judge our gateway",
        remedy="run tests/setup_machine.sh",
        find=_cosmos_suite,
    ),
    "age": Part(
        description="the program age, which must open what Manor encrypts",
        remedy="run tests/setup_machine.sh as root, or apt-get install age",
        find=_age,
    ),
    "pgbackrest": Part(
        description="the program pgbackrest, whose repository can be the source of a restore",
        remedy="run tests/setup_machine.sh as root, or apt-get install pgbackrest",
        find=_pgbackrest,
    ),
    "mariadb": Part(
        description="a MariaDB server, whose tables can be a source of tenants",
        remedy="run tests/setup_machine.sh as root, or apt-get install mariadb-server-core",
        find=_mariadb,
    ),
}


def require_part(name: str) -> Path:
    """The folder of a part of the machine; without it the calling test is skipped by name, or fails where ``CI=true``."""
    found = PARTS[name].find()
    if found is not None:
        return found
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{MISSING}{name} ({PARTS[name].remedy})", pytrace=False)
    pytest.skip(f"{MISSING}{name}")


@pytest.fixture(scope="session")
def require() -> Callable[[str], Path]:
    """``require_part`` for tests and other fixtures."""
    return require_part


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was missing, once for the whole run; reports carry it, so it works with several workers too."""
    missing = Counter(_missing_parts(terminalreporter))
    if not missing:
        return
    terminalreporter.section("missing parts")
    for name, count in sorted(missing.items()):
        part = PARTS[name]
        terminalreporter.write_line(f"{name}: {count} tests not run. It is {part.description}. To have it: {part.remedy}")


def _missing_parts(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    reports = [report for outcome in ("skipped", "failed", "error") for report in terminalreporter.stats.get(outcome, [])]
    for report in reports:
        match = re.search(rf"{MISSING}([\w-]+)", str(report.longrepr))
        if match and match[1] in PARTS:
            yield match[1]


@pytest.fixture(scope="session")
def bundled_programs() -> Iterator[Callable[[int], Path]]:
    """The wheel's PostgreSQL programs of one major version, where every account can run them.

    The checkout may stand in a folder that is closed to others, and servers do not run as root.
    """
    from manor.control.engines.embedded.account import account_of, process_environment
    from manor.control.engines.embedded.binaries import find_binaries, place_binaries

    folder = Path(tempfile.mkdtemp(prefix="manor-programs-", dir="/tmp"))
    folder.chmod(0o755)
    account = account_of(pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else os.geteuid())

    def programs(major: int) -> Path:
        placed = place_binaries(find_binaries(major), account, folder / "state", process_environment(os.environ))
        return placed.tree / "bin"

    yield programs
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One embedded PostgreSQL for the tests of this process; destroyed at the end."""
    from manor.control.engines.embedded.server import EmbeddedServer

    server = EmbeddedServer(tmp_path_factory.mktemp("embedded server"))
    try:
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def wiped_server(embedded_server: Any) -> Callable[[], str]:
    """``server_url`` for fixtures that live longer than one test: each call empties the server and returns its URL."""

    def wiped() -> str:
        url: str = embedded_server.ensure_running()
        wipe(url)
        return url

    return wiped


@pytest.fixture(scope="session")
def wipe_server() -> Callable[[str], None]:
    """Empties a server by its URL."""
    return wipe


@pytest.fixture
def server_url(wiped_server: Callable[[], str]) -> str:
    """The administrator's URL of a running server without any tenant, golden or catalog on it."""
    return wiped_server()


def wipe(url: str) -> None:
    """Drop every database and role that a test can have made; prepared transactions and sessions do not stop it."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
        for (name,) in connection.execute(names).fetchall():
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        roles = "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> current_user"
        for (name,) in connection.execute(roles).fetchall():
            # What a test granted on the server's own database goes too; a role with privileges cannot be dropped.
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


SMALL_REGISTRY = """\
registry_version: "2.0"
customer_info:
  customer_code: "acme"
  customer_name: "Acme"
  region: "japan"
  environment: "production"
database_groups:
  tenants:
    type: "tenant_group"
    template: "tenant_type1"
    tenant_count: 4
    naming_pattern: "{customer_code}_t_{tenant_id}"
    variables:
      TENANT_PREFIX: "{customer_code}_t_{tenant_id}"
      CUSTOMER_CODE: "{customer_code}"
      TENANT_TYPE: "standard"
      DATABASE_NAME: "{customer_code}_t_{tenant_id}"
  fixed:
    type: "fixed_group"
    databases:
      - name: "acme_common"
        template: "common"
        variables:
          CUSTOMER_CODE: "{customer_code}"
operations:
  batch_settings:
    max_parallel: 4
    timeout_seconds: 60
    retry_attempts: 3
"""


@pytest.fixture(scope="session")
def make_project() -> Callable[..., Path]:
    """``make_project(folder, url)``: a project with the saas blueprint's templates and a registry of four tenants and one fixed
    database. Its environment ``customer_a`` has the deployment ``main`` at that URL; without one it uses the embedded server.
    """
    from manor.control.operations.scaffold import scaffold

    def make(folder: Path, url: str | None = None) -> Path:
        scaffold("saas", folder)
        environment = folder / "customer_a"
        if url is not None:
            text = f"description: test\ndeployments:\n  main: {url!r}\n"
            (environment / "environ.yaml").write_text(text, encoding="utf-8")
        (environment / "tenant_registry.yaml").write_text(SMALL_REGISTRY, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def project(tmp_path: Path, server_url: str, make_project: Callable[..., Path]) -> Path:
    """The small project on the clean server. The registry is ``customer_a/tenant_registry.yaml``."""
    return make_project(tmp_path / "a project", server_url)


@pytest.fixture
def manor(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the ``manor`` command in the project, as a user would: ``manor("multi-tenant", "deploy", ...)``; output is kept."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "manor.cli.main", *map(str, arguments)]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=240, check=False, **options)

    return run
