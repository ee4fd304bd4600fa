"""What a source says comes into the catalog's directory: whole or not at all, once, and with its history."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from manor.control.audit import AnchorFile, AuditLog
from manor.control.catalog.tombstones import TombstoneFile
from manor.control.operations.directory_search import search_directory
from manor.control.operations.sync import SyncReport, SyncRequest, dry_run, sync
from manor.control.provision.sync_plan import Kind
from manor.control.registry.directory_home import DirectoryHome
from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.merged import MergedTenantProvider
from manor.control.registry.provider import PAGE, Filters
from manor.control.registry.tenant_info import TenantInfo
from manor.control.runtime import Runtime
from manor.errors import ConflictError, InputError, RefusedError, UnreachableError
from manor.telemetry import Event, Telemetry

HOME = DirectoryHome(environment="prod", source="crm")
EVERYONE = "tenant_id IS NOT NULL"


class Reading(ListedTenantProvider):
    """Tenants at hand; counts the settings that were asked for."""

    def __init__(self, tenants: Sequence[TenantInfo], configs: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        super().__init__(tenants, configs or {})
        self.asked: list[str] = []
        self.forgotten = 0

    async def forget(self) -> None:
        self.forgotten += 1

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        self.asked.append(tenant_id)
        return await super().get_tenant_config(tenant_id)


def tenant(number: int, **changes: Any) -> TenantInfo:
    values = {
        "tenant_id": f"t{number:05}",
        "customer_code": f"c{number}",
        "customer_name": f"Customer {number}",
        "region": "asia" if number % 2 else "eu",
        "tier": ("basic", "premium", "enterprise")[number % 3],
        "instances": ("main", "test"),
        "created_at": dt.datetime(2026, 1, 1, 9, 30, tzinfo=dt.UTC),
        "billing_info": {"plan": "gold", "seats": number},
    }
    return TenantInfo(**(values | changes))


@pytest.fixture
def make_runtime(catalog, tmp_path) -> Callable[..., Runtime]:
    """A runtime without servers, under a new operation each time."""
    made = 0

    def make(*hooks: Callable[[Event], None], **changes: Any) -> Runtime:
        nonlocal made
        made += 1
        values: dict[str, Any] = {
            "operation": f"20261120T120000-{made:08x}",
            "actor": "ann@desk:7",
            "servers": {},
            "catalog": catalog,
            "anchor": AnchorFile(tmp_path / "audit.anchor"),
            "tombstones": TombstoneFile(tmp_path / "erased"),
            "telemetry": Telemetry(*hooks),
        }
        return Runtime(**(values | changes))

    return make


@pytest.fixture
def synced(make_runtime) -> Callable[..., Any]:
    """One sync of these tenants."""

    async def run(tenants: Sequence[TenantInfo], configs: Mapping[str, Any] | None = None, **request: Any) -> SyncReport:
        return await sync(make_runtime(), Reading(tenants, configs), SyncRequest(source="crm", home=HOME, **request))

    return run


def written(direct) -> dict[str, int]:
    """Rows of each table that a sync writes to."""
    tables = ("directory", "directory_changes", "operations", "audit_log", "sources")
    return {table: direct.execute(f"SELECT count(*) FROM manor.{table}").fetchone()[0] for table in tables}


def rows(direct) -> list[Any]:
    return direct.execute("SELECT * FROM manor.directory ORDER BY source, tenant_id").fetchall()


async def test_a_first_sync_records_every_page_of_tenants_with_their_settings(synced, catalog, direct):
    tenants = [tenant(number) for number in range(2 * PAGE + 17)]
    report = await synced(tenants, {"t00003": {"limits": {"users": 5}}})
    assert report.summary == {"new": len(tenants)}
    found = await search_directory(catalog, EVERYONE)
    assert [TenantInfo.model_validate(one.values) for one in found] == tenants
    assert {one.tenant: dict(one.config) for one in found if one.config} == {"t00003": {"limits": {"users": 5}}}
    assert {one.state for one in found} == {"present"}
    assert [(s.name, s.generation, s.tenants) for s in await catalog.directory_sources()] == [("crm", 1, len(tenants))]


async def test_a_sync_that_finds_nothing_new_writes_nothing_at_all(synced, direct):
    tenants = [tenant(number) for number in range(20)]
    await synced(tenants)
    before, contents = written(direct), rows(direct)
    report = await synced(list(reversed(tenants)))
    assert report.summary == {"unchanged": 20}
    assert report.operation == ""
    assert (written(direct), rows(direct)) == (before, contents)


async def test_only_changed_tenants_are_written_and_only_their_settings_read(make_runtime, synced, direct):
    tenants = [tenant(number) for number in range(50)]
    await synced(tenants)
    direct.execute("CREATE TABLE manor.touched (tenant_id text)")
    direct.execute(
        "CREATE FUNCTION manor.touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO manor.touched VALUES (NEW.tenant_id); RETURN NEW; END$$"
    )
    direct.execute("CREATE TRIGGER t AFTER INSERT OR UPDATE ON manor.directory FOR EACH ROW EXECUTE FUNCTION manor.touch()")
    tenants[3], tenants[7] = tenant(3, tier="premium"), tenant(7, customer_name="Renamed")
    provider = Reading([*tenants, tenant(50)])
    report = await sync(make_runtime(), provider, SyncRequest(source="crm", home=HOME))
    assert report.summary == {"new": 1, "changed": 2, "unchanged": 48}
    assert sorted(direct.execute("SELECT tenant_id FROM manor.touched").fetchall()) == [("t00003",), ("t00007",), ("t00050",)]
    assert sorted(provider.asked) == ["t00003", "t00007", "t00050"]


async def test_the_plan_says_field_by_field_what_changed_and_history_keeps_it(synced, catalog):
    await synced([tenant(1)], {"t00001": {"limits": {"users": 5}, "api_key": "old", "kept": 1}})
    new = tenant(1, tier="enterprise", billing_info={"plan": "gold", "seats": 9}, database_prefix="x")
    report = await synced([new], {"t00001": {"limits": {"users": 6}, "api_key": "new", "kept": 1}})
    (change,) = report.to_json()["changes"]
    assert change == {
        "tenant_id": "t00001",
        "kind": "changed",
        "fields": {
            "tier": ["premium", "enterprise"],
            "billing_info": [{"plan": "gold", "seats": 1}, {"plan": "gold", "seats": 9}],
            "database_prefix": [None, "x"],
            "config.limits": [{"users": 5}, {"users": 6}],
            "config.api_key": ["***", "***"],
        },
    }
    newest, first = await catalog.directory_history("t00001")
    assert (newest.kind, newest.fields, newest.operation) == ("changed", change["fields"], report.operation)
    assert (first.kind, first.fields) == ("new", {})


async def test_a_changed_setting_of_an_unchanged_tenant_is_found_where_all_settings_are_read(synced, catalog):
    await synced([tenant(1), tenant(2)], {"t00001": {"a": 1}})
    assert (await synced([tenant(1), tenant(2)], {"t00001": {"a": 2}})).summary == {"unchanged": 2}
    report = await synced([tenant(1), tenant(2)], {"t00001": {"a": 2}}, all_configs=True)
    assert report.summary == {"changed": 1, "unchanged": 1}
    assert report.to_json()["changes"][0]["fields"] == {"config.a": [1, 2]}
    (found,) = await search_directory(catalog, "tenant_id = 't00001'")
    assert dict(found.config) == {"a": 2}
    assert TenantInfo.model_validate(found.values) == tenant(1)


async def test_whoever_a_source_no_longer_has_is_marked_and_comes_back_when_it_has_it_again(synced, catalog):
    await synced([tenant(1), tenant(2)])
    report = await synced([tenant(1)])
    assert report.summary == {"gone": 1, "unchanged": 1}
    assert [one.tenant for one in await search_directory(catalog, EVERYONE)] == ["t00001"]
    (gone,) = await search_directory(catalog, EVERYONE, state="gone")
    assert TenantInfo.model_validate(gone.values) == tenant(2)
    assert (await synced([tenant(1)])).operation == ""
    report = await synced([tenant(1), tenant(2, tier="basic")])
    assert report.summary == {"returned": 1, "unchanged": 1}
    assert report.to_json()["changes"][0]["fields"] == {"tier": ["enterprise", "basic"]}


async def test_a_tenant_that_its_source_suspends_is_only_marked(synced, catalog, direct, record, operation):
    await synced([tenant(1)])
    await catalog.begin_operation(operation("op1"))
    database = record(1, source=str(HOME))
    database = dataclasses.replace(database, tenant=dataclasses.replace(database.tenant, id="t00001"))
    await catalog.record_intent([database], "op1")
    await catalog.record_results("op1", [], ready=[database])
    report = await synced([tenant(1, status="suspended")])
    assert report.summary == {"suspended": 1}
    assert report.notices == ("1 database of tenants that are suspended stay as they are: `manor tenant suspend` closes them",)
    assert [(r.state, r.is_active) for r in await catalog.databases()] == [("ready", True)]


async def test_a_dry_run_shows_the_same_plan_and_writes_nothing(make_runtime, synced, direct):
    before = written(direct)
    request = SyncRequest(source="crm", home=HOME)
    plan = (await dry_run(make_runtime(), Reading([tenant(1)]), request)).plan
    assert written(direct) == before
    assert (await dry_run(None, Reading([tenant(1)]), request)).plan == plan
    with pytest.raises(RefusedError, match="not the reviewed"):
        await synced([tenant(1), tenant(2)], plan_digest=plan.digest)
    assert written(direct) == before
    assert (await synced([tenant(1)], plan_digest=plan.digest)).summary == {"new": 1}


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (lambda: [tenant(n) for n in range(6)], "4 of 10 tenants are gone from crm; 30 % is the limit"),
        (lambda: [tenant(n, status="suspended" if n < 4 else "active") for n in range(10)], "4 of 10 are suspended there"),
        (lambda: [tenant(n, region="us" if n < 4 else tenant(n).region) for n in range(10)], "4 of 10 change what"),
        (lambda: [tenant(n, instances=("main",) if n < 4 else ("main", "test")) for n in range(10)], "4 of 10 change what"),
        (list, "has no tenant at all, and the directory knows 10 from it"),
    ],
    ids=["gone", "suspended", "moved", "fewer instances", "empty"],
)
async def test_a_source_that_takes_too_much_away_is_refused_until_somebody_means_it(
    make_runtime, synced, direct, after, reason
):
    """A broken query that returns 12 tenants instead of 1,200 looks like this."""
    await synced([tenant(n) for n in range(10)])
    before = rows(direct)
    with pytest.raises(RefusedError, match=reason) as caught:
        await synced(after())
    assert "--allow-large-change" in caught.value.hint
    assert rows(direct) == before
    said = (await dry_run(make_runtime(), Reading(after()), SyncRequest(source="crm", home=HOME))).notices
    assert any(reason in notice for notice in said)
    assert (await synced(after(), allow_large_change=True)).operation


async def test_a_merged_source_one_of_whose_parts_falls_silent_is_refused_until_somebody_means_it(make_runtime, direct):
    """A file that was cut to its header says nothing of anybody: those that it suspended would be active."""

    async def merged(*billing: TenantInfo, **options: Any) -> SyncReport:
        crm = ListedTenantProvider([TenantInfo(tenant_id=f"t{n}", customer_code=f"c{n}") for n in range(9)], {})
        provider = MergedTenantProvider({"billing": ListedTenantProvider(billing, {}), "crm": crm}, name="crm")
        return await sync(make_runtime(), provider, SyncRequest(source="crm", home=HOME, **options))

    suspends = TenantInfo(tenant_id="t1", customer_code="c1", status="suspended")
    assert (await merged(suspends)).summary == {"new": 9}
    before = rows(direct)
    with pytest.raises(RefusedError, match="billing, of which crm is made, told of tenants before"):
        await merged()
    assert rows(direct) == before
    assert (await merged(allow_large_change=True)).summary == {"changed": 1, "unchanged": 8}
    assert (await merged(suspends)).summary == {"suspended": 1, "unchanged": 8}


async def test_new_tenants_small_losses_and_renamings_never_trip_the_guard(synced):
    await synced([tenant(n) for n in range(10)])
    changed = [tenant(n, customer_name="other", billing_info=None) for n in range(2, 10)]
    report = await synced([*changed, *(tenant(n) for n in range(100, 200))])
    assert report.summary == {"new": 100, "changed": 8, "gone": 2}


async def test_a_source_that_breaks_off_or_repeats_itself_changes_nothing(synced, make_runtime, direct):
    await synced([tenant(n) for n in range(10)])
    before = written(direct)

    class Breaking(Reading):
        async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
            yield tenant(99)
            raise UnreachableError("the CRM is away")

    class Repeating(Reading):
        async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
            for _ in range(2):
                yield tenant(99)

    for provider, error in ((Breaking([]), UnreachableError), (Repeating([]), ConflictError)):
        with pytest.raises(error):
            await sync(make_runtime(), provider, SyncRequest(source="crm", home=HOME, allow_large_change=True))
    assert written(direct) == before


@pytest.mark.parametrize("info", [tenant(1, customer_name="a\0b"), tenant(1, billing_info={"x": [{"y\0": 1}]})])
async def test_what_no_catalog_can_hold_is_refused_with_its_tenant(synced, info):
    with pytest.raises(InputError, match="tenant t00001 of crm: a text has the character NUL"):
        await synced([info])


async def test_awkward_names_are_data(synced, catalog):
    names = [
        'O\'Neill & "Söhne"',
        "株式会社テスト",
        "{{ 7*7 }} ${HOME} {VAR} %s %(p1)s",
        "a\nb\\u0000",
        "'; DROP TABLE manor.directory; --",
    ]
    tenants = [tenant(number, customer_name=name) for number, name in enumerate(names)]
    await synced(tenants)
    assert [one.values["customer_name"] for one in await search_directory(catalog, EVERYONE)] == names
    (found,) = await search_directory(
        catalog, "customer_name LIKE '%%(p1)s' AND customer_name LIKE '{{ 7*7 }} ${HOME} {VAR} \\%s%'"
    )
    assert found.tenant == "t00002"
    assert (await synced(tenants)).operation == ""


async def test_syncs_of_one_source_take_turns_and_the_second_sees_what_the_first_wrote(make_runtime, open_catalog):
    """Of two at once both end well, and nothing is written twice."""
    other = await open_catalog()
    request = SyncRequest(source="crm", home=HOME)
    reports = await asyncio.gather(
        sync(make_runtime(), Reading([tenant(1)]), request),
        sync(make_runtime(catalog=other), Reading([tenant(1), tenant(2)]), request),
    )
    assert sorted(sum(r.summary.values()) for r in reports) in ([1, 2], [2, 2])
    last = await sync(make_runtime(), Reading([tenant(1), tenant(2)]), request)
    assert last.summary.get("unchanged", 0) + last.summary.get("new", 0) + last.summary.get("returned", 0) == 2


async def test_a_sync_whose_lock_was_lost_does_not_write_over_a_later_one(make_runtime, synced, direct):
    """The lock goes with its connection; the source's generation is what the catalog goes by."""
    await synced([tenant(1)])

    class Slow(Reading):
        async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
            yield tenant(1, tier="basic")
            direct.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            await synced([tenant(1), tenant(2)], lock_wait_seconds=10)

    with pytest.raises(ConflictError, match="was synced by another operation meanwhile"):
        await sync(make_runtime(), Slow([tenant(1)]), SyncRequest(source="crm", home=HOME))
    assert [row[1] for row in rows(direct)] == ["t00001", "t00002"]
    assert (await synced([tenant(1), tenant(2)])).operation == ""


async def test_a_sync_is_in_the_journal_and_in_the_audit_log(synced, catalog, make_runtime):
    report = await synced([tenant(1)])
    (found,) = await catalog.operations(5)
    assert (found.id, found.verb, found.state, found.source, found.summary) == (
        report.operation,
        "sync",
        "succeeded",
        "crm",
        {"new": 1},
    )
    assert found.finished_at is not None
    log = AuditLog(catalog, make_runtime().anchor)
    assert [(e.action, e.subject, e.operation) for e in await log.list(limit=1)] == [("tenant.sync", "crm", report.operation)]
    assert (await log.verify()).anchored_through > 0


async def test_a_sync_lets_go_of_kept_answers_before_it_reads_and_a_dry_run_does_not(make_runtime):
    provider, request = Reading([tenant(1)]), SyncRequest(source="crm", home=HOME)
    await dry_run(make_runtime(), provider, request)
    assert provider.forgotten == 0
    await sync(make_runtime(), provider, request)
    assert provider.forgotten == 1


async def test_two_sources_may_have_the_same_tenant(make_runtime, catalog):
    for name in ("crm", "billing"):
        home = DirectoryHome(environment="prod", source=name)
        await sync(make_runtime(), Reading([tenant(1, region=name)]), SyncRequest(source=name, home=home))
    assert [(one.source, one.values["region"]) for one in await search_directory(catalog, EVERYONE)] == [
        ("billing", "billing"),
        ("crm", "crm"),
    ]
    assert [one.source for one in await search_directory(catalog, "region = 'crm'", source="billing")] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tier = 'premium'", {1, 4, 7}),
        ("tier IN ('premium', 'enterprise') AND region = 'eu'", {2, 4, 8}),
        ("billing_info.seats BETWEEN 3 AND 5", {3, 4, 5}),
        ("customer_name ILIKE 'customer 1%'", {1}),
        ("instances LIKE '%test%' AND created_at < '2026-01-02' AND NOT tier = 'basic'", {1, 2, 4, 5, 7, 8}),
        ("contract_info IS NULL AND tenant_id >= 't00008'", {8, 9}),
    ],
)
async def test_a_search_finds_in_the_directory_what_it_finds_in_the_source(synced, catalog, query, expected):
    tenants = [tenant(n) for n in range(10)]
    await synced(tenants)
    found = {one.tenant for one in await search_directory(catalog, query)}
    assert found == {f"t{number:05}" for number in expected}
    assert found == {info.tenant_id for info in await ListedTenantProvider(tenants).search_tenants(query)}


async def test_a_search_that_names_no_field_is_refused_with_its_place(catalog):
    with pytest.raises(InputError, match="there is no field teir") as caught:
        await search_directory(catalog, "teir = 'x'")
    assert str(caught.value.place) == "--query:1:1"
    assert "tier" in caught.value.hint


async def test_kinds_of_changes_are_those_of_the_history(direct):
    """Each can be recorded, no other can."""
    for kind in Kind:
        statement = (
            "INSERT INTO manor.directory_changes (operation, source, tenant_id, kind, fields) VALUES ('', '', '', %s, '{}')"
        )
        direct.execute(statement, (str(kind),))
