"""Peak memory of the coordinator over 5,000 tenants against 500.

5,000 databases would take some 40 GB of disk. Here the catalog, the journal, the golden, the plan, the waves and the audit
log are the real thing for every tenant; only what happens inside a tenant's database is a double behind the
``ReleaseDriver`` port: it opens a session in database ``postgres`` through the real driver, within the real budget, and says
that the release came out.

``python -m benchmarks.release_memory PROJECT`` is the process that is measured.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from benchmarks.ground import PARALLEL, REGISTRY, Ground, open_ground
from benchmarks.measure import Result, Settings, Spread, Verdict
from benchmarks.processes import Usage, launch
from benchmarks.release_ground import EVERYONE, GROUP, write_migration
from manor.control.catalog.records import DatabaseRecord, OperationRecord
from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import Change, Changed
from manor.control.operations.migrate import MigrateRequest, migrate
from manor.control.runtime import Runtime
from manor.settings import find_project, load_environment
from manor.telemetry import Telemetry
from manor.tenancy import TenantId
from manor.wiring import Workplace, open_runtime

TENANTS = 500
TIMES = 10
TARGET = 1.3
ABSENT = "absent_"
"""Databases whose names begin so are only recorded."""
METHOD = f"""\
{TENANTS * TIMES:,} and {TENANTS} tenants that are recorded as ready, of one template and one golden. One rolling release,
{PARALLEL} at once, in a process of its own through the library: catalog, journal, lint, plan, golden, waves, claims,
outcomes, heads, audit and report are the real thing for every tenant. **The tenants' databases are not there**
({TENANTS * TIMES:,} of them would take some 40 GB): a double behind the ReleaseDriver port opens a session in database
`postgres` through the real driver instead and says that the release came out. Memory: peak resident set of the process
(rusage), Python and all imports included. The ratio is that of the two peaks of one round."""


def run(settings: Settings) -> Result:
    """Both sizes, alternating."""
    few = TENANTS // 10 if settings.quick else TENANTS
    many = few * TIMES
    used: dict[int, list[Usage]] = {few: [], many: []}
    for _ in range(settings.rounds_or(3)):
        for tenants in used:
            used[tenants].append(_measure(tenants))
    factor = Spread.of([a.megabytes / b.megabytes for a, b in zip(used[many], used[few], strict=True)])
    verdict = Verdict(
        what=f"peak memory of the coordinator at {many:,} tenants against {few} (tenants' side a double)",
        target=f"≤ {TARGET}×",
        measured=factor.show(),
        reached=factor.middle <= TARGET,
    )
    return Result(
        title="Memory over the number of tenants",
        method=METHOD,
        header=("tenants", "peak MB (min / median / max)", "seconds (min / median / max)"),
        rows=[_row(tenants, taken) for tenants, taken in used.items()],
        verdicts=[verdict],
    )


def _row(tenants: int, used: list[Usage]) -> list[str]:
    return [f"{tenants:,}", Spread.of([u.megabytes for u in used]).show(0), Spread.of([u.seconds for u in used]).show()]


def _measure(tenants: int) -> Usage:
    with open_ground(Settings(), standard=1, enterprise=0) as ground:
        asyncio.run(ground.deploy())
        asyncio.run(_record(ground, tenants))
        folder = ground.workplace.project.folder
        migrations = folder / "customer_a" / "tenant_type1" / "migrations"
        migrations.mkdir()
        write_migration(migrations, 1)
        usage, told = launch([sys.executable, "-m", "benchmarks.release_memory", str(folder)])
    print(f"    {tenants:,} tenants: {usage.megabytes:.0f} MB, {usage.seconds:.1f} s", flush=True)
    assert told.strip() == str(tenants), f"{told.strip()} of {tenants} tenants were released"
    return usage


async def _record(ground: Ground, tenants: int) -> None:
    """Record tenants that are like the one that was deployed, up to ``tenants``."""
    async with ground.runtime() as runtime:
        (like,) = await runtime.catalog.databases(group=GROUP)
        url = (await runtime.catalog.urls([like.tenant]))[like.tenant]
        records = [_like(like, number, url) for number in range(2, tenants + 1)]
        operation = OperationRecord(
            id=runtime.operation, verb="deploy", state="running", source=REGISTRY, digest="", started_at=runtime.now()
        )
        await runtime.catalog.begin_operation(operation)
        await runtime.catalog.record_intent(records, runtime.operation)
        await runtime.catalog.record_results(runtime.operation, [], ready=records)
        await runtime.catalog.finish_operation(runtime.operation, "succeeded", {})


def _like(record: DatabaseRecord, number: int, url: str) -> DatabaseRecord:
    name = f"{ABSENT}{number:05d}"
    tenant = TenantId(record.tenant.customer_code, record.tenant.group, f"{number:05d}")
    return replace(record, tenant=tenant, database=name, role=name, name=name, url=url)


class _Releases:
    """The real driver, but for databases that are only recorded."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def apply(self, database: str, change: Change) -> Changed:
        """Say that the change came out, after a session's time."""
        if not database.startswith(ABSENT):
            return cast(Changed, await self._real.apply(database, change))
        await self._real.history("postgres")
        return Changed(ran=tuple(step.version for step in change.steps), fingerprint=change.fingerprint)


class _Server:
    """The real server with such releases."""

    def __init__(self, real: ServerDriver) -> None:
        self._real = real
        self.releases = _Releases(real.releases)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def _release(project: Path) -> int:
    """One rolling release; how many tenants it was brought to."""
    async with open_runtime(_workplace(project)) as runtime:
        report = await migrate(_doubled(runtime), project, MigrateRequest(selection=EVERYONE, strategy="rolling"))
    return report.summary.get("success", 0)


def _workplace(folder: Path) -> Workplace:
    project = find_project(folder, folder)
    environment = load_environment(project, (folder / REGISTRY).parent)
    return Workplace(project=project, environment=environment, telemetry=Telemetry(), sessions=PARALLEL)


def _doubled(runtime: Runtime) -> Runtime:
    return replace(runtime, servers={name: cast(ServerDriver, _Server(server)) for name, server in runtime.servers.items()})


if __name__ == "__main__":
    print(asyncio.run(_release(Path(sys.argv[1]))))
