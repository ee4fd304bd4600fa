"""What the tests of whole deploys share: a reader of templates that knows nothing of Manor, and the inspection of a fleet.

The reader is written on purpose without Manor's own: PyYAML and ``str.replace`` are enough for the blueprint's files, and
whatever Manor's reader gets wrong cannot be wrong here in the same way.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql

JSON_TYPES = {114, 3802}
DRIVER = Path(__file__).with_name("deploy_driver.py")
Row = dict[str, Any]


class Expression(str):
    """What stands behind ``!sql``: its value is the server's affair."""


class TemplateYaml(yaml.SafeLoader):
    """YAML with ``!sql``."""


TemplateYaml.add_constructor("!sql", lambda loader, node: Expression(loader.construct_scalar(node)))


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One database that the registry declares."""

    name: str
    tenant: str
    rows: Mapping[str, list[Row]]
    """By table; a table without a file is empty."""


def replaced(value: Any, variables: Mapping[str, str]) -> Any:
    """``value`` with every ``{NAME}`` replaced, several times because values name each other."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, str):
        for _ in range(4):
            for name, text in variables.items():
                value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {key: replaced(item, variables) for key, item in value.items()}
    return [replaced(item, variables) for item in value] if isinstance(value, list) else value


def template_rows(folder: Path, variables: Mapping[str, str]) -> dict[str, list[Row]]:
    """The rows of every data file in one template folder."""
    files = sorted(folder.glob("*.dat"))
    loaded = {file.stem.split("@")[1]: yaml.load(file.read_text(encoding="utf-8"), TemplateYaml) for file in files}  # noqa: S506
    return {table: replaced(rows, variables) for table, rows in loaded.items()}


def read_declared(registry: Path) -> list[Declared]:
    """Every database of a registry, in its order."""
    document = yaml.safe_load(registry.read_text(encoding="utf-8"))
    customer = {key: str(value) for key, value in document["customer_info"].items()}
    found = []
    for group, body in document["database_groups"].items():
        for name, template, short_id, own in _members(body, customer):
            variables = {**customer, **body.get("variables", {}), **own, "tenant_id": short_id}
            rows = template_rows(registry.parent / template, {k: replaced(str(v), variables) for k, v in variables.items()})
            found.append(Declared(name=name, tenant=f"{customer['customer_code']}/{group}/{short_id}", rows=rows))
    return found


def _members(body: Mapping[str, Any], customer: Mapping[str, str]) -> list[tuple[str, str, str, dict[str, Any]]]:
    if body["type"] == "fixed_group":
        members = [(d["name"], d["template"], d.get("variables", {})) for d in body["databases"]]
        return [(replaced(name, customer), template, replaced(name, customer), own) for name, template, own in members]
    start, shape = body.get("tenant_id_start", 1), body.get("tenant_id_format", "{:03d}")
    ids = [shape.format(number) for number in range(start, start + body["tenant_count"])]
    return [(replaced(body["naming_pattern"], {**customer, "tenant_id": i}), body["template"], i, {}) for i in ids]


def difference(expected: Any, found: Any, *, is_json: bool) -> bool:
    """Whether a cell is not what its template says."""
    if isinstance(expected, Expression):
        return found is None
    if is_json:
        is_text = isinstance(expected, str) and expected.startswith(("{", "["))
        return bool(found != (json.loads(expected) if is_text else expected))
    if isinstance(found, dt.datetime):
        wanted = dt.datetime.fromisoformat(str(expected).replace("Z", "+00:00"))
        return found.replace(tzinfo=wanted.tzinfo if found.tzinfo is None else found.tzinfo) != _aware(wanted, found)
    if isinstance(found, dt.date):
        return found.isoformat() != str(expected)
    if isinstance(found, bool) or found is None or expected is None:
        return found is not expected
    if isinstance(found, int | float | Decimal):
        return Decimal(str(expected)) != Decimal(str(found))
    return bool(found != expected)


def _aware(wanted: dt.datetime, found: dt.datetime) -> dt.datetime:
    return wanted.replace(tzinfo=dt.UTC) if wanted.tzinfo is None and found.tzinfo is not None else wanted


def table_problems(connection: psycopg.Connection[Any], table: str, expected: list[Row]) -> list[str]:
    """What differs between a table and the rows that it should hold: each of them once, and no other."""
    cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
    columns = {d.name: d.type_code for d in cursor.description or ()}
    found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    problems = [f"{table}: {len(found)} rows, {len(expected)} expected"] if len(found) != len(expected) else []
    if not expected:
        return problems
    key = next(iter(expected[0]))
    by_key = {str(row[key]): row for row in found}
    for row in expected:
        there = by_key.get(str(row[key]))
        if there is None:
            problems.append(f"{table}: no row {key}={row[key]}")
            continue
        wrong = [c for c, v in row.items() if difference(v, there[c], is_json=columns[c] in JSON_TYPES)]
        problems += [f"{table}, {key}={row[key]}, {c}: {there[c]!r} instead of {row[c]!r}" for c in wrong]
    return problems


def database_problems(url: str, declared: Declared) -> list[str]:
    """What is wrong with the contents of one database, seen with its tenant's own URL."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            tables = {name for (name,) in names}
            problems = [f"table {t} is missing" for t in declared.rows if t not in tables]
            for table in sorted(tables):
                problems += table_problems(connection, table, declared.rows.get(table, []))
    except psycopg.Error as error:
        problems = [str(error)]
    return [f"{declared.name}: {problem}" for problem in problems]


_DOORS = """
SELECT datname, array_agg(coalesce(grantee.rolname, 'PUBLIC') ORDER BY 1) FILTER (WHERE entry.privilege_type = 'CONNECT')
FROM pg_database CROSS JOIN LATERAL aclexplode(coalesce(datacl, acldefault('d', datdba))) AS entry
LEFT JOIN pg_roles AS grantee ON grantee.oid = entry.grantee
WHERE datname NOT IN ('postgres', 'template0', 'template1') GROUP BY datname
"""
_ROLES = """
SELECT rolname, rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles
WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> current_user
"""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the catalog says, read through Manor."""

    catalog: str
    urls: Mapping[str, str]
    states: Mapping[str, str]
    goldens: frozenset[str]
    pool: tuple[tuple[str, str], ...]
    """(digest, database)."""
    operations: tuple[tuple[str, str], ...]
    """(id, state), newest first."""
    audit_problems: tuple[str, ...]


async def _read_catalog(driver: Any, registry: Path) -> Recorded:
    from manor.control.audit import AuditLog
    from manor.wiring import look_runtime

    async with look_runtime(driver.open_workplace(registry)) as runtime:
        assert runtime is not None, "there is no catalog"
        records = await runtime.catalog.databases()
        urls = await runtime.catalog.urls([r.tenant for r in records])
        verdict = await AuditLog(runtime.catalog, runtime.anchor).verify()
        server = next(iter(runtime.servers))
        return Recorded(
            catalog=runtime.catalog.id,
            urls={str(tenant): url for tenant, url in urls.items()},
            states={str(r.tenant): r.state for r in records},
            goldens=frozenset(g.database for g in await runtime.catalog.goldens(server)),
            pool=tuple((w.digest, w.database) for w in await runtime.catalog.pool_list(server)),
            operations=tuple((o.id, o.state) for o in await runtime.catalog.operations(10_000)),
            audit_problems=verdict.problems if not verdict.ok else (),
        )


@dataclass(frozen=True, kw_only=True)
class FleetCheck:
    """Looks at a whole fleet and says everything that is wrong with it."""

    driver: Any
    registry: Path
    admin_url: str

    def recorded(self) -> Recorded:
        """The catalog's side."""
        return asyncio.run(_read_catalog(self.driver, self.registry))

    def problems(self, *, pool: int = 0) -> list[str]:
        """Every broken promise of a finished deploy; empty when all is well. ``pool``: warm databases per golden."""
        declared = read_declared(self.registry)
        recorded = self.recorded()
        found = [f"the audit log: {p}" for p in recorded.audit_problems]
        found += [f"operation {i} is still running" for i, state in recorded.operations if state == "running"]
        wanted = {d.tenant: "ready" for d in declared}
        if recorded.states != wanted:
            found.append(f"the catalog has {recorded.states}")
        found += self._server_problems(declared, recorded, pool)
        for one in declared:
            found += database_problems(recorded.urls.get(one.tenant, ""), one)
        return found

    def _server_problems(self, declared: list[Declared], recorded: Recorded, pool: int) -> list[str]:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            doors: dict[str, list[str]] = {name: roles or [] for name, roles in connection.execute(_DOORS).fetchall()}
            roles = {name: (login, mighty) for name, login, mighty in connection.execute(_ROLES).fetchall()}
            row = connection.execute("SELECT current_user").fetchone()
        admin = row[0] if row else ""
        names = {d.name for d in declared}
        warm = {database for _, database in recorded.pool}
        expected = names | recorded.goldens | warm | {"manor_catalog"}
        problems = [f"database {name} was left behind" for name in sorted(doors.keys() - expected)]
        problems += [f"database {name} is missing" for name in sorted(expected - doors.keys())]
        for name in sorted(names & doors.keys()):
            if sorted(doors[name]) != sorted([admin, name]):
                problems.append(f"{name} lets in {doors[name]}")
        problems += [
            f"{name} lets in {doors[name]}" for name in sorted((expected - names) & doors.keys()) if doors[name] != [admin]
        ]
        wanted = dict.fromkeys(names, (True, False)) | {"manor_tenant": (False, False)}
        if roles != wanted:
            problems.append(f"roles (login, more than that) are {roles}")
        if pool and len(warm) != pool * len(recorded.goldens):
            problems.append(f"the warm pool holds {sorted(warm)}")
        return problems


@pytest.fixture(scope="session")
def driver() -> Any:
    """The module ``deploy_driver``: deploys in this process."""
    specification = importlib.util.spec_from_file_location("fleet_deploy_driver", DRIVER)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def registry(project: Path) -> Path:
    """The registry of the small project."""
    return project / "customer_a" / "tenant_registry.yaml"


@pytest.fixture
def fleet_check(driver: Any, registry: Path, server_url: str) -> FleetCheck:
    """The inspection of the small project's fleet."""
    return FleetCheck(driver=driver, registry=registry, admin_url=server_url)


@pytest.fixture
def inspect_fleet(driver: Any) -> Callable[[Path, str], FleetCheck]:
    """The inspection of any fleet: registry and the administrator's URL."""

    def inspect(registry: Path, admin_url: str) -> FleetCheck:
        return FleetCheck(driver=driver, registry=registry, admin_url=admin_url)

    return inspect
