"""Which rows go into the golden database, in which order rows load, and what a template's digests tell apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.templates.ordering import in_order, reachable, shared_tables

ID = "- {column_name: id, column_type: INT, primary_key: 1}"
LABEL = "- {column_name: label, column_type: TEXT}"


def schema(**references: str) -> str:
    """Table to the tables that it refers to; each has an id, a label and one column per reference."""
    lines = ["schemas:", "  main:", "    tables:"]
    for table, targets in references.items():
        lines += [
            f"      {table}:",
            "        columns:",
            f"          {ID}",
            "          - {column_name: label, column_type: TEXT}",
        ]
        lines += [f"          - {{column_name: {target}_id, column_type: INT}}" for target in targets.split()]
        lines += ["        relations:"] if targets else []
        for target in targets.split():
            bind = f"{{source_column: {target}_id, target_column: id}}"
            lines.append(f"          - {{target: {{schema_name: main, table_name: {target}}}, bind_columns: [{bind}]}}")
    return "\n".join(lines) + "\n"


def order_of(datasets) -> list[str]:
    return [dataset.table for dataset in datasets]


def test_rows_load_in_foreign_key_order(project) -> None:
    project.write({"schema.yaml": schema(a="b", b="c", c="", d="")})
    project.template({f"main@{t}.dat": "- {id: 1}\n" for t in "abcd"})
    template = project.loaded()
    assert order_of(template.shared_rows) == ["c", "b", "a", "d"]
    assert [t.name for t in template.schema.tables] == ["c", "b", "a", "d"]


def test_tables_that_refer_to_tenant_rows_are_tenant_rows_as_well_however_far(project) -> None:
    project.write({"schema.yaml": schema(a="b", b="c", c="", d="", e="a d")})
    files = {f"main@{t}.dat": "- {id: 1}\n" for t in "abde"}
    project.template(files | {"main@c.dat": "- {id: 1, label: '{T}'}\n"})
    template = project.loaded()
    assert order_of(template.shared_rows) == ["d"]
    assert order_of(template.tenant_rows) == ["c", "b", "a", "e"]


@pytest.mark.parametrize("label", ["'{T}'", "!sql NOW()"])
def test_rows_with_a_variable_or_an_expression_differ_per_tenant(project, label) -> None:
    project.write({"schema.yaml": schema(a="")})
    project.template({"main@a.dat": f"- {{id: 1}}\n- {{id: 2, label: {label}}}\n"})
    template = project.loaded()
    assert template.shared_rows == ()
    assert order_of(template.tenant_rows) == ["a", "a"]


def test_rows_of_an_isolated_table_are_tenant_rows_even_without_a_variable(project) -> None:
    project.write({"schema.yaml": schema(a="")})
    project.template(
        {
            "_mapping.yaml": "instances: [main]\ndata_models: {a: {tenant_isolation_column: label, default_tenant_value: x}}\n",
            "main@a.dat": "- {id: 1}\n",
        }
    )
    assert order_of(project.loaded().tenant_rows) == ["a"]


def test_declared_dependencies_order_rows_and_make_them_tenant_rows(project) -> None:
    project.write({"schema.yaml": schema(a="", b="")})
    project.template(
        {
            "main@a.dat": "- {id: 1}\n",
            "main@a.yaml": "dependencies: [main@b]\n",
            "main@b.dat": "- {id: 1, label: '{T}'}\n",
        }
    )
    assert order_of(project.loaded().tenant_rows) == ["b", "a"]


def test_tables_that_refer_to_each_other_and_to_themselves_keep_the_files_order(project) -> None:
    project.write({"schema.yaml": schema(a="b", b="a b", c="a")})
    project.template({f"main@{t}.dat": "- {id: 1}\n" for t in "cba"})
    assert order_of(project.loaded().shared_rows) == ["a", "b", "c"]


def test_without_foreign_keys_rows_keep_their_order_and_tables_lose_their_keys(project) -> None:
    project.write({"schema.yaml": schema(a="b", b="")})
    project.template({"main@a.dat": "- {id: 1}\n", "main@b.dat": "- {id: 1}\n"})
    project.fresh(foreign_keys=False)
    template = project.loaded()
    assert order_of(template.shared_rows) == ["b", "a"]
    assert all(table.foreign_keys == () for table in template.schema.tables)


def digests(project, files: dict[str, str]) -> tuple[str, str]:
    project.fresh()
    project.write(files)
    template = project.loaded()
    return template.digest, template.content_digest


def test_digests_follow_what_they_cover_and_nothing_else(project) -> None:
    project.write({"schema.yaml": schema(a="", b="")})
    model = "instances: [main]\ndata_models: {b: {tenant_isolation_column: label, default_tenant_value: '%s'}}\n"
    project.template({"_mapping.yaml": model % "{T}", "main@a.dat": "- {id: 1}\n", "main@b.dat": "- {id: 1, label: '{T}'}\n"})
    first = digests(project, {})
    commented = {
        "schema.yaml": "# a comment\n\n" + schema(a="", b=""),
        "customer_a/shop/main@a.dat": "# x\n-  id:  1\n",
        "customer_a/shop/_mapping.yaml": "description: other\n" + model % "{T}",
    }
    assert digests(project, commented) == first
    tenant = digests(project, {"customer_a/shop/main@b.dat": "- {id: 2, label: '{T}'}\n"})
    assert (tenant[0] == first[0], tenant[1] == first[1]) == (True, False)
    value = digests(project, {"customer_a/shop/main@b.dat": "- {id: 1}\n", "customer_a/shop/_mapping.yaml": model % "{U}"})
    assert (value[0] == first[0], value[1] == first[1]) == (True, False)
    shared = digests(project, {"customer_a/shop/main@a.dat": "- {id: 2}\n"})
    assert shared[0] != first[0]
    assert shared[1] != value[1]
    table = digests(project, {"schema.yaml": schema(a="", b="a")})
    assert table[0] != shared[0]
    assert len({len(digest) for digest in (*first, *table)}) == 1


def test_numbers_that_tenant_rows_bring_along_change_the_golden(project) -> None:
    """Its sequences stand behind them, so a golden of other numbers would give an id twice."""
    counted = schema(a="").replace("column_type: INT,", "column_type: INT AUTO_INCREMENT,")
    project.write({"schema.yaml": counted})
    project.template({"main@a.dat": "- {id: 7, label: '{T}'}\n- {id: 3, label: '{T}'}\n"})
    template = project.loaded()
    assert template.numbers_taken == {("a", "id"): 7}
    lower = digests(project, {"customer_a/shop/main@a.dat": "- {id: 7, label: '{T}'}\n- {id: 4, label: '{T}'}\n"})
    assert lower[0] == template.digest
    higher = digests(project, {"customer_a/shop/main@a.dat": "- {id: 8, label: '{T}'}\n- {id: 3, label: '{T}'}\n"})
    assert higher[0] != template.digest


def test_digests_tell_values_apart_that_look_alike(project) -> None:
    from manor.control.templates.digest import canonical
    from manor.control.templates.model import Sql
    from manor.scan import scan

    values = [1, True, "1", Sql("1"), scan("{x}"), "{x}", ["x"], {"x": 1}, {"map": [["x", 1]]}, {"sql": "1"}, None, "", [], {}]
    forms = [repr(canonical(value)) for value in values]
    assert len(set(forms)) == len(forms)
    with pytest.raises(TypeError):
        canonical(object())


GRAPHS = st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh")), max_size=8)


@given(GRAPHS)
def test_the_order_holds_every_name_once_and_respects_every_need_outside_circles(needs) -> None:
    order = in_order(list(needs), needs)
    assert sorted(order) == sorted(needs)
    for name, other in itertools.product(needs, needs):
        in_circle = name in reachable([other], needs)
        if other in needs[name] and not in_circle:
            assert order.index(other) < order.index(name)


@given(GRAPHS, st.sets(st.sampled_from("abcdefgh")))
def test_no_shared_table_needs_a_table_whose_rows_differ(needs, differing) -> None:
    filled = set(needs)
    shared = shared_tables(filled, differing & filled, needs)
    assert not any(reachable([name], needs) & differing & filled for name in shared)
    assert not shared & differing
