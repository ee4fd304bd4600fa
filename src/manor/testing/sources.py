"""The conformance suite of sources of tenants: what every ``TenantRegistryProvider`` promises.

A source's test module subclasses ``SourceSuite`` and brings the fixture ``bench``, which opens the source over rows that the
suite chooses. A source that cannot hold just any tenant overrides ``row`` and, where it has no settings per tenant, ``config``.
Needs pytest and pytest-asyncio.
"""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Protocol

import pytest

from manor.control.registry.provider import PAGE, TenantRegistryProvider
from manor.control.registry.search.fields import TENANT_INFO, info_values
from manor.control.registry.search.parse import parse_search
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import ConflictError, InputError, NotFoundError

Row = Mapping[str, Any]
"""Values by field of ``TenantInfo`` as JSON has them; a field may be absent, and a bad row is no tenant at all."""
MANY = 2 * PAGE + 345
"""More than two pages, the last one not full."""
_NAMES = (
    "Acme",
    'O\'Neill & "Söhne"',
    "株式会社テスト",
    "a, b; c\td|e",
    "line one\nline two",
    "100% {{ 7*7 }} ${HOME} {VAR}",
    "-1+1",
)
QUERIES = (
    "status = 'active'",
    "status <> 'active' AND NOT tier = 'basic'",
    "tier IN ('premium', 'enterprise') OR region = 'eu'",
    "tier NOT IN ('premium', 'x')",
    "tenant_id LIKE 't%1' AND tenant_id NOT LIKE '%11'",
    "customer_name ILIKE 'o''n%' OR customer_name LIKE '%\\%%'",
    "customer_name LIKE 'o''n%'",
    "region >= 'B' AND region < 'f'",
    "tier = 'PREMIUM'",
    "database_prefix IS NULL AND created_at IS NOT NULL",
    "NOT database_prefix = 'p_1'",
    "created_at >= '2026-01-03' AND created_at < TIMESTAMPTZ '2026-01-05 09:00+09:00'",
    "created_at BETWEEN '2026-01-02' AND '2026-01-03 00:00:30' OR updated_at IS NOT NULL",
    "instances LIKE '%test%'",
    "instances = 'main'",
    "billing_info.plan = 'gold' AND billing_info.seats > 5",
    "contract_info.terms[0] = 'yearly' OR contract_info.open = true",
    "billing_info IS NULL OR contract_info.nothing IS NOT NULL",
    "(isolation_strategy = 'schema' OR table_prefix LIKE 't\\_%') AND NOT (region = 'eu' OR status = 'suspended')",
    "customer_code = 'nobody'",
)
"""Every form of the language, with the borders of case, of order and of NULL among them."""


class SourceBench(Protocol):
    """What a source's test module provides as the fixture ``bench``."""

    def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AbstractAsyncContextManager[TenantRegistryProvider]:
        """The source over ``rows``, in this order where it has one; ``configs`` are settings by tenant id. It closes it."""
        ...


async def walked(provider: TenantRegistryProvider, filters: Mapping[str, Any] | None = None) -> list[TenantInfo]:
    """All that the walk hands out."""
    return [info async for info in provider.iter_tenants(filters)]


def by_id(tenants: Sequence[TenantInfo]) -> dict[str, TenantInfo]:
    """The tenants by their ids; none is there twice."""
    found = {info.tenant_id: info for info in tenants}
    assert len(found) == len(tenants)
    return found


class SourceSuite:
    """Subclass it, and provide the fixture ``bench``."""

    @staticmethod
    def row(number: int) -> Row:
        """One tenant as a row. Texts that are there are not empty: not every source tells an empty text from none."""
        row: dict[str, Any] = {
            "tenant_id": f"t{number:05}",
            "customer_code": f"c{number % 7}",
            "customer_name": _NAMES[number % len(_NAMES)],
            "region": ("asia", "eu", "Us")[number % 3],
            "tier": ("basic", "standard", "premium", "enterprise")[number % 4],
            "status": ("active", "active", "inactive", "suspended", "terminated")[number % 5],
            "created_at": f"2026-01-0{1 + number % 6}T00:00:30+00:00",
            "isolation_strategy": ("database", "schema", "table")[number % 3],
            "instances": [["main"], ["main", "test"], ["staging"]][number % 3],
        }
        if number % 2:
            row |= {
                "database_prefix": f"p_{number % 3}",
                "updated_at": "2026-02-01T12:00:00.250000+00:00",
                "table_prefix": "t_",
            }
        if number % 3:
            row |= {
                "billing_info": {"plan": ("gold", "a;b")[number % 2], "seats": number % 12, "paid": number % 2 == 0},
                "contract_info": {
                    "terms": [("yearly", "monthly")[number % 2], {"no": 1.5}],
                    "open": number % 4 == 0,
                    "end": None,
                },
            }
        return row

    @staticmethod
    def config(number: int) -> Mapping[str, Any]:
        """Settings of a tenant."""
        return {
            "limits": {"users": number, "ratio": 0.5},
            "名前": ["a", None, True],
            "text": "001",
            "nested": {"a": {"b": "c"}},
        }

    def rows(self, count: int) -> list[Row]:
        """The first ``count`` tenants."""
        return [self.row(number) for number in range(count)]

    def tenants(self, count: int) -> dict[str, TenantInfo]:
        """The same as values, by id."""
        return by_id([TenantInfo.model_validate(row) for row in self.rows(count)])

    async def test_the_walk_hands_out_every_tenant_once(self, bench: SourceBench) -> None:
        """Also where there are more than several pages of them, and the values are those of the source."""
        async with bench.open(self.rows(MANY)) as provider:
            assert by_id(await walked(provider)) == self.tenants(MANY)

    async def test_pages_put_together_are_the_walk(self, bench: SourceBench) -> None:
        """In the same order; the page behind the last one is empty."""
        async with bench.open(self.rows(60)) as provider:
            pages = [await provider.list_tenants(offset=offset, limit=25) for offset in (0, 25, 50, 75)]
            assert [len(page) for page in pages] == [25, 25, 10, 0]
            assert [info for page in pages for info in page] == await walked(provider)
            assert list(await provider.list_tenants(limit=0)) == []

    async def test_a_page_may_be_larger_than_the_source_has_pages(self, bench: SourceBench) -> None:
        """However a source is asked, ``limit`` is what the caller gets."""
        async with bench.open(self.rows(MANY)) as provider:
            found = await provider.list_tenants(limit=MANY + 1)
            assert by_id(found) == self.tenants(MANY)
            assert list(await provider.list_tenants(offset=PAGE - 5, limit=PAGE + 10)) == list(found)[PAGE - 5 : 2 * PAGE + 5]
            assert list(await provider.list_tenants()) == list(found)[:100]

    async def test_a_page_that_cannot_be_is_refused(self, bench: SourceBench) -> None:
        """By the name of the number that is wrong."""
        async with bench.open(self.rows(3)) as provider:
            with pytest.raises(InputError, match="offset"):
                await provider.list_tenants(offset=-1)
            with pytest.raises(InputError, match="limit"):
                await provider.list_tenants(limit=-1)

    async def test_a_source_without_tenants_is_empty(self, bench: SourceBench) -> None:
        """Which is an answer, and not an error."""
        async with bench.open([]) as provider:
            assert await walked(provider) == []
            assert list(await provider.list_tenants()) == []
            assert list(await provider.search_tenants("tier = 'basic'")) == []
            assert await provider.get_tenant_count() == 0

    async def test_filters_count_before_pages_are_cut(self, bench: SourceBench) -> None:
        """Walk, pages and count see the same tenants, those that the filters let through."""
        async with bench.open(self.rows(90)) as provider:
            for filters in self.filters():
                expected = [info for info in await walked(provider) if _lets_through(filters, info)]
                assert await walked(provider, filters) == expected, filters
                assert list(await provider.list_tenants(filters, offset=2, limit=5)) == expected[2:7], filters
                assert list(await provider.list_tenants(filters, limit=1000)) == expected, filters
                assert await provider.get_tenant_count(filters) == len(expected), filters

    async def test_a_filter_finds_who_has_the_value_by_default(self, bench: SourceBench) -> None:
        """A row that says nothing of its status is active, for whatever part of the source filters."""
        rows = self.rows(20)
        rows[::2] = [{name: row[name] for name in self.required() if name in row} for row in rows[::2]]
        async with bench.open(rows) as provider:
            everybody = await walked(provider)
            assert sum(info.status == "active" for info in everybody) >= 10
            for name in ("status", "tier", "region", "customer_name", "isolation_strategy"):
                default = TenantInfo.model_fields[name].default
                for value in (default, [default], [default, "x"]):
                    expected = [info for info in everybody if getattr(info, name) == default]
                    assert await walked(provider, {name: value}) == expected, name
                    assert await provider.get_tenant_count({name: value}) == len(expected), name
                for negated in (f"NOT {name} = '{default}'", f"{name} <> '{default}'", f"{name} NOT IN ('{default}')"):
                    others = [info for info in everybody if getattr(info, name) != default]
                    assert list(await provider.search_tenants(negated)) == others, name
                assert list(await provider.search_tenants(f"{name} IS NULL")) == []

    def required(self) -> Sequence[str]:
        """What every row has, whatever else it says nothing of."""
        return ("tenant_id", "customer_code", "instances")

    def filters(self) -> Sequence[Mapping[str, Any]]:
        """One value, several values, several fields, no value, points in time, and what no tenant has."""
        return (
            {},
            {"status": "active"},
            {"tier": ["premium", "enterprise"], "status": "active"},
            {"tier": "Premium"},
            {"tier": []},
            {"database_prefix": None},
            {"created_at": dt.datetime(2026, 1, 2, 0, 0, 30, tzinfo=dt.UTC)},
            {"created_at": "2026-01-02 00:00:30", "instances": ["main;test", "main"]},
            {"customer_code": "' OR '1'='1"},
        )

    async def test_large_numbers_of_json_are_whole(self, bench: SourceBench) -> None:
        """One that just looks as if it could not be stored, or stands in a text, stays."""
        large = {"a": 1e22, "b": -2e-300, "c": "1e400", "e": "0e000"}
        async with bench.open([{**self.row(0), "billing_info": large}]) as provider:
            assert [info.billing_info for info in await walked(provider)] == [large]

    async def test_a_filter_by_something_unknown_is_refused(self, bench: SourceBench) -> None:
        """By its name, and by every method: a filter that is passed over would let all tenants through."""
        async with bench.open(self.rows(3)) as provider:
            for filters in ({"teir": "basic"}, {"tier": 5}):
                for asked in (provider.list_tenants(filters), provider.get_tenant_count(filters), walked(provider, filters)):
                    with pytest.raises(InputError, match=next(iter(filters))):
                        await asked

    async def test_the_count_is_the_walks(self, bench: SourceBench) -> None:
        """Over several pages too."""
        async with bench.open(self.rows(MANY)) as provider:
            assert await provider.get_tenant_count() == MANY

    async def test_one_tenant_is_found_by_its_id(self, bench: SourceBench) -> None:
        """As the walk shows it."""
        async with bench.open(self.rows(30)) as provider:
            for tenant_id, info in self.tenants(30).items():
                assert await provider.get_tenant(tenant_id) == info

    @pytest.mark.parametrize(
        "tenant_id", ["nobody", "T00001", "t0000", "../t00001", "t00001/config", "'; --", "%", "", "t00001 "]
    )
    async def test_a_tenant_that_is_not_there_is_said(self, bench: SourceBench, tenant_id: str) -> None:
        """By its id, whatever stands in it; there are no near misses."""
        async with bench.open(self.rows(3)) as provider:
            for asked in (provider.get_tenant(tenant_id), provider.get_tenant_config(tenant_id)):
                with pytest.raises(NotFoundError) as raised:
                    await asked
                assert tenant_id in str(raised.value)

    async def test_points_in_time_without_a_zone_are_in_utc(self, bench: SourceBench) -> None:
        """With one they are the same moment, told in UTC."""
        rows = [
            {**self.row(0), "created_at": "2026-03-01 09:30:00"},
            {**self.row(1), "created_at": "2026-03-01T18:30:00+09:00"},
        ]
        async with bench.open(rows) as provider:
            for info in await walked(provider):
                assert info.created_at == dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
                assert info.created_at.tzinfo == dt.UTC

    async def test_a_text_is_a_point_in_time_by_iso_8601_alone(self, bench: SourceBench) -> None:
        """Digits are a day, in every source: never seconds since 1970."""
        async with bench.open([{**self.row(0), "created_at": "20260131"}]) as provider:
            (info,) = await walked(provider)
            assert info.created_at == dt.datetime(2026, 1, 31, tzinfo=dt.UTC)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("created_at", "2026"),
            ("created_at", "1769817600"),
            ("created_at", "2026-01-31+09:00"),
            ("instances", ["main", "test", "main"]),
        ],
    )
    async def test_what_one_source_refuses_every_source_refuses(self, bench: SourceBench, name: str, value: Any) -> None:
        """A value has one meaning, wherever it stands."""
        async with bench.open([self.row(0), {**self.row(1), name: value}]) as provider:
            with pytest.raises(InputError, match=name):
                await walked(provider)

    async def test_settings_come_back_as_json_values(self, bench: SourceBench) -> None:
        """Numbers stay numbers and texts texts; a tenant without settings has an empty mapping."""
        rows = self.rows(3)
        ids = [str(row["tenant_id"]) for row in rows]
        async with bench.open(rows, {ids[0]: self.config(0), ids[2]: self.config(2)}) as provider:
            assert await provider.get_tenant_config(ids[0]) == self.config(0)
            assert await provider.get_tenant_config(ids[1]) == {}
            assert await provider.get_tenant_config(ids[2]) == self.config(2)
            wanted = {ids[0]: self.config(0), ids[1]: {}, ids[2]: self.config(2)}
            assert await provider.get_tenant_configs(list(reversed(ids))) == wanted
            assert await provider.get_tenant_configs([]) == {}
            with pytest.raises(NotFoundError):
                await provider.get_tenant_configs([ids[0], "nobody"])

    async def test_a_search_finds_whom_its_predicate_finds(self, bench: SourceBench) -> None:
        """Whatever part of it the source answers itself."""
        async with bench.open(self.rows(120)) as provider:
            everybody = await walked(provider)
            for query in self.queries():
                search = parse_search(query, TENANT_INFO)
                expected = [info for info in everybody if search.matches(info_values(info))]
                assert list(await provider.search_tenants(query)) == expected, query

    def queries(self) -> Sequence[str]:
        """What is searched for."""
        return QUERIES

    async def test_a_search_sees_more_than_one_page(self, bench: SourceBench) -> None:
        """All that it finds."""
        async with bench.open(self.rows(MANY)) as provider:
            assert by_id(await provider.search_tenants("tenant_id <> 'nobody'")) == self.tenants(MANY)

    @pytest.mark.parametrize(
        "query", ["teir = 'x'", "tier =", "lower(tier) = 'x'", "tier = 'x'; DROP TABLE tenants", "tier = 'x' --", ""]
    )
    async def test_a_search_outside_of_the_language_is_refused(self, bench: SourceBench, query: str) -> None:
        """With its place, before anything is asked."""
        async with bench.open(self.rows(3)) as provider:
            with pytest.raises(InputError) as raised:
                await provider.search_tenants(query)
            assert raised.value.place is not None
            assert raised.value.place.line == 1

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"status": "unheard-of"}, "status"),
            ({"customer_code": None}, "customer_code"),
            ({"tenant_id": "a/b"}, "tenant_id"),
            ({"created_at": "yesterday"}, "created_at"),
            ({"region": "nu\u00e4nce"}, "region"),
        ],
    )
    async def test_a_row_that_is_no_tenant_is_an_error_with_a_place(self, bench: SourceBench, change: Row, named: str) -> None:
        """It names the field, and nothing is handed out as if it were the whole."""
        rows = self.rows(5)
        rows[3] = {key: value for key, value in {**rows[3], **change}.items() if value is not None}
        async with bench.open(rows) as provider:
            for asked in (walked(provider), provider.list_tenants(), provider.search_tenants("tenant_id <> 'x'")):
                with pytest.raises(InputError, match=named) as raised:
                    await asked
                assert raised.value.place is not None
                assert raised.value.place.file

    async def test_a_tenant_that_is_there_twice_is_refused(self, bench: SourceBench) -> None:
        """By its id: which of the two is meant, nobody knows."""
        rows = self.rows(6)
        rows[4] = {**rows[4], "tenant_id": rows[1]["tenant_id"]}
        async with bench.open(rows) as provider:
            with pytest.raises((ConflictError, InputError)) as raised:
                await walked(provider)
            assert str(rows[1]["tenant_id"]) in str(raised.value)

    async def test_walks_are_independent_and_may_be_left(self, bench: SourceBench) -> None:
        """Two at once see all; one that is left in the middle holds nothing up."""
        async with bench.open(self.rows(PAGE + 5)) as provider:
            async with aclosing(provider.iter_tenants()) as left:  # type: ignore[type-var]
                first = await anext(left)
                both = [(one, two) async for one, two in _side_by_side(provider)]
            assert first.tenant_id in self.tenants(PAGE + 5)
            assert len(both) == PAGE + 5
            assert all(one == two for one, two in both)
            assert await provider.get_tenant_count() == PAGE + 5


async def _side_by_side(provider: TenantRegistryProvider) -> Any:
    second = provider.iter_tenants()
    async for one in provider.iter_tenants():
        yield one, await anext(second)
    assert await anext(second, None) is None


def _lets_through(filters: Mapping[str, Any], info: TenantInfo) -> bool:
    """What filters mean, said once more in other words than the product's."""
    values = info_values(info)
    for name, wanted in filters.items():
        several = wanted if isinstance(wanted, list) else [wanted]
        moment = isinstance(values[name], dt.datetime)
        if values[name] not in [_moment(one) if moment else one for one in several]:
            return False
    return True


def _moment(value: Any) -> Any:
    return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC) if isinstance(value, str) else value
