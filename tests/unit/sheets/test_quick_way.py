"""The quick way to read a hundred rows gives what reading them one by one gives, or says that it does not know."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manor.control.registry.sheets import CSVTenantProvider
from manor.control.registry.sheets.batch import BatchReader, Unsure
from manor.control.registry.sheets.careful import read_row
from manor.control.registry.sheets.header import read_header
from manor.control.registry.tenant_columns import tenants_of
from manor.control.registry.tenant_info import FIELDS, TenantInfo
from manor.errors import Place

WORDS = ["", "a", "A-1_.x", "-a", ".a", "_", " a", "a ", "a\nb", "a b", "é", "x" * 128, "x" * 129, "a/b", "０", "a\n"]
TEXTS = ["", "Acme", " Acme ", "株式会社", "a\nb", "x" * 1_000, "x" * 1_001, "a\0b", "\u2003wide\u2003", '"', "'; --"]
TIMES = [
    *("", "2026-01-31", "20260131", "2026-01-31T09:30:00+00:00", "2026-01-31T09:30Z", "2026-01-31 09:30", "2026/1/31 9:30"),
    *("2026-01-31T09:30:00.123456", "2026-01-31 09:30:00,5", "2026-01-31 09:30+09:00", "2026-02-30", "x", " 2026-01-31"),
    *("2026-01-31+09:00", "2026-01-31x09:30", "2026-W05-6", "2026-01-31T24:00", "0001-01-01T00:00:00+14:00", "46053"),
    "2026-01-31T09:30:00+00:00\n2026-01-31T09:30",
]
OBJECTS = [
    *("", "{}", '{"a": 1}', ' {"a": [1.5, null, {"b": "ü"}]} ', "[]", "null", "1", "{", '{"a": NaN}', '{"a": "NaN"}'),
    *('{"a": Infinity}', '{"a": "\\u0000"}', '{"a": "\\ud83d\\ude00"}', '{"a": "\\ud83d"}', '{"a": 1, "a": 2}', "{} {}"),
    *('{"a": 123456789012345678901234567890}', "{}, {}", "gold"),
]
CHOICES = ["", "active", "suspended", "Active", " active", "database", "schema", "x"]
INSTANCES = ["", "main", "main;test", "main; test", "main;", ";", "main;main", "te st", "main;;x", "main,test", "a\n;b", " "]
CELLS = {
    "tenant_id": WORDS,
    "customer_code": WORDS,
    "customer_name": TEXTS,
    **dict.fromkeys(("region", "tier", "database_prefix", "schema_suffix", "table_prefix"), WORDS),
    **dict.fromkeys(("status", "isolation_strategy"), CHOICES),
    **dict.fromkeys(("created_at", "updated_at"), TIMES),
    "instances": INSTANCES,
    **dict.fromkeys(("billing_info", "contract_info"), OBJECTS),
}
PLAIN = {
    "tenant_id": "t",
    "customer_code": "c",
    "status": "active",
    "isolation_strategy": "schema",
    "created_at": "2026-01-31T09:30:00+00:00",
    "updated_at": "2026-01-31 09:30",
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """A header and rows: mostly plain ones, so that the quick way has something to say."""
    header = draw(st.permutations(FIELDS))[: draw(st.integers(2, len(FIELDS)))]
    header += [field for field in ("tenant_id", "customer_code") if field not in header]
    odd = draw(st.sets(st.sampled_from(header), max_size=3))
    cells = [
        st.one_of(st.sampled_from(CELLS[field]), st.text(max_size=12)) if field in odd else st.just(PLAIN.get(field, ""))
        for field in header
    ]
    return header, draw(st.lists(st.tuples(*cells).map(list), min_size=1, max_size=6))


@settings(max_examples=600, deadline=None)
@given(table=tables())
def test_the_quick_way_means_what_the_careful_way_means(table: tuple[list[str], list[list[str]]]) -> None:
    """Value by value and type by type, also which of them a source said."""
    names, rows = table
    header = read_header(names, {}, Place("t"))
    try:
        ids, found = BatchReader(header).tenants(rows)
    except Unsure:
        return
    expected = [read_row(row, header, Place("t", 1, 1)) for row in rows]
    assert [(info, []) for info in found] == expected
    assert list(ids) == [info.tenant_id for info in found]
    for info, (careful, _) in zip(found, expected, strict=True):
        assert careful is not None
        assert info.model_dump_json() == careful.model_dump_json()
        assert [type(value) for value in info.__dict__.values()] == [type(value) for value in careful.__dict__.values()]


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_has_plain_values_that_the_quick_way_takes(field: str) -> None:
    """Otherwise the test above would say nothing about it."""
    names = ["tenant_id", "customer_code", *({field} - {"tenant_id", "customer_code"})]
    header = read_header(names, {}, Place("t"))
    taken = 0
    for cell in CELLS[field]:
        try:
            BatchReader(header).tenants([[cell if name == field else "x" for name in names]])
        except Unsure:
            continue
        taken += bool(cell)
    assert taken >= 2


def test_tenants_of_columns_are_tenants_like_all_others() -> None:
    """They can be compared, copied, hashed by what they hold, dumped and validated again, and not be changed."""
    (made,) = tenants_of({"tenant_id": ["t1"], "customer_code": ["c"], "instances": [("main", "test")]})
    same = TenantInfo(tenant_id="t1", customer_code="c", instances=("main", "test"))
    assert made == same
    assert repr(made) == repr(same)
    assert made.model_fields_set == same.model_fields_set
    assert made.model_dump(exclude_unset=True) == same.model_dump(exclude_unset=True)
    assert made.model_copy(update={"tier": "basic"}) == same.model_copy(update={"tier": "basic"})
    assert TenantInfo.model_validate(made.model_dump()) == same
    assert TenantInfo.model_validate(made) == same
    with pytest.raises(ValueError, match="frozen"):
        made.tier = "basic"  # type: ignore[misc]
    assert tenants_of({"tenant_id": [], "customer_code": []}) == []


async def test_a_walk_over_many_holds_few(tmp_path: Path) -> None:
    """Its memory does not grow with the file, but for the ids that must not come twice."""
    path = tmp_path / "tenants.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("tenant_id,customer_code,customer_name,created_at,billing_info\n")
        for number in range(30_000):
            file.write(f't{number},c{number % 100},株式会社 {number},2026-01-31T09:30:00Z,"{{""seats"": {number}}}"\n')
    provider = CSVTenantProvider(path, settle_seconds=0)
    tracemalloc.start()
    try:
        count = 0
        async for _ in provider.iter_tenants():
            count += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 30_000
    assert peak < 8 * 1024 * 1024
