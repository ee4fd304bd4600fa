"""Sources are opened by the names that ``project.yaml`` gives them, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sql_ground import writable

from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.provider import TenantRegistryProvider
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import InputError, ManorError, NotFoundError, RefusedError, UnsupportedError
from manor.settings import Project, find_project
from manor.wiring import open_source

PROJECT = """\
multi_tenant:
  tenant_registry: {provider: csv, config: {csv: {csv_path: tenants.csv}}}
  sources:
    crm: {provider: database, config: {database: {url: "sqlite:///crm.db", columns: {tenant_id: no}, defaults: {tier: basic}}}}
    registry: {provider: yaml, config: {yaml: {registry: customer_a/tenant_registry.yaml}}}
    billing: {provider: api, config: {api: {api_base_url: "https://billing.example.com", auth_token: s3cret}}}
    shop: {provider: graphql, config: {graphql: {api_base_url: "https://shop.example.com/q", query_file: q.graphql}}}
    all: {provider: merged, config: {merged: {sources: [crm, csv]}}}
    deep: {provider: merged, config: {merged: {sources: [all, registry]}}}
    ring: {provider: merged, config: {merged: {sources: [crm, ring]}}}
    ours: {provider: acme, config: {acme: {region: eu, token: s3cret}}}
    lost: {provider: acmee}
"""
REGISTRY = """\
registry_version: "2.0"
customer_info: {customer_code: acme, region: eu}
database_groups:
  main: {type: tenant_group, template: t, tenant_count: 2, naming_pattern: "acme_{tenant_id}"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With a table, a spreadsheet and a registry."""
    (tmp_path / "customer_a").mkdir()
    (tmp_path / "customer_a" / "tenant_registry.yaml").write_text(REGISTRY)
    (tmp_path / "tenants.csv").write_text("tenant_id,customer_code,tier,region\n002,acme,premium,eu\n003,acme,premium,us\n")
    (tmp_path / "q.graphql").write_text("query ($first: Int, $after: String) { tenants { nodes { tenant_id } } }")
    (tmp_path / "project.yaml").write_text(PROJECT)
    engine = writable(f"sqlite:///{tmp_path}/crm.db")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE tenants (no text, customer_code text, region text)"))
        connection.execute(sa.text("INSERT INTO tenants VALUES ('001', 'acme', 'asia'), ('002', 'acme', 'asia')"))
    return find_project(tmp_path)


async def tiers_and_regions(provider: TenantRegistryProvider) -> dict[str, tuple[str, str]]:
    """By tenant; the source is closed."""
    try:
        return {info.tenant_id: (info.tier, info.region) async for info in provider.iter_tenants()}
    finally:
        await provider.aclose()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("csv", {"002": ("premium", "eu"), "003": ("premium", "us")}),
        ("crm", {"001": ("basic", "asia"), "002": ("basic", "asia")}),
        ("registry", {"001": ("standard", "eu"), "002": ("standard", "eu")}),
        ("all", {"001": ("basic", "asia"), "002": ("basic", "asia"), "003": ("premium", "us")}),
        ("deep", {"001": ("basic", "asia"), "002": ("basic", "asia"), "003": ("premium", "us")}),
    ],
)
async def test_every_kind_of_source_has_a_name(project: Project, name: str, expected: dict[str, tuple[str, str]]) -> None:
    """Paths count from the project; merged sources are opened by name too."""
    assert await tiers_and_regions(open_source(project, name)) == expected


async def test_an_empty_cell_tells_nothing_against_another_source(project: Project) -> None:
    """A default is nobody's word."""
    (project.folder / "tenants.csv").write_text("tenant_id,customer_code,tier,region\n001,acme,,\n002,acme,gold,\n")
    text = PROJECT.replace("sources: [crm, csv]", "sources: [csv, crm]")
    (project.folder / "project.yaml").write_text(text)
    found = await tiers_and_regions(open_source(find_project(project.folder), "all"))
    assert found == {"001": ("basic", "asia"), "002": ("gold", "asia")}


@pytest.mark.parametrize("name", ["billing", "shop", "crm", "all"])
async def test_opening_contacts_nobody_and_shows_no_secret(project: Project, name: str) -> None:
    """A source can be shown in messages."""
    provider = open_source(project, name)
    assert name in repr(provider)
    assert "s3cret" not in repr(provider)
    await provider.aclose()


async def test_a_file_can_describe_the_source_instead(project: Project) -> None:
    """Under the name that the command says."""
    file = project.folder / "other.yaml"
    file.write_text("provider: csv\nconfig: {csv: {csv_path: tenants.csv}}\n")
    found = await tiers_and_regions(open_source(project, "elsewhere", file))
    assert set(found) == {"002", "003"}


class Acme(ListedTenantProvider):
    """Another package's."""


def acme(config: Mapping[str, Any]) -> TenantRegistryProvider:
    assert config == {"region": "eu", "token": "s3cret"}
    return Acme([TenantInfo(tenant_id="x", customer_code="acme", region=config["region"])])


def broken(config: Mapping[str, Any]) -> TenantRegistryProvider:
    raise ValueError(f"cannot log in with {config['token']}")


def nothing(_: Mapping[str, Any]) -> None:
    return None


def install(monkeypatch: pytest.MonkeyPatch, factory: str) -> None:
    """As if a package had been installed."""
    point = metadata.EntryPoint(name="acme", value=f"{__name__}:{factory}", group="manor.sources")
    monkeypatch.setattr(metadata, "entry_points", lambda **asked: [point] if asked == {"group": "manor.sources"} else [])
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda _: globals()[factory])


async def test_another_package_brings_a_source_by_entry_point(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called with the settings that stand below its name."""
    install(monkeypatch, "acme")
    assert await tiers_and_regions(open_source(project, "ours")) == {"x": ("standard", "eu")}


@pytest.mark.parametrize(
    ("factory", "message"), [("broken", "provider acme cannot be opened (ValueError)"), ("nothing", "gives no TenantRegistry")]
)
def test_what_is_wrong_in_another_package_is_named_as_its(
    project: Project, monkeypatch: pytest.MonkeyPatch, factory: str, message: str
) -> None:
    """Without what it says, which may hold a secret of the settings."""
    install(monkeypatch, factory)
    with pytest.raises(InputError) as raised:
        open_source(project, "ours")
    assert message in str(raised.value)
    assert "source ours" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "kind", "message", "hint"),
    [
        ("crn", NotFoundError, "there is no source 'crn'", "did you mean 'crm'?"),
        ("lost", UnsupportedError, "there is no provider 'acmee'", "known here: api, csv, database, graphql, merged, yaml"),
        ("ring", InputError, "ring merges ring, which is made of it: ring → ring", ""),
    ],
)
def test_what_cannot_be_opened_is_said(project: Project, name: str, kind: type[ManorError], message: str, hint: str) -> None:
    """With what there is."""
    with pytest.raises(kind) as raised:
        open_source(project, name)
    assert message in raised.value.message
    assert hint in raised.value.hint


def test_a_project_that_has_no_tenants_opens_no_source(project: Project) -> None:
    """``enabled: false`` is an answer, too."""
    (project.folder / "project.yaml").write_text(PROJECT.replace("multi_tenant:\n", "multi_tenant:\n  enabled: false\n"))
    with pytest.raises(RefusedError, match=r"multi_tenant\.enabled is false"):
        open_source(find_project(project.folder), "crm")
