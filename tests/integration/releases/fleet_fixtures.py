"""A small fleet for tests of releases, and what may be asked of it.

Test modules load this file by its path (tests are no package) and take the names that they need. The template has one table,
so that a whole fleet is made in about a second; commands run in this process where nothing has to be killed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

REGISTRY = """\
registry_version: "2.0"
customer_info:
  customer_code: "acme"
  customer_name: "Acme"
  region: "japan"
  environment: "production"
database_groups:
  tenants:
    type: "tenant_group"
    template: "small"
    tenant_count: {tenants}
    naming_pattern: "{{customer_code}}_t_{{tenant_id}}"
    variables:
      DATABASE_NAME: "{{customer_code}}_t_{{tenant_id}}"
      TIER: "standard"
operations:
  batch_settings:
    max_parallel: {parallel}
    timeout_seconds: {timeout}
    retry_attempts: {retries}
"""
SCHEMA = """\
CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL, price integer);
"""
ROWS = "- {id: 1, name: 'first', price: 10}\n"

PREPARED = "SELECT gid FROM pg_prepared_xacts"


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """What ``--format json`` printed."""
        return json.loads(self.stdout)

    @property
    def text(self) -> str:
        """Everything that was said."""
        return self.stdout + self.stderr


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """A deployed project on one server. ``url`` is the administrator's, not through any proxy."""

    folder: Path
    url: str
    tenants: int

    @property
    def environment(self) -> Path:
        return self.folder / "customer_a"

    @property
    def registry(self) -> Path:
        return self.environment / "tenant_registry.yaml"

    @property
    def databases(self) -> list[str]:
        """Of all tenants, in the registry's order."""
        return [f"acme_t_{number:03d}" for number in range(1, self.tenants + 1)]

    def tenant(self, number: int) -> str:
        """The full id of the n-th tenant, from 1."""
        return f"acme/tenants/{number:03d}"

    def run(self, *arguments: object) -> Done:
        """Run ``manor`` in this process, with its own streams."""
        from manor.cli.failures import run
        from manor.cli.main import cli

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, ["--project", str(self.folder), *map(str, arguments)])
        return Done(code=code, stdout=out.getvalue(), stderr=err.getvalue())

    def __call__(self, *arguments: object, code: int | None = 0) -> Done:
        """Run it; it must end with ``code`` (None: any), and never as a bug."""
        done = self.run(*arguments)
        assert code is None or done.code == code, f"exit code {done.code}\n{done.text}"
        assert "internal error" not in done.stderr, done.text
        return done

    def json(self, *arguments: object, code: int | None = 0) -> Any:
        """Run it with ``--format json``; all of stdout is one document."""
        return self("--format", "json", *arguments, code=code).document

    def migrate(self, *arguments: object, code: int | None = 0, everyone: bool = True) -> Any:
        """``tenant migrate --all`` as a document."""
        return self.json("tenant", "migrate", *(["--all"] if everyone else []), *arguments, code=code)

    def popen(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start ``manor`` in a process of its own, with JSON on its stdout."""
        command = [sys.executable, "-m", "manor.cli.main", "--format", "json", *map(str, arguments)]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env={**os.environ, **environment}, **streams)

    def write(self, version: str, up: str, down: str | None = None, *, name: str = "change", folder: str = "") -> Path:
        """Write a migration into the registry's own folder, or another one below the environment."""
        place = self.environment / folder / "migrations"
        place.mkdir(exist_ok=True, parents=True)
        text = f"-- migrate:up\n{up}\n" + (f"-- migrate:down\n{down}\n" if down is not None else "")
        file = place / f"{version}_{name}.sql"
        file.write_text(text, encoding="utf-8")
        return file

    def add(self, text: str) -> None:
        """Append to the registry."""
        with self.registry.open("a", encoding="utf-8") as file:
            file.write(text)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the server's administrator, past any proxy."""
        with psycopg.connect(self.url, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def history(self, database: str) -> list[str]:
        """The versions that a database has seen, in order."""
        if self.ask("SELECT to_regclass('schema_migrations')::text", database) == [(None,)]:
            return []
        return [version for (version,) in self.ask("SELECT version FROM schema_migrations ORDER BY version", database)]

    def histories(self) -> list[list[str]]:
        """Of every tenant."""
        return [self.history(database) for database in self.databases]

    def has(self, table: str) -> list[bool]:
        """Which tenants have a table."""
        return [self.ask(f"SELECT to_regclass('{table}') IS NOT NULL", database)[0][0] for database in self.databases]

    def recorded(self) -> dict[str, str]:
        """By database, the version that the catalog believes in."""
        return dict(self.ask("SELECT database, version FROM manor.databases ORDER BY database", "manor_catalog"))

    def operations(self) -> list[dict[str, Any]]:
        """The journal, newest first."""
        found: list[dict[str, Any]] = self.json("operation", "list")["operations"]
        return found

    def everything(self) -> dict[str, Any]:
        """What must be the same before and after whatever is refused."""
        audit = self.ask("SELECT count(*) FROM manor.audit_log", "manor_catalog")
        operations = self.ask("SELECT id, state FROM manor.operations ORDER BY 1", "manor_catalog")
        tables = "SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        return {
            "audit": audit,
            "operations": operations,
            "recorded": self.recorded(),
            "histories": self.histories(),
            "tables": [self.ask(tables, database) for database in self.databases],
            "databases": self.ask("SELECT datname FROM pg_database ORDER BY 1"),
            "prepared": self.ask(PREPARED),
        }

    def check_truth(self) -> None:
        """Nothing is prepared, nothing runs, and the catalog says of every tenant what its own history says."""
        assert self.ask(PREPARED) == []
        assert [one for one in self.operations() if one["state"] == "running"] == []
        actual = {database: (self.history(database) or [""])[-1] for database in self.databases}
        assert self.recorded() == actual


@contextlib.contextmanager
def holding(fleet: Fleet, database: str, statement: str) -> Iterator[int]:
    """A user's session that has done ``statement`` and leaves its transaction open; yields its pid."""
    with psycopg.connect(fleet.url, dbname=database, application_name="reporting") as connection:
        connection.execute(statement.encode())
        yield connection.info.backend_pid
        connection.rollback()


def wait_until(condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """The first answer of ``condition`` that is true. Raises ``TimeoutError``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(condition)


def build_fleet(
    folder: Path,
    url: str,
    *,
    tenants: int = 4,
    parallel: int = 4,
    timeout: int = 60,
    retries: int = 2,
    extra: str = "",
    through: str | None = None,
) -> Fleet:
    """A deployed fleet. ``through``: the deployment's URL, where it is not the catalog's; ``extra``: more of the registry."""
    environment = folder / "customer_a"
    template = environment / "small"
    template.mkdir(parents=True)
    (folder / "project.yaml").write_text('project_name: "releases"\n', encoding="utf-8")
    environ = f"description: test\ndeployments:\n  main: {through or url!r}\ncatalog_url: {url!r}\n"
    (environment / "environ.yaml").write_text(environ, encoding="utf-8")
    text = REGISTRY.format(tenants=tenants, parallel=parallel, timeout=timeout, retries=retries)
    (environment / "tenant_registry.yaml").write_text(text + extra, encoding="utf-8")
    (template / "_mapping.yaml").write_text('instances: ["main"]\n', encoding="utf-8")
    (template / "schema.sql").write_text(SCHEMA, encoding="utf-8")
    (template / "main@items.dat").write_text(ROWS, encoding="utf-8")
    fleet = Fleet(folder=folder, url=url, tenants=tenants)
    fleet("multi-tenant", "deploy", "--registry", fleet.registry)
    return fleet


def build_wide(folder: Path, url: str, spare: str) -> Fleet:
    """Two tenants on each of two servers, in the groups ``tenants`` (at ``url``, with the catalog) and ``others``."""
    fleet = build_fleet(folder, url, tenants=2)
    deployments = f"deployments:\n  main: {url!r}\n  spare: {spare!r}\ncatalog_url: {url!r}\n"
    (fleet.environment / "environ.yaml").write_text(f"description: test\n{deployments}", encoding="utf-8")
    before, group, after = _parted(fleet.registry.read_text(encoding="utf-8"))
    here = group.replace('type: "tenant_group"', 'type: "tenant_group"\n    server: main')
    there = group.replace('type: "tenant_group"', 'type: "tenant_group"\n    server: spare')
    there = there.replace("  tenants:\n", "  others:\n").replace("_t_", "_o_")
    fleet.registry.write_text(before + here + there + after, encoding="utf-8")
    fleet("multi-tenant", "deploy", "--registry", fleet.registry, "--allow-large-change")
    return fleet


def _parted(text: str) -> tuple[str, str, str]:
    begins, ends = text.index("  tenants:\n"), text.index("operations:")
    return text[:begins], text[begins:ends], text[ends:]


def statuses(report: Any) -> dict[str, str]:
    """By database, what became of it; the summary must add up."""
    found = {outcome["database"]: outcome["status"] for outcome in report["outcomes"]}
    assert sum(report["summary"].values()) == len(report["outcomes"])
    for status, number in report["summary"].items():
        assert number == list(found.values()).count(status), report["summary"]
    return found


def errors(report: Any) -> dict[str, Any]:
    """By database, why it failed."""
    return {outcome["database"]: outcome["error"] for outcome in report["outcomes"] if outcome["error"]}
