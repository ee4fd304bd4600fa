"""A small fleet whose tenants have isolated columns, what it held at a moment, and a driver that dies where it is told to.

Each tenant's ledger is written by the test, so that after a restore every row is known: what must be there and what must not.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import psycopg

DRIVER = Path(__file__).with_name("restore_driver.py")
SCHEMA = """\
CREATE TABLE items (
    id integer NOT NULL, owner character varying(100) NOT NULL, name text NOT NULL, changed integer NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, id));
CREATE TABLE parts (
    id integer PRIMARY KEY, owner character varying(100) NOT NULL, item integer NOT NULL,
    FOREIGN KEY (owner, item) REFERENCES items (owner, id));
CREATE TABLE ledger (id bigserial PRIMARY KEY, entry text NOT NULL);
CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.changed = OLD.changed + 1; RETURN NEW; END $$;
CREATE TRIGGER count_changes BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION count_changes();
"""
MAPPING = """\
instances: ["main"]
data_models:
  items: {table_name: items, tenant_isolation_column: owner, default_tenant_value: "{DATABASE_NAME}"}
  parts: {table_name: parts, tenant_isolation_column: owner, default_tenant_value: "{DATABASE_NAME}"}
"""
ROWS = "- {id: 1, name: 'first'}\n- {id: 2, name: 'second'}\n"
LEFT_BEHIND = r"SELECT datname FROM pg_database WHERE datname ~ '^manor_(green|new|warm)_' ORDER BY 1"
MIGRATION = "ALTER TABLE ledger ADD COLUMN note text;"


@dataclass(frozen=True, kw_only=True)
class Fleet(fixtures.Fleet):
    """The fleet, with what tests of restores ask of it."""

    def enter(self, number: int) -> psycopg.Connection[Any]:
        """A session of the n-th tenant, with the URL that the catalog has."""
        return psycopg.connect(self("tenant", "url", self.tenant(number)).stdout.strip(), autocommit=True)

    def write_entries(self, number: int, *entries: str) -> None:
        """The tenant itself writes into its ledger."""
        with self.enter(number) as connection:
            for entry in entries:
                connection.execute("INSERT INTO ledger (entry) VALUES (%s)", [entry])

    def entries(self, number: int) -> list[str]:
        """All of the tenant's ledger, read by itself."""
        with self.enter(number) as connection:
            return [entry for (entry,) in connection.execute("SELECT entry FROM ledger ORDER BY id").fetchall()]

    def back_up(self, number: int, *options: object) -> Path:
        """Back the tenant up into a folder of its own; the dump's path."""
        folder = self.folder / f"backups-{len(list(self.folder.glob('backups-*')))}"
        self("tenant", "backup", "--tenant-id", self.tenant(number), "--output", folder, *options)
        (found,) = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".manifest.json")]
        return found

    def restore(self, number: int, *options: object, code: int | None = 0) -> Any:
        """``tenant restore`` as a document."""
        return self.json("tenant", "restore", "--tenant-id", self.tenant(number), *options, code=code)

    def refused(self, number: int, *options: object, code: int) -> str:
        """A restore that is refused or fails: nothing may be left of it, nothing changed. Returns what was said."""
        before = self.untouched(number)
        document = self.restore(number, *options, code=code)
        assert self.untouched(number) == before
        error = document.get("error") or document["outcomes"][0]["error"]
        return f"[{error['code']}] {error['message']} ({error['hint']})"

    def untouched(self, number: int) -> dict[str, Any]:
        """What must be the same before and after a restore that comes to nothing."""
        return {
            "databases": self.ask("SELECT oid, datname, datallowconn, datacl::text FROM pg_database ORDER BY datname"),
            "kept": self.ask("SELECT database FROM manor.kept_databases ORDER BY 1", "manor_catalog"),
            "claims": self.ask("SELECT tenant FROM manor.claims", "manor_catalog"),
            "records": self.ask("SELECT tenant, version, golden FROM manor.databases ORDER BY 1", "manor_catalog"),
            "entries": self.entries(number),
        }

    def check(self) -> None:
        """Every tenant is healthy by Manor's own word, and nothing is left behind."""
        report = self.json("multi-tenant", "healthcheck", "--registry", self.registry)
        assert {outcome["status"] for outcome in report["outcomes"]} == {"success"}, report
        assert self.ask(LEFT_BEHIND) == []
        assert self.ask("SELECT tenant FROM manor.claims", "manor_catalog") == []
        closed = "SELECT datname FROM pg_database WHERE NOT datallowconn AND datname LIKE 'acme%'"
        assert self.ask(closed) == []

    def kept(self) -> list[tuple[Any, ...]]:
        """(kind, tenant) of what is kept."""
        return self.ask("SELECT kind, tenant FROM manor.kept_databases ORDER BY created_at", "manor_catalog")

    def drive(self, *words: object, at: str = "", do: str = "die") -> subprocess.Popen[str]:
        """Start a command in a process that dies, stops or waits at the first event of a kind."""
        command = [sys.executable, str(DRIVER), at, do, "--project", str(self.folder), "--format", "json", *map(str, words)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def build(folder: Path, url: str, *, tenants: int = 3) -> Fleet:
    """A deployed fleet."""
    environment = folder / "customer_a"
    template = environment / "small"
    template.mkdir(parents=True)
    (folder / "project.yaml").write_text('project_name: "restores"\n', encoding="utf-8")
    (environment / "environ.yaml").write_text(f"deployments:\n  main: {url!r}\n", encoding="utf-8")
    text = fixtures.REGISTRY.format(tenants=tenants, parallel=4, timeout=60, retries=2)
    (environment / "tenant_registry.yaml").write_text(text, encoding="utf-8")
    (template / "_mapping.yaml").write_text(MAPPING, encoding="utf-8")
    (template / "schema.sql").write_text(SCHEMA, encoding="utf-8")
    (template / "main@items.dat").write_text(ROWS, encoding="utf-8")
    fleet = Fleet(folder=folder, url=url, tenants=tenants)
    fleet("multi-tenant", "deploy", "--registry", fleet.registry)
    return fleet
