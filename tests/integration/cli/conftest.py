"""The command line in a process of its own, and one small fleet per module to use it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

AWKWARD_NAME = "O'Brien \"& Söhne\"\n{{ 7*7 }} {0} ${HOME} '); DROP TABLE system_config; -- \\"
"""A customer name that is data, whatever it looks like."""

REGISTRY = f"""\
registry_version: "2.0"
customer_info:
  customer_code: "acme"
  customer_name: {json.dumps(AWKWARD_NAME)}
  region: "japan"
  environment: "production"
database_groups:
  standard: &numbered
    type: "tenant_group"
    template: "tenant_type1"
    tenant_count: 2
    naming_pattern: "{{customer_code}}_std_{{tenant_id}}"
    variables: &variables
      TENANT_PREFIX: "{{customer_code}}_{{tenant_id}}"
      CUSTOMER_CODE: "{{customer_code}}"
      TENANT_TYPE: "standard"
      DATABASE_NAME: "{{customer_code}}_std_{{tenant_id}}"
  partners:
    <<: *numbered
    naming_pattern: "{{customer_code}}_partner_{{tenant_id}}"
    variables:
      <<: *variables
      DATABASE_NAME: "{{customer_code}}_partner_{{tenant_id}}"
  later:
    <<: *numbered
    tenant_count: 1
    auto_provision: false
    naming_pattern: "{{customer_code}}_later_{{tenant_id}}"
    variables:
      <<: *variables
      DATABASE_NAME: "{{customer_code}}_later_{{tenant_id}}"
  fixed:
    type: "fixed_group"
    databases:
      - name: "acme_common"
        template: "common"
        variables:
          CUSTOMER_CODE: "{{customer_code}}"
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """``manor`` as a user runs it in one folder."""

    folder: Path

    def __call__(self, *arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it; it must end with ``code``, and never with a traceback."""
        command = [sys.executable, "-m", "manor.cli.main", *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        return done

    def json(self, *arguments: object, code: int = 0, **environment: str) -> Any:
        """Run it with ``--format json``; all of stdout is one document."""
        return json.loads(self("--format", "json", *arguments, code=code, **environment).stdout)

    @property
    def registry(self) -> Path:
        return self.folder / "customer_a" / "tenant_registry.yaml"

    def edit(self, before: str, after: str) -> None:
        """Change the registry in one place."""
        text = self.registry.read_text(encoding="utf-8")
        assert before in text
        self.registry.write_text(text.replace(before, after, 1), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """A deployed project: three groups, five databases, one target that is not provisioned."""

    manor: Command
    url: str
    report: Any
    """What the first deploy printed."""

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the server's administrator."""
        with psycopg.connect(self.url, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str], make_project: Callable[..., Path]
) -> Fleet:
    """One fleet for all tests of a module."""
    url = wiped_server()
    manor = Command(folder=make_project(tmp_path_factory.mktemp("cli") / "a project", url))
    manor.registry.write_text(REGISTRY, encoding="utf-8")
    return Fleet(manor=manor, url=url, report=manor.json("multi-tenant", "deploy", "--registry", manor.registry))


@pytest.fixture
def draft(tmp_path: Path, make_project: Callable[..., Path]) -> Command:
    """A project that nothing was done with yet; its server would be the embedded one."""
    manor = Command(folder=make_project(tmp_path / "a draft"))
    manor.registry.write_text(REGISTRY, encoding="utf-8")
    return manor


@pytest.fixture(scope="session")
def awkward_name() -> str:
    """The customer name of the fleet's registry."""
    return AWKWARD_NAME
