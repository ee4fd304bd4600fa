"""What recovery makes of swaps whose runner died: rights that come back, and releases that live and are left alone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from manor.control.engines.driver import FoundDatabase, ServerDriver
from manor.control.rollout.release.swap_recovery import recover_forgotten
from manor.control.runtime import Runtime
from manor.wiring import open_runtime

_found = importlib.util.spec_from_file_location("blue_green_tests", Path(__file__).with_name("test_blue_green.py"))
assert _found is not None
assert _found.loader is not None
blue_green: Any = importlib.util.module_from_spec(_found)
sys.modules[_found.name] = blue_green
_found.loader.exec_module(blue_green)

TENANT, OTHER, inside = blue_green.TENANT, blue_green.OTHER, blue_green.inside
RIGHTS = "SELECT datname, unnest(datacl)::text FROM pg_database WHERE datname LIKE 'acme%' ORDER BY 1, 2"


@pytest.fixture
def fleet(driver: Any, registry: Path, server_url: str) -> Path:
    """Two tenants at no version, who may make schemas of their own, and a migration that waits."""
    text = registry.read_text(encoding="utf-8")
    registry.write_text(text.replace("tenant_count: 4", "tenant_count: 2"), encoding="utf-8")
    assert driver.deploy_once(registry).exit_code == 0
    folder = registry.parent / "migrations"
    folder.mkdir()
    (folder / "20260101000000_colour.sql").write_text(blue_green.MIGRATION, encoding="utf-8")
    for database in (TENANT, OTHER):  # the role has the database's name; for anybody else's rights an undo asks for a word
        ask(server_url, f"GRANT CREATE ON DATABASE {database} TO {database} WITH GRANT OPTION")
    return registry


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    """As the administrator."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("kind", blue_green.BACK)
def test_switching_back_that_is_killed_leaves_everybody_their_rights(fleet: Path, server_url: str, kind: str) -> None:
    """Of the old or the new database: both are the tenant's."""
    before = ask(server_url, RIGHTS)
    operation = inside(fleet, lambda runtime: blue_green.release(runtime, fleet)).operation
    assert ask(server_url, RIGHTS) == before
    blue_green.killed(fleet, kind, "back", operation)
    inside(fleet, blue_green.recover)
    assert ask(server_url, RIGHTS) == before


def test_a_death_while_writes_are_looked_for_leaves_everybody_their_rights(fleet: Path, server_url: str) -> None:
    """By then they were taken away from the tenant's own database, and no other one has them."""
    ask(server_url, "CREATE ROLE reporting")
    ask(server_url, f"GRANT CONNECT ON DATABASE {TENANT} TO reporting")
    before = ask(server_url, RIGHTS)

    async def die_and_recover(runtime: Runtime) -> None:
        (server,) = runtime.servers.values()
        by = "20200101T000000-00000000:gone"
        await server.swaps.close(TENANT, catalog=runtime.catalog.id, tenant=blue_green.FULL_ID, by=by)
        await server.swaps.seclude(TENANT, by=by)
        assert ask(server_url, RIGHTS) != before
        assert await recover_forgotten(runtime) == 1

    inside(fleet, die_and_recover)
    assert ask(server_url, RIGHTS) == before


class Watched:
    """A server that tells its databases as they were before something else happened; ``empty``: it has none."""

    def __init__(self, server: ServerDriver, meanwhile: Callable[[], Awaitable[None]], *, empty: bool = False) -> None:
        self._server = server
        self._meanwhile = meanwhile
        self._empty = empty

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    async def databases(self) -> Mapping[str, FoundDatabase]:
        found = {} if self._empty else await self._server.databases()
        await self._meanwhile()
        return found


def test_a_release_that_begins_while_servers_are_looked_at_is_left_alone(fleet: Path) -> None:
    """The first server takes its time; meanwhile a release begins, closes tenants of the second one and makes their clones."""
    cloned, recovered = asyncio.Event(), asyncio.Event()

    async def release(runtime: Runtime) -> Any:
        (server,) = runtime.servers.values()
        swaps: Any = server.swaps
        copy = swaps.copy

        async def copy_and_wait(*arguments: Any) -> None:
            await copy(*arguments)
            cloned.set()
            await recovered.wait()

        swaps.copy = copy_and_wait
        return await blue_green.release(runtime, fleet)

    async def both() -> tuple[int, Any]:
        driver = blue_green.load_driver()
        async with contextlib.AsyncExitStack() as stack:
            releasing = await stack.enter_async_context(open_runtime(driver.open_workplace(fleet)))
            runtime = await stack.enter_async_context(open_runtime(driver.open_workplace(fleet)))
            tasks: list[asyncio.Task[Any]] = []

            async def begin() -> None:
                tasks.append(asyncio.create_task(release(releasing)))
                await asyncio.wait_for(cloned.wait(), 60)

            (server,) = runtime.servers.values()
            servers: dict[str, Any] = {"slow": Watched(server, begin, empty=True), "other": server}
            done = await recover_forgotten(dataclasses.replace(runtime, servers=servers))
            recovered.set()
            return done, await tasks[0]

    done, report = asyncio.run(both())
    assert done == 0
    assert blue_green.statuses(report) == {TENANT: "success", OTHER: "success"}
    assert inside(fleet, blue_green.look).colours == {TENANT: True, OTHER: True}


def test_what_a_release_keeps_while_a_server_is_looked_at_stays_known(fleet: Path) -> None:
    """It begins and ends in between: its entries are newer than what was seen, and not those of a dead one."""

    async def recover(runtime: Runtime) -> None:
        async def whole_release() -> None:
            await asyncio.to_thread(inside, fleet, lambda other: blue_green.release(other, fleet))

        (server,) = runtime.servers.values()
        watched: Any = Watched(server, whole_release)
        assert await recover_forgotten(dataclasses.replace(runtime, servers={server.name: watched})) == 0

    inside(fleet, recover)
    seen = inside(fleet, blue_green.look)
    assert len(seen.kept) == 2
    assert seen.kept == seen.recorded
