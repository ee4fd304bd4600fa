"""A worksheet is read as it is shown, and what it only shows is an error."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference

from manor.control.registry.sheets import CSVTenantProvider
from manor.errors import InputError, InvalidInput
from manor.testing.sources import walked

Write = Callable[..., CSVTenantProvider]


def book_of(*rows: tuple[object, ...], title: str = "Tenants") -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    return book


def saved(book: openpyxl.Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


HEADER = ("tenant_id", "customer_code", "customer_name", "created_at")


async def test_cells_of_all_types_are_read(sheet: Write) -> None:
    """Numbers as their digits, dates as points in time, and texts that look like either as texts."""
    rows = [
        (1, 1001, "アクメ", dt.datetime(2026, 1, 31, 9, 30)),  # noqa: DTZ001 - a spreadsheet's has no zone
        ("002", 7.0, 3.5, dt.date(2026, 1, 31)),
        (None, None, None, None),
        (3, "c", True, "2026-01-31 09:30+09:00"),
    ]
    found = await walked(sheet(saved(book_of(HEADER, *rows)), name="t.xlsx"))
    assert [(info.tenant_id, info.customer_code, info.customer_name) for info in found] == [
        ("1", "1001", "アクメ"),
        ("002", "7", "3.5"),
        ("3", "c", "true"),
    ]
    assert [info.created_at for info in found] == [
        dt.datetime(2026, 1, 31, 9, 30, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 31, 0, 30, tzinfo=dt.UTC),
    ]


async def test_the_first_sheet_is_read_or_the_one_that_is_named(sheet: Write) -> None:
    """A name that is not there is refused with the nearest one."""
    book = book_of(HEADER, ("1", "first"))
    other = book.create_sheet("2026年")
    other.append(HEADER)
    other.append(("1", "second"))
    content = saved(book)
    assert (await sheet(content, name="t.xlsx").get_tenant("1")).customer_code == "first"
    assert (await sheet(content, name="t.xlsx", sheet="2026年").get_tenant("1")).customer_code == "second"
    with pytest.raises(InputError, match="Tenant ") as raised:
        await sheet(content, name="t.xlsx", sheet="Tenant ").get_tenant("1")
    assert "'Tenants'" in raised.value.hint
    assert str(raised.value.place) == "t.xlsx"


async def test_all_that_is_wrong_is_said_in_one_pass(sheet: Write) -> None:
    """What the sheet only shows, beside what is no tenant."""
    book = book_of(HEADER, ("1", "a", "=1+1", None), ("2", "#N/A", "b", "gone"), ("3", "c", "d"), ("3", "c", None))
    book.active.merge_cells("C4:C5")
    with pytest.raises(InvalidInput) as raised:
        await walked(sheet(saved(book), name="t.xlsx"))
    found = [(str(finding.place), finding.message) for finding in raised.value.findings]
    assert [place for place, _ in found] == ["t.xlsx:2:3", "t.xlsx:3:2", "t.xlsx:3:4", "t.xlsx:4:3", "t.xlsx:5:1"]
    messages = " / ".join(message for _, message in found)
    for words in ("no stored value", "holds the error #N/A", "created_at is no point in time", "merged cells", "there twice"):
        assert words in messages


@pytest.mark.parametrize("chart", [True, False])
@pytest.mark.parametrize("position", [0, 1])
async def test_a_chart_sheet_is_passed_over(sheet: Write, chart: bool, position: int) -> None:
    """Wherever it stands, with a chart on it and without."""
    book = book_of(HEADER[:2], ("1", "a"))
    charts = book.create_chartsheet("Chart", position)
    if chart:
        bars = BarChart()
        bars.add_data(Reference(book["Tenants"], min_col=1, min_row=1, max_row=2))
        charts.add_chart(bars)
    (info,) = await walked(sheet(saved(book), name="t.xlsx"))
    assert info.tenant_id == "1"


async def test_a_workbook_of_charts_only_is_no_table(sheet: Write) -> None:
    """It is said."""
    book = book_of()
    book.create_chartsheet("Chart")
    book.remove(book["Tenants"])
    with pytest.raises(InputError, match="no worksheet, only charts"):
        await walked(sheet(saved(book), name="t.xlsx"))


@pytest.mark.parametrize("content", [b"", b"tenant_id,customer_code\n1,a\n", b"PK\x03\x04 and so on"])
async def test_what_is_no_workbook_is_said_by_its_name(sheet: Write, content: bytes) -> None:
    """CSV that is called XLSX too."""
    with pytest.raises(InputError, match="xlsx") as raised:
        await walked(sheet(content, name="t.xlsx"))
    assert raised.value.place is not None


async def test_a_sheet_without_rows_is_no_table(sheet: Write) -> None:
    """It is not a source without tenants."""
    with pytest.raises(InputError, match="empty"):
        await walked(sheet(saved(book_of()), name="t.xlsx"))
    assert await walked(sheet(saved(book_of(HEADER)), name="t.xlsx")) == []
