"""What cannot be made of a template is found without a server: everything of one kind in one pass."""

from __future__ import annotations

from dataclasses import replace

from manor.control.engines.postgres.examine import examine_template
from manor.control.templates.model import Column, Index, Schema, Table, Template, View
from manor.errors import Place
from manor.scan import Text

TEMPLATE = Template(
    name="t",
    folder="env/t",
    group="main",
    instances=("main",),
    description=Text(()),
    deployment=True,
    schema=Schema(),
    shared_rows=(),
    tenant_rows=(),
    numbers_taken={},
    isolation=(),
    database_names={},
    config={},
    not_acted_on=(),
    names=frozenset(),
    digest="d",
    content_digest="c",
)


def column(name: str, declared: str, line: int) -> Column:
    return Column(name=name, type=declared, place=Place("schema.yaml", line, 1))


def messages(schema: Schema) -> list[str]:
    return [str(finding) for finding in examine_template(replace(TEMPLATE, schema=schema))]


def test_each_column_of_an_unknown_type_is_named() -> None:
    first = Table(schema="main", name="a", columns=(column("x", "GEOMETRY", 3), column("y", "INT", 4)))
    second = Table(schema="main", name="b", columns=(column("z", "BLUBB", 9),))
    found = messages(Schema(tables=(first, second)))
    assert [text.partition(": ")[0] for text in found] == ["schema.yaml:3:1", "schema.yaml:9:1"]


def test_what_refers_to_tables_is_looked_at_once_these_are_right() -> None:
    table = Table(schema="main", name="a", columns=(column("x", "INT", 3),))
    index = Index(name="i", columns=("x",), condition="x > ((")
    assert len(messages(Schema(tables=(replace(table, indexes=(index,)),)))) == 1
    circle = (View(schema="main", name="v", select="SELECT * FROM w"), View(schema="main", name="w", select="SELECT * FROM v"))
    (found,) = messages(Schema(tables=(table,), views=circle))
    assert found.startswith("env/t")
    assert "circle" in found


def test_a_template_that_can_be_made_has_no_findings() -> None:
    table = Table(schema="main", name="a", columns=(column("x", "INT", 3),))
    assert messages(Schema(tables=(table,), views=(View(schema="main", name="v", select="SELECT x FROM a"),))) == []
