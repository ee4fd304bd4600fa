"""A small fleet with a slow migration, released through either engine; workers are processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

TENANTS = 12
MIGRATION = """\
-- migrate:up
CREATE TABLE IF NOT EXISTS counted (version text NOT NULL);
INSERT INTO counted VALUES ('{version}');
SELECT pg_sleep({seconds});
"""
DEAD_AFTER = 1.5
"""Seconds of silence after which tests take a worker for dead."""


class Process:
    """``manor`` in a process of its own whose lines on stderr can be waited for. ``program``: Python's arguments for it."""

    def __init__(self, folder: Path, *arguments: object, program: Sequence[str] = ("-m", "manor.cli.main")) -> None:
        command = [sys.executable, *program, *map(str, arguments)]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.output = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, text: str, *, seconds: float = 30) -> None:
        """Until a line with ``text`` was told."""
        with self._changed:
            found = self._changed.wait_for(lambda: any(text in line for line in self.lines), timeout=seconds)
        assert found, f"never told: {text}\n{''.join(self.lines)}"

    def ended(self, seconds: float = 60) -> str:
        """Wait for its end; returns stdout."""
        stdout, stderr = self.process.stdout, self.process.stderr
        assert stdout is not None
        assert stderr is not None
        if not stdout.closed:
            self.output = stdout.read()
            self.process.wait(timeout=seconds)
            self._reader.join(timeout=5)
            stdout.close()
            stderr.close()
        return self.output

    @property
    def code(self) -> int | None:
        """How it ended."""
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL, if it lives, and wait."""
        if self.process.poll() is None:
            self.process.kill()
        self.ended()


@dataclass(kw_only=True)
class Crew:
    """A deployed project, and the processes that release it."""

    folder: Path
    url: str
    engine: str = "pgqueuer"
    before: str = ""
    """The newest release before the one that was begun."""
    processes: list[Process] = field(default_factory=list)

    def manor(self, *arguments: object, code: int = 0) -> Any:
        """Run a command to its end; returns its JSON."""
        command = [sys.executable, "-m", "manor.cli.main", "--format", "json", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout else None

    def begin(self, *arguments: object, **how: Any) -> Process:
        """Start a command and go on."""
        process = Process(self.folder, *arguments, **how)
        self.processes.append(process)
        return process

    def worker(self) -> Process:
        """A worker that is ready."""
        worker = self.begin("worker", "--dead-after", DEAD_AFTER)
        worker.wait_for("ready for")
        return worker

    def workers(self, number: int) -> list[Process]:
        """So many, where the engine has any."""
        return [self.worker() for _ in range(number if self.engine == "pgqueuer" else 0)]

    def migration(self, version: str, seconds: float = 0.1, text: str = "") -> None:
        """Put a migration into the registry's folder."""
        folder = self.folder / "customer_a" / "migrations"
        folder.mkdir(exist_ok=True)
        (folder / f"{version}_count.sql").write_text(
            text or MIGRATION.format(version=version, seconds=seconds), encoding="utf-8"
        )

    def forget(self, version: str) -> None:
        """Take a migration away that no later release can pass."""
        (self.folder / "customer_a" / "migrations" / f"{version}_count.sql").unlink()

    def release(self, *arguments: object, **process: Any) -> Process:
        """Begin to migrate the whole group."""
        self.before = self.operation()
        how = ("--strategy", "rolling", "--engine", self.engine, *arguments)
        return self.begin("--format", "json", "tenant", "migrate", "--group", "tenants", *how, **process)

    def ask(self, statement: str, database: str = "manor_catalog") -> list[tuple[Any, ...]]:
        """As the server's administrator."""
        with psycopg.connect(self.url, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> list[str]:
        """Of the tenants, by name."""
        return [row[0] for row in self.ask("SELECT database FROM manor.databases WHERE grp = 'tenants' ORDER BY 1")]

    def counts(self) -> dict[str, int]:
        """How often the newest migration was run in each tenant."""
        found = {}
        newest = max((self.folder / "customer_a" / "migrations").iterdir()).name.partition("_")[0]
        for database in self.databases():
            try:
                found[database] = self.ask(f"SELECT count(*) FROM counted WHERE version = '{newest}'", database)[0][0]
            except psycopg.errors.UndefinedTable:
                found[database] = 0
        return found

    def statuses(self) -> dict[str, int]:
        """Targets of the newest release by status."""
        statement = """SELECT status, count(*) FROM manor.outcomes WHERE operation = (
            SELECT id FROM manor.operations WHERE verb = 'migrate' ORDER BY started_at DESC LIMIT 1) AND status <> 'skipped'
            GROUP BY 1"""
        return dict(self.ask(statement))  # type: ignore[arg-type]

    def operation(self) -> str:
        """Id of the newest release."""
        statement = "SELECT id FROM manor.operations WHERE verb = 'migrate' ORDER BY started_at DESC LIMIT 1"
        found = self.ask(statement)
        return str(found[0][0]) if found else ""

    def want(self, wanted: str) -> None:
        """What ``manor operation pause|abort`` writes; the command itself would take longer than the release."""
        self.ask(f"UPDATE manor.operations SET wanted = '{wanted}' WHERE id = '{self.operation()}'")

    def until(self, condition: Callable[[], bool], *, seconds: float = 30) -> None:
        """Wait for something that only the database shows."""
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, f"it never came to that: {self.statuses()}"
            time.sleep(0.05)

    def until_some_ended(self, number: int = 1) -> None:
        """Until so many targets of the release that was begun succeeded."""
        self.until(lambda: self.operation() != self.before and self.statuses().get("success", 0) >= number)

    def close(self) -> None:
        """End every process that was started."""
        for process in self.processes:
            process.kill()


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str], make_project: Callable[..., Path]
) -> tuple[Path, str]:
    """One fleet per module; every test brings it a migration of its own."""
    url = wiped_server()
    folder = make_project(tmp_path_factory.mktemp("jobs") / "a project", url)
    registry = folder / "customer_a" / "tenant_registry.yaml"
    registry.write_text(registry.read_text(encoding="utf-8").replace("tenant_count: 4", f"tenant_count: {TENANTS}"), "utf-8")
    Crew(folder=folder, url=url).manor("multi-tenant", "deploy", "--registry", registry)
    return folder, url


_VERSIONS = iter(range(20260101000001, 20270101000000))


@pytest.fixture
def version() -> str:
    """Of a migration that no test has used."""
    return str(next(_VERSIONS))


@pytest.fixture
def crew(deployed: tuple[Path, str]) -> Iterator[Crew]:
    """The fleet, at its newest version; whatever the test starts is ended, and what it leaves undone is done."""
    folder, url = deployed
    crew = Crew(folder=folder, url=url)
    yield crew
    crew.close()
    if set(crew.statuses()) != {"success"}:
        crew.manor("tenant", "migrate", "--group", "tenants")


@pytest.fixture(params=["inline", "pgqueuer"])
def either(request: pytest.FixtureRequest, crew: Crew) -> Crew:
    """The same, once with each engine."""
    crew.engine = request.param
    return crew
