"""Several sources as one: who counts, where they disagree, and nothing is lost or there twice."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.merged import MergedTenantProvider, Told, merge_tenant
from manor.control.registry.merged.merge import KEPT_CONFLICTS, Conflict, ConflictReport
from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.tenant_info import FIELDS, TenantInfo, tenant_at
from manor.errors import ConflictError, InputError, Place, UnreachableError
from manor.telemetry import Event, Telemetry
from manor.testing.sources import Row, SourceBench, SourceSuite


def tenant(tenant_id: str = "t1", **values: Any) -> TenantInfo:
    return TenantInfo(tenant_id=tenant_id, customer_code="acme", **values)


def told(**by_source: TenantInfo) -> list[Told]:
    return [Told(source=source, info=info) for source, info in by_source.items()]


def test_each_field_is_the_first_sources_that_tells_it() -> None:
    """What a source does not say is no word against another one, though a default stands there."""
    merged, conflicts = merge_tenant(
        told(billing=tenant(tier="premium", billing_info={"plan": "x"}), crm=tenant(region="eu", status="suspended"))
    )
    assert merged == tenant(tier="premium", billing_info={"plan": "x"}, region="eu", status="suspended")
    assert conflicts == ()


def test_where_sources_disagree_is_said_field_by_field() -> None:
    """With both values; those that agree with the first are not named."""
    merged, conflicts = merge_tenant(
        told(a=tenant(tier="basic"), b=tenant(tier="premium", region="eu"), c=tenant(tier="basic", region="us"))
    )
    assert (merged.tier, merged.region) == ("basic", "eu")
    assert conflicts == (
        Conflict(tenant_id="t1", field="tier", kept=("a", "basic"), passed_over=(("b", "premium"),)),
        Conflict(tenant_id="t1", field="region", kept=("b", "eu"), passed_over=(("c", "us"),)),
    )
    assert str(conflicts[0]) == "t1: tier is 'basic' (a), b says 'premium'"


VALUES = st.fixed_dictionaries(
    {"tenant_id": st.just("t"), "customer_code": st.sampled_from(["a", "b"])},
    optional={
        "tier": st.sampled_from(["basic", "premium", "standard"]),
        "region": st.sampled_from(["", "eu"]),
        "status": st.sampled_from(["active", "suspended"]),
        "database_prefix": st.sampled_from([None, "p"]),
        "billing_info": st.sampled_from([None, {}, {"a": 1}]),
    },
)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_merging_keeps_to_precedence_for_every_field(values: list[dict[str, Any]]) -> None:
    """Said in other words: look along the sources, and stop at the first value; a conflict is a later value that differs."""
    merged, conflicts = merge_tenant([Told(source=str(at), info=TenantInfo(**one)) for at, one in enumerate(values)])
    for name in FIELDS:
        said = [one[name] for one in values if one.get(name) is not None]
        assert getattr(merged, name) == (said[0] if said else TenantInfo.model_fields[name].get_default())
        differing = any(value != said[0] for value in said)
        assert (name in {conflict.field for conflict in conflicts}) is differing


def test_a_report_counts_what_it_does_not_hold() -> None:
    """It is shown, and may be about every tenant there is."""
    report = ConflictReport()
    for number in range(KEPT_CONFLICTS + 5):
        report.add(merge_tenant(told(a=tenant(f"t{number}", tier="x"), b=tenant(f"t{number}", tier="y")))[1])
    report.add(())
    assert (len(report.conflicts), report.tenants, dict(report.by_field)) == (KEPT_CONFLICTS, 1005, {"tier": 1005})
    assert str(report) == "the sources disagree about 1005 tenants: tier (1005)"
    assert report.to_json()["conflicts"][0] == {
        "tenant_id": "t0",
        "field": "tier",
        "kept": {"source": "a", "value": "x"},
        "others": [{"source": "b", "value": "y"}],
    }


class MergedBench:
    """Rows spread over three sources: some in one, some in two, fields divided between them."""

    @contextlib.asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        parts: list[list[Row]] = [[], [], []]
        for number, row in enumerate(rows):
            if number % 3 == 0:
                parts[0].append(row)
                continue
            keys = {key: row[key] for key in ("tenant_id", "customer_code") if key in row}
            half = {key: value for key, value in row.items() if len(key) % 2}
            parts[1].append({**keys, **half})
            parts[2].append({**row, **keys})
        sources = {name: Rows(part, configs) for name, part in zip("abc", parts, strict=True)}
        yield MergedTenantProvider(sources)


class Rows(ListedTenantProvider):
    """Rows that are checked when they are walked over, as those of a file are."""

    def __init__(self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]]) -> None:
        self.rows = rows
        self.configs = configs

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        for info in self._checked()._tenants.values():
            yield info

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        return await self._checked().get_tenant(tenant_id)

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        return await self._checked().get_tenant_config(tenant_id)

    def _checked(self) -> ListedTenantProvider:
        return ListedTenantProvider([tenant_at(row, Place("rows", at)) for at, row in enumerate(self.rows, 1)], self.configs)


class TestMergedSource(SourceSuite):
    """The suite."""

    @pytest.fixture
    def bench(self) -> SourceBench:
        return MergedBench()


class Away(ListedTenantProvider):
    """Gives one tenant, and is gone."""

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        yield tenant("away")
        raise UnreachableError("gone")


async def test_a_source_that_is_away_makes_no_short_list() -> None:
    """What the others have is not all."""
    merged = MergedTenantProvider({"a": ListedTenantProvider([tenant("t1")]), "b": Away([])})
    with pytest.raises(UnreachableError):
        [info async for info in merged.iter_tenants()]
    with pytest.raises(UnreachableError):
        await merged.get_tenant_count()


async def test_a_walk_tells_where_the_sources_disagreed() -> None:
    """In its report and by an event; tenants stand in the order of the first source that has them."""
    events: list[Event] = []
    first = ListedTenantProvider([tenant("z", tier="basic"), tenant("b")])
    second = ListedTenantProvider([tenant("a"), tenant("b", tier="gold"), tenant("z", tier="gold")])
    merged = MergedTenantProvider({"one": first, "two": second}, name="all", telemetry=Telemetry(events.append))
    found = [info async for info in merged.iter_tenants()]
    assert [(info.tenant_id, info.tier) for info in found] == [("z", "basic"), ("b", "gold"), ("a", "standard")]
    assert [str(conflict) for conflict in merged.report.conflicts] == ["z: tier is 'basic' (one), two says 'gold'"]
    assert [(event.kind, event.subject, event.details) for event in events] == [
        ("source.disagreed", "all", {"tenants": 1, "fields": {"tier": 1}})
    ]


async def test_settings_are_merged_key_by_key() -> None:
    """Of the sources that have the tenant."""
    one = ListedTenantProvider([tenant()], {"t1": {"a": 1, "limits": {"users": 5}}})
    two = ListedTenantProvider([tenant()], {"t1": {"limits": {"disk": 9}, "b": 2}})
    merged = MergedTenantProvider({"one": one, "two": two, "three": ListedTenantProvider([])})
    assert await merged.get_tenant_config("t1") == {"a": 1, "b": 2, "limits": {"users": 5}}


async def test_a_source_that_has_a_tenant_twice_is_named() -> None:
    """And not the merged one."""

    class Twice(ListedTenantProvider):
        async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
            yield tenant()
            yield tenant()

    with pytest.raises(ConflictError, match="source two has the tenant 't1' twice"):
        await MergedTenantProvider({"one": ListedTenantProvider([]), "two": Twice([])}).get_tenant_count()


def test_merging_nothing_is_refused() -> None:
    """It would be a source without tenants, which means that all are gone."""
    with pytest.raises(InputError, match="merges no sources"):
        MergedTenantProvider({})
