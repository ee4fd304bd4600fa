"""Schema templates give the same objects as ``schema.yaml``, for one tenant."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from manor.control.registry.tenant_info import TenantInfo
from manor.control.templates.loader import TemplateLoader
from manor.control.templates.naming import Naming
from manor.control.templates.schema_layer import SchemaLayer
from manor.control.templates.schema_yaml import parse_schema
from manor.control.templates.template_engine import TenantTemplateEngine
from manor.errors import InputError, InvalidInput, NotFoundError
from manor.yaml_reader import parse_yaml

REFERENCE = """\
<!-- templates/schema.j2 -->
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
          - column_name: "username"
            column_type: "VARCHAR(255)"
            nullable: false

        indexes:
          - index_name: "idx_tenant_id"
            columns: ["tenant_id"]
"""
WRITTEN = """\
schemas:
  acme_jp_main:
    tables:
      t_users:
        columns:
          - {column_name: id, column_type: INT AUTO_INCREMENT, primary_key: true}
          - {column_name: tenant_id, column_type: VARCHAR(50), nullable: false, default_value: "'t1'"}
          - {column_name: username, column_type: VARCHAR(255), nullable: false}
        indexes:
          - {index_name: idx_tenant_id, columns: [tenant_id]}
"""


def tenant(**fields: Any) -> TenantInfo:
    return TenantInfo(**{"tenant_id": "t1", "customer_code": "acme", "region": "jp", "table_prefix": "t_", **fields})


def engine(folder: Path, text: str = REFERENCE) -> TenantTemplateEngine:
    (folder / "saas_standard_schema.j2").write_text(text, encoding="utf-8")
    (folder / "schema.j2").write_text(text, encoding="utf-8")
    return TenantTemplateEngine(folder, shown_as="templates", schema_templates={"saas_standard": "saas_standard_schema.j2"})


def placeless(layer: SchemaLayer) -> SchemaLayer:
    return dataclasses.replace(layer, file="")


@pytest.mark.parametrize("template", ["", "saas_standard"])
def test_the_references_schema_gives_the_objects_of_a_schema_yaml(tmp_path: Path, template: str) -> None:
    """Through the same builder: tables, columns, keys and indexes are equal."""
    written, findings = parse_schema(parse_yaml(WRITTEN, ""))
    assert findings == []
    assert placeless(engine(tmp_path).generate_schema(tenant(), template=template)) == placeless(written)


def test_a_customers_name_in_a_default_stays_a_text(tmp_path: Path) -> None:
    """The reference's form `"'{{ … }}'"` is safe for every name."""
    text = REFERENCE.replace("tenant.tenant_id", "tenant.customer_name")
    layer = engine(tmp_path, text).generate_schema(tenant(customer_name="O'Neil: '); DROP TABLE x; -- {{ 7*7 }}"))
    assert layer.tables["acme_jp_main", "t_users"].columns[1].default == "'O''Neil: ''); DROP TABLE x; -- {{ 7*7 }}'"


def test_a_value_that_would_become_sql_is_refused_at_its_line(tmp_path: Path) -> None:
    """Without the quotes it is no default that a name may give."""
    text = REFERENCE.replace("'{{ tenant.tenant_id }}'", "{{ tenant.customer_name }}")
    with pytest.raises(InvalidInput, match=r"'a b' would become SQL") as caught:
        engine(tmp_path, text).generate_schema(tenant(customer_name="a b"))
    assert str(caught.value.place) == "templates/schema.j2 (as rendered for t1):13:28"


def test_macros_and_jinja_go_through_one_scan(tmp_path: Path) -> None:
    """A value that looks like a macro is none; the author's own are exchanged."""
    text = REFERENCE.replace("{{ tenant | tenant_prefix }}_main", "${DB}").replace(
        'column_name: "username"', 'column_name: "username"\n            display_name: "{{ tenant.customer_name }}"'
    )
    layer = engine(tmp_path, text).generate_schema(tenant(customer_name="${DB}"), name_macros={"db": "main"})
    assert layer.tables["main", "t_users"].columns[2].comment == "${DB}"


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    """An unquoted value keeps its type, as `primary_key` needs it."""
    text = REFERENCE.replace("primary_key: true", "primary_key: {{ config.position }}")
    layer = engine(tmp_path, text).generate_schema(tenant(), {"position": 1})
    assert layer.tables["acme_jp_main", "t_users"].primary_key == ("id",)


def test_a_schema_template_that_is_not_declared_is_named(tmp_path: Path) -> None:
    """With the nearest one."""
    with pytest.raises(NotFoundError) as caught:
        engine(tmp_path).generate_schema(tenant(), template="saas_standart")
    assert caught.value.hint == "did you mean 'saas_standard'?"


@pytest.fixture
def loader(tmp_path: Path) -> TemplateLoader:
    folder = tmp_path / "prod" / "standard_base"
    folder.mkdir(parents=True)
    (folder / "_mapping.yaml").write_text("instances: [main]\nschema_template: saas_standard\n", encoding="utf-8")
    (tmp_path / "schema.yaml").write_text(
        "schemas:\n  main:\n    tables:\n      plans:\n        columns: [{column_name: id, column_type: INT}]\n",
        encoding="utf-8",
    )
    (tmp_path / "templates").mkdir()
    return TemplateLoader(project=tmp_path, environment=tmp_path / "prod", renderer=engine(tmp_path / "templates"))


def test_a_template_folder_takes_its_tables_from_a_schema_template(loader: TemplateLoader) -> None:
    """`schema_template` of its mapping; what schema.yaml defines is there as well, and each tenant has its own golden."""
    one = loader.load("standard_base", naming=Naming(tenant=tenant()))
    other = loader.load("standard_base", naming=Naming(tenant=tenant(tenant_id="t2")))
    assert loader.findings == []
    assert sorted(table.name for table in one.schema.tables) == ["plans", "t_users"]
    assert one.digest != other.digest
    assert loader.load("standard_base", naming=Naming(tenant=tenant())) is one


def test_a_schema_template_that_nobody_declared_is_a_finding(loader: TemplateLoader, tmp_path: Path) -> None:
    """At the mapping that names it."""
    mapping = tmp_path / "prod" / "standard_base" / "_mapping.yaml"
    mapping.write_text("instances: [main]\nschema_template: enterprise\n", encoding="utf-8")
    assert loader.load("standard_base", naming=Naming(tenant=tenant())) is None
    assert [str(f) for f in loader.findings] == [
        "prod/standard_base/_mapping.yaml:2:18: there is no schema template 'enterprise' (known here: saas_standard)"
    ]


def test_a_schema_template_without_a_tenant_is_a_finding(loader: TemplateLoader) -> None:
    """A registry has no tenants to render it for."""
    assert loader.load("standard_base") is None
    assert [str(f) for f in loader.findings] == [
        "prod/standard_base/_mapping.yaml:2:18: the schema template 'saas_standard' is rendered for tenants only "
        "(tenants of the directory have it: manor tenant provision)"
    ]


def test_a_template_outside_its_folder_is_not_read(tmp_path: Path) -> None:
    """Neither by a link nor by a name with dots."""
    folder = tmp_path / "templates"
    folder.mkdir()
    (tmp_path / "secret.j2").write_text("a: 1", encoding="utf-8")
    (folder / "link.j2").symlink_to(tmp_path / "secret.j2")
    for name in ("link.j2", "../secret.j2", str(tmp_path / "secret.j2")):
        with pytest.raises((InputError, NotFoundError)):
            TenantTemplateEngine(folder).generate(name, tenant())
