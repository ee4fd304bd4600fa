"""The blueprint ``saas`` as shipped: read from the installed package, checked without a server."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from manor.control.registry.model import FixedGroup, Registry, TenantGroup
from manor.control.registry.yaml_files import load_registry
from manor.control.templates.mapping import TemplateMapping, parse_mapping
from manor.control.templates.model import Schema, Sql, cell_names
from manor.control.templates.schema_merge import merge_layers
from manor.control.templates.schema_yaml import parse_schema
from manor.scan import Text, scan
from manor.yaml_reader import read_yaml

ENTERPRISE_TABLES = {"audit_logs", "enterprise_features", "compliance_data"}
TEMPLATES = ("tenant_type1", "tenant_type2", "common", "analytics_db")


@pytest.fixture(scope="module")
def saas() -> Iterator[Path]:
    """The blueprint's folder."""
    with as_file(files("manor") / "blueprints" / "saas") as folder:
        yield folder


def read_mapping(saas: Path, template: str) -> TemplateMapping:
    mapping, findings = parse_mapping(read_yaml(saas / "customer_a" / template / "_mapping.yaml"))
    assert findings == []
    assert mapping is not None
    return mapping


def read_schema(saas: Path, template: str) -> Schema:
    paths = (saas / "schema.yaml", saas / "customer_a" / template / "schema.yaml")
    parsed = [parse_schema(read_yaml(path)) for path in paths if path.exists()]
    merged, findings = merge_layers([layer for layer, _ in parsed], read_mapping(saas, template).instances)
    assert [finding for _, found in parsed for finding in found] + findings == []
    return merged.schema


def read_registry(saas: Path) -> Registry:
    loaded = load_registry(saas / "customer_a" / "tenant_registry.yaml")
    assert loaded.findings == ()
    assert loaded.model is not None
    return loaded.model


def test_the_registry_declares_153_databases(saas: Path) -> None:
    groups = read_registry(saas).database_groups.values()
    numbered = [group.tenant_count for group in groups if isinstance(group, TenantGroup)]
    listed = [len(group.databases) for group in groups if isinstance(group, FixedGroup)]
    assert (numbered, listed) == ([100, 50], [3])


@pytest.mark.parametrize("template", TEMPLATES)
def test_schemas_merge_without_a_finding(saas: Path, template: str) -> None:
    assert read_schema(saas, template).tables


def test_only_enterprise_tenants_have_the_enterprise_tables(saas: Path) -> None:
    standard = {table.name for table in read_schema(saas, "tenant_type1").tables}
    enterprise = {table.name for table in read_schema(saas, "tenant_type2").tables}
    assert enterprise - standard == ENTERPRISE_TABLES
    assert standard == {"users", "products", "orders", "settings"}


@pytest.mark.parametrize("template", TEMPLATES)
def test_rows_name_only_columns_that_exist_and_all_that_are_required(saas: Path, template: str) -> None:
    schema = read_schema(saas, template)
    for path in sorted((saas / "customer_a" / template).glob("*.dat")):
        table = schema.table(path.stem.partition("@")[2])
        assert table is not None, path.name
        required = {column.name for column in table.columns if column.required}
        for row in rows(path):
            assert required <= set(row) <= {column.name for column in table.columns}, path.name


def test_files_of_the_common_template_use_only_variables_that_all_its_databases_have(saas: Path) -> None:
    registry = read_registry(saas)
    fixed = registry.database_groups["fixed_databases"]
    assert isinstance(fixed, FixedGroup)
    given = set.intersection(*(set(database.variables) for database in fixed.databases if database.template == "common"))
    known = given | set(registry.customer_info.variables()) | {"tenant_id"}
    used = {
        name
        for path in (saas / "customer_a" / "common").glob("*.dat")
        for row in rows(path)
        for cell in row.values()
        for name in cell_names(scanned(cell))
    }
    assert used <= known


def rows(path: Path) -> list[dict[str, object]]:
    value = read_yaml(path, tags={"!sql": lambda text, _: Sql(text)}).value
    assert isinstance(value, list)
    return value


def scanned(cell: object) -> object:
    if isinstance(cell, list):
        return [scanned(item) for item in cell]
    if isinstance(cell, dict):
        return {key: scanned(item) for key, item in cell.items()}
    return scan(cell) if isinstance(cell, str) else cell


def test_the_isolation_column_of_a_tenant_is_its_prefix(saas: Path) -> None:
    for model in read_mapping(saas, "tenant_type1").data_models:
        assert (model.column, model.value) == ("tenant_id", Text(scan("{TENANT_PREFIX}").parts))
