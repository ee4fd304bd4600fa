"""Values with variables are checked per target, and inserted as data whatever they look like."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.templates.bound import BoundChecks
from manor.control.templates.checks import check_bound
from manor.control.templates.model import BoundDataset, Column, Table, bind_dataset

USERS = """
    column_name: id, column_type: INT, primary_key: 1
    column_name: name, column_type: VARCHAR(10)
    column_name: tenant_id, column_type: VARCHAR(5)
    column_name: data, column_type: JSON
    column_name: tags, column_type: "int[]"
"""
MODEL = "instances: [main]\ndata_models: {users: {tenant_isolation_column: tenant_id, default_tenant_value: '{T}'}}\n"


def test_values_that_do_not_fit_are_named_once_per_column(project) -> None:
    project.tables({"users": USERS})
    rows = "".join(f"- {{id: '{{N}}{n}', name: 'x{{NAME}}', tenant_id: '{{T}}'}}\n" for n in range(3))
    project.template({"_mapping.yaml": MODEL, "main@users.dat": rows})
    template = project.loaded()
    checks = BoundChecks(template)
    assert checks.check({"N": "1", "NAME": "short", "T": "t"}) == []
    assert checks.check({"N": "1"}) == []
    problems = checks.check({"N": "a", "NAME": "0123456789", "T": "123456"})
    assert problems == [
        "users.id: text 'a0' is not a whole number",
        "users.name: the text has 11 characters, the column takes 10",
        "users.tenant_id: the text has 6 characters, the column takes 5",
        "users.id: text 'a1' is not a whole number",
        "users.id: text 'a2' is not a whole number",
    ]
    (users,) = template.tenant_rows
    table = template.schema.table("users")
    bound = bind_dataset(users, {"N": "a", "NAME": "0123456789", "T": "123456"})
    assert sorted(check_bound(bound, table)) == sorted(problems)
    assert check_bound(bound, table, columns=["name"]) == [problems[1]]


def test_a_variable_that_is_all_of_a_json_cell_must_be_json(project) -> None:
    project.tables({"users": USERS})
    project.template({"main@users.dat": "- {id: 1, data: '{J}', tags: [1, '{N}']}\n"})
    checks = BoundChecks(project.loaded())
    assert checks.check({"J": '{"a": 1}', "N": "2"}) == []
    assert checks.check({"J": "{a", "N": "x"}) == [
        "users.data: text '{a' is not JSON",
        "users.tags: text 'x' is not a whole number",
    ]


HOSTILE = st.one_of(
    st.text(),
    st.sampled_from(
        ["{NAME}", "{{x}}", "{{ 7*7 }}", "${HOME}", "'; DROP TABLE users; --", 'a"b', "a\nb: c", "!sql now()", "- x", "&a *b"]
    ),
)


@given(value=HOSTILE)
def test_a_value_is_inserted_as_data_and_never_scanned_again(tmp_path_factory, value) -> None:
    template = _template(tmp_path_factory)
    bound = bind_dataset(template.tenant_rows[0], {"NAME": value, "T": "t", "OTHER": "wrong"})
    assert bound.rows == ((1, f"<{value}>", "t", {"k": [value], "{NAME}": "{"}),)


_cache: list[object] = []


def _template(tmp_path_factory):
    """One template for all examples; a fixture would be made anew for each of them."""
    if not _cache:
        from manor.control.templates.loader import TemplateLoader

        root = tmp_path_factory.mktemp("hostile")
        columns = "".join(
            f"          - {{{line.strip()}}}\n" for line in USERS.replace("VARCHAR(10)", "TEXT").strip().splitlines()
        )
        (root / "schema.yaml").write_text(f"schemas:\n  main:\n    tables:\n      users:\n        columns:\n{columns}")
        (root / "shop").mkdir()
        (root / "shop/_mapping.yaml").write_text(MODEL)
        row = "- {id: 1, name: '<{NAME}>', tenant_id: '{T}', data: {k: ['{NAME}'], '{NAME}': '{{'}}\n"
        (root / "shop/main@users.dat").write_text(row)
        loader = TemplateLoader(project=root, environment=root)
        _cache.append(loader.load("shop"))
        assert loader.findings == []
    return _cache[0]


@pytest.mark.parametrize("value", ["nan", "Infinity", "1e5", " 12 ", "+1.5"])
def test_what_the_server_reads_as_a_number_fits_a_number_column(value) -> None:
    table = Table(schema="main", name="t", columns=(Column(name="n", type="DECIMAL"),))
    assert check_bound(BoundDataset(table="t", columns=("n",), rows=((value,),)), table) == []


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.lists(st.integers())))
def test_no_value_and_no_type_breaks_the_check(value) -> None:
    types = [
        "INT",
        "VARCHAR(3)",
        "DECIMAL(5,2)",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "JSON",
        "text[]",
        "UUID",
        "BYTEA",
        "ENUM('a','b')",
    ]
    types += ["SET('a','b')", "FLOAT", "BOOLEAN", "inet", "", "((", "CHAR", "INT UNSIGNED", "YEAR", "BIT", "SMALLINT", "TEXT"]
    columns = tuple(Column(name=f"c{n}", type=type_) for n, type_ in enumerate(types))
    table = Table(schema="main", name="t", columns=columns)
    dataset = BoundDataset(table="t", columns=tuple(c.name for c in columns), rows=((value,) * len(columns),))
    assert all(": " in problem for problem in check_bound(dataset, table))


def test_five_thousand_targets_are_checked_in_well_under_a_second(project) -> None:
    project.tables({"users": USERS})
    rows = "".join(f"- {{id: {n}, name: 'x{{NAME}}', tenant_id: '{{T}}'}}\n" for n in range(300))
    project.template({"_mapping.yaml": MODEL, "main@users.dat": rows})
    checks = BoundChecks(project.loaded())
    started = time.perf_counter()
    for number in range(5000):
        assert checks.check({"NAME": f"n{number}", "T": f"{number}"}) == []
    assert time.perf_counter() - started < 1
