"""A small fleet that lives through many releases, the foreman of the workers that are killed, and an inspection that knows
nothing of Manor but its tables.

Every release brings two new migrations. Each adds a column and a row in the tenant's ledger, so that a migration which was run
by half, or twice, shows: history, columns and ledger must tell the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

DRIVER = Path(__file__).with_name("release_driver.py")
ENDED = {"success", "skipped", "error", "rolled_back", "not_started", "needs_decision"}

PROJECT = "project_name: releases\n"
SCHEMA = """\
schemas:
  main:
    tables:
      items:
        columns:
          - {column_name: id, column_type: BIGINT, nullable: false, primary_key: 1}
          - {column_name: owner, column_type: VARCHAR(100), nullable: false}
      ledger:
        columns:
          - {column_name: version, column_type: VARCHAR(40), nullable: false}
          - {column_name: direction, column_type: VARCHAR(4), nullable: false}
      poison:
        columns:
          - {column_name: id, column_type: BIGINT, nullable: false, primary_key: 1}
"""
MORE = """\
schemas:
  main:
    tables:
      extras:
        columns:
          - {column_name: id, column_type: BIGINT, nullable: false, primary_key: 1}
"""
MAPPING = """\
group: main
instances: [main]
deployment: true
data_models:
  items: {table_name: items, tenant_isolation_column: owner, default_tenant_value: "{TENANT_PREFIX}"}
"""
REGISTRY = """\
registry_version: "2.0"
customer_info: {{customer_code: rel, customer_name: Releases, region: japan, environment: production}}
database_groups:
  small:
    type: tenant_group
    template: small
    tenant_count: {small}
    naming_pattern: "rel_s_{{tenant_id}}"
    variables: {{TENANT_PREFIX: "rel_s_{{tenant_id}}"}}
  large:
    type: tenant_group
    template: large
    tenant_count: 2
    naming_pattern: "rel_l_{{tenant_id}}"
    variables: {{TENANT_PREFIX: "rel_l_{{tenant_id}}"}}
operations:
  batch_settings: {{max_parallel: 4, timeout_seconds: 60, retry_attempts: 3}}
"""
PLAIN = """\
-- migrate:up
ALTER TABLE items ADD COLUMN c{n} integer;
SELECT 1 / (1 - count(*)) FROM poison;
INSERT INTO ledger (version, direction) VALUES ('{n}', 'up');
-- migrate:down
ALTER TABLE items DROP COLUMN c{n};
SELECT 1 / (1 - count(*)) FROM poison;
INSERT INTO ledger (version, direction) VALUES ('{n}', 'down');
"""
APART = """\
-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY i{n} ON items (owner);
CREATE UNIQUE INDEX CONCURRENTLY j{n} ON items (id);
-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS j{n};
DROP INDEX CONCURRENTLY IF EXISTS i{n};
"""
_ROWS = "SELECT version FROM schema_migrations"
_LEDGER = "SELECT version, direction, count(*) FROM ledger GROUP BY 1, 2"
_COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0 AND NOT attisdropped"
_INDEXES = "SELECT relname FROM pg_class JOIN pg_index ON indexrelid = oid WHERE indisvalid AND relname ~ '^[ij][0-9]+$'"
_BROKEN = "SELECT relname FROM pg_class JOIN pg_index ON indexrelid = oid WHERE NOT indisvalid"
_TENANTS = """
SELECT d.tenant, d.database, d.version, d.golden, d.fingerprint, g.fingerprint, coalesce(l.history, '[]')
FROM manor.databases d LEFT JOIN manor.goldens g ON g.digest = d.golden LEFT JOIN manor.lineages l ON l.digest = d.golden
"""
_CLAIMS = """
SELECT c.tenant, o.id, o.state FROM manor.claims c JOIN manor.operations o ON o.id = c.operation
WHERE o.state NOT IN ('running', 'paused', 'needs_decision')
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a worker ended, or that it stands still."""

    pid: int
    signal: int
    stopped: bool
    document: Mapping[str, Any]
    events: tuple[tuple[str, str, str], ...]
    """(kind, operation, subject)."""

    @property
    def killed(self) -> bool:
        return self.signal == signal.SIGKILL

    @property
    def operation(self) -> str:
        """The release that it began; empty where it came not so far."""
        return next((operation for kind, operation, _ in self.events if kind == "operation.started"), "")

    @property
    def answer(self) -> Any:
        """What a verb returned. Fails where it raised."""
        assert "answer" in self.document, self.document
        return self.document["answer"]

    @property
    def error(self) -> Mapping[str, str]:
        """What a verb raised."""
        assert "error" in self.document, self.document
        found: Mapping[str, str] = self.document["error"]
        return found

    @property
    def statuses(self) -> dict[str, str]:
        """By database, from a report."""
        return {outcome["database"]: outcome["status"] for outcome in self.answer["outcomes"]}

    @property
    def failures(self) -> dict[str, str]:
        """By database, what a report says of those that are neither done nor skipped."""
        good = {"success", "skipped"}
        return {o["database"]: f"{o['status']}: {o['detail']}" for o in self.answer["outcomes"] if o["status"] not in good}


class Foreman:
    """Starts workers (``release_driver``) and waits for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._living: set[int] = set()
        command = [sys.executable, str(DRIVER)]
        self._log = (folder / "foreman.log").open("wb")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=folder
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _ask(self, wanted: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        line = self._read()
        assert line, (self._folder / "foreman.log").read_text(encoding="utf-8")
        return json.loads(line)

    def start(self, job: Mapping[str, Any]) -> tuple[int, Path]:
        """A new worker's process id, and its files without suffix."""
        self._number += 1
        files = self._folder / f"job{self._number}"
        started = self._ask({**job, "result": f"{files}.json", "events": f"{files}.events"})
        self._living.add(started["pid"])
        return started["pid"], files

    def wait(self, pid: int, files: Path) -> Ended:
        """Wait until it has ended or stopped."""
        found = self._ask({"wait": pid})
        if not found["stopped"]:
            self._living.discard(pid)
        result, events = files.with_suffix(".json"), files.with_suffix(".events")
        lines = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
        return Ended(
            pid=pid,
            signal=found["signal"],
            stopped=found["stopped"],
            document=json.loads(result.read_text(encoding="utf-8")) if result.exists() else {},
            events=tuple(tuple(line.split("\t", 2)) for line in lines),  # type: ignore[misc]
        )

    def end_workers(self) -> None:
        """Whoever still lives or stands still is killed."""
        for pid in sorted(self._living):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._ask({"wait": pid})
        self._living.clear()

    def close(self) -> None:
        self.end_workers()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


@dataclass(kw_only=True)
class Worker:
    """One job under way."""

    foreman: Foreman
    pid: int
    files: Path

    def wait(self) -> Ended:
        """Until it has ended or stopped."""
        return self.foreman.wait(self.pid, self.files)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)


@dataclass(kw_only=True)
class Fleet:
    """Six tenants of two templates, their migrations, and what may be said about them."""

    folder: Path
    url: str
    foreman: Foreman
    number: int = 0
    migrations: dict[str, str] = field(default_factory=dict)
    """By version, ``plain`` or ``apart``."""
    small: int = 4
    whole: bool = True
    """Whether the last test left it as it should be."""

    @property
    def registry(self) -> Path:
        return self.folder / "acme" / "tenant_registry.yaml"

    @property
    def head(self) -> str:
        return max(self.migrations, key=int, default="")

    def build(self) -> None:
        """Write the project and deploy it."""
        home = self.folder / "acme"
        for template, schema in (("small", SCHEMA), ("large", MORE)):
            (home / template).mkdir(parents=True)
            (home / template / "_mapping.yaml").write_text(MAPPING, encoding="utf-8")
            if template == "large":
                (home / template / "schema.yaml").write_text(schema, encoding="utf-8")
        (home / "migrations").mkdir()
        (self.folder / "project.yaml").write_text(PROJECT, encoding="utf-8")
        (self.folder / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
        (home / "environ.yaml").write_text(f"description: test\ndeployments:\n  main: {self.url!r}\n", encoding="utf-8")
        self.declare(self.small)
        done = self.run("deploy")
        assert set(done.statuses.values()) == {"success"}, done.document

    def declare(self, small: int) -> None:
        """So many tenants of the small template."""
        self.small = small
        self.registry.write_text(REGISTRY.format(small=small), encoding="utf-8")

    def release(self, *kinds: str) -> None:
        """Write new migrations: ``plain`` or ``apart``, two plain ones by default."""
        for kind in kinds or ("plain", "plain"):
            self.number += 1
            name = f"{self.number:06d}_{kind}.sql"
            text = {"plain": PLAIN, "apart": APART}[kind].format(n=self.number)
            (self.folder / "acme" / "migrations" / name).write_text(text, encoding="utf-8")
            self.migrations[f"{self.number:06d}"] = kind

    def start(self, verb: str, **job: Any) -> Worker:
        """Begin a job in a process of its own."""
        pid, files = self.foreman.start({"verb": verb, "registry": str(self.registry), **job})
        return Worker(foreman=self.foreman, pid=pid, files=files)

    def run(self, verb: str, **job: Any) -> Ended:
        """Carry a job out; one that was not to be killed must not crash."""
        ended = self.start(verb, **job).wait()
        assert "crash" not in ended.document, ended.document["crash"]
        return ended

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """As the administrator."""
        return psycopg.connect(self.url, dbname=database, autocommit=True)

    def rows(self, database: str, query: str) -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            return connection.execute(query.encode()).fetchall()

    def poison(self, *databases: str) -> None:
        """Let every new migration fail in these databases, and in no other."""
        for _, database, *_ in self.rows("manor_catalog", _TENANTS):
            with self.connect(database) as connection:
                connection.execute("DELETE FROM poison")
                if database in databases:
                    connection.execute("INSERT INTO poison VALUES (1)")

    def versions(self) -> dict[str, str]:
        """By database, the newest migration that its own history has."""
        tenants = self.rows("manor_catalog", _TENANTS)
        return {tenant[1]: max(self._history(tenant[1]), key=int, default="") for tenant in tenants}

    def problems(self, *, atomic: bool = False, midway: Sequence[str] = ()) -> list[str]:
        """Every promise that is broken after a recovery. ``midway``: databases that may stand between two statements of a
        migration which runs outside transactions."""
        found: list[str] = []
        tenants = self.rows("manor_catalog", _TENANTS)
        histories = {}
        for tenant, database, version, golden, fingerprint, expected, lineage in tenants:
            histories[database] = self._history(database)
            if database in midway:
                continue
            found += self._tenant_problems(database, histories[database])
            recorded = {row[0] for row in lineage}
            if recorded != histories[database]:
                found.append(f"{database}: the catalog says {sorted(recorded)}, its history {sorted(histories[database])}")
            if version != max(histories[database], key=int, default=""):
                found.append(f"{tenant}: recorded at {version}")
            if fingerprint != expected:
                found.append(f"{tenant}: recorded fingerprint {fingerprint}, its golden {golden} has {expected}")
        if atomic and len({frozenset(history) for history in histories.values()}) > 1:
            found.append(f"mixed: { ({name: sorted(h)[-2:] for name, h in histories.items()}) }")
        found += self._server_problems()
        found += [f"claim of {state} operation {i} on {t}" for t, i, state in self.rows("manor_catalog", _CLAIMS)]
        return found + self._seen_problems({tenant[0] for tenant in tenants}, bool(midway))

    def _history(self, database: str) -> set[str]:
        try:
            return {row[0] for row in self.rows(database, _ROWS)}
        except psycopg.errors.UndefinedTable:
            return set()

    def _tenant_problems(self, database: str, history: set[str]) -> list[str]:
        ledger = {(version, direction): number for version, direction, number in self.rows(database, _LEDGER)}
        columns = {row[0] for row in self.rows(database, _COLUMNS)}
        indexes = {row[0] for row in self.rows(database, _INDEXES)}
        found = [f"{database}: index {row[0]} is not valid" for row in self.rows(database, _BROKEN)]
        for version, kind in self.migrations.items():
            n, present = str(int(version)), version in history
            if kind == "apart":
                seen = [f"i{n}" in indexes, f"j{n}" in indexes]
            else:
                balance = ledger.get((n, "up"), 0) - ledger.get((n, "down"), 0)
                seen = [f"c{n}" in columns, balance == 1]
                if balance not in (0, 1):
                    found.append(f"{database}: {version} was run {balance} times")
            if seen != [present, present]:
                found.append(f"{database}: {version} is {'' if present else 'not '}in its history, but {seen} of it is there")
        return found

    def _server_problems(self) -> list[str]:
        prepared = self.rows("postgres", "SELECT gid, database FROM pg_prepared_xacts")
        strays = self.rows("postgres", "SELECT datname FROM pg_database WHERE datname ~ '^manor_(new|warm|tried)'")
        return [*(f"prepared: {row}" for row in prepared), *(f"left behind: {row[0]}" for row in strays)]

    def _seen_problems(self, tenants: set[str], midway: bool) -> list[str]:
        """What Manor itself says about its fleet and its journal."""
        seen = self.run("inspect").answer
        found = [*([] if midway else seen["unhealthy"]), *seen["audit"], *seen["in_doubt"]]
        for operation in seen["operations"]:
            name, counts = operation["id"], dict(Counter(operation["targets"].values()))
            if operation["state"] in ("running", "paused"):
                found.append(f"operation {name} is {operation['state']}")
            if counts != operation["counts"]:
                found.append(f"operation {name}: {counts}, shown as {operation['counts']}")
            if operation["summary"] != counts:
                found.append(f"operation {name}: recorded summary {operation['summary']} of {counts}")
            if set(counts) - ENDED:
                found.append(f"operation {name} left targets {counts}")
            found += [f"operation {name}: nobody knows why {tenant} failed" for tenant in operation["unnamed"]]
            found += [f"operation {name} does not name {stray}" for stray in set(operation["targets"]) - tenants]
        return found

    def finish(self) -> None:
        """A release that lives brings every tenant to the head, and then all is as it should be."""
        done = self.run("migrate", strategy="rolling")
        assert done.failures == {}, done.document
        assert set(self.versions().values()) == {self.head}
        assert self.problems(atomic=True) == []
        self.whole = True


@pytest.fixture(scope="module")
def foreman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreman]:
    """One process that has imported everything."""
    one = Foreman(tmp_path_factory.mktemp("workers"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def _fleets(foreman: Foreman, tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Callable[[], Fleet]:
    """The module's fleet; a new one where a test left the last one broken."""
    made: list[Fleet] = []

    def fleet() -> Fleet:
        foreman.end_workers()
        if not made or not made[-1].whole:
            made.append(Fleet(folder=tmp_path_factory.mktemp("fleet"), url=wiped_server(), foreman=foreman))
            made[-1].build()
        made[-1].whole = False
        return made[-1]

    return fleet


@pytest.fixture
def fleet(_fleets: Callable[[], Fleet]) -> Fleet:
    """A fleet at its head. A test ends with ``finish``, or leaves it to be thrown away."""
    return _fleets()
