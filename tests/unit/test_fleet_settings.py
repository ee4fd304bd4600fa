"""The block ``multi_tenant``: sources by name, each with the settings of its own provider, and bounds that fill gaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.control.operations.fleet import with_bounds
from manor.control.registry.model import Registry
from manor.errors import InvalidInput
from manor.fleet_settings import AutomationSettings
from manor.settings import find_project, load_source
from manor.wiring.sources import open_source

SOURCES = """\
multi_tenant:
  tenant_registry:
    provider: csv
    config:
      csv: {csv_path: tenants.csv}
  sources:
    crm:
      provider: database
      config:
        database: {url: "${CRM_URL}", columns: {tenant_id: customer_no}, defaults: {tier: basic}}
    both:
      provider: merged
      config:
        merged: {sources: [crm, csv]}
    ours:
      provider: acme-crm
      config:
        acme-crm: {region: eu, token: "${TOKEN}"}
"""


def project_of(folder: Path, text: str):
    (folder / "project.yaml").write_text(text)
    return find_project(folder, environment={"CRM_URL": "sqlite:///crm.db", "TOKEN": "s3cret"})


def findings_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(InvalidInput) as raised:
        project_of(folder, text)
    return [str(finding) for finding in raised.value.findings]


def test_sources_have_the_names_that_the_project_gives_them(tmp_path: Path) -> None:
    """The one of ``tenant_registry`` is called like its provider."""
    found = project_of(tmp_path, SOURCES).fleet.sources
    assert {name: source.provider for name, source in found.items()} == {
        "csv": "csv",
        "crm": "database",
        "both": "merged",
        "ours": "acme-crm",
    }
    assert found["crm"].config.columns == {"tenant_id": "customer_no"}
    assert found["ours"].config == {"region": "eu", "token": "s3cret"}
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "provider: database",
            "project.yaml:4:7: the settings of provider database are missing (write them below config: database:)",
        ),
        (
            "provider: csv\n      config:\n        database: {url: x}\n        csv: {csv_path: a.csv}",
            "project.yaml:6:9: settings of database stand below a source with provider csv (each provider takes its own)",
        ),
        (
            "provider: csv\n      config:\n        csv: {csv_path: a.csv}\n        cvs: {csv_path: a.csv}",
            "project.yaml:7:9: settings of cvs stand below a source with provider csv (did you mean 'csv'?)",
        ),
    ],
)
def test_a_source_has_the_settings_of_its_own_provider(tmp_path: Path, source: str, expected: str) -> None:
    """Others stand there by mistake, and would be passed over without a word."""
    assert findings_of(tmp_path, f"multi_tenant:\n  sources:\n    one:\n      {source}\n") == [expected]


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    """One of them could not be asked for."""
    csv = "{provider: csv, config: {csv: {csv_path: a.csv}}}"
    (finding,) = findings_of(tmp_path, f"multi_tenant:\n  tenant_registry: {csv}\n  sources:\n    csv: {csv}\n")
    assert "csv is also the name of the source of tenant_registry" in finding


def test_a_file_of_its_own_describes_a_source_in_the_same_shape(tmp_path: Path) -> None:
    """With places in that file; its variables are the environment's."""
    project = project_of(tmp_path, "project_name: shop\n")
    file = tmp_path / "crm.yaml"
    file.write_text("provider: database\nconfig:\n  database:\n    url: ${CRM_URL}\n")
    source = load_source(project, "crm", file, environment={"CRM_URL": "sqlite:///x.db"})
    assert (source.name, source.provider) == ("crm", "database")
    file.write_text("provider: database\nconfig:\n  database:\n    url: x\n    tenant_tabel: t\n")
    with pytest.raises(InvalidInput) as raised:
        load_source(project, "crm", file, environment={})
    assert str(raised.value).startswith("crm.yaml:5:5: ")
    assert raised.value.hint == "did you mean 'tenant_table'?"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("{}", (None, None)),
        ("{scale: small}", (4, None)),
        ("{scale: large, automation: {operation_timeout: 60}}", (20, 60)),
        ("{scale: small, automation: {max_parallel_operations: 7}}", (7, None)),
    ],
)
def test_how_many_at_a_time_is_said_or_follows_from_the_scale(
    tmp_path: Path, block: str, expected: tuple[int | None, ...]
) -> None:
    """Neither said: nothing is imposed on the registries."""
    bounds = project_of(tmp_path, f"multi_tenant: {block}\n").fleet.automation
    assert (bounds.max_parallel_operations, bounds.operation_timeout_seconds) == expected


def test_the_projects_bounds_fill_what_a_registry_leaves_open() -> None:
    """What the registry says itself stays."""
    silent = {"registry_version": "2.0", "customer_info": {"customer_code": "a"}, "database_groups": {}}
    says = {**silent, "operations": {"batch_settings": {"max_parallel": 3}}}
    bounds = AutomationSettings(max_parallel_operations=7, operation_timeout_seconds=60)
    for values, expected in ((silent, (7, 60)), (says, (3, 60))):
        batch = with_bounds(Registry.model_validate(values), bounds).operations.batch_settings
        assert (batch.max_parallel, batch.timeout_seconds, batch.retry_attempts) == (*expected, 3)
    assert with_bounds(Registry.model_validate(silent), AutomationSettings()).operations.batch_settings.max_parallel == 10


UNSET = """\
multi_tenant:
  tenant_registry:
    provider: csv
    config:
      csv: {csv_path: "${HOLE}", encoding: "${HOLE}"}
  sources:
    crm:
      provider: database
      config:
        database: {url: "${CRM_URL}"}
      cache: {ttl: 5, redis_url: "${REDIS_HOLE}"}
    sheet:
      provider: csv
      config:
        csv: {csv_path: tenants.csv}
    both:
      provider: merged
      config:
        merged: {sources: [sheet, crm]}
"""


def test_a_variable_that_is_not_set_is_wanted_by_its_source_only(tmp_path: Path) -> None:
    """All others can be opened, and what is missing is said with its place by those that need it."""
    project = project_of(tmp_path, UNSET)
    assert set(project.fleet.sources) == {"csv", "crm", "sheet", "both"}
    assert open_source(project, "sheet") is not None
    hole = "environment variable {} is not set (export {}=… before running manor)"
    for name, expected in (
        ("csv", [f"project.yaml:5:{column}: {hole.replace('{}', 'HOLE')}" for column in (23, 44)]),
        ("crm", [f"project.yaml:11:34: {hole.replace('{}', 'REDIS_HOLE')}"]),
        ("both", [f"project.yaml:11:34: {hole.replace('{}', 'REDIS_HOLE')}"]),
    ):
        with pytest.raises(InvalidInput) as raised:
            open_source(project, name)
        assert [str(finding) for finding in raised.value.findings] == expected


@pytest.mark.parametrize(
    "text",
    [
        "project_name: ${HOLE}\n",
        "multi_tenant:\n  templates: {base_dir: '${HOLE}'}\n",
        "multi_tenant:\n  sources:\n    crm: {provider: '${HOLE}'}\n",
        "multi_tenant:\n  sources:\n    crm: {config: {csv: {csv_path: '${HOLE}'}}}\n",
        "multi_tenant:\n  sources:\n    crm: {provider: csv, config: {csv: {csv_path: '${'}}}\n",
        "multi_tenant:\n  sources: [{provider: csv, config: {csv: {csv_path: '${HOLE}'}}}]\n",
    ],
)
def test_what_is_no_setting_of_a_source_is_wanted_always(tmp_path: Path, text: str) -> None:
    """So is what is written wrongly."""
    (said,) = findings_of(tmp_path, text)
    assert said.startswith("project.yaml:")
    assert "is not set" in said or "neither a variable" in said


@pytest.mark.parametrize("paths", [("${HOLE}", "b"), ("a", "${HOLE}"), ("${HOLE}", "${HOLE}")])
def test_two_sources_of_one_name_are_refused_whatever_is_not_set(tmp_path: Path, paths: tuple[str, str]) -> None:
    """The variable does not hide it for long."""
    said = findings_of(
        tmp_path,
        f"multi_tenant:\n  tenant_registry: {{provider: csv, config: {{csv: {{csv_path: '{paths[0]}'}}}}}}\n"
        f"  sources:\n    csv: {{provider: csv, config: {{csv: {{csv_path: '{paths[1]}'}}}}}}\n",
    )
    assert len(said) == 1
    assert said[0].startswith("project.yaml:4:")
