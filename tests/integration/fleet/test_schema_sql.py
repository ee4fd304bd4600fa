"""A template whose tables stand in ``schema.sql``, written as dumps are and as they should not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Manor = Callable[..., "CompletedProcess[str]"]
REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
DATABASE = """\
      - name: "acme_dumped"
        template: "dumped"
        variables:
          TENANT: "acme"
"""
MAPPING = """\
instances: ["dump"]
data_models:
  users:
    tenant_isolation_column: tenant_id
    default_tenant_value: "{TENANT}"
"""
DUMP = """\
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION public.one() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 1; $$;
CREATE TABLE public.users (id bigint NOT NULL, name text NOT NULL, tenant_id text NOT NULL, one integer DEFAULT public.one());
CREATE VIEW public.names AS SELECT users.name FROM public.users;
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
"""


@pytest.fixture
def dumped(registry: Path) -> Path:
    """The template's folder; a fixed database is made of it."""
    text = registry.read_text(encoding="utf-8")
    registry.write_text(text.replace("    databases:\n", f"    databases:\n{DATABASE}"), encoding="utf-8")
    folder = registry.parent / "dumped"
    folder.mkdir()
    (folder / "_mapping.yaml").write_text(MAPPING, encoding="utf-8")
    (folder / "dump@users.dat").write_text("- {id: 1, name: '{TENANT}', tenant_id: '{TENANT}'}\n", encoding="utf-8")
    return folder


def test_a_dump_that_empties_the_search_path_is_a_schema(manor: Manor, dumped: Path) -> None:
    """As pg_dump writes it: every name in it says its schema, and ours that follow do not."""
    (dumped / "schema.sql").write_text(DUMP, encoding="utf-8")
    result = manor("multi-tenant", "deploy", *REGISTRY)
    assert result.returncode == 0, result.stdout + result.stderr
    asked = manor("tenant", "psql", "acme_dumped", "-Atc", "SELECT name, tenant_id, one FROM users")
    assert asked.stdout.strip() == "acme|acme|1"
    assert manor("multi-tenant", "healthcheck", *REGISTRY).returncode == 0


def test_a_table_outside_public_fails_its_template_alone(manor: Manor, dumped: Path) -> None:
    """The tenant's role could not use it, and nobody would notice."""
    text = DUMP + "CREATE SCHEMA zz; SET search_path TO zz; CREATE TABLE hidden (id integer);\n"
    (dumped / "schema.sql").write_text(text, encoding="utf-8")
    result = manor("--format", "json", "multi-tenant", "deploy", *REGISTRY)
    assert result.returncode == 1
    failed = {o["database"]: o["error"]["message"] for o in json.loads(result.stdout)["outcomes"] if o["error"]}
    assert failed.keys() == {"acme_dumped"}
    assert "all tables of a tenant stand in public" in failed["acme_dumped"]
