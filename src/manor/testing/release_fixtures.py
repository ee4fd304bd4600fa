"""What the release suite's tests are given: steps, changes, and ways to look into a tenant's database."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import Change, ChangeStep, HistoryRow, Prepared, ReleaseDriver
from manor.control.migrate.statements import split
from manor.errors import Place
from manor.testing.engine_fixtures import EngineFixtures, Make
from manor.testing.engine_samples import ServerBench, Tenant

Look = Callable[[Tenant, str], Awaitable[list[tuple[Any, ...]]]]

OTHER_TOOL = "CREATE TABLE public.schema_migrations (version varchar(128) PRIMARY KEY)"
"""dbmate's own table."""
NOTES = "CREATE TABLE notes (id integer PRIMARY KEY, body text)"


class ReleaseFixtures(EngineFixtures):
    """The fixtures of the suite, beside those of the engine suite."""

    @pytest.fixture
    def releases(self, server: ServerDriver) -> ReleaseDriver:
        """The server as releases see it."""
        return server.releases

    @pytest.fixture
    def look(self, bench: ServerBench) -> Look:
        """``await look(tenant, "SELECT …")`` as the administrator."""

        async def look(tenant: Tenant, statement: str) -> list[tuple[Any, ...]]:
            return await bench.ask(bench.admin_url(tenant.database), statement)

        return look

    @pytest.fixture
    async def tenant(self, make: Make) -> Tenant:
        """A published tenant that no release has seen."""
        return await make("a")

    @pytest.fixture
    async def gid(self, name: str, releases: ReleaseDriver, make: Make) -> AsyncIterator[str]:
        """A prefix for this test's prepared transactions, which are rolled back before its databases go."""
        del make  # so that databases outlive what is prepared in them
        yield f"{name}:"
        for left in await releases.prepared(f"{name}:"):
            async with releases.ballot(connections=0) as ballot:
                await ballot.roll_back(left.database, left.gid)


def step(version: str, text: str | None, **options: Any) -> ChangeStep:
    """A migration that begins in line 3, column 5 of its file."""
    place = None if text is None else Place(f"{version}.sql", 3, 5)
    statements = tuple(one.place for one in split(text, place).statements) if text and place and "\0" not in text else ()
    known: dict[str, Any] = {"version": version, "checksum": checksum(version), "name": f"{version} it's", "place": place}
    return ChangeStep(**known, text=text, statements=statements, **options)


def checksum(version: str) -> str:
    """Of the migration with that version."""
    return hashlib.sha256(version.encode()).hexdigest()


def change(*steps: ChangeStep, before: str = "", token: int = 5, operation: str = "op", **options: Any) -> Change:
    """A change; ``before``: the versions that are there already, with spaces between them."""
    known = tuple((version, checksum(version)) for version in before.split())
    return Change(operation=operation, token=token, before=known, steps=steps, **options)


async def versions(releases: ReleaseDriver, tenant: Tenant) -> list[str]:
    """The versions in a tenant's history."""
    return [row.version for row in await releases.history(tenant.database)]


async def only_row(releases: ReleaseDriver, tenant: Tenant) -> HistoryRow:
    """The one row of a tenant's history."""
    (row,) = await releases.history(tenant.database)
    return row


async def fingerprint_after(server: ServerDriver, tenant: Tenant, *changes: Change) -> str:
    """Apply changes to a tenant; the fingerprint that its database has then."""
    for each in changes:
        await server.releases.apply(tenant.database, each)
    return (await server.fingerprint(tenant.database, tenant.isolation))[0]


async def the_prepared(releases: ReleaseDriver, gid: str) -> list[tuple[str, str]]:
    """(gid, database) of what is prepared under a prefix."""
    found: list[Prepared] = await releases.prepared(gid)
    return [(one.gid, one.database) for one in found]
