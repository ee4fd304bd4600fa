"""The quick way from rows to tenants gives what the careful one gives, or says that it is not sure."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.registry.sql_table.batch import BatchReader, TableReader, Unsure
from manor.control.registry.sql_table.rows import RowReader
from manor.control.registry.tenant_info import FIELDS
from manor.errors import InputError

WORDS = st.sampled_from(["a", "B-1", "", "x" * 128, "a b", "é", "a\nb", "x" * 129, None, 5])
NAIVE = dt.datetime.fromisoformat("2026-01-01T09:30")
TIMES = st.sampled_from(
    [
        *(None, "2026-01-01", "2026-01-01 09:30", "2026-01-01T09:30:00.25+09:00", "20260101T093000", "2026-W01-1T09:30", "x"),
        *(NAIVE, dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=9))), 1_767_225_600),
        *("", 20260131, "20260131", "2026", "1767225600"),
        *(dt.date(2026, 1, 1), "2026-01-01T24:00", "2026-01-01 09:30:00Z"),
    ]
)
DOCUMENTS = st.sampled_from(
    [
        {"a": float("inf")},
        {"a": [-float("inf")]},
        '{"a": 1e400}',
        None,
        "",
        " ",
        {},
        {"a": [1, None]},
        '{"a": 1}',
        "[1]",
        "{",
        "null",
        '{"a": NaN}',
        b'{"b": 2}',
        5,
    ]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "tenant_id": st.sampled_from(["t1", "t2", "A.b-c", "a/b", "", "a\nb", None, "x" * 129]),
    "customer_code": st.sampled_from(["c", "c", "C-1", "c d", None]),
    "customer_name": st.sampled_from(["Acme", "", "株", "a\nb", None, "x" * 1000, "x" * 1001]),
    "region": WORDS,
    "tier": WORDS,
    "status": st.sampled_from(["active", "suspended", "Active", "", None]),
    "created_at": TIMES,
    "updated_at": TIMES,
    "isolation_strategy": st.sampled_from(["database", "schema", "rows", None]),
    "database_prefix": WORDS,
    "schema_suffix": WORDS,
    "table_prefix": WORDS,
    "instances": st.sampled_from(
        [
            "main",
            "main;test",
            " a , b ",
            '["a", "b"]',
            ["a", "b"],
            [],
            ["a b"],
            [1],
            "",
            "a;a",
            "main;",
            "a, b, ",
            ";",
            " ",
            ["a", "b", "a"],
            "[",
            None,
            "a;;b",
            '[["a"]]',
            "[{}]",
        ]
    ),
    "billing_info": DOCUMENTS,
    "contract_info": DOCUMENTS,
}
DEFAULTS = st.sampled_from([{}, {"tier": "basic"}, {"region": "eu", "instances": "main;test"}, {"status": "suspended"}])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]], dict[str, Any]]:
    """Some of the columns, rows that are mostly alike, and defaults."""
    others = draw(st.lists(st.sampled_from(FIELDS[2:]), unique=True, max_size=5))
    names = ["tenant_id", "customer_code", *others]
    rows = draw(st.lists(st.tuples(*(VALUES[name] for name in names)), min_size=1, max_size=4))
    return names, rows, draw(DEFAULTS)


def careful(names: list[str], rows: list[tuple[Any, ...]], defaults: dict[str, Any]) -> list[Any] | str:
    reader = RowReader(names, defaults, where="crm: table tenants")
    try:
        return [(info, info.model_fields_set) for info in map(reader.tenant, rows)]
    except InputError as error:
        return str(error)


@given(tables())
def test_the_quick_way_gives_what_the_careful_one_gives(table: tuple[list[str], list[tuple[Any, ...]], dict[str, Any]]) -> None:
    """The same tenants, and the same fields that their source told; never a tenant where there is an error."""
    names, rows, defaults = table
    expected = careful(names, rows, defaults)
    try:
        found = BatchReader(names, defaults).tenants(rows)
    except Unsure:
        return
    assert isinstance(expected, list)
    assert found == [info for info, _ in expected]
    for info, (_, told) in zip(found, expected, strict=True):
        kept = {name for name in info.model_fields_set if getattr(info, name) is not None}
        assert kept == {name for name in told if getattr(info, name) is not None}


@given(tables())
def test_a_table_is_read_whichever_way(table: tuple[list[str], list[tuple[Any, ...]], dict[str, Any]]) -> None:
    """Errors are the careful way's, with their place."""
    names, rows, defaults = table
    expected = careful(names, rows, defaults)
    try:
        found: Any = TableReader(names, defaults, where="crm: table tenants").tenants(rows)
    except InputError as error:
        found = str(error)
    assert found == (expected if isinstance(expected, str) else [info for info, _ in expected])


@pytest.mark.parametrize("count", [1, 199, 200, 201, 1_000])
def test_plain_rows_all_go_the_quick_way(count: int) -> None:
    """Else a walk would be slow without a word."""
    rows = [(f"t{number}", "c", "Acme", None, "basic", NAIVE, ["main"], {"a": 1}, '{"b": 2}') for number in range(count)]
    names = ["tenant_id", "customer_code", "customer_name", "region", "tier", "created_at", "instances", "billing_info"]
    found = BatchReader([*names, "contract_info"], {}).tenants(rows)
    assert len({info.tenant_id for info in found}) == count
    assert found[0].created_at == NAIVE.replace(tzinfo=dt.UTC)
    assert (found[0].region, found[0].instances, found[0].contract_info) == ("", ("main",), {"b": 2})
    assert "region" not in found[0].model_fields_set
