"""The templates of the reference design load as they are written there, plus the tables that they need."""

from __future__ import annotations

import pytest

from manor.control.templates.model import Isolation, bind_dataset
from manor.scan import scan

SCHEMA = """
schemas:
  main:
    tables:
      users:
        columns: &tenant_table
          - {column_name: id, column_type: BIGINT, nullable: false, primary_key: 1}
          - {column_name: username, column_type: VARCHAR(100), nullable: false}
          - {column_name: email, column_type: VARCHAR(255)}
          - {column_name: tenant_id, column_type: VARCHAR(63), nullable: false}
          - {column_name: role, column_type: VARCHAR(20)}
          - {column_name: created_at, column_type: TIMESTAMP}
      orders: {columns: *tenant_table}
      audit_logs: {columns: *tenant_table}
      enterprise_features: {columns: *tenant_table}
  shared:
    tables:
      system_config:
        columns:
          - {column_name: key, column_type: VARCHAR(50), primary_key: true}
          - {column_name: value, column_type: TEXT}
"""
COMMON = """
group: "shared"
instances: ["shared"]
description: "Common: {CUSTOMER_CODE}"
"""
STANDARD = """
group: "main"
base: "common"
instances:
  - "main"
description: "SaaS標準テナント: {TENANT_PREFIX}"

deployment: true

database_config:
  main:
    database_name: "{DATABASE_NAME}"
    connection_pool_size: 10

tenant_config:
  tenant_id: "{TENANT_PREFIX}"
  tenant_type: "{TENANT_TYPE}"
  customer_code: "{CUSTOMER_CODE}"

data_models:
  users:
    table_name: "users"
    tenant_isolation_column: "tenant_id"
    default_tenant_value: "{TENANT_PREFIX}"

  orders:
    table_name: "orders"
    tenant_isolation_column: "tenant_id"
    default_tenant_value: "{TENANT_PREFIX}"
"""
ENTERPRISE = """
group: "main"
base: "common"
instances:
  - "main"
description: "エンタープライズテナント: {TENANT_PREFIX}"

deployment: true

database_config:
  main:
    database_name: "{DATABASE_NAME}"
    connection_pool_size: 20        # より大きなプール

enterprise_config:
  audit_enabled: "{AUDIT_ENABLED}"
  compliance_mode: "strict"
  backup_frequency: "hourly"
  retention_policy: "7years"

data_models:
  users:
    table_name: "users"
    tenant_isolation_column: "tenant_id"
    default_tenant_value: "{TENANT_PREFIX}"
    audit_enabled: true

  audit_logs:
    table_name: "audit_logs"
    tenant_isolation_column: "tenant_id"
    default_tenant_value: "{TENANT_PREFIX}"
    retention_days: 2555  # 7年

  enterprise_features:
    table_name: "enterprise_features"
    tenant_isolation_column: "tenant_id"
    default_tenant_value: "{TENANT_PREFIX}"
"""
USERS = """
- id: 1
  username: "admin"
  email: "admin@{CUSTOMER_CODE}.example.com"
  tenant_id: "{TENANT_PREFIX}"
  role: "admin"
  created_at: "2024-01-01T00:00:00Z"

- id: 2
  username: "operator"
  email: "operator@{CUSTOMER_CODE}.example.com"
  tenant_id: "{TENANT_PREFIX}"
  role: "operator"
  created_at: "2024-01-01T00:00:00Z"
"""


@pytest.fixture
def reference(project):
    project.write(
        {
            "schema.yaml": SCHEMA,
            "customer_a/common/_mapping.yaml": COMMON,
            "customer_a/common/shared@system_config.dat": "- {key: mode, value: live}\n",
            "customer_a/tenant_type1/_mapping.yaml": STANDARD,
            "customer_a/tenant_type1/main@users.dat": USERS,
            "customer_a/tenant_type2/_mapping.yaml": ENTERPRISE,
            "customer_a/tenant_type2/main@users.dat": USERS,
        }
    )
    return project.loader


def test_the_standard_template_is_understood_key_by_key(reference) -> None:
    template = reference.load("tenant_type1")
    assert reference.findings == []
    assert (template.name, template.folder, template.group) == ("tenant_type1", "customer_a/tenant_type1", "main")
    assert template.instances == ("main",)
    assert template.deployment is True
    assert template.description == scan("SaaS標準テナント: {TENANT_PREFIX}")
    assert template.database_names == {"main": scan("{DATABASE_NAME}")}
    assert template.config == {
        "tenant_config": {
            "tenant_id": scan("{TENANT_PREFIX}"),
            "tenant_type": scan("{TENANT_TYPE}"),
            "customer_code": scan("{CUSTOMER_CODE}"),
        }
    }
    assert template.isolation == (
        Isolation(table="users", column="tenant_id", value=scan("{TENANT_PREFIX}")),
        Isolation(table="orders", column="tenant_id", value=scan("{TENANT_PREFIX}")),
    )
    assert template.names == {"TENANT_PREFIX", "TENANT_TYPE", "CUSTOMER_CODE", "DATABASE_NAME"}
    assert template.not_acted_on == ("database_config.main.connection_pool_size",)


def test_the_standard_template_has_the_tables_of_its_schemas_only(reference) -> None:
    template = reference.load("tenant_type1")
    assert {table.name for table in template.schema.tables} == {"users", "orders", "audit_logs", "enterprise_features"}
    assert template.shared_rows == ()


def test_rows_of_the_standard_template_are_filled_in_per_tenant(reference) -> None:
    template = reference.load("tenant_type1")
    (users,) = template.tenant_rows
    bound = bind_dataset(users, {"CUSTOMER_CODE": "customer_a", "TENANT_PREFIX": "customer_a_tenant_001"})
    assert bound.columns == ("id", "username", "email", "tenant_id", "role", "created_at")
    first = (1, "admin", "admin@customer_a.example.com", "customer_a_tenant_001", "admin", "2024-01-01T00:00:00Z")
    assert bound.rows[0] == first
    assert len(bound.rows) == 2


def test_keys_of_the_enterprise_template_that_nothing_acts_on_are_named(reference) -> None:
    template = reference.load("tenant_type2")
    assert reference.findings == []
    assert template.not_acted_on == (
        "database_config.main.connection_pool_size",
        "data_models.users.audit_enabled",
        "data_models.audit_logs.retention_days",
    )
    assert template.config["enterprise_config"]["audit_enabled"] == scan("{AUDIT_ENABLED}")


def test_rows_that_are_the_same_for_all_go_into_the_golden_database(reference) -> None:
    template = reference.load("common")
    (config,) = template.shared_rows
    assert (config.table, config.rows) == ("system_config", (("mode", "live"),))
    assert template.tenant_rows == ()


def test_a_template_is_parsed_once(reference, project) -> None:
    template = reference.load("tenant_type1")
    (project.root / "customer_a/tenant_type1/_mapping.yaml").unlink()
    assert reference.load("tenant_type1") is template
