"""``${MACRO}`` in schemas: every name follows, values are never searched, and none becomes SQL."""

from __future__ import annotations

from typing import Any

import pytest

from manor.control.templates.macros import MacroProcessor, macro_names
from manor.control.templates.model import Template
from manor.control.templates.naming import EVERYBODY, Naming
from manor.control.templates.sql_text import join_sql
from manor.errors import Finding, InputError
from manor.yaml_reader import parse_yaml

SCHEMA = """\
schemas:
  ${SCHEMA}:
    tables:
      ${TABLE_PREFIX}users:
        display_name: Users of ${TABLE_PREFIX}
        columns:
          - {column_name: id, column_type: INT, primary_key: 1, nullable: false}
          - {column_name: "${TABLE_PREFIX}name", column_type: VARCHAR(50), default_value: "'${TABLE_PREFIX}none'"}
        indexes:
          - {index_name: "ix_${TABLE_PREFIX}name", columns: ["${TABLE_PREFIX}name"]}
      ${TABLE_PREFIX}orders:
        columns:
          - {column_name: id, column_type: INT, primary_key: 1, nullable: false}
          - {column_name: user_id, column_type: INT}
        relations:
          - target: {schema_name: "${SCHEMA}", table_name: "${TABLE_PREFIX}users"}
            bind_columns: [{source_column: user_id, target_column: id}]
    views:
      ${TABLE_PREFIX}all: {select_statement: "SELECT * FROM ${TABLE_PREFIX}users"}
    triggers:
      ${TABLE_PREFIX}t: {table_name: "${TABLE_PREFIX}users", timing: BEFORE, event: INSERT, body: "x; -- $$ ${TABLE_PREFIX}"}
"""


def processed(text: str, **context: str) -> tuple[Any, list[Finding]]:
    document, findings = MacroProcessor(context).process_schema_manager(parse_yaml(text, "schema.yaml"))
    return document.value, findings


def load(project, naming: Naming = EVERYBODY, **files: str) -> Template:
    project.write({"schema.yaml": SCHEMA})
    project.template({"_mapping.yaml": "instances: [main]\nname_macros: {schema: main, table_prefix: t_}\n", **files})
    template = project.loader.load("shop", naming=naming)
    assert project.said == []
    assert template is not None
    return template


def test_every_name_follows_its_macro(project) -> None:
    """Schemas, tables, columns, indexes, relations, views, triggers, and the SQL in them."""
    schema = load(project).schema
    users, orders = schema.tables
    assert [users.name, orders.name] == ["t_users", "t_orders"]
    assert users.comment == "Users of t_"
    assert (users.columns[1].name, users.columns[1].default) == ("t_name", "'t_none'")
    assert (users.indexes[0].name, users.indexes[0].columns) == ("ix_t_name", ("t_name",))
    assert orders.foreign_keys[0].target_table == "t_users"
    assert (schema.views[0].name, schema.views[0].select) == ("t_all", "SELECT * FROM t_users")
    assert (schema.triggers[0].table, schema.triggers[0].body) == ("t_users", "x; -- $$ t_")


def test_a_tenants_macros_go_before_the_templates(project) -> None:
    """Tenants with the same macros share one template; another prefix is another schema with another golden database."""
    plain, own = load(project), project.loader.load("shop", naming=Naming(macros={"table_prefix": "x_"}))
    again = project.loader.load("shop", naming=Naming(macros={"table_prefix": "x_", "database_prefix": "not_used"}))
    assert own is again
    assert [table.name for table in own.schema.tables] == ["x_users", "x_orders"]
    assert own.digest != plain.digest
    variant = project.loader.variant
    assert variant("shop", Naming(macros={"TABLE_PREFIX": "x_", "other": "y"})) == variant(
        "shop", Naming(macros={"table_prefix": "x_"})
    )
    assert variant("shop", Naming(macros={"table_prefix": "x_"})) != variant("shop", EVERYBODY)


def test_data_files_may_be_named_by_macros(project) -> None:
    """`main@${TABLE_PREFIX}users.dat` holds the rows of whatever the table is called."""
    template = load(project, **{"main@${TABLE_PREFIX}users.dat": "- {id: 1}\n"})
    assert [dataset.table for dataset in template.shared_rows] == ["t_users"]


def test_an_unknown_macro_is_said_where_it_stands(project) -> None:
    """With the nearest known one."""
    project.write({"schema.yaml": SCHEMA.replace("${SCHEMA}:", "${SCHEMAS}:")})
    project.template({"_mapping.yaml": "instances: [main]\nname_macros: {schema: main, table_prefix: t_}\n"})
    assert project.load() is None
    assert project.said == [
        "schema.yaml:2:3: the macro ${SCHEMAS} is not defined (did you mean 'SCHEMA'?)",
    ]


def test_a_macro_that_makes_no_name_is_found(project) -> None:
    """Names are checked after macros, with the place where they were written."""
    project.write({"schema.yaml": SCHEMA})
    project.template({"_mapping.yaml": 'instances: [main]\nname_macros: {schema: main, table_prefix: "1"}\n'})
    project.load()
    assert any("schema.yaml:4:7: the table name '1users' may hold only" in line for line in project.said)


def test_values_are_not_searched_again() -> None:
    """A value that looks like a macro stays as it is, and so does an escaped one."""
    assert processed("a: ${X} $${X} $X $$", X="${Y}") == ({"a": "${Y} ${X} $X $$"}, [])


def test_two_keys_that_become_one_are_refused() -> None:
    """The second would silently take the first one's place."""
    _, findings = processed("a_${X}: 1\na_b: 2\n", X="b")
    assert [finding.message for finding in findings] == ["the key 'a_b' stands twice"]


def test_macros_in_use_are_known_without_their_values() -> None:
    """What a template does not use cannot tell tenants apart."""
    assert macro_names({"${A}": ["${B}", "$${C}", "${d}", 1]}) == {"A", "B"}


def test_the_references_context_gives_the_tenants_prefix() -> None:
    """`customer_code` and `region` make TENANT_PREFIX."""
    assert MacroProcessor({"customer_code": "acme", "region": "jp"}).process("${TENANT_PREFIX}_x") == "acme_jp_x"


@pytest.mark.parametrize(
    ("parts", "sql"),
    [
        (["'", ("O'Neil; DROP TABLE x--",), "'"], "'O''Neil; DROP TABLE x--'"),
        (
            ["SELECT * FROM ", ("users_1",), " -- don't\nWHERE a = '", ("it's",), "'"],
            "SELECT * FROM users_1 -- don't\nWHERE a = 'it''s'",
        ),
        (["/* ' */ ", (5,), ' + "', ("a",), '"'], '/* \' */ 5 + "a"'),
        (["'it''s ", ("'",), "'"], "'it''s '''"),
        (["", (-7,)], "-7"),
    ],
)
def test_a_value_in_sql_stays_data(parts: list[Any], sql: str) -> None:
    """Inside quotes it is quoted; outside only words and numbers pass."""
    assert join_sql(parts) == sql


@pytest.mark.parametrize(
    "parts",
    [
        [("a b",)],
        ["'x' || ", ("'; DROP TABLE users; --",)],
        ['"', ('a"b',), '"'],
        ["`", ("a`b",), "`"],
        ["-- ", ("x\nDROP TABLE users",)],
        ["/* ", ("*/ DROP",), " */"],
        ["'", ("a\\",), "'"],
        ["'closed'", ("x'y",)],
        ["$$ '", ("ok",), "' $$ ", ("not ok",)],
    ],
)
def test_a_value_that_would_become_sql_is_refused(parts: list[Any]) -> None:
    """Wherever it stands."""
    with pytest.raises(InputError, match=r"would become SQL|backslash"):
        join_sql(parts)
