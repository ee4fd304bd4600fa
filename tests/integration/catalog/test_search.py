"""A search compiled to SQL finds in a real catalog exactly the tenants that its predicate finds."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manor.control.registry.search.fields import CATALOG, record_values
from manor.control.registry.search.parse import parse_search
from manor.control.registry.search.predicate import Search, truth
from manor.control.registry.search.sql import compile_sql


def load_trees() -> ModuleType:
    """The strategies of the unit tests."""
    file = Path(__file__).parents[2] / "unit" / "registry" / "test_search_trees.py"
    found = importlib.util.spec_from_file_location("search_trees", file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


trees = load_trees()

SELECT = (
    "SELECT databases.tenant, {condition} FROM manor.databases AS databases"
    " JOIN manor.tenants AS tenants ON tenants.id = databases.tenant ORDER BY databases.tenant"
)
INSERT_TENANT = (
    "INSERT INTO manor.tenants (id, name, database_url, is_active, customer_code, grp, short_id, source, variables, config)"
    " VALUES (%(tenant)s, %(name)s, '', %(is_active)s, 'c', 'g', %(id)s, %(source)s, %(variables)s, %(config)s)"
)
INSERT_DATABASE = (
    "INSERT INTO manor.databases (tenant, server, database, grp, template, role, state, created_at, updated_at, version)"
    " VALUES (%(tenant)s, %(server)s, %(id)s, 'g', %(template)s, %(id)s, %(state)s, %(created_at)s,"
    " %(updated_at)s, %(version)s)"
)


@pytest.fixture
def session(direct: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A session with the settings of the catalog's own; the column that releases bring is there."""
    direct.execute("SET TIME ZONE 'UTC'; SET search_path TO pg_catalog")
    direct.execute("ALTER TABLE manor.databases ADD COLUMN IF NOT EXISTS version text NOT NULL DEFAULT ''")
    yield direct
    direct.rollback()


def load(session: psycopg.Connection[Any], rows: list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Put the rows in; returns the values that the predicate sees, by tenant."""
    seen = {}
    for number, row in enumerate(rows):
        keys = {"tenant": f"c/g/{number}", "id": str(number)}
        columns = {**row, **keys, "variables": json.dumps(row["variables"]), "config": json.dumps(row["config"])}
        session.execute(INSERT_TENANT, columns)
        session.execute(INSERT_DATABASE, columns)
        seen[keys["tenant"]] = {
            **row,
            "tenant_id": keys["tenant"],
            "id": keys["id"],
            "customer_code": "c",
            "group": "g",
            "database": keys["id"],
            "role": keys["id"],
            "version": row["version"] or None,
            "status": "active" if row["is_active"] else "inactive",
        }
    return seen


def answers(session: psycopg.Connection[Any], search: Search) -> dict[str, bool | None]:
    condition, parameters = compile_sql(search)
    return dict(session.execute(SELECT.format(condition=condition).encode(), parameters).fetchall())


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(trees.ROWS, min_size=1, max_size=4), found=st.lists(trees.TREES, min_size=1, max_size=8))
def test_sql_and_predicate_give_the_same_answer(session, rows, found):
    """True, false or NULL, for random tenants and random searches."""
    with session.transaction(force_rollback=True):
        values = load(session, rows)
        for tree in found:
            search = Search(text=str(tree), root=tree, fields=CATALOG)
            expected = {tenant: truth(tree, CATALOG, one) for tenant, one in values.items()}
            assert answers(session, search) == expected, str(tree)


async def test_records_of_the_catalog_have_the_values_that_sql_sees(catalog, operation, record, session):
    """``record_values`` of what the catalog returns, for each field of the table."""
    await catalog.begin_operation(operation("op1"))
    tenants = [record(number, is_active=number != 2) for number in range(1, 4)]
    tenants[2] = dataclasses.replace(tenants[2], config={"tier": "gold", "limits": {"users": 50}}, name="O'Neill")
    await catalog.record_intent(tenants, "op1")
    values = {str(found.tenant): record_values(found) for found in await catalog.databases()}
    columns = ", ".join(field.sql for field in CATALOG.fields.values())
    rows = session.execute(SELECT.format(condition=columns).encode()).fetchall()
    assert {row[0]: dict(zip(CATALOG.fields, row[1:], strict=True)) for row in rows} == values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status = 'active'", {"001", "003"}),
        ("tier = 'standard' AND limits.users >= 5", {"001", "002"}),
        ("tenant_name = 'Acme 2' OR name ILIKE 'o''n%'", {"002", "003"}),
        ("created_at >= '2020-01-01' AND id IN ('001', '9')", {"001"}),
        ("nothing = 1 OR nothing <> 1", set()),
        ("name = '''; DROP TABLE manor.databases; --'", set()),
    ],
)
async def test_a_search_can_stand_behind_where(catalog, operation, record, session, text, expected):
    """In brackets, so that it can be put beside other conditions; SQL finds whom the predicate finds."""
    await catalog.begin_operation(operation("op1"))
    tenants = [record(number, is_active=number != 2) for number in range(1, 4)]
    tenants[2] = dataclasses.replace(
        tenants[2], config={"tier": "gold", "limits": {"users": "50"}}, name="O'Neill", variables={}
    )
    await catalog.record_intent(tenants, "op1")
    search = parse_search(text)
    condition, parameters = compile_sql(search)
    statement = (
        "SELECT tenants.short_id FROM manor.databases AS databases"
        " JOIN manor.tenants AS tenants ON tenants.id = databases.tenant"
        f" WHERE databases.server = %(server)s AND {condition}"
    )
    rows = session.execute(statement.encode(), {"server": "local", **parameters}).fetchall()
    assert {row[0] for row in rows} == expected
    assert {found.tenant.id for found in await catalog.databases() if search.matches(record_values(found))} == expected
