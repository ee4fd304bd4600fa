"""A small fleet whose backups are put to the test, and what may be asked of its storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fleet_fixtures import Fleet, build_fleet
from psycopg import sql

from manor.control.engines.embedded.binaries import bundled_program
from manor.control.engines.postgres.client import psql_environment

DRIVER = Path(__file__).with_name("backup_driver.py")


@dataclass(frozen=True, kw_only=True)
class Backups:
    """A fleet and its backups, looked at without Manor's own reader."""

    fleet: Fleet

    @property
    def folder(self) -> Path:
        """The default location."""
        return self.fleet.folder / ".manor" / "backups"

    def take(self, *arguments: object, code: int | None = 0) -> Any:
        """``tenant backup --all`` as a document."""
        return self.fleet.json("tenant", "backup", "--all", *arguments, code=code)

    def manifests(self) -> list[Path]:
        """Newest last."""
        return sorted(self.folder.rglob("*.manifest.json"), key=lambda path: path.name)

    def of(self, number: int) -> tuple[dict[str, Any], Path]:
        """The newest manifest of the n-th tenant, and its dump."""
        manifest = [path for path in self.manifests() if path.parent.name == f"{number:03d}"][-1]
        document: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        return document, manifest.parent / document["dump"]["key"]

    def dumps(self) -> list[Path]:
        """All objects that are no manifests."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and ".incoming" not in path.parts]
        return sorted(path for path in files if not path.name.endswith(".manifest.json"))

    def orphans(self) -> list[Path]:
        """Dumps without a manifest."""
        known = {path.name.partition(".")[0] for path in self.manifests()}
        return [path for path in self.dumps() if path.name.partition(".")[0] not in known]

    def restore(self, dump: Path, database: str) -> None:
        """Load a dump into a new database with PostgreSQL's own programs."""
        with psycopg.connect(self.fleet.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(database)))
        variables = {**os.environ, **psql_environment(self.fleet.url), "PGDATABASE": database}
        if dump.suffix == ".sql":
            command = [bundled_program("psql", 18), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump)]
        else:
            command = [bundled_program("pg_restore", 18), "--exit-on-error", "-d", database, str(dump)]
        subprocess.run(command, env=variables, check=True, capture_output=True)

    def killed(self, at: str, occurrence: int = 1, *arguments: str) -> int:
        """The exit code of a backup (or ``--prune``) that dies at an event."""
        command = [sys.executable, str(DRIVER), str(self.fleet.folder), "--at", at, "--occurrence", str(occurrence), *arguments]
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Fleet:
    """Three tenants, deployed once per module."""
    found = build_fleet(tmp_path_factory.mktemp("backup"), wiped_server(), tenants=3)
    with (found.environment / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write("settings: {backup: {lock_timeout_seconds: 1, keep_last: 2}}\n")
    return found


@pytest.fixture
def backups(fleet: Fleet) -> Backups:
    """Without any backup at first."""
    found = Backups(fleet=fleet)
    for path in [*found.manifests(), *found.dumps()]:
        path.unlink()
    fleet.ask("TRUNCATE manor.backups", "manor_catalog")
    return found
