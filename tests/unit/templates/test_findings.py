"""What is wrong in a template folder is said in one pass, with its place and what to do."""

from __future__ import annotations

import pytest

from manor.errors import Place

USERS = """
    column_name: id, column_type: INT, primary_key: 1
    column_name: name, column_type: VARCHAR(10), nullable: false
    column_name: tenant_id, column_type: VARCHAR(63)
    column_name: twice, column_type: INT, expression: id * 2, stored: true
"""


def test_everything_wrong_is_found_in_one_pass(project) -> None:
    project.tables({"users": USERS})
    project.template(
        {
            "_mapping.yaml": """\
                instances: [main]
                data_models:
                  users: {tenant_isolation_column: tenantid, default_tenant_value: "{T}"}
                  ordrs: {}
                """,
            "main@users.dat": """\
                - {id: x, nme: a}
                - {id: 2, name: "{T", twice: 4}
                """,
            "main@usrs.dat": "- {id: 1}\n",
        }
    )
    assert project.findings() == [
        "customer_a/shop/main@users.dat:2:17: '{' at position 0 of '{T' is neither a variable nor escaped "
        "(write {{ and }} for braces that are text)",
        "customer_a/shop/_mapping.yaml:3:36: data_models.users: table 'users' has no column 'tenantid' "
        "(did you mean 'tenant_id'?)",
        "customer_a/shop/_mapping.yaml:4:3: data_models.ordrs: no schema of this template defines table 'ordrs' "
        "(known here: users)",
        "customer_a/shop/main@usrs.dat: no schema of this template defines table main@usrs (did you mean 'main@users'?)",
        "customer_a/shop/main@users.dat:1:8: users.id: text 'x' is not a whole number",
        "customer_a/shop/main@users.dat:1:16: table 'users' has no column 'nme' (did you mean 'name'?)",
        "customer_a/shop/main@users.dat:1:3: the row leaves out name, which 'users' requires",
        "customer_a/shop/main@users.dat:2:30: users.twice: the database computes this column (leave it out)",
    ]


def test_a_schema_of_several_templates_is_reported_once(project) -> None:
    project.write({"schema.yaml": "schemas:\n  main:\n    tables: {a: {colums: []}}\n"})
    project.template({}, "one")
    project.template({}, "two")
    assert project.load("one") is None
    assert project.load("two") is None
    assert project.said == ["schema.yaml:3:18: schemas.main.tables.a: unknown key 'colums' (did you mean 'columns'?)"]


def test_unknown_keys_of_the_mapping_are_refused_with_place_and_nearest_key(project) -> None:
    project.template({"_mapping.yaml": "instances: [main]\ndata_modls: {}\ndeployment: yes\n"})
    assert project.findings() == [
        "customer_a/shop/_mapping.yaml:3:13: deployment must be true or false, found text 'yes' "
        "(write true or false, without quotes)",
        "customer_a/shop/_mapping.yaml:2:1: unknown key 'data_modls' (did you mean 'data_models'?)",
    ]


def test_each_use_of_a_missing_template_is_named(project) -> None:
    project.template({}, "tenant_type1")
    for line in (3, 9, 9):
        assert project.load("tenant_typ1", used_at=Place("customer_a/tenant_registry.yaml", line, 5)) is None
    assert project.said == [
        f"customer_a/tenant_registry.yaml:{line}:5: there is no template 'tenant_typ1' (did you mean 'tenant_type1'?)"
        for line in (3, 9)
    ]


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/../../b", "..", "~root", "..\\outside", "link"])
def test_a_template_outside_the_project_is_refused(project, tmp_path, name) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "_mapping.yaml").write_text("instances: [main]\n")
    (project.root / "customer_a" / "link").symlink_to(tmp_path / "outside")
    assert project.load(name) is None
    assert "is outside the project" in project.said[0]


@pytest.mark.parametrize("name", ["", ".", "a/b", "a\nb", "C:x", "a\x00b"])
def test_a_template_name_that_is_no_folder_name_is_refused(project, name) -> None:
    assert project.load(name) is None
    assert "is not the name of a template" in project.said[0]


def test_a_file_that_links_out_of_the_project_is_refused(project, tmp_path) -> None:
    project.tables({"users": USERS})
    project.template({})
    (tmp_path / "secret.dat").write_text("- {id: 1, name: a}\n")
    (project.root / "customer_a/shop/main@users.dat").symlink_to(tmp_path / "secret.dat")
    assert project.findings() == [
        "customer_a/shop/main@users.dat: the file is outside the project (it is a symbolic link that leads out)"
    ]


def test_a_link_to_itself_is_a_finding(project) -> None:
    project.tables({"users": USERS})
    project.template({})
    path = project.root / "customer_a/shop/main@users.dat"
    path.symlink_to(path)
    assert len(project.findings()) == 1


def test_a_missing_mapping_is_named(project) -> None:
    project.write({"customer_a/shop/_mapping.yml": "instances: [main]\n"})
    assert project.findings() == ["customer_a/shop/_mapping.yaml: _mapping.yaml is missing (rename _mapping.yml)"]


def test_a_schema_that_nobody_defines_is_named(project) -> None:
    project.tables({"users": USERS})
    project.template({"_mapping.yaml": "instances: [mian]\n"})
    assert project.findings() == [
        "customer_a/shop/_mapping.yaml:1:13: no schema.yaml defines the schema 'mian' (did you mean 'main'?)"
    ]


def test_a_data_file_of_a_schema_that_the_template_does_not_take_is_named(project) -> None:
    project.tables({"users": USERS})
    project.template({"mian@users.dat": "[]", "users.dat": "[]", "_select@roles.dat": "[]"})
    template = project.load()
    assert project.said == [
        "customer_a/shop/users.dat: users.dat is not the name of a data file "
        "(name it <schema>@<table>.dat or <schema>@<table>#<segment>.dat)",
        "customer_a/shop/mian@users.dat: the schema 'mian' is not one of this template's instances (did you mean 'main'?)",
    ]
    assert template.not_acted_on == ("customer_a/shop/_select@roles.dat",)


def test_bases_that_form_a_circle_are_shown(project) -> None:
    project.template({"_mapping.yaml": "base: b\ninstances: [main]\n"}, "a")
    project.template({"_mapping.yaml": "base: a\ninstances: [main]\n"}, "b")
    assert project.load("a") is None
    assert project.said == ["customer_a/b/_mapping.yaml:1:7: templates inherit from each other in a circle: a -> b -> a"]


def test_a_missing_base_is_named_where_it_is_written(project) -> None:
    project.template({"_mapping.yaml": "instances: [main]\nbase: comon\n"})
    project.template({}, "common")
    assert project.findings() == ["customer_a/shop/_mapping.yaml:2:7: there is no template 'comon' (did you mean 'common'?)"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("tenant_id: other", "'other' is another tenant's value: data_models keeps this column to '{T}'"),
        ("tenant_id: '{OTHER}'", "'{OTHER}' is another tenant's value"),
        ("tenant_id: null", "NULL is another tenant's value"),
        ("tenant_id: '{T}x'", "'{T}x' is another tenant's value"),
        ("tenant_id: !sql current_user", "is another tenant's value"),
    ],
)
def test_no_row_brings_in_another_tenants_value(project, row, message) -> None:
    project.tables({"users": USERS})
    project.template(
        {
            "_mapping.yaml": """\
                instances: [main]
                data_models: {users: {tenant_isolation_column: tenant_id, default_tenant_value: "{T}"}}
                """,
            "main@users.dat": f"- {{id: 1, name: a, {row}}}\n",
        }
    )
    (finding,) = project.findings()
    assert finding.startswith("customer_a/shop/main@users.dat:1:")
    assert message in finding


def test_the_tenants_own_value_may_be_left_out_even_where_the_column_is_required(project) -> None:
    project.tables({"users": USERS.replace("VARCHAR(63)", "VARCHAR(63), nullable: false")})
    project.template(
        {
            "_mapping.yaml": """\
                instances: [main]
                data_models: {users: {tenant_isolation_column: tenant_id, default_tenant_value: "{T}"}}
                """,
            "main@users.dat": "- {id: 1, name: a}\n- {id: 2, name: b, tenant_id: '{T}'}\n",
        }
    )
    template = project.loaded()
    assert [d.columns for d in template.tenant_rows] == [("id", "name"), ("id", "name", "tenant_id")]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{tenant_isolation_column: id, default_tenant_value: '{T}'}", "users.id is INT and cannot hold a tenant's value"),
        ("{tenant_isolation_column: twice, default_tenant_value: '{T}'}", "users.twice is computed by the database"),
        ("{tenant_isolation_column: name}", "tenant_isolation_column needs default_tenant_value"),
        ("{tenant_isolation_column: name, default_tenant_value: ''}", "users: default_tenant_value is empty"),
        ("{default_tenant_value: x}", "default_tenant_value needs tenant_isolation_column"),
        (
            "{tenant_isolation_column: name, default_tenant_value: much too long}",
            "the text has 13 characters, the column takes 10",
        ),
    ],
)
def test_a_column_that_cannot_keep_tenants_apart_is_refused(project, model, message) -> None:
    project.tables({"users": USERS})
    project.template({"_mapping.yaml": f"instances: [main]\ndata_models:\n  users: {model}\n"})
    (finding,) = project.findings()
    assert message in finding


def test_a_row_that_repeats_a_key_is_named_with_the_first_one(project) -> None:
    project.tables({"users": USERS})
    project.template({"main@users#1.dat": "- {id: 1, name: a}\n", "main@users#2.csv": "id,name\n2,b\n1,c\n"})
    assert project.findings() == [
        "customer_a/shop/main@users#2.csv:3:1: the key (1) of 'users' stands at customer_a/shop/main@users#1.dat:1:3 as well"
    ]


def test_many_findings_of_one_file_are_counted_not_listed(project) -> None:
    project.tables({"users": USERS})
    project.template({"main@users.csv": "id,name\n" + "".join(f"x{n},a\n" for n in range(80))})
    findings = project.findings()
    assert len(findings) == 51
    assert findings[-1].endswith("30 more findings in this file")


def test_rows_of_a_table_that_only_migrations_make_are_checked_and_loaded_per_tenant(project) -> None:
    """The bare golden database does not have the table yet, so the rows wait until the migrations have run."""
    project.template(
        {
            "migrations/0001_users.sql": "-- migrate:up\nCREATE TABLE users (id int PRIMARY KEY, name text);\n"
            "-- migrate:down\nCREATE TABLE gone (id int);\n",
            "main@users.dat": "- {id: 1, name: a}\n",
        }
    )
    template = project.load()
    assert project.loader.findings == []
    assert [dataset.table for dataset in template.tenant_rows] == ["users"]
    assert template.shared_rows == ()


def test_rows_of_a_table_that_not_even_migrations_make_are_found(project) -> None:
    project.template(
        {"migrations/0001_users.sql": "-- migrate:up\nCREATE TABLE users (id int);\n", "main@gone.dat": "- {id: 1}\n"}
    )
    (finding,) = project.findings()
    assert "no schema of this template defines table main@gone" in finding


def test_broken_yaml_is_one_finding_and_the_rest_is_still_checked(project) -> None:
    project.tables({"users": USERS})
    project.template({"main@users#1.dat": "- {id: 1\n", "main@users#2.dat": "- {id: y, name: a}\n"})
    findings = project.findings()
    assert len(findings) == 2
    assert "this is not YAML" in findings[0]
    assert "text 'y' is not a whole number" in findings[1]
