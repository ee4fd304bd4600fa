"""What a deploy does to each target, decided without a server: every row is one look at catalog and server."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from manor.control.catalog.records import DatabaseRecord, ErasureRecord
from manor.control.engines.driver import FoundDatabase, Marker
from manor.control.provision.plan import Rules, ServerLook, Survey, large_change, plan_provision, without_unmade
from manor.control.steps import Plan, Target
from manor.control.templates.model import Template
from manor.tenancy import TenantId

TENANT = TenantId("acme", "std", "001")
TARGET = Target(
    tenant=TENANT, database="acme_001", group="std", kind="tenant_group", template="t", server="main", variables={"NAME": "x"}
)
TEMPLATE = cast(Template, SimpleNamespace(name="t", deployment=True, content_digest="c", digest="d"))
RECORD = DatabaseRecord(
    tenant=TENANT,
    database="acme_001",
    server="main",
    group="std",
    template="t",
    state="ready",
    role="acme_001",
    source="r.yaml",
    name="acme_001",
)
OURS = Marker(catalog="cat", kind="tenant", tenant=str(TENANT), template="t", digest="d")
RULES = Rules(source="r.yaml")
TOMBSTONE = ErasureRecord(
    tenant=str(TENANT),
    state="erased",
    operation="op",
    actor="me",
    begun_at=dt.datetime(2026, 3, 4, tzinfo=dt.UTC),
    erased_at=dt.datetime(2026, 3, 4, tzinfo=dt.UTC),
)


def found(marker: Marker | None = OURS, name: str = "acme_001") -> FoundDatabase:
    return FoundDatabase(name=name, owner="admin", marker=marker)


def plan(
    target: Target = TARGET,
    *records: DatabaseRecord,
    databases: tuple[FoundDatabase, ...] = (),
    roles: frozenset[str] = frozenset(),
    rules: Rules = RULES,
    template: Template = TEMPLATE,
    erased: ErasureRecord | None = None,
) -> Plan:
    survey = Survey(
        catalog="cat",
        records={str(record.tenant): record for record in records},
        servers={"main": ServerLook(databases={d.name: d for d in databases}, roles=roles)},
        tombstones={erased.tenant: erased} if erased else {},
    )
    return plan_provision([target], {"t": template}, survey, rules, declared=frozenset({str(target.tenant)}))


OFF = cast(Template, SimpleNamespace(name="t", deployment=False, content_digest="c", digest="d"))
OTHER = replace(RECORD, tenant=TenantId("acme", "old", "007"))
CASES: dict[str, tuple[Plan, str, str]] = {
    "nothing is there": (plan(), "create", ""),
    "an earlier run died after the intent": (plan(TARGET, replace(RECORD, state="pending")), "create", ""),
    "an earlier run died after publishing": (
        plan(TARGET, replace(RECORD, state="pending"), databases=(found(),)),
        "finish",
        "complete",
    ),
    "the catalog never heard of it": (plan(databases=(found(),)), "finish", "complete"),
    "it is recorded and there": (plan(TARGET, RECORD, databases=(found(),)), "verify", "exists"),
    "a stranger's database": (plan(databases=(found(None),)), "conflict", "did not make"),
    "recorded, and not marked any more": (plan(TARGET, RECORD, databases=(found(None),)), "conflict", "Manor's mark"),
    "another catalog's database": (plan(databases=(found(replace(OURS, catalog="x")),)), "conflict", "did not make"),
    "another tenant's database": (plan(databases=(found(replace(OURS, tenant="acme/old/007")),)), "conflict", "acme/old/007"),
    "another tenant's failed record": (plan(TARGET, replace(OTHER, state="failed")), "conflict", "acme/old/007"),
    "a stranger's role": (plan(roles=frozenset({"acme_001"})), "conflict", "role"),
    "our own role of a failed try": (
        plan(TARGET, replace(RECORD, state="failed"), roles=frozenset({"acme_001"})),
        "create",
        "",
    ),
    "recorded, but gone": (plan(TARGET, RECORD), "conflict", "gone"),
    "recorded, gone, and switched off": (plan(replace(TARGET, auto_provision=False), RECORD), "conflict", "gone"),
    "recorded, gone, to be made anew": (plan(TARGET, RECORD, rules=replace(RULES, recreate_missing=True)), "create", ""),
    "auto_provision is off": (plan(replace(TARGET, auto_provision=False)), "skip", "auto_provision: false"),
    "auto_create_on_deploy is off": (
        plan(replace(TARGET, auto_provision=False), rules=replace(RULES, auto_create=False)),
        "skip",
        "auto_create_on_deploy",
    ),
    "it is suspended": (plan(TARGET, replace(RECORD, is_active=False), databases=(found(),)), "verify", "exists"),
    "it is suspended and gone": (
        plan(TARGET, replace(RECORD, is_active=False), rules=replace(RULES, recreate_missing=True)),
        "conflict",
        "suspended",
    ),
    "it was erased": (plan(erased=TOMBSTONE), "skip", "erased on 2026-03-04"),
    "it was erased, whatever is there": (
        plan(TARGET, replace(RECORD, state="erasing"), databases=(found(),), erased=TOMBSTONE),
        "skip",
        "erased on",
    ),
    "it is being erased": (
        plan(TARGET, replace(RECORD, state="erasing"), erased=replace(TOMBSTONE, state="erasing", erased_at=None)),
        "skip",
        "is being erased (operation op)",
    ),
    "deployment is off": (plan(template=OFF), "skip", "deployment: false"),
    "off, but there": (plan(replace(TARGET, auto_provision=False), RECORD, databases=(found(),)), "verify", "exists"),
    "the name changed": (plan(replace(TARGET, database="acme_one"), RECORD, databases=(found(),)), "conflict", "name acme_001"),
    "the template changed": (plan(TARGET, replace(RECORD, template="u"), databases=(found(),)), "conflict", "template u"),
    "the server changed": (plan(TARGET, replace(RECORD, server="east"), databases=(found(),)), "conflict", "server east"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_look_leads_to_one_action(case: str) -> None:
    """The rule that all serve: a database that exists is never changed."""
    made, action, reason = CASES[case]
    (step,) = made.steps
    assert step.action == action
    assert reason in step.reason


def test_the_digest_covers_what_the_variables_put_in() -> None:
    """A reviewed plan is not the plan of other values."""
    other = plan(replace(TARGET, variables={"NAME": "y"}))
    assert plan().digest == plan().digest
    assert other.digest != plan().digest


def test_orphans_are_named_both_ways_and_not_twice() -> None:
    """Unrecorded, missing and undeclared; what is about to be made anew is none."""
    stray = found(replace(OURS, tenant="acme/std/009"), "acme_009")
    gone = replace(RECORD, tenant=TenantId("acme", "std", "002"), database="acme_002")
    left = replace(RECORD, tenant=TenantId("acme", "std", "003"), database="acme_003")
    made = plan(TARGET, RECORD, gone, left, databases=(found(), stray, found(None, "acme_003")))
    assert {(o.database, o.kind) for o in made.orphans} == {
        ("acme_009", "unrecorded"),
        ("acme_002", "missing"),
        ("acme_003", "undeclared"),
    }
    assert plan(TARGET, RECORD, rules=replace(RULES, recreate_missing=True)).orphans == ()


@pytest.mark.parametrize(("vanished", "stopped"), [(2, False), (3, True)])
def test_many_vanished_entries_need_a_word(vanished: int, stopped: bool) -> None:
    """Above 30 percent of what is recorded, and above two; nothing is dropped in any case."""
    records: list[Any] = [RECORD]
    for number in range(2, 2 + vanished):
        tenant = TenantId("acme", "std", f"{number:03d}")
        records.append(replace(RECORD, tenant=tenant, database=f"acme_{number:03d}"))
    databases = tuple(found(replace(OURS, tenant=str(r.tenant)), r.database) for r in records)
    survey = Survey(
        catalog="cat",
        records={str(r.tenant): r for r in records},
        servers={"main": ServerLook(databases={d.name: d for d in databases}, roles=frozenset())},
    )
    made = plan_provision([TARGET], {"t": TEMPLATE}, survey, RULES, declared=frozenset({str(TENANT)}))
    assert (large_change(made, survey, RULES) is not None) is stopped


def test_entries_that_never_became_a_database_and_are_no_longer_declared_are_set_aside() -> None:
    """They are no orphans, take no names and do not count as recorded; all others stay."""
    records = {
        "failed": replace(RECORD, tenant=TenantId("acme", "std", "002"), database="acme_002", state="failed"),
        "killed": replace(RECORD, tenant=TenantId("acme", "std", "003"), database="acme_003", state="pending"),
        "published": replace(RECORD, tenant=TenantId("acme", "std", "004"), database="acme_004", state="pending"),
        "gone": replace(RECORD, tenant=TenantId("acme", "std", "005"), database="acme_005"),
        "of another registry": replace(
            RECORD, tenant=TenantId("acme", "std", "006"), database="acme_006", state="failed", source="s.yaml"
        ),
        "of no server here": replace(
            RECORD, tenant=TenantId("acme", "std", "007"), database="acme_007", state="failed", server="east"
        ),
        "declared": replace(RECORD, state="failed"),
    }
    there = found(replace(OURS, tenant="acme/std/004"), "acme_004")
    survey = Survey(
        catalog="cat",
        records={str(r.tenant): r for r in records.values()},
        servers={"main": ServerLook(databases={"acme_004": there}, roles=frozenset())},
    )
    left, unmade = without_unmade(survey, "r.yaml", frozenset({str(TENANT)}))
    assert list(unmade) == [records["failed"], records["killed"]]
    assert left.records.keys() | {str(r.tenant) for r in unmade} == survey.records.keys()


def test_only_ready_tenants_count_as_vanished() -> None:
    """What never was ready is no loss; otherwise the guard would count more than there is."""
    records: list[Any] = [RECORD]
    for number in range(2, 6):
        tenant = TenantId("acme", "std", f"{number:03d}")
        records.append(replace(RECORD, tenant=tenant, database=f"acme_{number:03d}", state="pending"))
    databases = {r.database: found(replace(OURS, tenant=str(r.tenant)), r.database) for r in records}
    survey = Survey(
        catalog="cat",
        records={str(r.tenant): r for r in records},
        servers={"main": ServerLook(databases=databases, roles=frozenset())},
    )
    made = plan_provision([TARGET], {"t": TEMPLATE}, survey, RULES, declared=frozenset({str(TENANT)}))
    assert len(made.orphans) == 4
    assert large_change(made, survey, RULES) is None
