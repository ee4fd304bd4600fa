"""DBGear's schema.yaml becomes tables, views and triggers."""

from __future__ import annotations

from typing import Any

import pytest

from manor.control.templates.model import Column, ForeignKey, Index, Trigger, View
from manor.control.templates.schema_layer import SchemaLayer
from manor.control.templates.schema_merge import merge_layers, without_foreign_keys
from manor.control.templates.schema_yaml import made_name, parse_schema
from manor.yaml_reader import parse_yaml


def parse(text: str) -> tuple[SchemaLayer, list[str]]:
    layer, findings = parse_schema(parse_yaml(text, "schema.yaml"))
    return layer, [str(f) for f in findings]


def one_column(column: str, before: str = "") -> tuple[Any, list[str]]:
    layer, findings = parse(f"{before}schemas: {{main: {{tables: {{t: {{columns: [{{column_name: c, {column}}}]}}}}}}}}\n")
    table = layer.tables.get(("main", "t"))
    return table.columns[0] if table and table.columns else None, findings


SHOP = """
notes: [{title: a, content: b}]
registry:
  money: {column_type: "DECIMAL(12,2)", base_type: DECIMAL, precision: 12, scale: 2}
schemas:
  main:
    registry:
      state: {column_type: ENUM, items: [new, {value: done, caption: 完了, description: x}]}
    tables:
      orders:
        display_name: 注文
        mysql_options: {engine: InnoDB}
        columns:
          - {column_name: id, column_type: INT AUTO_INCREMENT, primary_key: true}
          - {column_name: user_id, column_type: BIGINT, nullable: false}
          - {column_name: total, column_type: money, default_value: 0}
          - {column_name: state, column_type: state, default_value: "'new'", charset: utf8mb4, collation: utf8mb4_bin}
          - {column_name: doubled, column_type: money, expression: total * 2, stored: true}
          - {column_name: body, column_type: {column_type: JSON, json_schema: {type: object}}}
        indexes:
          - columns: [user_id]
          - {index_name: lower, columns: [user_id DESC, "lower(state)"]}
          - {index_name: orders_state, columns: [state, id], unique: true, partial_condition: total > 0,
             include_columns: [total], index_type: btree, tablespace: fast, storage_parameters: {fillfactor: 70}}
        relations:
          - target: {schema_name: main, table_name: users}
            bind_columns: [{source_column: user_id, target_column: id}]
            cardinarity_source: many
            cardinarity_target: one
            on_delete: cascade
            deferrable: true
      users:
        fields:
          - {column_name: id, column_type: {column_type: BIGINT, base_type: BIGINT}, nullable: false, primary_key: 1}
    views:
      open_orders: {display_name: open, select_statement: "SELECT * FROM orders;"}
    triggers:
      touch: {table_name: orders, timing: before, event: insert or update, body: "NEW.total = $$x$$;", condition: NEW.id > 1}
"""


def test_every_key_of_a_schema_finds_its_place() -> None:
    layer, findings = parse(SHOP)
    assert findings == []
    merged, findings = merge_layers([layer], ["main"])
    assert findings == []
    schema = merged.schema
    assert [t.name for t in schema.tables] == ["users", "orders"]  # a foreign key points to an earlier table
    orders = schema.table("orders")
    assert orders.comment == "注文"
    assert orders.primary_key == ("id",)
    assert orders.columns == (
        Column(name="id", type="INT AUTO_INCREMENT", nullable=False, primary_key=1, auto_increment=True),
        Column(name="user_id", type="BIGINT", nullable=False),
        Column(name="total", type="DECIMAL(12,2)", default="0"),
        Column(name="state", type="ENUM", items=("new", "done"), default="'new'", collation="utf8mb4_bin"),
        Column(name="doubled", type="DECIMAL(12,2)", expression="total * 2", stored=True),
        Column(name="body", type="JSON"),
    )
    assert orders.indexes == (
        Index(name="idx_orders_user_id", columns=("user_id",)),
        Index(name="lower", columns=("user_id DESC", "lower(state)")),
        Index(name="orders_state", columns=("state", "id"), unique=True, condition="total > 0", include=("total",)),
    )
    key = ForeignKey(
        name="fk_orders_user_id",
        columns=("user_id",),
        target_table="users",
        target_columns=("id",),
        on_delete="CASCADE",
        deferrable=True,
    )
    assert orders.foreign_keys == (key,)
    assert schema.views == (View(schema="main", name="open_orders", select="SELECT * FROM orders", comment="open"),)
    assert schema.triggers == (
        Trigger(
            schema="main",
            name="touch",
            table="orders",
            timing="BEFORE",
            event="INSERT OR UPDATE",
            body="NEW.total = $$x$$;",
            condition="NEW.id > 1",
        ),
    )
    assert merged.not_acted_on == (
        "main@orders.mysql_options",
        "main@orders.state.charset",
        "main@orders.state.collation",
        "main@orders.body.json_schema",
        "main@orders.orders_state.storage_parameters",
        "main@orders.orders_state.tablespace",
    )


def test_foreign_keys_can_be_turned_off() -> None:
    merged, _ = merge_layers([parse(SHOP)[0]], ["main"])
    assert all(table.foreign_keys == () for table in without_foreign_keys(merged.schema).tables)


def test_true_takes_the_next_place_in_the_primary_key() -> None:
    columns = ", ".join(f"{{column_name: {name}, column_type: INT, primary_key: true}}" for name in "ab")
    layer, findings = parse(f"schemas: {{main: {{tables: {{t: {{columns: [{columns}]}}}}}}}}\n")
    assert findings == []
    assert layer.tables["main", "t"].primary_key == ("a", "b")


@pytest.mark.parametrize(
    ("value", "default"),
    [("0", "0"), ("1.50", "1.50"), ("true", "TRUE"), ("\"'x'\"", "'x'"), ("NOW()", "NOW()"), ("null", None)],
)
def test_a_default_is_sql_and_plain_values_stand_for_themselves(value, default) -> None:
    column, findings = one_column(f"column_type: X, default_value: {value}")
    assert (column.default, findings) == (default, [])


def test_a_jinja_default_is_refused_and_not_taken_for_text() -> None:
    _, findings = one_column("""column_type: TEXT, default_value: "'{{ tenant.tenant_id }}'" """)
    assert "Jinja2 expressions work in schema templates (.j2) only" in findings[0]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("column_type: 5", "column_type must be SQL text such as VARCHAR(100)"),
        ("column_type: ''", "the column type is empty"),
        ("column_type: 'INT; DROP TABLE x'", "'INT; DROP TABLE x' is not a column type"),
        ("column_type: ENUM", "the type ENUM has no items"),
        ("column_type: VARCHR(10)", "the column type 'VARCHR(10)' is not known here (did you mean 'varchar'?)"),
        ("column_type: INT, primary_key: 2", "the primary key of 't' has the positions 2"),
        ("column_type: INT, primary_key: 0", "counts from 1"),
        ("column_type: INT, default_value: [1]", "default_value must be an SQL expression, found a list"),
        ("column_type: INT, nulable: false", "unknown key 'nulable' (did you mean 'nullable'?)"),
    ],
)
def test_a_column_that_cannot_be_made_is_named(column, message) -> None:
    _, findings = one_column(column)
    assert len(findings) == 1
    assert message in findings[0]


@pytest.mark.parametrize("declared", ["BIT(8)", "VECTOR(3)", "INTERVAL", "halfvec(3)", "BIT VARYING(4)", "money"])
def test_a_type_whose_values_are_not_checked_is_known_all_the_same(declared) -> None:
    _, findings = one_column(f"column_type: {declared}")
    assert findings == []


@pytest.mark.parametrize("name", ["a b", 'a"b', "${PREFIX}_users", "users; DROP TABLE x", "", "é", "a" * 64, "a.b", "1a"])
def test_an_unsafe_name_is_refused_wherever_it_stands(name) -> None:
    quoted = "'" + name + "'"
    _, findings = parse(
        f"schemas: {{main: {{tables: {{{quoted}: {{columns: [{{column_name: {quoted}, column_type: INT}}],"
        f" indexes: [{{index_name: {quoted}, columns: [{quoted}]}}]}}}},"
        f" views: {{{quoted}: {{select_statement: SELECT 1}}}},"
        f" triggers: {{{quoted}: {{table_name: x, timing: AFTER, event: INSERT, body: x}}}}}}}}\n"
    )
    expected = ["table", "column", "view", "trigger"] + (["index"] if name else [])
    assert sorted(f.split("the ")[1].split(" ")[0] for f in findings) == sorted(expected)


def test_what_a_schema_refers_to_must_exist() -> None:
    layer, findings = parse("""
schemas:
  main:
    tables:
      a:
        columns: [{column_name: id, column_type: INT, primary_key: 1}, {column_name: b, column_type: INT}]
        indexes: [{columns: [bb]}]
        relations:
          - {target: {schema_name: main, table_name: bs}, bind_columns: [{source_column: b, target_column: id}]}
          - {target: {schema_name: other, table_name: b}, bind_columns: [{source_column: b, target_column: id}]}
          - {target: {schema_name: main, table_name: b}, bind_columns: [{source_column: x, target_column: y}]}
          - {target: {schema_name: main, table_name: b}, bind_columns: [{source_column: id, target_column: v}]}
      b:
        columns: [{column_name: id, column_type: INT, primary_key: 1}, {column_name: v, column_type: INT}]
    triggers:
      t: {table_name: c, timing: AFTER, event: INSERT, body: x}
      u: {table_name: a, timing: AFTER, event: SELECT, body: x}
""")
    _, merged_findings = merge_layers([layer], ["main"])
    assert findings == [
        "schema.yaml:7:30: table 'a' has no column 'bb' (did you mean 'b'?)",
        "schema.yaml:17:48: 'SELECT' is not a trigger event (INSERT, UPDATE or DELETE, joined by OR)",
    ]
    assert [str(f) for f in merged_findings] == [
        "schema.yaml:9:13: fk_a_b: there is no table main@bs (did you mean 'b'?)",
        "schema.yaml:10:13: fk_a_b_2: the schema 'other' is not part of this target (instances of _mapping.yaml takes main)",
        "schema.yaml:11:13: table 'a' has no column 'x' (known here: b, id)",
        "schema.yaml:11:13: table 'b' has no column 'y' (known here: id, v)",
        "schema.yaml:12:13: fk_a_id: v is no key of table 'b' (a foreign key points to the primary key or to the columns "
        "of a unique index)",
        "schema.yaml:16:7: trigger 't' watches 'c', which does not exist (known here: a, b)",
    ]


def test_made_names_are_cut_to_what_the_server_allows_without_breaking_a_character() -> None:
    name = made_name("idx", "表" * 30, ["列"])
    assert len(name.encode()) <= 63
    assert name.startswith("idx_表")


def test_the_format_prints_a_json_schema_with_a_description_for_every_key() -> None:
    from manor.control.templates.data_settings import DataSettingsFile
    from manor.control.templates.mapping import MappingFile
    from manor.control.templates.schema_format import SchemaFile

    for model in (SchemaFile, MappingFile, DataSettingsFile):
        document = model.model_json_schema()
        for part in (document, *document.get("$defs", {}).values()):
            assert all(field.get("description") for field in part["properties"].values())
