"""Schemas that differ from tenant to tenant: macros of the environment and schema templates reach the databases."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from manor.control.operations.migrate import MigrateRequest, migrate
from manor.control.operations.selecting import Selection

MACROS = """\
schemas:
  own:
    tables:
      ${TABLE_PREFIX}notes:
        columns:
          - {column_name: id, column_type: BIGINT, primary_key: true}
          - {column_name: body, column_type: "VARCHAR(${BODY_LENGTH})"}
        indexes:
          - {index_name: "${TABLE_PREFIX}notes_body", columns: [body]}
"""
MAPPING = """\
instances: ["own"]
name_macros: {body_length: "20"}
"""
RENDERED = """\
schemas:
  {{ tenant | tenant_prefix }}_main:
    tables:
      {{ tenant | table_name('users') }}:
        columns:
          - column_name: "id"
            column_type: "INT AUTO_INCREMENT"
            primary_key: true
          - column_name: "tenant_id"
            column_type: "VARCHAR(50)"
            nullable: false
            default_value: "'{{ tenant.tenant_id }}'"
        indexes:
          - index_name: "idx_tenant_id"
            columns: ["tenant_id"]
"""
PROJECT = """
multi_tenant:
  templates:
    base_dir: "./templates"
    schema_templates:
      - {name: "saas_standard", file: "saas_standard_schema.j2"}
"""


def statuses(report: Any) -> dict[str, str]:
    return {str(outcome.target.tenant): str(outcome.status) for outcome in report.outcomes}


def tables(site, name: str) -> set[str]:
    async def read(runtime):
        return (await runtime.catalog.database_by_tenant(name)).url

    with psycopg.connect(site.run(read)) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows if not name.startswith(("manor_", "schema_migrations"))}


def goldens(site) -> dict[str, str]:
    async def read(runtime):
        return {str(record.tenant): record.golden for record in await runtime.catalog.databases()}

    return site.run(read)


@pytest.fixture
def macros(site):
    """A template whose names have macros in them."""
    folder = site.environment / "macro_base"
    folder.mkdir()
    (folder / "_mapping.yaml").write_text(MAPPING, encoding="utf-8")
    (folder / "schema.yaml").write_text(MACROS, encoding="utf-8")
    return site


def test_macros_of_each_tenants_environment_are_in_its_schema_and_equal_ones_share_a_golden(macros, make_tenant):
    prefixed = {"tier": "macro", "table_prefix": "x_"}
    macros.sync([make_tenant(1, **prefixed), make_tenant(2, **prefixed), make_tenant(3, tier="macro")])
    assert statuses(macros.plan()) == dict.fromkeys(("c1/main/t1", "c2/main/t2", "c3/main/t3"), "pending")
    assert set(statuses(macros.provision()).values()) == {"success"}
    assert [tables(macros, f"c{n}/main/t{n}") for n in (1, 2, 3)] == [{"x_notes"}, {"x_notes"}, {"notes"}]
    found = goldens(macros)
    assert found["c1/main/t1"] == found["c2/main/t2"] != found["c3/main/t3"]
    assert set(statuses(macros.provision()).values()) == {"skipped"}, "each is proved against its own schema"
    assert statuses(macros.provision("tenant_id = 't3'")) == {"c3/main/t3": "skipped"}


def test_a_release_brings_a_template_with_several_schemas_to_one_version(macros, make_tenant):
    macros.sync([make_tenant(1, tier="macro", table_prefix="x_"), make_tenant(2, tier="macro")])
    assert set(statuses(macros.provision()).values()) == {"success"}
    folder = macros.environment / "macro_base" / "migrations"
    folder.mkdir()
    (folder / "001_more.sql").write_text("-- migrate:up\nCREATE TABLE more (id int);\n-- migrate:down\nDROP TABLE more;\n")
    request = MigrateRequest(selection=Selection(everyone=True))
    report = macros.run(lambda runtime: migrate(runtime, macros.project, request))
    assert set(statuses(report).values()) == {"success"}, report
    macros.sync([make_tenant(n, tier="macro", table_prefix="x_" if n != 2 else None) for n in (1, 2, 3)])
    assert statuses(macros.provision()) == {"c1/main/t1": "skipped", "c2/main/t2": "skipped", "c3/main/t3": "success"}
    assert tables(macros, "c3/main/t3") == {"x_notes", "more"}


def test_a_prefix_that_makes_no_name_is_that_tenants_error(macros, make_tenant):
    macros.sync([make_tenant(1, tier="macro", table_prefix="x" * 60), make_tenant(2, tier="macro")])
    report = macros.provision()
    assert statuses(report) == {"c1/main/t1": "error", "c2/main/t2": "success"}
    assert "63" in report.outcomes[0].detail


def test_a_schema_template_gives_each_tenant_the_schema_that_it_renders(site, make_tenant):
    """The reference's schema.j2; a name with quotes and braces in it stays data."""
    with (site.project / "project.yaml").open("a", encoding="utf-8") as file:
        file.write(PROJECT)
    (site.project / "templates").mkdir()
    (site.project / "templates" / "saas_standard_schema.j2").write_text(RENDERED, encoding="utf-8")
    folder = site.environment / "rendered_base"
    folder.mkdir()
    (folder / "_mapping.yaml").write_text("schema_template: saas_standard\n", encoding="utf-8")
    odd = make_tenant(1, tier="rendered", table_prefix="p_", customer_name="""O'Neill: "{{ 7*7 }}" ${X}""")
    site.sync([odd, make_tenant(2, tier="rendered")])
    assert statuses(site.provision()) == {"c1/main/t1": "success", "c2/main/t2": "success"}
    assert tables(site, "c1/main/t1") == {"p_users"}
    assert tables(site, "c2/main/t2") == {"users"}
    assert set(statuses(site.provision()).values()) == {"skipped"}
