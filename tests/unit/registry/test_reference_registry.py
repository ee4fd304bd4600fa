"""The registry of the reference design means exactly what its document says."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.control.registry.hook_files import look_at_paths
from manor.control.registry.model import json_schema
from manor.control.registry.resolve import resolve
from manor.control.registry.tenant_registry import DatabaseDefinitionGenerator, TenantRegistry
from manor.control.registry.yaml_files import load_registry
from manor.errors import InvalidInput, NotFoundError

REFERENCE_TEMPLATES = ("tenant_type1", "tenant_type2", "analytics_db", "common")


def test_it_resolves_to_the_153_databases_of_the_document(data: Path, templates) -> None:
    loaded = load_registry(data / "reference_registry.yaml", shown_as="tenant_registry.yaml")
    source = templates(*REFERENCE_TEMPLATES)
    resolution = resolve(loaded, source, ("embedded",), source="customer_a/tenant_registry.yaml")
    names = [target.database for target in resolution.targets]
    expected = [f"customer_a_tenant_{number:03d}_main" for number in range(1, 101)]
    expected += [f"customer_a_ent_{number:03d}_main" for number in range(1, 51)]
    expected += ["customer_a_analytics", "customer_a_common", "customer_a_logs"]
    assert names == expected
    assert resolution.findings == ()
    assert resolution.refusals == ()
    assert [target.order for target in resolution.targets] == list(range(153))
    assert {target.server for target in resolution.targets} == {"embedded"}
    assert sorted(name for name, _ in source.loads) == sorted(REFERENCE_TEMPLATES)


def test_variables_are_filled_through_each_other(data: Path) -> None:
    loaded = load_registry(data / "reference_registry.yaml")
    target = resolve(loaded, None, ("embedded",), source="x").targets[100]
    assert str(target.tenant) == "customer_a/enterprise_tenants/001"
    assert target.variables == {
        "customer_code": "customer_a",
        "customer_name": "Customer A Corporation",
        "region": "japan",
        "environment": "production",
        "tenant_id": "001",
        "TENANT_PREFIX": "customer_a_ent_001",
        "CUSTOMER_CODE": "customer_a",
        "TENANT_TYPE": "enterprise",
        "DATABASE_NAME": "customer_a_ent_001_main",
        "ENTERPRISE_FEATURES": "enabled",
        "AUDIT_ENABLED": "true",
    }


def test_a_fixed_database_is_its_own_tenant(data: Path) -> None:
    loaded = load_registry(data / "reference_registry.yaml")
    target = resolve(loaded, None, ("embedded",), source="x").targets[-1]
    assert str(target.tenant) == "customer_a/fixed_databases/customer_a_logs"
    assert target.kind == "fixed_group"
    assert target.variables["tenant_id"] == "customer_a_logs"
    assert target.variables["CUSTOMER_CODE"] == "customer_a"


def test_what_nothing_acts_on_yet_is_named_once(data: Path) -> None:
    loaded = load_registry(data / "reference_registry.yaml")
    assert resolve(loaded, None, ("embedded",), source="x").not_acted_on == (
        "database_groups.*.monitoring_enabled",
        "environment_config.database_defaults.collation",
        "environment_config.database_defaults.connection_pool_size",
        "environment_config.database_defaults.connection_timeout",
        "operations.monitoring",
    )


@pytest.fixture
def extended(data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tenant_registry.yaml"
    both = (data / "reference_registry.yaml").read_text() + (data / "reference_registry_extension.yaml").read_text()
    path.write_text(both)
    (tmp_path / "scripts").mkdir()
    for name in ("pre_provision.sh", "post_provision.sh", "notify_admin.py", "backup_data.sh", "validate_update.py"):
        (tmp_path / "scripts" / name).write_text("")
    return path


def test_the_extended_block_validates_and_its_hooks_are_acted_on(extended: Path) -> None:
    loaded = load_registry(extended, shown_as="tenant_registry.yaml")
    assert loaded.model is not None
    paths = look_at_paths(loaded.model, folder=extended.parent, project=extended.parent)
    resolution = resolve(loaded, None, ("embedded",), source="x", paths=paths)
    assert resolution.findings == ()
    assert len(resolution.targets) == 153
    assert resolution.refusals == ()
    assert not {"deployment_strategy", "migration_config"} & set(resolution.not_acted_on)
    assert not any(key.startswith("hooks") for key in resolution.not_acted_on)


def test_the_classes_of_the_reference_answer_as_there(data: Path) -> None:
    registry = TenantRegistry(data / "reference_registry.yaml")
    assert list(registry.get_database_groups()) == ["saas_standard_tenants", "enterprise_tenants", "fixed_databases"]
    assert list(registry.get_tenant_groups()) == ["saas_standard_tenants", "enterprise_tenants"]
    assert list(registry.get_fixed_groups()) == ["fixed_databases"]
    assert registry.get_customer_info()["region"] == "japan"
    assert registry.get_operations_config().batch_settings.max_parallel == 20
    generator = DatabaseDefinitionGenerator(registry)
    assert len(generator.generate_tenant_definitions("saas_standard_tenants")) == 100
    assert [t.database for t in generator.generate_fixed_definitions("fixed_databases")][2] == "customer_a_logs"
    with pytest.raises(NotFoundError, match="there is no tenant group 'saas_standard_tenant'") as error:
        generator.generate_tenant_definitions("saas_standard_tenant")
    assert "saas_standard_tenants" in error.value.hint


def test_a_registry_with_errors_makes_no_tenant_registry(tmp_path: Path) -> None:
    path = tmp_path / "tenant_registry.yaml"
    path.write_text("registry_version: '2.0'\n")
    with pytest.raises(InvalidInput) as error:
        TenantRegistry(path)
    assert [finding.message for finding in error.value.findings] == [
        "the key 'customer_info' is missing",
        "the key 'database_groups' is missing",
    ]


def test_the_json_schema_describes_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"]
    for shape in [schema, *schema["$defs"].values()]:
        assert shape["additionalProperties"] is False
        assert shape["description"]
        for name, key in shape["properties"].items():
            assert key.get("description"), name
