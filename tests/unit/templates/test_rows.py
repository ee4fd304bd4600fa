"""Data files become rows: YAML, CSV and XLSX, typed by the schema, grouped and ordered."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import openpyxl
import pytest

from manor.control.templates.model import Sql
from manor.scan import scan

ALL = """
    column_name: id, column_type: INT AUTO_INCREMENT, primary_key: 1
    column_name: name, column_type: VARCHAR(10), nullable: false
    column_name: code, column_type: VARCHAR(10)
    column_name: amount, column_type: "DECIMAL(8,2)", nullable: false, default_value: 0
    column_name: flag, column_type: TINYINT(1)
    column_name: day, column_type: DATE
    column_name: data, column_type: JSON
    column_name: tags, column_type: "text[]"
    column_name: kind, column_type: {column_type: ENUM, items: [a, b]}
    column_name: need, column_type: INT, nullable: false, default_value: 5
"""


def rows_of(template):
    datasets = (*template.shared_rows, *template.tenant_rows)
    return [dict(zip(d.columns, row, strict=True)) for d in datasets for row in d.rows]


def workbook(*rows) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_yaml_values_keep_their_meaning_and_take_the_columns_type(project) -> None:
    project.tables({"t": ALL})
    project.template(
        {
            "main@t.dat": """\
                - {id: 1, name: 007, code: 12, amount: "1.5", flag: 0, day: 2024-01-31, kind: a}
                - {id: 2, name: "f(x)", code: null, amount: 3, flag: true, data: {a: [1, "{{x}}"], b: 1.50}, tags: [x, y]}
                - {id: 3, name: now, data: '{{"k": [1.10]}}', tags: '{{a,b}}'}
                - {id: 4, name: z, data: true, day: !sql NOW()}
                """
        }
    )
    rows = rows_of(project.loaded())
    first = {"id": 1, "name": "007", "code": "12", "amount": Decimal("1.5"), "flag": False, "day": "2024-01-31", "kind": "a"}
    assert rows[0] == first
    assert rows[1]["name"] == "f(x)"
    assert (rows[1]["code"], rows[1]["flag"]) == (None, True)
    assert rows[1]["data"] == {"a": [1, "{x}"], "b": Decimal("1.50")}
    assert rows[2]["data"] == {"k": [Decimal("1.10")]}
    assert rows[2]["tags"] == "{a,b}"
    assert (rows[3]["data"], rows[3]["day"]) == (True, Sql("NOW()"))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("id: 3000000000", "t.id: the number 3000000000 is out of range: -2,147,483,648 to 2,147,483,647"),
        ("id: 1e999999", "out of range"),
        ("id: 1.5", "is not a whole number"),
        ("id: true", "true or false for a column that takes a whole number"),
        ("id: null", None),
        ("name: null", "NULL in a column that is not nullable"),
        ("name: eleven char", None),
        ("name: eleven chars", "the text has 12 characters, the column takes 10"),
        ("name: [a]", "a list fits only into a JSON or array column"),
        ("name: {a: 1}", "a mapping fits only into a JSON column"),
        ("name: yes", None),
        ("name: true", "true or false for a text column (put it in quotes)"),
        ('name: "a\\0"', "the text holds a NUL character"),
        ("amount: 1.234", "1.234 has 3 digits after the point, the column keeps 2"),
        ("amount: 1234567", "1234567 has 7 digits before the point, the column takes 6"),
        ("amount: 1,5", None),
        ("amount: １", "is not a number"),
        ("flag: 2", "the number 2 is not true or false (write true, false, 1 or 0)"),
        ("flag: 1", None),
        ("day: 2024-02-30", "is not a date (write it like 2024-01-31)"),
        ("day: 2024/2/3", None),
        ("day: now", "would be evaluated by the database (write !sql NOW() where that is meant)"),
        ("day: 5", "the number 5 is not a date"),
        ("data: text", None),
        ("data: '[x'", "text '[x' begins like JSON and is not (write a YAML mapping or list)"),
        ("data: 'Dear {X}'", None),
        ("data: '{X}, [a'", "a variable cannot stand inside the text of JSON"),
        ('data: \'{{"a": "{X}"}}\'', "a variable cannot stand inside the text of JSON"),
        ("data: '{X}'", None),
        ("data: {a: '{X}'}", None),
        ("data: [!sql now()]", "!sql cannot stand inside a value"),
        ("tags: '{{{X},a}}'", "a variable cannot stand inside the text of an array"),
        ("tags: x", "is not an array (write a YAML list)"),
        ("kind: c", "'c' is none of the items (items: a, b)"),
        ("day: !sql ''", "!sql without an expression"),
        ("day: !python x", "unknown tag '!python' (tags that work here: !sql)"),
    ],
)
def test_a_value_that_does_not_fit_is_named_at_its_place(project, cell, message) -> None:
    project.tables({"t": ALL})
    name = "" if cell.startswith("name") else "name: n, "
    cell = cell.replace("eleven char", "eleven cha") if message is None else cell
    project.template({"main@t.dat": f"- {{{name}{cell if cell != 'amount: 1,5' else 'amount: 1.5'}}}\n"})
    findings = project.findings()
    if message is None:
        assert findings == []
    else:
        assert len(findings) == 1
        assert message in findings[0]
        assert findings[0].startswith("customer_a/shop/main@t.dat:1:")


def test_sql_that_seems_to_hold_a_variable_is_pointed_out(project) -> None:
    project.tables({"t": ALL})
    project.template({"main@t.dat": "- {name: a, code: !sql \"upper('{X}')\"}\n"})
    assert rows_of(project.load())[0]["code"] == Sql("upper('{X}')")
    (finding,) = project.loader.findings
    assert finding.severity == "notice"
    assert "variables do not work inside !sql" in finding.message


def test_csv_is_typed_by_the_schema_and_empty_cells_mean_null_or_the_default(project) -> None:
    project.tables({"t": ALL})
    project.template(
        {"main@t.csv": 'id,name,code,amount,flag,day,need\r\n1,"a,""b""\nc",{X},1.50,1,2024-01-01,\r\n,,,,,,7\r\n\r\n'}
    )
    rows = rows_of(project.loaded())
    assert rows[0] == {
        "id": 1, "name": 'a,"b"\nc', "code": scan("{X}"), "amount": Decimal("1.50"), "flag": True, "day": "2024-01-01",
    }  # fmt: skip
    assert rows[1] == {"name": "", "code": None, "flag": None, "day": None, "need": 7}


def test_a_cell_of_csv_may_be_long(project) -> None:
    project.tables({"t": "column_name: code, column_type: TEXT, primary_key: 1"})
    project.template({"main@t.csv": f"code\n{'x' * 200_000}\n"})
    assert len(rows_of(project.loaded())[0]["code"]) == 200_000


def test_a_row_may_leave_everything_to_the_database(project) -> None:
    project.tables({"t": "column_name: id, column_type: INT AUTO_INCREMENT, primary_key: 1"})
    project.template({"main@t.dat": "- {}\n- {id: null}\n"})
    (dataset,) = project.loaded().shared_rows
    assert (dataset.columns, dataset.rows) == ((), ((), ()))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_csv_of_japanese_spreadsheets_is_read(project, encoding) -> None:
    project.tables({"t": ALL})
    project.template({"main@t.csv": "id,name\n1,山田①\n".encode(encoding)})
    assert rows_of(project.loaded()) == [{"id": 1, "name": "山田①"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,name\n1,\x81\x20\n", ":2:1: neither UTF-8 nor CP932"),
        (b"id,name\n1\n", ":2:1: the row has 1 cell, the header has 2"),
        (b"id,name\n1,a,b\n", ":2:1: the row has 3 cells, the header has 2"),
        (b'id,name\n1,"a\n', ":2:1: this is not CSV"),
        (b"id,name,id\n1,a,2\n", ":1:3: the header names 'id' twice"),
        (b"id,,name\n1,a,2\n", ":1:2: column 2 of the header has no name"),
        (b"id,name\n\n1,{\n", ":3:2: '{' at position 0"),
        (b"name,id\na,x\n", ":2:2: t.id: text 'x' is not a whole number"),
        (b"1,a,b\n", ":1:1: table 't' has no column '1'"),
        (b"id,nme\n", ":1:2: table 't' has no column 'nme' (did you mean 'name'?)"),
        (b"name,nme\na,x\n", ":2:2: table 't' has no column 'nme' (did you mean 'name'?)"),
    ],
)
def test_what_is_wrong_in_csv_is_named_by_line_and_column(project, content, message) -> None:
    project.tables({"t": ALL})
    project.template({"main@t.csv": content})
    assert any(message in finding for finding in project.findings())


def test_the_first_sheet_of_a_workbook_is_read(project) -> None:
    project.tables({"t": ALL})
    header = ("id", "name", "code", "amount", "flag", "day", None)
    row = (1, "a", 12, 1.5, True, dt.date(2024, 1, 31), None)
    project.template({"main@t.xlsx": workbook(header, row, (), (2, "{X}")), "~$main@t.xlsx": b"lock"})
    rows = rows_of(project.loaded())
    assert rows[0] == {
        "id": 1, "name": "a", "code": "12", "amount": Decimal("1.5"), "flag": True, "day": "2024-01-31 00:00:00",
    }  # fmt: skip
    assert rows[1] == {"id": 2, "name": scan("{X}"), "code": None, "flag": None, "day": None}


def test_a_damaged_workbook_is_a_finding(project) -> None:
    project.tables({"t": ALL})
    project.template({"main@t#1.xlsx": b"nothing", "main@t#2.xlsx": workbook(("id",))[:-40]})
    findings = project.findings()
    assert len(findings) == 2
    assert all("XLSX" in finding for finding in findings)


def test_a_workbook_that_unpacks_to_too_much_is_refused(project, monkeypatch) -> None:
    monkeypatch.setattr("manor.control.templates.spreadsheets.MAX_TABULAR_BYTES", 100)
    project.tables({"t": ALL})
    project.template({"main@t.xlsx": workbook(("id",))})
    assert "100 are allowed" in project.findings()[0]


def test_segments_are_put_together_in_the_order_of_their_names(project) -> None:
    project.tables({"t": ALL})
    project.template({"main@t#b.csv": "name\nthird\n", "main@t#a.dat": "- name: second\n", "main@t.dat": "- name: first\n"})
    assert [row["name"] for row in rows_of(project.loaded())] == ["first", "second", "third"]


def test_one_segment_in_two_files_is_refused(project) -> None:
    project.tables({"t": ALL})
    project.template({"main@t.csv": "name\na\n", "main@t.dat": "- name: b\n"})
    assert project.findings() == [
        "customer_a/shop/main@t.dat: main@t.csv holds the same segment of the same table "
        "(tell them apart: <schema>@<table>#<segment>)"
    ]


def test_rows_that_leave_different_columns_out_make_datasets_of_their_own(project) -> None:
    project.tables({"t": ALL})
    project.template(
        {"main@t.dat": "- {id: 1, name: a}\n- {name: b, id: 2}\n- {id: 3, name: c, need: 1}\n- {id: 4, name: d}\n"}
    )
    datasets = project.loaded().shared_rows
    assert [(d.columns, len(d.rows)) for d in datasets] == [
        (("id", "name"), 2),
        (("id", "name", "need"), 1),
        (("id", "name"), 1),
    ]


@pytest.mark.parametrize("content", ["", "# nothing\n", "[]\n"])
def test_an_empty_data_file_has_no_rows(project, content) -> None:
    project.tables({"t": ALL})
    project.template({"main@t.dat": content})
    assert project.loaded().shared_rows == ()


@pytest.mark.parametrize(
    ("content", "message"), [("a: 1\n", "a data file holds a list of rows"), ("- 1\n", "a row is a mapping")]
)
def test_a_data_file_that_is_no_list_of_rows_is_refused(project, content, message) -> None:
    project.tables({"t": ALL})
    project.template({"main@t.dat": content})
    (finding,) = project.findings()
    assert message in finding


def test_settings_beside_a_data_file_are_read_and_manual_rows_stay_out(project) -> None:
    project.tables({"t": ALL, "u": ALL})
    project.template(
        {
            "main@t.dat": "- {name: '{SECRET}'}\n",
            "main@t.yaml": "sync_mode: manual\nlayout: table\n",
            "main@u.dat": "- {name: b}\n",
            "main@u.yaml": "sync_mode: update_diff\ndescription: x\n",
        }
    )
    template = project.loaded()
    assert [d.table for d in (*template.shared_rows, *template.tenant_rows)] == ["u"]
    assert template.names == frozenset()
    assert template.not_acted_on == ("main@t.layout", "main@t.sync_mode: manual (its rows are not loaded)")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("sync_mode: replce\n", "did you mean 'replace'?"),
        ("sync_mod: replace\n", "unknown key 'sync_mod' (did you mean 'sync_mode'?)"),
        ("dependencies: [t]\n", "main@t.yaml:1:16: 't' does not name a table (write it as schema@table)"),
        ("dependencies: [main@v]\n", "main@t.yaml:1:16: no schema of this template defines table main@v"),
    ],
)
def test_wrong_settings_are_named(project, settings, message) -> None:
    project.tables({"t": ALL})
    project.template({"main@t.yaml": settings})
    assert message in project.findings()[0]


def test_settings_of_an_unknown_table_are_named(project) -> None:
    project.tables({"t": ALL})
    project.template({"main@tt.yaml": "sync_mode: replace\n"})
    (finding,) = project.findings()
    assert "no schema of this template defines table main@tt" in finding
