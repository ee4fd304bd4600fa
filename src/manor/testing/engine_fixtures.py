"""What the engine suite's tests are given: a server, a golden database, tenants; and how they wait."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from manor.control.engines.driver import Fill, Login, Publication, ServerDriver
from manor.control.templates.model import BoundDataset, Schema, Sql
from manor.testing.engine_samples import (
    Golden,
    ServerBench,
    Tenant,
    customers,
    isolation,
    marker,
    new_login,
    sample_schema,
    sample_spec,
    varying,
)

WAIT_SECONDS = 20.0
GOLDEN = "suite_golden"

Make = Callable[..., Awaitable[Tenant]]
Connect = Callable[..., ServerDriver]


_FINGERPRINTS: dict[str, str] = {}
"""Of the golden database, by the server's address."""


class EngineFixtures:
    """The fixtures of the suite; the fixture ``bench`` comes from the driver's test file."""

    @pytest.fixture
    async def server(self, bench: ServerBench) -> AsyncIterator[ServerDriver]:
        """A driver on that server."""
        driver = bench.connect(operation="suite")
        yield driver
        await driver.close()

    @pytest.fixture
    async def connect(self, bench: ServerBench) -> AsyncIterator[Callable[..., ServerDriver]]:
        """``bench.connect`` for drivers that are closed at the end of the test."""
        opened: list[ServerDriver] = []

        def connect(operation: str, sessions: int = 8) -> ServerDriver:
            opened.append(bench.connect(operation=operation, sessions=sessions))
            return opened[-1]

        yield connect
        for driver in opened:
            await driver.close()

    @pytest.fixture
    async def name(self, server: ServerDriver) -> AsyncIterator[str]:
        """A prefix for this test's databases and roles, which are dropped at its end."""
        prefix = f"suite_{secrets.token_hex(4)}"
        yield prefix
        for database in await server.databases():
            if database.startswith(prefix):
                await server.drop_database(database)
        for role in await server.roles():
            if role.startswith(prefix):
                await server.drop_role(role)

    @pytest.fixture
    def schema(self, bench: ServerBench) -> Schema:
        """What the golden database is made of."""
        return sample_schema(bench.list_type)

    @pytest.fixture
    async def golden(self, server: ServerDriver, schema: Schema) -> Golden:
        """The golden database, built by the first test that needs it."""
        spec = sample_spec(schema, GOLDEN)
        await server.prepare()
        if GOLDEN not in await server.databases():
            _FINGERPRINTS[server.address] = await server.build_golden(spec)
        return Golden(spec=spec, fingerprint=_FINGERPRINTS[server.address])

    @pytest.fixture
    def make(self, server: ServerDriver, golden: Golden, name: str) -> Make:
        """``await make("a", customers("x"))``: a published tenant with these rows."""

        async def make(suffix: str, *rows: BoundDataset, password: str | None = None, value: str = "") -> Tenant:
            database = f"{name}_{suffix}"
            login = new_login(database) if password is None else Login(role=database, password=password)
            held = isolation(value or database)
            await server.create_roles([login])
            await server.clone(golden.spec.database, f"{database}_new")
            await server.restrict({f"{database}_new": marker("building", tenant=suffix)})
            await server.fill(
                f"{database}_new", Fill(schema=golden.spec.schema, isolation=held, rows=rows, varying=varying(rows))
            )
            await server.publish([publication(f"{database}_new", database, suffix)])
            return Tenant(database=database, login=login, isolation=held, url=server.url(database, login))

        return make


def publication(building: str, database: str, tenant: str, role: str | None = None) -> Publication:
    """From the provisional to the final name, for the role of the same name unless told otherwise."""
    return Publication(building=building, database=database, marker=marker("tenant", tenant=tenant), role=role or database)


def slow_fill(bench: ServerBench, golden: Golden) -> Fill:
    """A fill that would take a minute."""
    rows = (customers("slow", note=Sql(bench.slow_expression)),)
    return Fill(schema=golden.spec.schema, isolation=isolation("slow"), rows=rows)


async def busy(bench: ServerBench, operation: str, number: int) -> bool:
    """Whether so many of the operation's sessions are working."""
    return (await bench.sessions_of(operation))[1] == number


async def at_most(bench: ServerBench, operation: str, number: int) -> bool:
    """Whether the operation holds no more sessions than that."""
    return (await bench.sessions_of(operation))[0] <= number


async def settled(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds. Raises ``TimeoutError`` if it does not come to that."""
    end = time.monotonic() + WAIT_SECONDS
    while not await condition():
        if time.monotonic() > end:
            raise TimeoutError("the condition did not come about")
        await asyncio.sleep(0.02)
