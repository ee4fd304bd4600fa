"""Values with variables are checked per target, and inserted as data whatever they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.templates.checks import check_bound
from manor.control.templates.loader import TemplateLoader
from manor.control.templates.model import BoundDataset, Column, Table, bind_dataset

USERS = """
    column_name: id, column_type: INT, primary_key: 1
    column_name: name, column_type: {}
    column_name: tenant_id, column_type: {}
    column_name: data, column_type: JSON
    column_name: tags, column_type: "int[]"
"""
SHORT = USERS.format("VARCHAR(10)", "VARCHAR(5)")
MODEL = "instances: [main]\ndata_models: {users: {tenant_isolation_column: tenant_id, default_tenant_value: '{T}'}}\n"


def problems(template, **values: str) -> list[str]:
    table = template.schema.table("users")
    return [p for dataset in template.tenant_rows for p in check_bound(bind_dataset(dataset, values), table)]


def test_values_that_do_not_fit_are_named_once_per_column(project) -> None:
    project.tables({"users": SHORT})
    rows = "".join(f"- {{id: '{{N}}{n}', name: 'x{{NAME}}', tenant_id: '{{T}}'}}\n" for n in range(2))
    project.template({"_mapping.yaml": MODEL, "main@users.dat": rows})
    template = project.loaded()
    assert problems(template, N="1", NAME="short", T="t") == []
    assert problems(template, N="a", NAME="0123456789", T="123456") == [
        "users.id: text 'a0' is not a whole number",
        "users.name: the text has 11 characters, the column takes 10",
        "users.tenant_id: the text has 6 characters, the column takes 5",
        "users.id: text 'a1' is not a whole number",
    ]


def test_values_in_json_and_arrays_are_checked_as_what_they_become(project) -> None:
    project.tables({"users": SHORT})
    project.template({"main@users.dat": "- {id: 1, data: '{J}', tags: [1, '{N}']}\n"})
    template = project.loaded()
    assert problems(template, J='{"a": 1}', N="2") == []
    assert problems(template, J="plain text", N="2") == []
    assert problems(template, J="{a", N="x") == [
        "users.data: text '{a' begins like JSON and is not",
        "users.tags: text 'x' is not a whole number",
    ]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """One template for all examples of the property below."""
    root = tmp_path_factory.mktemp("hostile")
    lines = USERS.format("TEXT", "TEXT").strip().splitlines()
    columns = "".join(f"          - {{{line.strip()}}}\n" for line in lines)
    (root / "schema.yaml").write_text(f"schemas:\n  main:\n    tables:\n      users:\n        columns:\n{columns}")
    (root / "shop").mkdir()
    (root / "shop/_mapping.yaml").write_text(MODEL)
    row = "- {id: 1, name: '<{NAME}>', tenant_id: '{T}', data: {k: ['{NAME}'], '{NAME}': '{{'}}\n"
    (root / "shop/main@users.dat").write_text(row)
    loader = TemplateLoader(project=root, environment=root)
    template = loader.load("shop")
    assert loader.findings == []
    return template


SAMPLES = ["{NAME}", "{{x}}", "{{ 7*7 }}", "${HOME}", "'; DROP TABLE users; --", 'a"b', "a\nb: c", "!sql now()", "- x", "&a *b"]


@given(value=st.one_of(st.text(), st.sampled_from(SAMPLES)))
def test_a_value_is_inserted_as_data_and_never_scanned_again(hostile, value) -> None:
    bound = bind_dataset(hostile.tenant_rows[0], {"NAME": value, "T": "t", "OTHER": "wrong"})
    assert bound.rows == ((1, f"<{value}>", "t", {"k": [value], "{NAME}": "{"}),)


@pytest.mark.parametrize("value", ["nan", "Infinity", "1e5", " 12 ", "+1.5"])
def test_what_the_server_reads_as_a_number_fits_a_number_column(value) -> None:
    table = Table(schema="main", name="t", columns=(Column(name="n", type="DECIMAL"),))
    assert check_bound(BoundDataset(table="t", columns=("n",), rows=((value,),)), table) == []


TYPES = """
INT, VARCHAR(3), DECIMAL(5;2), DATE, TIME, TIMESTAMP, JSON, text[], UUID, BYTEA, ENUM('a';'b'), SET('a';'b'), FLOAT, BOOLEAN,
inet,
, ((, CHAR, INT UNSIGNED, YEAR, BIT, SMALLINT, TEXT, vector(3), int[][], DOUBLE PRECISION, character varying(5), TINYINT(1)
"""


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.decimals(), st.binary(), st.lists(st.integers())))
def test_no_value_and_no_type_breaks_the_check(value) -> None:
    types = [type_.strip().replace(";", ",") for type_ in TYPES.split(",")]
    columns = tuple(Column(name=f"c{n}", type=type_) for n, type_ in enumerate(types))
    table = Table(schema="main", name="t", columns=columns)
    dataset = BoundDataset(table="t", columns=tuple(c.name for c in columns), rows=((value,) * len(columns),))
    assert all(": " in problem for problem in check_bound(dataset, table))
