"""What a workbook shows and does not hold as a value is said, cell by cell, and never loaded as something else."""

from __future__ import annotations

import io
import re
import zipfile

import openpyxl
import pytest

TABLE = """
    column_name: id, column_type: INT, primary_key: 1
    column_name: name, column_type: TEXT
"""
FILE = "customer_a/shop/main@t.xlsx"


def saved(book: openpyxl.Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def book_of(*rows) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.active.title = "Users"
    for row in rows:
        book.active.append(row)
    return book


def rewritten(content: bytes, pattern: str, replacement: str) -> bytes:
    """The workbook with its first sheet's XML changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                text, count = re.subn(pattern, replacement, data.decode())
                assert count == 1
                data = text.encode()
            new.writestr(name, data)
    return buffer.getvalue()


def rows_of(template) -> list[tuple]:
    return [row for dataset in template.shared_rows for row in dataset.rows]


@pytest.fixture
def shop(project):
    project.tables({"t": TABLE})
    return project


def test_a_formula_without_a_stored_value_is_named(shop) -> None:
    """Libraries write formulas without results; the cell would come out empty."""
    shop.template({"main@t.xlsx": saved(book_of(("id", "name"), (1, '="a"&"b"'), (2, "c")))})
    assert shop.findings() == [
        f"{FILE}:2:2: Users!B2: the formula has no stored value (open and save it in a spreadsheet program, or write the value)"
    ]


@pytest.mark.parametrize("value", ["<v></v>", "<v/>", "<v>ab</v>"])
def test_the_stored_value_of_a_formula_is_its_value(shop, value) -> None:
    """Empty text is a result like any other."""
    content = saved(book_of(("id", "name"), (1, '="a"&"b"')))
    cell = f'<c r="B2" t="str"><f>1</f>{value}</c>'
    shop.template({"main@t.xlsx": rewritten(content, '<c r="B2"[^>]*>.*?</c>', cell)})
    assert rows_of(shop.loaded()) == [(1, "ab" if "ab" in value else None)]


@pytest.mark.parametrize("error", ["#N/A", "#DIV/0!", "#REF!"])
def test_an_error_is_no_text(shop, error) -> None:
    """What only looks like one, written as text, is text."""
    book = book_of(("id", "name"), (1, error), (2, "x"))
    book.active["B3"].value = error
    book.active["B3"].data_type = "s"
    shop.template({"main@t.xlsx": saved(book)})
    assert shop.findings() == [f"{FILE}:2:2: Users!B2 holds the error {error} (correct the formula, or write the value)"]


def test_merged_cells_are_named_once_and_their_rows_not_checked(shop) -> None:
    """The cells that a merge covers are empty in the file, whatever is seen."""
    book = book_of(("id", "name"), (1, "x"), (2, None), (3, "z"))
    book.active.merge_cells("B2:B3")
    shop.template({"main@t.xlsx": saved(book)})
    assert shop.findings() == [f"{FILE}:2:2: merged cells Users!B2:B3 (unmerge them and give each row its value)"]


def test_further_sheets_with_content_are_said_and_empty_ones_are_not(shop) -> None:
    """Only the first sheet is read; a notice does not stop a deploy."""
    book = book_of(("id", "name"), (1, "x"))
    book.create_sheet("Empty")
    book.create_sheet("More").append((2, "y"))
    shop.template({"main@t.xlsx": saved(book)})
    assert rows_of(shop.load()) == [(1, "x")]
    (finding,) = shop.loader.findings
    assert finding.severity == "notice"
    assert str(finding) == (
        f"{FILE}: the sheet 'More' is not read: only the first one, 'Users', is "
        "(give it a file of its own: <schema>@<table>#<segment>.xlsx)"
    )


def test_many_unusable_cells_are_counted(shop) -> None:
    """The first fifty are named."""
    shop.template({"main@t.xlsx": saved(book_of(("id", "name"), *((n, "=1") for n in range(60))))})
    findings = shop.findings()
    assert len(findings) == 51
    assert findings[0].startswith(f"{FILE}:2:2: ")
    assert findings[-1] == f"{FILE}: 10 more findings in this file"
