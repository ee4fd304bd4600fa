"""Project and environment are found, read once, checked with places, and keep their passwords to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manor.errors import InputError, InvalidInput, NotFoundError, UnsupportedError
from manor.settings import Deployment, Project, check_url, find_project, load_environment, redact_url
from manor.wiring.sources import open_source

V1_BLOCK = """\
project_name: shop
description: A shop.
options:
  create_foreign_key_constraints: false
multi_tenant:
  enabled: true
  scale: "enterprise"
  tenant_registry:
    provider: "database"
    config:
      database:
        url: "${TENANT_REGISTRY_DB_URL}"
        tenant_table: "tenants"
        cache_ttl: 300
  templates:
    base_dir: "./templates"
    schema_templates:
      - name: "saas_standard"
        file: "saas_standard_schema.j2"
      - name: "enterprise"
        file: "enterprise_schema.j2"
  automation:
    max_parallel_operations: 20
    operation_timeout: 300
  monitoring:
    enabled: true
    metrics_endpoint: "/metrics"
    log_level: "INFO"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop" / "customer_a").mkdir(parents=True)
    return tmp_path / "shop"


def environment_of(folder: Path, text: str, **variables: str):
    (folder / "customer_a" / "environ.yaml").write_text(text)
    return load_environment(find_project(folder, environment={}), folder / "customer_a", environment=variables)


def messages_of(folder: Path, text: str, **variables: str) -> list[str]:
    with pytest.raises(InvalidInput) as error:
        environment_of(folder, text, **variables)
    return [str(finding) for finding in error.value.findings]


def test_the_block_of_the_reference_is_accepted_and_what_waits_is_named(folder: Path) -> None:
    (folder / "project.yaml").write_text(V1_BLOCK)
    project = find_project(folder, environment={"TENANT_REGISTRY_DB_URL": "postgresql://x/y"})
    assert (project.name, project.description, project.declared) == ("shop", "A shop.", True)
    assert project.options.create_foreign_key_constraints is False
    assert project.not_acted_on == ("multi_tenant.monitoring.enabled", "multi_tenant.monitoring.metrics_endpoint")
    fleet = project.fleet
    assert (fleet.enabled, fleet.scale, fleet.log_level) == (True, "enterprise", "INFO")
    assert (fleet.automation.max_parallel_operations, fleet.automation.operation_timeout_seconds) == (20, 300)
    assert fleet.templates.base_dir == "./templates"
    assert fleet.templates.schema_templates == {
        "saas_standard": "saas_standard_schema.j2",
        "enterprise": "enterprise_schema.j2",
    }
    source = fleet.sources["database"]
    assert (source.provider, source.config.tenant_table, source.config.cache_ttl) == ("database", "tenants", 300)
    assert source.config.url.get_secret_value() == "postgresql://x/y"
    assert "postgresql" not in repr(project)


def test_a_missing_environment_variable_is_named_where_it_stands(folder: Path) -> None:
    """In the settings of a source, when the source is opened."""
    (folder / "project.yaml").write_text(V1_BLOCK)
    project = find_project(folder, environment={})
    with pytest.raises(InvalidInput) as error:
        open_source(project, "database")
    assert str(error.value) == "project.yaml:12:14: environment variable TENANT_REGISTRY_DB_URL is not set"


def test_all_missing_environment_variables_are_named_at_once(folder: Path) -> None:
    messages = messages_of(folder, "description: ${A}\ncatalog_url: postgresql://${B}/${A}\n")
    assert [message.partition(" (")[0] for message in messages] == [
        "customer_a/environ.yaml:1:14: environment variable A is not set",
        "customer_a/environ.yaml:2:14: environment variable A is not set",
    ]


def test_the_nearest_project_upwards_is_taken(folder: Path) -> None:
    (folder / "project.yaml").write_text("project_name: shop\n")
    (folder / "customer_a" / "deeper").mkdir()
    assert find_project(folder / "customer_a" / "deeper").folder == folder
    (folder / "customer_a" / "project.yaml").write_text("project_name: nearer\n")
    assert find_project(folder / "customer_a" / "deeper").name == "nearer"


def test_without_a_project_file_the_registrys_own_folder_is_the_project(folder: Path, tmp_path: Path) -> None:
    project = find_project(tmp_path, registry=folder / "customer_a" / "tenant_registry.yaml")
    assert (project.folder, project.declared) == (folder / "customer_a", False)


def test_a_registrys_project_goes_before_that_of_the_working_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "project.yaml").write_text("project_name: elsewhere\n")
    (folder / "project.yaml").write_text("project_name: shop\n")
    found = find_project(tmp_path / "elsewhere", registry=folder / "customer_a" / "tenant_registry.yaml")
    assert found.name == "shop"


def test_an_explicit_project_goes_before_everything_and_must_exist(folder: Path, tmp_path: Path) -> None:
    (folder / "project.yaml").write_text("project_name: shop\n")
    assert find_project(folder, tmp_path).folder == tmp_path
    with pytest.raises(InputError, match="does not exist"):
        find_project(folder, tmp_path / "none")


def test_paths_are_shown_relative_to_the_project(folder: Path) -> None:
    project = Project(folder=folder, name="shop")
    assert (
        project.shown(folder / "customer_a" / ".." / "customer_a" / "tenant_registry.yaml") == "customer_a/tenant_registry.yaml"
    )
    assert project.shown(folder.parent / "x.yaml") == (folder.parent / "x.yaml").as_posix()


@pytest.mark.parametrize("text", [None, "", "description: nothing else\n", "deployments: {}\n"])
def test_without_a_deployment_there_is_the_embedded_one(folder: Path, text: str | None) -> None:
    if text is None:
        environment = load_environment(find_project(folder), folder / "customer_a")
    else:
        environment = environment_of(folder, text)
    assert environment.name == "customer_a"
    assert environment.deployments == (Deployment(name="embedded", url=None, embedded=True),)
    assert environment.settings.embedded.archive is None


@pytest.mark.parametrize("key", ["deployments", "deployment"])
def test_deployments_are_read_in_order_under_either_spelling(folder: Path, key: str) -> None:
    text = f"{key}:\n  tokyo: postgresql://u:${{PASSWORD}}@tokyo/\n  osaka: postgres://osaka:5433/postgres\n"
    environment = environment_of(folder, text, PASSWORD="s3cret")
    assert [d.name for d in environment.deployments] == ["tokyo", "osaka"]
    assert environment.deployment("tokyo").url == "postgresql://u:s3cret@tokyo/"
    assert not environment.deployment("tokyo").embedded
    assert "s3cret" not in f"{environment!r} {environment.deployments!r} {environment.deployments[0]}"
    assert str(environment.deployments[0]) == "tokyo (postgresql://u:***@tokyo/)"
    with pytest.raises(NotFoundError, match="there is no deployment 'kyoto'"):
        environment.deployment("kyoto")


def test_both_spellings_at_once_are_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match=r"customer_a/environ\.yaml:2:1: deployments and deployment"):
        environment_of(folder, "deployments: {a: 'postgresql://x/'}\ndeployment: {b: 'postgresql://y/'}\n")


def test_settings_and_options_are_typed_values(folder: Path) -> None:
    text = (
        "settings:\n  lock_wait_seconds: 5\n  embedded: {archive: true, shared_buffers: 256MB, max_connections: 50}\n"
        "options: {create_foreign_key_constraints: false}\ncatalog_url: postgresql://c/\n"
    )
    environment = environment_of(folder, text)
    assert environment.settings.lock_wait_seconds == 5
    assert environment.settings.embedded.archive is True
    assert (environment.settings.embedded.shared_buffers, environment.settings.embedded.max_connections) == ("256MB", 50)
    assert environment.options.create_foreign_key_constraints is False
    assert environment.catalog_url == "postgresql://c/"


def test_the_projects_options_hold_where_the_environment_says_nothing(folder: Path) -> None:
    (folder / "project.yaml").write_text("options: {create_foreign_key_constraints: false}\n")
    assert environment_of(folder, "description: x\n").options.create_foreign_key_constraints is False


def test_every_mistake_is_told_with_its_place_and_the_nearest_key(folder: Path) -> None:
    text = (
        "deploymnts: {}\n"
        "settings:\n"
        "  lock_wait_second: 5\n"
        "  embedded:\n"
        "    archive: yes\n"
        "    shared_buffers: lots\n"
        "    max_connections: 3\n"
        "    max_conections: 30\n"
    )
    messages = messages_of(folder, text)
    assert sorted(messages) == [
        "customer_a/environ.yaml:1:1: unknown key 'deploymnts' (did you mean 'deployments'?)",
        "customer_a/environ.yaml:3:3: settings: unknown key 'lock_wait_second' (did you mean 'lock_wait_seconds'?)",
        "customer_a/environ.yaml:5:14: settings.embedded: archive must be true or false, found text "
        "(write true or false, without quotes)",
        "customer_a/environ.yaml:6:21: settings.embedded: shared_buffers is not written as it must be: text "
        "(it must match ^[1-9][0-9]*(kB|MB|GB)$)",
        "customer_a/environ.yaml:7:22: settings.embedded: max_connections must be at least 10, found a number",
        "customer_a/environ.yaml:8:5: settings.embedded: unknown key 'max_conections' (did you mean 'max_connections'?)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "deployments: {a: 'http://u:s3cret@host/'}",
        "deployments: {a: 'mysql://u:s3cret@host/'}",
        "deployments: {a: 'postgresql://u:s3cret@host:port/'}",
        "deployments: {a: 'postgresql://u:s3/cret@host/'}",
        "deployments: {a: 'postgresql://u:${s3cret@host/'}",
        "deployments: {a: 's3cret'}",
        "deployments: {a: 'host=x password=s3cret'}",
        "deployments: ['s3cret']",
        "deployments: {a: {b: s3cret}}",
        "catalog_url: 'mysql://u:s3cret@host/'",
        "settings: s3cret",
    ],
)
def test_no_error_shows_a_secret(folder: Path, text: str) -> None:
    with pytest.raises((InputError, UnsupportedError)) as error:
        environment_of(folder, text)
    shown = f"{error.value} {error.value.hint} {getattr(error.value, 'findings', '')}"
    assert "s3cret" not in shown
    assert "cret" not in shown


@pytest.mark.parametrize("url", ["mysql://h/", "mysql+pymysql://h/", "mariadb://h/"])
def test_the_urls_of_later_engines_say_so(url: str) -> None:
    with pytest.raises(UnsupportedError, match="come later"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["postgresql://h/", "postgres://u:p%40@h:5432/db?sslmode=require", "postgresql:///db?host=/run"]
)
def test_the_urls_of_postgresql_are_accepted(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("postgresql://u:p@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?password=p&sslmode=require", "postgresql://h/db?password=***&sslmode=require"),
        ("postgresql://u:a@b/c@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p?q#r@h/db", "postgresql://u:***@h/db"),
        ("host=h user=u password=p dbname=d", "host=h user=u password=*** dbname=d"),
        ("host=h password = 'a b' dbname=d", "host=h password = *** dbname=d"),
        ("postgresql:///db", "postgresql:///db"),
    ],
)
def test_a_password_is_redacted(url: str, redacted: str) -> None:
    assert redact_url(url) == redacted


@given(st.text(min_size=8, max_size=30))
@example("a@b/c?d#e:f")
def test_no_password_survives_redaction(password: str) -> None:
    assert redact_url(f"postgresql://user:{password}@host:5432/db") == "postgresql://user:***@host:5432/db"
