"""DBGear's own files instead of a registry: what they mean, and what is wrong with them, at their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.control.registry.resolve import resolve
from manor.control.registry.yaml_files import LoadedRegistry, load_registry
from manor.control.templates.dbgear_rows import DbgearCells
from manor.control.templates.loader import TemplateLoader
from manor.control.templates.model import Sql, Template
from manor.errors import InputError
from manor.scan import Text, Variable
from manor.settings import Project, load_environment, load_project
from manor.yaml_reader import parse_yaml

TENANTS = """\
tenants:
  acme:
    ref: shop
    databases:
      - {database: acme_1}
      - {database: acme_2, active: false}
"""
MAPPING = "description: x\nschemas: [main]\n"
SCHEMA = """\
schemas:
  main:
    tables:
      users: {columns: [{columnName: id, columnType: {columnType: INT, baseType: INT}, primaryKey: 1, nullable: false},
        {columnName: note, columnType: {columnType: TEXT, baseType: TEXT}}]}
"""


def write(root: Path, **files: str) -> Path:
    files = {"project.yaml": "projectName: shop\n", "schema.yaml": SCHEMA} | files
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "prod" / "tenant.yaml"


def load(root: Path, file: str = "tenant.yaml", **files: str) -> LoadedRegistry:
    path = write(root, **files).with_name(file)
    return load_registry(path, shown_as=f"prod/{file}")


def template(root: Path, dat: str, **variables: str) -> Template:
    write(
        root,
        **{
            "prod/shop/_mapping.yaml": MAPPING,
            "prod/shop/main@users.dat": dat,
            "prod/shop/main@users.yaml": "description: x\ndataType: yaml\nsyncMode: drop_create\n",
        },
    )
    loader = TemplateLoader(project=root, environment=root / "prod", variables=variables)
    found = loader.load("shop")
    assert loader.findings == []
    assert found is not None
    return found


@pytest.mark.parametrize("file", ["tenant.yaml", "environ.yaml"])
def test_tenants_and_folders_are_targets(tmp_path: Path, file: str) -> None:
    """Those that are active, made from their template, with the customer code of the project's name."""
    loaded = load(tmp_path, file, **{"prod/tenant.yaml": TENANTS, "prod/shop/_mapping.yaml": MAPPING + "deploy: true\n"})
    resolution = resolve(loaded, TemplateLoader(project=tmp_path, environment=tmp_path / "prod"), ["main"], source=file)
    assert resolution.findings == ()
    assert [(str(t.tenant), t.database, t.template, t.variables["tenant_name"]) for t in resolution.targets] == [
        ("shop/databases/shop", "shop", "shop", "$tenant_name"),
        ("shop/acme/acme_1", "acme_1", "shop", "acme_1"),
    ]


@pytest.mark.parametrize(
    ("tenants", "message"),
    [
        (
            "tenants:\n  a:\n    ref: shop\n    databases: my.module\n",
            "prod/tenant.yaml:4:16: tenant a: databases names the Python module 'my.module', which is not run",
        ),
        ("tenants:\n  a:\n    reff: shop\n    databases: []\n", "prod/tenant.yaml:3:5: tenants.a: unknown key 'reff'"),
        ("tenants: [", "prod/tenant.yaml:2:1: this is not YAML"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, tenants: str, message: str) -> None:
    """In DBGear's file."""
    found = load(tmp_path, **{"prod/tenant.yaml": tenants}).findings
    assert any(str(finding).startswith(message) for finding in found), [str(finding) for finding in found]


def test_a_bad_database_name_is_said_at_its_entry(tmp_path: Path) -> None:
    """Findings about targets have DBGear's places."""
    loaded = load(tmp_path, **{"prod/tenant.yaml": TENANTS.replace("acme_1", "pg_acme")})
    resolution = resolve(loaded, None, ["main"], source="x")
    assert [str(finding.place) for finding in resolution.findings] == ["prod/tenant.yaml:5:9"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("$who", "root"),
        ("a $who, $$who, $other, $5, $$5, $ $$", "a root, $who, $other, $5, $5, $ $$"),
        ("$$$who", "$$who"),
        ("$whom", "$whom"),
        ("{NAME} {{x}} }", "{NAME} {{x}} }"),
        ("x_$tenant_name!", Text(("x_", Variable("tenant_name"), "!"))),
        ("NOW()", Sql("CURRENT_TIMESTAMP")),
        ("uuid()", Sql("gen_random_uuid()")),
        ("NOW() is a word", "NOW() is a word"),
        ({"a": "$who", "b": ["$who"]}, {"a": "root", "b": ["$who"]}),
        (5, 5),
    ],
)
def test_a_cell_is_read_as_dbgear_reads_it(text: object, cell: object) -> None:
    """Known names are filled in, `$$` escapes, everything else is text."""
    assert DbgearCells({"who": "root"}).read(text, parse_yaml("", "x"), (0, "a"), []) == cell


def test_a_value_is_not_searched_again() -> None:
    """A setting that looks like a variable stays as it is."""
    assert DbgearCells({"a": "$b", "b": "x"}).text("$a $b") == "$b x"


def test_rows_know_the_settings_and_where_they_stand(tmp_path: Path) -> None:
    """`folder`, `environ`, `map_name`, `schema_name`, `table_name`, and the environment's settings, which go first."""
    text = "- {id: 1, note: '$environ/$map_name/$schema_name/$table_name/$who'}\n"
    (rows,) = template(tmp_path, text, who="root", environ="other").shared_rows
    assert rows.rows == ((1, "other/shop/main/users/root"),)


def test_settings_of_an_environment_may_be_dbgears(tmp_path: Path) -> None:
    """Free texts are variables; what is nearly one of Manor's own settings is a slip."""
    write(tmp_path, **{"prod/environ.yaml": "description: x\nsettings: {base_date: '2024-04-01', lock_wait_seconds: 5}\n"})
    project = load_project(tmp_path)
    settings = load_environment(project, tmp_path / "prod").settings
    assert (settings.variables, settings.lock_wait_seconds) == ({"base_date": "2024-04-01"}, 5)
    (tmp_path / "prod" / "environ.yaml").write_text("settings: {job_engin: pgqueuer}\n", encoding="utf-8")
    with pytest.raises(InputError, match="unknown key 'job_engin'"):
        load_environment(project, tmp_path / "prod")


def test_both_spellings_of_keys_work_but_not_at_once(tmp_path: Path) -> None:
    """DBGear reads snake_case and saves camelCase."""
    write(tmp_path, **{"project.yaml": "projectName: a\noptions: {createForeignKeyConstraints: false}\n"})
    found: Project = load_project(tmp_path)
    assert (found.name, found.options.create_foreign_key_constraints) == ("a", False)
    (tmp_path / "project.yaml").write_text("projectName: a\nproject_name: b\n", encoding="utf-8")
    with pytest.raises(InputError, match="both spellings"):
        load_project(tmp_path)


def test_rows_without_a_data_model_are_named_and_not_loaded(tmp_path: Path) -> None:
    """DBGear loads what a data model asks for; a dependency on a table of another database is no error there either."""
    write(tmp_path, **{"prod/shop/_mapping.yaml": MAPPING, "prod/shop/main@users.dat": "- {id: 1}\n"})
    loader = TemplateLoader(project=tmp_path, environment=tmp_path / "prod")
    found = loader.load("shop")
    assert found is not None
    assert (found.shared_rows, found.not_acted_on) == ((), ("prod/shop/main@users.dat",))
    (tmp_path / "prod" / "shop" / "main@users.yaml").write_text("dependencies: [else@where]\n", encoding="utf-8")
    loader = TemplateLoader(project=tmp_path, environment=tmp_path / "prod")
    assert len(loader.load("shop").shared_rows) == 1
    assert [finding.severity for finding in loader.findings] == ["notice"]
