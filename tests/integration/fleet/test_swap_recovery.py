"""What recovery makes of swaps whose runner died."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from manor.control.rollout.release.swap_recovery import recover_forgotten
from manor.control.runtime import Runtime

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
