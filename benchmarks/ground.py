"""A project with its own embedded server and fleet, in a temporary folder, with the product's default settings.

Everything goes at the end. Every measurement begins on the same ground: no tenant, no catalog, goldens or not as asked, and a
checkpoint behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from benchmarks.measure import Sample, Settings, Stopwatch
from manor.control.engines.embedded.server import EmbeddedServer
from manor.control.operations.deploy import DeployRequest, deploy, limits_of
from manor.control.operations.fleet import Fleet, FleetSource, load_fleet
from manor.control.operations.scaffold import scaffold
from manor.control.registry.count_edit import set_tenant_count
from manor.control.rollout.goldens import ensure_goldens
from manor.control.rollout.provision import Golden
from manor.control.runtime import Runtime
from manor.control.steps import Target
from manor.settings import find_project, load_environment
from manor.telemetry import Telemetry
from manor.wiring import ANCHOR_FILE, Workplace, embedded_server, open_runtime, template_examiner

REGISTRY = "customer_a/tenant_registry.yaml"
PARALLEL = 20
"""``max_parallel`` of the reference registry: what every rival gets, too."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One project and its running server."""

    workplace: Workplace
    source: FleetSource
    server: EmbeddedServer
    url: str
    postmaster: int

    def fleet(self) -> Fleet:
        """Registry and templates, read anew as every command does."""
        return load_fleet(self.source, template_examiner())

    async def deploy(self, request: DeployRequest | None = None) -> None:
        """The whole command as the library does it, from reading the registry to closing the last connection."""
        request = request or DeployRequest()
        fleet = self.fleet()
        bounded = replace(self.workplace, sessions=limits_of(fleet, request).parallel)
        async with open_runtime(bounded) as runtime:
            report = await deploy(runtime, fleet, request)
        if report.exit_code:
            raise RuntimeError(f"the deploy that was measured failed: {report.summary}")

    async def stock(self) -> dict[str, Golden]:
        """Build the goldens of all templates that the fleet uses, by template name."""
        async with self.runtime() as runtime:
            (server,) = runtime.servers.values()
            return await ensure_goldens(runtime, server, self.fleet().templates.values())

    def runtime(self) -> contextlib.AbstractAsyncContextManager[Runtime]:
        """Servers and catalog, opened as a command opens them."""
        return open_runtime(self.workplace)

    def timed(self, work: Callable[[], Awaitable[object]], *, checkpoint: bool = True) -> Sample:
        """Run ``work`` and, unless told otherwise, the checkpoint that it left to somebody else."""

        async def all_of_it() -> Sample:
            watch = Stopwatch(self.postmaster)
            await work()
            if checkpoint:
                await self.checkpoint()
            return watch.read()

        return asyncio.run(all_of_it())

    def first_deploy(self) -> Sample:
        """The whole command where nothing is there but the server: catalog and goldens are made in it."""
        self.wipe()
        return self.timed(self.deploy)

    async def checkpoint(self) -> None:
        """Force one."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute("CHECKPOINT")

    def wipe(self) -> None:
        """Drop every database and role that is not the server's own, and end with a checkpoint."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            names = "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
            for (name,) in connection.execute(names).fetchall():
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            roles = "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> current_user"
            for (name,) in connection.execute(roles).fetchall():
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
            connection.execute("CHECKPOINT")
        (self.workplace.state / ANCHOR_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def open_ground(settings: Settings, *, standard: int = 100, enterprise: int = 50) -> Iterator[Ground]:
    """The saas blueprint with so many tenants of its two plans (a quick run: a tenth of them) and its three fixed databases."""
    scale = 10 if settings.quick else 1
    with tempfile.TemporaryDirectory(prefix="manor-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server runs under an account of its own when we are root
        project = folder / "project"
        scaffold("saas", project)
        _set_counts(project / REGISTRY, standard // scale, enterprise // scale)
        yield from _open(project)


def _set_counts(registry: Path, standard: int, enterprise: int) -> None:
    text = registry.read_text(encoding="utf-8")
    for group, count in (("saas_standard_tenants", standard), ("enterprise_tenants", enterprise)):
        text = set_tenant_count(text, group, count, file=REGISTRY)
    registry.write_text(text, encoding="utf-8")


def _open(folder: Path) -> Iterator[Ground]:
    registry = folder / REGISTRY
    project = find_project(folder, folder)
    environment = load_environment(project, registry.parent)
    workplace = Workplace(project=project, environment=environment, telemetry=Telemetry(), sessions=PARALLEL)
    server = embedded_server(project, environment)
    try:
        status = server.start()
        assert status.pid is not None
        yield Ground(
            workplace=workplace,
            source=FleetSource(
                project=folder, registry=registry, shown_as=REGISTRY, deployments=[d.name for d in environment.deployments]
            ),
            server=server,
            url=server.url,
            postmaster=status.pid,
        )
    finally:
        server.destroy()


@contextlib.asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[psycopg.AsyncConnection[Any]]]:
    """So many open connections in autocommit."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True)) for _ in range(count)
        ]


async def shared_out(items: Sequence[T], workers: Sequence[Callable[[T], Awaitable[object]]]) -> None:
    """Each worker takes the next item until none is left; all of them at once."""
    waiting = iter(items)

    async def drain(work: Callable[[T], Awaitable[object]]) -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(drain(work) for work in workers))


def golden_of(goldens: dict[str, Golden], target: Target) -> str:
    """The database that a target is copied from."""
    return goldens[target.template].database
