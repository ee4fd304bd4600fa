"""A fleet of numbered tenants to which one release after the other comes, and copies of it for those we are measured against.

Every way gets the same statements in the same order: release k adds a column with a default and an index to ``orders``, and a
table of its own. The first release of each way is not measured: it makes the tables of its history.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.ground import PARALLEL, Ground, connections, open_ground, shared_out
from benchmarks.measure import Sample, Settings
from manor.control.operations.migrate import MigrateRequest, migrate
from manor.control.operations.release_draft import Selection
from manor.control.rollout.report import Report
from manor.wiring import open_runtime

GROUP = "saas_standard_tenants"
EVERYONE = Selection(everyone=True)
STATEMENTS = """\
ALTER TABLE orders ADD COLUMN release_{number} text NOT NULL DEFAULT 'none';
CREATE INDEX idx_orders_release_{number} ON orders (release_{number});
CREATE TABLE release_{number} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint NOT NULL, noted_at timestamptz NOT NULL DEFAULT now());
"""
UNDO = """\
DROP TABLE release_{number};
ALTER TABLE orders DROP COLUMN release_{number};
"""
COMMON = f"""\
Release k adds a column with a default and an index to `orders`, and a table. Each way has its own databases, file copies of
one golden, and gets the same releases in the same order; the first one, with which the tables of the history are made, is
not measured. Before every measurement there is a CHECKPOINT, which is not counted. {PARALLEL} databases at once, unless told
otherwise; fsync is on."""


@dataclass(slots=True, kw_only=True)
class ReleaseGround:
    """One fleet and its releases."""

    ground: Ground
    databases: tuple[str, ...]
    """Of the numbered tenants."""
    released: int = field(default=0, init=False)

    @property
    def migrations(self) -> Path:
        """The folder of the numbered tenants' template."""
        return self.ground.workplace.project.folder / "customer_a" / "tenant_type1" / "migrations"

    def write_release(self) -> None:
        """Put the next release into the folder."""
        self.released += 1
        self.migrations.mkdir(exist_ok=True)
        write_migration(self.migrations, self.released)

    async def migrate(self, request: MigrateRequest) -> Report:
        """The whole command as the library does it. Raises ``RuntimeError`` where it fails."""
        workplace = replace(self.ground.workplace, sessions=PARALLEL)
        async with open_runtime(workplace) as runtime:
            report = await migrate(runtime, workplace.project.folder, request)
        if report.exit_code:
            raise RuntimeError(f"the release that was measured failed: {report.summary} {report.problems}")
        return report

    def release(self, strategy: str = "rolling") -> tuple[Sample, Report]:
        """Bring the next release to everyone."""
        self.write_release()
        return self.time(MigrateRequest(selection=EVERYONE, strategy=strategy))

    def time(self, request: MigrateRequest) -> tuple[Sample, Report]:
        """One command, after a checkpoint that is not counted."""
        reports: list[Report] = []

        async def work() -> None:
            reports.append(await self.migrate(request))

        sample = self.timed(work)
        return sample, reports[0]

    def timed(self, work: Callable[[], Awaitable[object]]) -> Sample:
        """Any work, after a checkpoint that is not counted."""
        asyncio.run(self.ground.checkpoint())
        return self.ground.timed(work, checkpoint=False)

    def copies(self, prefix: str, prepare: str = "") -> list[str]:
        """As many copies of a tenant as there are tenants, outside the catalog; ``prepare``: SQL that all of them have seen."""
        source = f"{prefix}_source"
        asyncio.run(self._copy([source], self.databases[0]))
        with psycopg.connect(self.url(source), autocommit=True) as connection:
            connection.execute(prepare.encode() or b"SELECT 1")
        names = [f"{prefix}_{number:04d}" for number in range(1, len(self.databases) + 1)]
        asyncio.run(self._copy(names, source))
        return names

    async def _copy(self, names: Sequence[str], source: str) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        async with connections(self.ground.url, 4) as opened:

            def copier(connection: psycopg.AsyncConnection[object]) -> Callable[[str], Awaitable[object]]:
                return lambda name: connection.execute(statement.format(sql.Identifier(name), sql.Identifier(source)))

            await shared_out(names, [copier(connection) for connection in opened])

    def url(self, database: str) -> str:
        """The administrator's way into one database."""
        return make_conninfo(self.ground.url, dbname=database)


def write_migration(folder: Path, number: int) -> None:
    """Release ``number`` in dbmate's format."""
    up, down = STATEMENTS.format(number=number), UNDO.format(number=number)
    text = f"-- migrate:up\n{up}\n-- migrate:down\n{down}"
    (folder / f"{20260000 + number}_release_{number}.sql").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def open_release_ground(settings: Settings, tenants: int) -> Iterator[ReleaseGround]:
    """So many numbered tenants (a quick run: a tenth of them) and the blueprint's three fixed databases, deployed."""
    with open_ground(settings, standard=tenants, enterprise=0) as ground:
        targets = ground.fleet().targets
        asyncio.run(ground.deploy())
        yield ReleaseGround(ground=ground, databases=tuple(t.database for t in targets if t.group == GROUP))
