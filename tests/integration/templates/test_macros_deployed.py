"""Macros on a real server: one ``schema.yaml``, two templates, tables by two names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

SCHEMA = """\
schemas:
  ${SCHEMA}:
    tables:
      ${TABLE_PREFIX}users:
        columns:
          - {column_name: id, column_type: INT, primary_key: 1, nullable: false}
          - {column_name: "${TABLE_PREFIX}name", column_type: VARCHAR(50), default_value: "'${TABLE_PREFIX}''none'"}
        indexes:
          - {index_name: "ix_${TABLE_PREFIX}name", columns: ["${TABLE_PREFIX}name"]}
      ${TABLE_PREFIX}orders:
        columns:
          - {column_name: id, column_type: INT, primary_key: 1, nullable: false}
          - {column_name: user_id, column_type: INT}
        relations:
          - target: {schema_name: "${SCHEMA}", table_name: "${TABLE_PREFIX}users"}
            bind_columns: [{source_column: user_id, target_column: id}]
    views:
      ${TABLE_PREFIX}buyers: {select_statement: "SELECT u.id FROM ${TABLE_PREFIX}users u -- don't"}
"""
REGISTRY = """\
registry_version: "2.0"
customer_info: {customer_code: acme}
database_groups:
  both:
    type: fixed_group
    databases:
      - {name: acme_one, template: one}
      - {name: acme_two, template: two}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> str:
    """The server after the deploy."""
    url, root = wiped_server(), tmp_path_factory.mktemp("macros")
    files = {
        "project.yaml": "project_name: macros\n",
        "schema.yaml": SCHEMA,
        "prod/environ.yaml": f"deployments: {{main: '{url}'}}\n",
        "prod/tenant_registry.yaml": REGISTRY,
        "prod/one/_mapping.yaml": "instances: [main]\nname_macros: {SCHEMA: main, TABLE_PREFIX: ''}\n",
        "prod/two/_mapping.yaml": "base: one\ninstances: [main]\nname_macros: {TABLE_PREFIX: t2_}\n",
        "prod/one/main@${TABLE_PREFIX}orders.dat": "- {id: 1}\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    run_manor(root, "multi-tenant", "deploy", "--registry", "prod/tenant_registry.yaml")
    assert "2/2 healthy" in run_manor(root, "multi-tenant", "healthcheck", "--registry", "prod/tenant_registry.yaml")
    return url


def run_manor(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "manor.cli.main", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def ask(url: str, database: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, dbname=database, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


@pytest.mark.parametrize(("database", "prefix"), [("acme_one", ""), ("acme_two", "t2_")])
def test_names_and_sql_follow_the_macros_of_the_template(url: str, database: str, prefix: str) -> None:
    """Tables, columns, indexes, views, foreign keys, defaults, and the data file that is named by a macro."""
    names = {
        row[0] for row in ask(url, database, "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    }
    assert {f"{prefix}users", f"{prefix}orders", f"{prefix}buyers", f"ix_{prefix}name"} <= names
    assert ask(url, database, f"SELECT id, user_id FROM {prefix}orders") == [(1, None)]
    with psycopg.connect(url, dbname=database) as connection:
        connection.execute(f"INSERT INTO {prefix}users (id) VALUES (7)".encode())
        assert connection.execute(f"SELECT {prefix}name FROM {prefix}users".encode()).fetchall() == [(f"{prefix}'none",)]
        assert connection.execute(f"SELECT id FROM {prefix}buyers".encode()).fetchall() == [(7,)]
        connection.rollback()
