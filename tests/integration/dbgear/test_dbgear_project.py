"""A project as DBGear 0.43 saves it: DBGear itself reads it, and Manor deploys the same databases, tables and rows.

What stands in ``tests/data/dbgear`` is nobody's special case: camelCase keys, ``tenant.yaml``, segments, ``$name`` variables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

SOURCE = Path(__file__).parents[2] / "data" / "dbgear"
ASK_DBGEAR = """
import json, sys
from dbgear.models.project import Project
from dbgear.utils.variable import expand_variables
project = Project.load(sys.argv[1])
environ = project.envs["production"]
found = {}
for database in environ.databases:
    schema = database.build_schema(project.schemas, environ.schemas)
    rows = {}
    for model in database.datamodels:
        if model.sync_mode != "manual":
            for source in model.get_datasources(dict(environ.settings)):
                source.load()
                rows.setdefault(model.table_name, []).extend(expand_variables(source.data, source.settings))
    tables = {t.table_name: [c.column_name for c in t.columns] for t in schema.tables}
    found[database.instance_name] = {"tables": tables, "rows": rows}
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The project beside a server, and DBGear's folder."""

    project: Path
    url: str
    dbgear: Path

    def dbgear_command(self, *arguments: str, code: int = 0) -> str:
        """DBGear's own command line, with Manor's commands in it."""
        return self.python("from dbgear.main import execute; execute()", "--project", str(self.project), *arguments, code=code)

    def python(self, script: str, *arguments: str, code: int = 0) -> str:
        """A script beside DBGear; what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=self.project,
            env={**os.environ, "PYTHONPATH": str(self.dbgear)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in one database."""
        with psycopg.connect(self.url, dbname=database, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str], require: Callable[[str], Path]) -> Site:
    """Deployed by DBGear's command line."""
    dbgear, url = require("dbgear"), wiped_server()
    project = tmp_path_factory.mktemp("dbgear") / "a project"
    shutil.copytree(SOURCE, project)
    environ = project / "production" / "environ.yaml"
    declared = yaml.safe_load(environ.read_text(encoding="utf-8"))
    environ.write_text(yaml.safe_dump({**declared, "deployments": {"main": url}}), encoding="utf-8")
    made = Site(project=project, url=url, dbgear=dbgear)
    made.dbgear_command("multi-tenant", "deploy", "--registry", str(project / "production" / "tenant.yaml"))
    return made


def test_the_databases_are_those_that_dbgear_would_make(site: Site) -> None:
    """Those of `tenant.yaml` that are active, and the folders with `deploy: true`, with the same tables and columns."""
    expected = yaml.safe_load(site.python(ASK_DBGEAR, str(site.project)))
    assert set(expected) == {"shop", "acme_shop", "globex_shop"}
    for database, wanted in expected.items():
        columns = site.ask(
            database,
            "SELECT table_name::text, array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns "
            "NATURAL JOIN information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' GROUP BY 1",
        )
        assert dict(columns) == wanted["tables"]


def test_the_rows_are_those_that_dbgear_would_load(site: Site) -> None:
    """Variables filled, escapes resolved, unknown names and braces left alone, segments after the first file."""
    expected = yaml.safe_load(site.python(ASK_DBGEAR, str(site.project)))
    for database, wanted in expected.items():
        rows = site.ask(database, "SELECT login, role_id, state, settings, note FROM users ORDER BY id")
        keys = ("login", "role_id", "state", "settings", "note")
        assert rows == [tuple(row[key] for key in keys) for row in wanted["rows"]["users"]]
    (first, second) = site.ask("acme_shop", "SELECT note, created_at > now() - interval '1 hour' FROM users ORDER BY id")
    assert first == ("costs $admin and $unknown, {braces} stay", True)
    assert second[0] == "of acme_shop since 2024-04-01"
    assert site.ask("shop", "SELECT note FROM users WHERE id = 2") == [("of $tenant_name since 2024-04-01",)]


def test_what_is_manual_is_not_loaded_and_views_work(site: Site) -> None:
    """`sync_mode: manual` means by hand."""
    assert site.ask("acme_shop", "SELECT count(*) FROM logs") == [(0,)]
    assert site.ask("acme_shop", "SELECT login FROM active_users") == [("root",)]


def test_deploying_again_changes_nothing_and_a_new_tenant_joins(site: Site) -> None:
    """Through DBGear's command line; a failure has Manor's exit code."""
    registry = site.project / "production" / "tenant.yaml"
    registry.write_text(
        registry.read_text(encoding="utf-8") + "  initech:\n    ref: shop\n    databases:\n    - database: initech\n",
        encoding="utf-8",
    )
    done = site.dbgear_command("multi-tenant", "deploy", "--registry", str(registry))
    assert "1 success" in done
    assert "3 skipped" in done
    assert site.ask("initech", "SELECT note FROM users WHERE id = 2") == [("of initech since 2024-04-01",)]
    site.dbgear_command("multi-tenant", "deploy", "--registry", str(registry.with_name("none.yaml")), code=2)


def test_dbgear_lists_manors_groups_beside_its_own(site: Site) -> None:
    """Whatever DBGear's loader does with a plug-in."""
    listed = site.dbgear_command("--help")
    assert all(word in listed for word in ("apply", "batch", "multi-tenant", "tenant"))
