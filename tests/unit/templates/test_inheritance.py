"""What a template takes from its project, its environment and its base."""

from __future__ import annotations

USERS = "column_name: id, column_type: INT, primary_key: 1\ncolumn_name: name, column_type: TEXT"


def table(name: str, *columns: str, schema: str = "main") -> str:
    lines = "".join(f"          - {{{column}}}\n" for column in columns)
    return f"schemas:\n  {schema}:\n    tables:\n      {name}:\n        columns:\n{lines}"


def test_the_nearer_schema_wins_per_table(project) -> None:
    far = (
        table("a", "column_name: far, column_type: INT")
        + "      b:\n        columns:\n          - {column_name: b, column_type: INT}\n"
    )
    project.write({"schema.yaml": far, "customer_a/schema.yaml": table("a", "column_name: middle, column_type: INT")})
    project.template({"schema.yaml": table("a", "column_name: near, column_type: INT")}, "one")
    project.template({}, "two")
    assert [(t.name, t.columns[0].name) for t in project.loaded("one").schema.tables] == [("a", "near"), ("b", "b")]
    assert [(t.name, t.columns[0].name) for t in project.loaded("two").schema.tables] == [("a", "middle"), ("b", "b")]


def test_registered_types_of_farther_files_may_be_used(project) -> None:
    project.write({"schema.yaml": "registry: {short: {column_type: VARCHAR, base_type: VARCHAR, length: 20}}\n"})
    project.template({"schema.yaml": table("a", "column_name: x, column_type: short")})
    assert project.loaded().schema.tables[0].columns[0].type == "VARCHAR(20)"


def test_a_project_that_is_its_own_environment_reads_its_schema_once(tmp_path, project) -> None:
    from manor.control.templates.loader import TemplateLoader

    project.tables({"users": USERS})
    project.write({"shop/_mapping.yaml": "instances: [main]\n", "schema.sql": "CREATE TABLE extra (id int);\n"})
    loader = TemplateLoader(project=project.root, environment=project.root)
    template = loader.load("shop")
    assert loader.findings == []
    assert len(template.schema.sql) == 1
    assert template.folder == "shop"


def test_a_base_gives_rows_tables_and_data_models_of_the_listed_schemas_and_the_nearer_one_wins(project) -> None:
    project.tables({"users": USERS, "roles": USERS, "rights": USERS})
    model = "data_models: {{{}: {{tenant_isolation_column: name, default_tenant_value: '{}'}}}}\n"
    project.template(
        {
            "_mapping.yaml": "instances: [main, other]\n" + model.format("users", "{FAR}"),
            "main@users.dat": "- {id: 1, name: '{FAR}'}\n",
            "main@roles.dat": "- {id: 1, name: far}\n",
            "main@roles#more.dat": "- {id: 3, name: far}\n",
            "other@x.dat": "- {id: 1}\n",
            "schema.yaml": table("extra", "column_name: id, column_type: INT")
            + "  other:\n    tables:\n      x:\n        columns:\n          - {column_name: id, column_type: INT}\n",
        },
        "base",
    )
    project.template({"_mapping.yaml": "base: base\ninstances: [main]\n", "main@rights.dat": "- {id: 5}\n"}, "middle")
    project.template(
        {
            "_mapping.yaml": "base: middle\ninstances: [main]\n",
            "main@roles.csv": "id,name\n2,near\n",
        }
    )
    template = project.loaded()
    assert {t.name for t in template.schema.tables} == {"users", "roles", "rights", "extra"}
    rows = {d.table: d.rows for d in template.shared_rows}
    assert rows == {"roles": ((2, "near"), (3, "far")), "rights": ((5,),)}
    assert [i.table for i in template.isolation] == ["users"]
    assert template.names == {"FAR"}


def test_a_nearer_data_model_replaces_the_inherited_one(project) -> None:
    project.tables({"users": USERS})
    model = "data_models: {users: {tenant_isolation_column: name, default_tenant_value: '%s'}}\n"
    project.template({"_mapping.yaml": "instances: [main]\n" + model % "{FAR}"}, "base")
    project.template({"_mapping.yaml": "base: base\ninstances: [main]\n" + model % "{NEAR}"})
    assert project.loaded().names == {"NEAR"}


def test_a_table_that_two_schemas_of_one_target_define_is_refused(project) -> None:
    project.write({"schema.yaml": table("a", "column_name: x, column_type: INT")})
    project.template(
        {
            "_mapping.yaml": "instances: [main, other]\n",
            "schema.yaml": table("a", "column_name: x, column_type: INT", schema="other"),
        }
    )
    assert project.findings() == [
        "customer_a/shop/schema.yaml:4:7: 'a' is defined twice for this target: here and at schema.yaml:4:7 "
        "(all schemas of one target share one namespace: rename one of them)"
    ]


def test_database_config_of_a_schema_that_the_template_does_not_take_is_named(project) -> None:
    project.tables({"users": USERS})
    project.template({"_mapping.yaml": "instances: [main]\ndatabase_config: {mian: {database_name: x}}\n"})
    assert project.findings() == [
        "customer_a/shop/_mapping.yaml:2:19: 'mian' is not one of the instances (did you mean 'main'?)"
    ]


def test_a_template_may_be_a_base_only(project) -> None:
    project.tables({"users": USERS})
    project.template({"_mapping.yaml": "instances: [main]\ndeployment: false\n"})
    assert project.loaded().deployment is False
