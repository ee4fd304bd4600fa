"""What a sync would do, from what a source says now and what it said last; no database, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.catalog.records import DirectoryMark, DirectoryRecord
from manor.control.provision.sync_plan import Comparison, Kind, SyncPlan, digest_of, followers, large_change, plan_sync
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import ConflictError, InputError


def tenant(name: str = "t1", **changes: Any) -> TenantInfo:
    return TenantInfo(**({"tenant_id": name, "customer_code": "c", "region": "asia", "instances": ("main", "test")} | changes))


def known(*tenants: TenantInfo, state: str = "present", config: Mapping[str, Any] | None = None) -> dict[str, DirectoryRecord]:
    """What the directory has after a sync of these."""
    walked = Comparison("crm", {})
    for info in tenants:
        walked.take(info)
    plan = plan_sync(walked, {}, dict.fromkeys((info.tenant_id for info in tenants), config or {}))
    return {r.tenant: DirectoryRecord(**{**{n: getattr(r, n) for n in r.__slots__}, "state": state}) for r in plan.records()}


def planned(before: Mapping[str, DirectoryRecord], *now: TenantInfo, configs: Mapping[str, Any] | None = None) -> SyncPlan:
    marks = {name: DirectoryMark(r.digest, r.config_digest, r.state, r.values["status"]) for name, r in before.items()}
    walked = Comparison("crm", marks)
    for info in now:
        walked.take(info)
    return plan_sync(walked, before, configs or {})


def test_nothing_to_do() -> None:
    plan = planned(known(tenant("a"), tenant("b")), tenant("b"), tenant("a"))
    assert (plan.entries, plan.count(), plan.changes(), plan.records()) == ((), {"unchanged": 2}, [], [])
    assert large_change(plan, 30) is None


@pytest.mark.parametrize(
    ("before", "now", "kind", "fields"),
    [
        ({}, tenant(), Kind.NEW, {}),
        (known(tenant()), tenant(tier="gold"), Kind.CHANGED, {"tier": ("standard", "gold")}),
        (known(tenant()), tenant(status="terminated"), Kind.SUSPENDED, {"status": ("active", "terminated")}),
        (known(tenant(status="suspended")), tenant(status="terminated"), Kind.CHANGED, {"status": ("suspended", "terminated")}),
        (known(tenant(status="suspended")), tenant(), Kind.CHANGED, {"status": ("suspended", "active")}),
        (known(tenant(), state="gone"), tenant(), Kind.RETURNED, {}),
        (known(tenant(billing_info={"a": 1})), tenant(), Kind.CHANGED, {"billing_info": ({"a": 1}, None)}),
    ],
    ids=["new", "changed", "suspended", "still closed", "resumed", "returned", "emptied"],
)
def test_each_kind_and_its_fields(before: Any, now: TenantInfo, kind: Kind, fields: Any) -> None:
    (entry,) = planned(before, now).entries
    assert entry.kind is kind
    assert dict(entry.fields) == fields


def test_a_tenant_that_is_gone_is_marked_once() -> None:
    (entry,) = planned(known(tenant("a"))).entries
    assert (entry.kind, entry.record) == (Kind.GONE, None)
    assert planned(known(tenant("a"), state="gone")).entries == ()


def test_the_order_of_json_keys_and_the_spelling_of_times_change_nothing() -> None:
    info = tenant(billing_info={"a": 1, "b": {"c": [1, 2]}}, created_at="2026-01-01T09:00:00+09:00")
    same = tenant(billing_info={"b": {"c": [1, 2]}, "a": 1}, created_at="2026-01-01T00:00:00Z")
    assert planned(known(info), same).entries == ()


def test_settings_that_were_not_read_stay_as_they_are() -> None:
    (entry,) = planned(known(tenant(), config={"a": 1}), tenant(tier="gold")).entries
    assert entry.record is not None
    assert dict(entry.record.config) == {"a": 1}
    (entry,) = planned(known(tenant(), config={"a": 1, "b": 2}), tenant(), configs={"t1": {"b": 3, "c": None}}).entries
    assert dict(entry.fields) == {"config.a": (1, None), "config.b": (2, 3), "config.c": (None, None)}


def test_the_digest_is_of_what_would_be_written() -> None:
    before = known(tenant("a"), tenant("b"))
    changed = planned(before, tenant("a", tier="gold"), tenant("b"))
    assert changed.digest == planned(before, tenant("b"), tenant("a", tier="gold")).digest
    others = [planned(before, tenant("a", tier="x"), tenant("b")), planned(before, tenant("b")), planned(before)]
    assert len({changed.digest, *(plan.digest for plan in others)}) == 4


@pytest.mark.parametrize("change", [{"region": "eu"}, {"tier": "x"}, {"customer_code": "d"}, {"instances": ("main",)}])
def test_what_names_and_templates_are_made_of_counts_for_the_guard(change: Any) -> None:
    before = known(*(tenant(f"t{n}") for n in range(10)))
    few = planned(before, *(tenant(f"t{n}", **(change if n < 3 else {})) for n in range(10)))
    many = planned(before, *(tenant(f"t{n}", **(change if n < 4 else {})) for n in range(10)))
    assert large_change(few, 30) is None
    assert large_change(many, 30) == "4 of 10 change what their databases' names and template are made of; 30 % is the limit"


def test_more_instances_and_other_fields_do_not_count() -> None:
    before = known(*(tenant(f"t{n}") for n in range(10)))
    now = (tenant(f"t{n}", customer_name="x", instances=("main", "test", "more")) for n in range(10))
    assert large_change(planned(before, *now), 30) is None


@pytest.mark.parametrize("closed", ["suspended", "terminated", "inactive"])
def test_whoever_is_no_longer_suspended_counts_for_the_guard(closed: str) -> None:
    """A source that loses its column of statuses makes all of its tenants active."""
    before = known(*(tenant(f"t{n}", status=closed) for n in range(10)))
    few = planned(before, *(tenant(f"t{n}", status="active" if n < 3 else closed) for n in range(10)))
    many = planned(before, *(tenant(f"t{n}", status="active" if n < 4 else closed, region="eu") for n in range(10)))
    assert large_change(few, 30) is None
    assert large_change(many, 30) == (
        "4 tenants no longer suspended there, 6 of 10 change what their databases' names and template are made of; "
        "30 % is the limit"
    )


def test_who_comes_back_active_after_being_terminated_counts_for_the_guard() -> None:
    before = known(*(tenant(f"t{n}", status="terminated") for n in range(4)), state="gone")
    before |= known(tenant("x"), tenant("y"))
    plan = planned(before, tenant("x"), tenant("y"), *(tenant(f"t{n}") for n in range(4)))
    assert "4 tenants no longer suspended there" in str(large_change(plan, 30))


def test_a_small_fleet_does_not_dwindle_unasked() -> None:
    """One tenant may always go, two of three may not."""
    before = known(tenant("a"), tenant("b"), tenant("c"))
    assert large_change(planned(before, tenant("a"), tenant("b")), 1) is None
    assert large_change(planned(before, tenant("a")), 30) == "2 of 3 tenants are gone from crm; 30 % is the limit"


def test_a_part_that_falls_silent_needs_a_word_where_that_changes_something() -> None:
    walked = Comparison("both", {})
    walked.take(tenant())
    now, before = {"billing": 0, "crm": 1, "new": 0}, {"billing": 3, "crm": 1}
    plan = plan_sync(walked, {}, {}, parts=now, parts_before=before)
    assert large_change(plan, 30) == "billing, of which both is made, told of tenants before and now tells of none"
    assert large_change(plan_sync(walked, {}, {}, parts=now, parts_before=now), 30) is None
    assert large_change(plan_sync(Comparison("both", {}), {}, {}, parts=now, parts_before=before), 30) is None


def test_the_last_tenant_never_goes_unasked() -> None:
    assert "no tenant at all" in str(large_change(planned(known(tenant("a"))), 100))


def test_databases_of_those_that_are_gone_are_told_of() -> None:
    plan = planned(known(tenant("a"), tenant("b")), tenant("a", status="suspended"))
    gone, suspended = followers(plan, {"a": 2, "b": 1, "z": 9})
    assert gone == "1 database of tenants that are gone stay as they are: `manor tenant delete` erases them"
    assert suspended == "2 databases of tenants that are suspended stay as they are: `manor tenant suspend` closes them"
    assert followers(plan, {"z": 9}) == ()


def test_a_tenant_that_comes_twice_is_refused() -> None:
    with pytest.raises(ConflictError, match="crm has tenant a twice"):
        planned({}, tenant("a"), tenant("b"), tenant("a"))


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": "\ud800"}, {"a": object()}])
def test_what_is_no_json_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InputError, match="tenant x: a value is no JSON"):
        digest_of(value, "tenant x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_a_digest_is_refused_exactly_where_a_text_has_the_character_nul(value: Any) -> None:
    """Also where a text only looks as if it had."""
    has = "\0" in "".join(json.JSONEncoder(ensure_ascii=False).iterencode(value)).replace("\\\\", "").replace("\\u0000", "\0")
    if has:
        with pytest.raises(InputError, match="NUL"):
            digest_of(value, "x")
    else:
        assert len(digest_of(value, "x")) == 64
