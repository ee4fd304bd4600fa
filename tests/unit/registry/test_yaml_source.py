"""A registry file is a source of tenants."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from manor.control.registry.provider import TenantRegistryProvider
from manor.control.registry.yaml_source import YamlTenantProvider
from manor.errors import InputError, InvalidInput
from manor.testing.sources import Row, SourceBench, SourceSuite

CUSTOMER = 'O\'Neill & "Söhne"'


def registry_of(rows: Sequence[Row]) -> dict[str, Any]:
    """A file that lists these tenants, the first of them in two groups."""
    group = {"type": "tenant_group", "template": "t", "tenant_id_start": 0, "tenant_id_format": "t{:05d}"}
    counts = {"main": len(rows), "test": sum("test" in row["instances"] for row in rows)}
    groups = {
        name: {**group, "tenant_count": count, "naming_pattern": f"{{customer_code}}_{name}_{{tenant_id}}"}
        for name, count in counts.items()
    }
    customer = {"customer_code": "acme", "customer_name": CUSTOMER, "region": "eu"}
    return {"registry_version": "2.0", "customer_info": customer, "database_groups": groups}


class YamlBench:
    """A file in the suite's own folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tenant_registry.yaml"

    @contextlib.asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        self.path.write_text(json.dumps(registry_of(rows)), encoding="utf-8")
        yield YamlTenantProvider(self.path, shown_as="tenant_registry.yaml")


class TestYamlSource(SourceSuite):
    """The suite, with tenants as a registry can hold them: of one customer, without settings of their own kind."""

    @staticmethod
    def row(number: int) -> Row:
        return {
            "tenant_id": f"t{number:05}",
            "customer_code": "acme",
            "customer_name": 'O\'Neill & "Söhne"',
            "region": "eu",
            "instances": ["main", "test"] if number < 10 else ["main"],
        }

    @pytest.fixture
    def bench(self, tmp_path: Path) -> SourceBench:
        return YamlBench(tmp_path)

    @pytest.mark.skip(reason="the file has no such field of a tenant")
    async def test_points_in_time_without_a_zone_are_in_utc(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="the file has no such field of a tenant")
    async def test_a_text_is_a_point_in_time_by_iso_8601_alone(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="the file has no such field of a tenant")
    async def test_what_one_source_refuses_every_source_refuses(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="the file has no such field of a tenant")
    async def test_large_numbers_of_json_are_whole(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="settings are made of the registry: the next test")
    async def test_settings_come_back_as_json_values(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="numbered tenants are each there once")
    async def test_a_tenant_that_is_there_twice_is_refused(self) -> None: ...  # type: ignore[override]

    @pytest.mark.skip(reason="what is wrong with a registry is said with its line: the test below")
    async def test_a_row_that_is_no_tenant_is_an_error_with_a_place(self) -> None: ...  # type: ignore[override]


REGISTRY = """\
registry_version: "2.0"
customer_info: {customer_code: acme, customer_name: Acme}
database_groups:
  standard:
    type: tenant_group
    template: small
    tenant_count: 2
    naming_pattern: "{customer_code}_s_{tenant_id}"
    variables: {TIER: basic}
    server: north
  test:
    type: tenant_group
    template: tiny
    tenant_count: 1
    naming_pattern: "{customer_code}_x_{tenant_id}"
"""


async def test_groups_are_instances_and_their_settings_the_tenants(tmp_path: Path) -> None:
    """An id that two groups have is one tenant; the file is read again when it changes."""
    file = tmp_path / "r.yaml"
    file.write_text(REGISTRY)
    source = YamlTenantProvider(file, shown_as="r.yaml")
    found = {info.tenant_id: info.instances async for info in source.iter_tenants()}
    assert found == {"001": ("standard", "test"), "002": ("standard",)}
    assert await source.get_tenant_config("001") == {
        "standard": {
            "template": "small",
            "database": "acme_s_001",
            "variables": {"TIER": "basic", "customer_code": "acme", "customer_name": "Acme", "tenant_id": "001"},
        },
        "test": {
            "template": "tiny",
            "database": "acme_x_001",
            "variables": {"customer_code": "acme", "customer_name": "Acme", "tenant_id": "001"},
        },
    }
    file.write_text(REGISTRY.replace("tenant_count: 2", "tenant_count: 12"))
    assert await source.get_tenant_count() == 12


async def test_what_is_wrong_with_the_file_is_said_with_its_line(tmp_path: Path) -> None:
    """As ``validate`` says it; and a file that is not there by its name."""
    file = tmp_path / "r.yaml"
    source = YamlTenantProvider(file, shown_as="r.yaml")
    with pytest.raises(InputError, match=r"r\.yaml: the registry cannot be read: No such file"):
        await source.get_tenant_count()
    file.write_text(REGISTRY.replace("tenant_count: 1", "tenant_count: one"))
    with pytest.raises(InvalidInput, match=r"r\.yaml:14:19: .*must be a whole number"):
        await source.get_tenant_count()
