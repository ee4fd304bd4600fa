"""Deploy against what scripts do: an empty database per tenant, then the tables and rows replayed into it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.ground import PARALLEL, Ground, connections, open_ground, shared_out
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Stopwatch, alternate, ratios, sample_rows
from manor.control.engines.driver import Fill, IsolatedColumn
from manor.control.engines.postgres.compile import compile_schema
from manor.control.engines.postgres.fill import fill_database
from manor.control.operations.fleet import Fleet
from manor.control.rollout.provision import isolated_columns
from manor.control.steps import Target
from manor.control.templates.model import Template, bind_dataset

METHOD = """\
*Replay*: 20 workers; each database is created from template0 with the server's default strategy (WAL_LOG), then entered once,
and the statements that Manor compiles for a golden and all rows, shared and own, run in one transaction. No roles, no
renames, no records, and the statements are compiled beforehand. *First deploy*: the whole command, catalog and goldens made
in it. Each measurement on a new server; both count their final CHECKPOINT. The ratio is replay time / deploy time of one
round."""


def run(settings: Settings) -> Result:
    """Two ways, alternating."""
    with contextlib.ExitStack() as grounds:
        fleet = grounds.enter_context(open_ground(settings)).fleet()
        legs = {
            "replay": lambda: replay(grounds.enter_context(open_ground(settings)), fleet),
            "first deploy": lambda: grounds.enter_context(open_ground(settings)).first_deploy(),
        }
        samples = alternate(legs, settings.rounds_or(3))
    faster = ratios(samples["replay"], samples["first deploy"])
    return Result(
        title="Deploy against creating and replaying DDL per tenant",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=len(fleet.targets)),
        remarks=[f"replay / first deploy: {faster.show()}"],
    )


def replay(ground: Ground, fleet: Fleet) -> Sample:
    """Every database from its statements."""
    ground.wipe()
    statements = {name: _statements(template) for name, template in fleet.templates.items()}
    return asyncio.run(_replay_all(ground, fleet, statements))


def _statements(template: Template) -> list[str]:
    isolation = [IsolatedColumn(table=i.table, column=i.column, value="") for i in template.isolation]
    return compile_schema(template.schema, isolation, version_number=180000)


async def _replay_all(ground: Ground, fleet: Fleet, statements: dict[str, list[str]]) -> Sample:
    async with connections(ground.url, PARALLEL) as opened:
        watch = Stopwatch(ground.postmaster)
        await shared_out(fleet.targets, [_replayer(ground, fleet, statements, connection) for connection in opened])
        await opened[0].execute("CHECKPOINT")
        return watch.read()


def _replayer(ground: Ground, fleet: Fleet, statements: dict[str, list[str]], maintenance: psycopg.AsyncConnection[Any]) -> Any:
    async def make(target: Target) -> None:
        name = sql.Identifier(target.database)
        await maintenance.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        info = make_conninfo(ground.url, dbname=target.database)
        async with await psycopg.AsyncConnection.connect(info, autocommit=True) as connection, connection.transaction():
            async with connection.pipeline():
                for statement in statements[target.template]:
                    await connection.execute(statement.encode())
            template = fleet.templates[target.template]
            rows = tuple(bind_dataset(d, target.variables) for d in (*template.shared_rows, *template.tenant_rows))
            isolation = isolated_columns(template, target.variables)
            await fill_database(connection, Fill(schema=template.schema, isolation=isolation, rows=rows))

    return make
