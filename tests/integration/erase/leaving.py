"""A fleet whose tenants leave: each has a marker in every kind of place, and what of it is still there can be asked."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from fleet_fixtures import Fleet, build_fleet

from manor.telemetry import Event

SETTINGS = """\
settings:
  backup: {{encrypt: {encrypt}}}
  erasure: {{storage: ["{objects}/{{tenant_id}}"]}}
"""


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """One tenant on its way out."""

    fleet: Fleet
    number: int
    url: str
    """As its application has it."""

    @property
    def id(self) -> str:
        return self.fleet.tenant(self.number)

    @property
    def database(self) -> str:
        return self.fleet.databases[self.number - 1]

    @property
    def marker(self) -> str:
        """A text that nobody else has."""
        return f"marker-of-tenant-number-{self.number:03d}-zebra"

    @property
    def objects(self) -> Path:
        return self.fleet.folder / "objects" / self.id

    @property
    def backups(self) -> Path:
        return self.fleet.folder / ".manor" / "backups" / self.id

    @property
    def may_log_in(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def furnish(self) -> None:
        """Rows, objects and a backup."""
        self.fleet.ask(f"INSERT INTO items (id, name) VALUES (1000, '{self.marker}')", self.database)
        self.objects.mkdir(parents=True)
        (self.objects / "letter.txt").write_text(self.marker, encoding="utf-8")
        self.fleet("tenant", "backup", "--tenant-id", self.id)

    def left_behind(self) -> list[str]:
        """What is there that should be gone."""
        ask = self.fleet.ask
        found = [f"database {row[0]}" for row in ask(f"SELECT datname FROM pg_database WHERE datname = '{self.database}'")]
        found += [f"role {row[0]}" for row in ask(f"SELECT rolname FROM pg_roles WHERE rolname = '{self.database}'")]
        found += [f"file {path}" for folder in (self.objects, self.backups) for path in folder.rglob("*") if path.is_file()]
        for table, column in (
            ("tenants", "id"),
            ("databases", "tenant"),
            ("suspensions", "tenant"),
            ("claims", "tenant"),
            ("backups", "tenant"),
            ("tenant_keys", "tenant"),
            ("kept_databases", "tenant"),
        ):
            rows = ask(f"SELECT 1 FROM manor.{table} WHERE {column} = '{self.id}'", "manor_catalog")
            found += [f"{len(rows)} rows of manor.{table}"] if rows else []
        return found


def build(folder: Path, url: str, *, tenants: int, encrypt: bool = False) -> Fleet:
    """A fleet with a place for objects and backups."""
    fleet = build_fleet(folder, url, tenants=tenants)
    with (fleet.environment / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS.format(objects=folder / "objects", encrypt=str(encrypt).lower()))
    return fleet


def leaving(fleet: Fleet, number: int, *, furnished: bool = True) -> Leaving:
    """The n-th tenant, from 1."""
    url = fleet.json("tenant", "url", fleet.tenant(number))["url"]
    tenant = Leaving(fleet=fleet, number=number, url=url)
    if furnished:
        tenant.furnish()
    assert tenant.may_log_in
    return tenant


def give_away(manifest: Path) -> None:
    """Make a backup one of another installation, as if that had put it there."""
    from manor.control.backup.manifest import Manifest

    made = Manifest.from_json(manifest.read_bytes())
    manifest.write_bytes(replace(made, installation="another").to_json())


def killed_at(fleet: Fleet, kind: str, work: Any) -> bool:
    """Run ``work(runtime, workplace)`` in a process that dies at the first event of ``kind``; whether it came to that."""
    pid = os.fork()
    if not pid:
        run(fleet, kind, work)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def run(fleet: Fleet, kind: str, work: Any, *, act: Callable[[], object] | None = None) -> Any:
    """Run it with servers and catalog open. ``act``: what happens at the first event of ``kind``, instead of its death."""
    acts = [act] if act is not None else []
    from manor.settings import load_environment, load_project
    from manor.telemetry import Telemetry
    from manor.wiring import Workplace, open_runtime

    def die(event: Event) -> None:
        if event.kind == kind and act is None:
            os.kill(os.getpid(), signal.SIGKILL)
        if event.kind == kind and acts:
            acts.pop()()

    async def opened() -> Any:
        project = load_project(fleet.folder)
        workplace = Workplace(
            project=project, environment=load_environment(project, fleet.environment), telemetry=Telemetry(die)
        )
        async with open_runtime(workplace) as runtime:
            return await work(runtime, workplace)

    return asyncio.run(opened())


def request_of(workplace: Any, **said: Any) -> Any:
    """A confirmed deletion, as the command line would ask for it."""
    from manor.control.operations.erase import EraseRequest
    from manor.wiring import erasure_surroundings, open_vault

    return EraseRequest(
        around=erasure_surroundings(workplace),
        open_vault=lambda location: open_vault(workplace, location, encrypt=False),
        confirm=True,
        **said,
    )


def build_embedded(folder: Path, *, tenants: int) -> Fleet:
    """The same on a server that Manor runs itself, so that its WAL can be archived and base backups taken."""
    from fleet_fixtures import REGISTRY, ROWS, SCHEMA

    from manor.control.engines.embedded.server import EmbeddedServer

    environment = folder / "customer_a"
    template = environment / "small"
    template.mkdir(parents=True)
    (folder / "project.yaml").write_text('project_name: "leaving"\n', encoding="utf-8")
    settings = SETTINGS.format(objects=folder / "objects", encrypt="true")
    (environment / "environ.yaml").write_text(f"description: test\n{settings}", encoding="utf-8")
    registry = REGISTRY.format(tenants=tenants, parallel=4, timeout=60, retries=2)
    (environment / "tenant_registry.yaml").write_text(registry, encoding="utf-8")
    (template / "_mapping.yaml").write_text('instances: ["main"]\n', encoding="utf-8")
    (template / "schema.sql").write_text(SCHEMA, encoding="utf-8")
    (template / "main@items.dat").write_text(ROWS, encoding="utf-8")
    fleet = Fleet(folder=folder, url=EmbeddedServer(folder).ensure_running(), tenants=tenants)
    fleet("multi-tenant", "deploy", "--registry", fleet.registry)
    return fleet
