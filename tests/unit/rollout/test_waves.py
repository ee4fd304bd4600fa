"""Who goes when: sizes, order, and that nobody is lost or taken twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.rollout.budget import allowed_failures, count_failures, over_budget, over_error_rate
from manor.control.rollout.strategy import Kind, Strategy
from manor.control.rollout.waves import Member, in_turn, release_waves, unknown_attributes, waves
from manor.control.steps import Action, Status, Step, Target
from manor.tenancy import TenantId


def fleet(number: int) -> list[Member]:
    return [Member(tenant=f"acme/std/{n:03d}", server="main", order=n) for n in range(number)]


def sizes(number: int, **settings: Any) -> list[int]:
    return [len(wave.members) for wave in release_waves(fleet(number), Strategy(**settings))]


def names(members: Any) -> str:
    return " ".join(member.tenant for member in members)


@pytest.mark.parametrize(
    ("number", "settings", "expected"),
    [
        (0, {"kind": Kind.ROLLING}, []),
        (0, {"kind": Kind.CANARY}, []),
        (0, {"kind": Kind.ATOMIC}, []),
        (25, {"kind": Kind.ATOMIC, "batch_size": 10}, [25]),
        (25, {"kind": Kind.ROLLING, "batch_size": 10}, [10, 10, 5]),
        (20, {"kind": Kind.BLUE_GREEN, "batch_size": 10}, [10, 10]),
        (3, {"kind": Kind.ROLLING, "batch_size": 100_000}, [3]),
        (100, {"kind": Kind.CANARY}, [5, 25, 25, 25, 20]),
        (1, {"kind": Kind.CANARY}, [1]),
        (2, {"kind": Kind.CANARY}, [1, 1]),
        (3, {"kind": Kind.CANARY}, [1, 1, 1]),
        (3, {"kind": Kind.CANARY, "initial_percentage": 34}, [2, 1]),
        (3, {"kind": Kind.CANARY, "increment_percentage": 100}, [1, 2]),
        (10, {"kind": Kind.CANARY}, [1, 3, 3, 3]),
        (7, {"kind": Kind.CANARY, "initial_percentage": 100}, [7]),
        (29, {"kind": Kind.CANARY, "initial_percentage": 1, "increment_percentage": 50}, [1, 15, 13]),
    ],
)
def test_waves_are_as_large_as_the_registry_reference_says(number: int, settings: dict[str, Any], expected: list[int]) -> None:
    """Percentages are of all tenants and rounded up, so that a canary over few tenants begins with one of them."""
    assert sizes(number, **settings) == expected


strategies = st.builds(
    Strategy,
    kind=st.sampled_from(Kind),
    batch_size=st.integers(1, 60),
    initial_percentage=st.integers(1, 100),
    increment_percentage=st.integers(1, 100),
    soak_seconds=st.integers(0, 10),
    order_by=st.lists(st.sampled_from(["tier", "-tier", "region", "-region", "nothing"])).map(tuple),
)
attributes = st.dictionaries(st.sampled_from(["tier", "region"]), st.text("0123456789ab-é², ", max_size=22))


@st.composite
def fleets(draw: st.DrawFn) -> list[Member]:
    found = draw(st.lists(st.tuples(attributes, st.booleans(), st.sampled_from(["a", "b"])), max_size=50))
    return [
        Member(tenant=f"t{order}", server=server, attributes=values, order=order, first=first)
        for order, (values, first, server) in enumerate(found)
    ]


@given(fleets(), strategies)
def test_nobody_is_lost_or_taken_twice(members: list[Member], strategy: Strategy) -> None:
    """Whatever the strategy, the waves hold each member once, none is empty, and they count from 1."""
    found = release_waves(members, strategy)
    assert Counter(member.tenant for wave in found for member in wave.members) == Counter(m.tenant for m in members)
    assert all(wave.members for wave in found)
    assert [wave.number for wave in found] == list(range(1, len(found) + 1))
    for wave in found:
        parts = wave.by_server()
        assert sorted(m.tenant for part in parts.values() for m in part) == sorted(m.tenant for m in wave.members)
        assert all(m.server == server for server, part in parts.items() for m in part)


@given(fleets(), strategies)
def test_the_order_does_not_depend_on_how_members_are_given(members: list[Member], strategy: Strategy) -> None:
    """A plan looks the same each time, and those that the search found stand before all others."""
    turn = in_turn(members, strategy.order_by)
    assert turn == in_turn(members[::-1], strategy.order_by)
    assert [m.first for m in turn] == sorted((m.first for m in members), reverse=True)


def test_a_wave_is_followed_by_a_soak_unless_it_is_the_last() -> None:
    """Nothing waits for what has ended."""
    found = release_waves(fleet(3), Strategy(kind=Kind.ROLLING, batch_size=1, soak_seconds=30))
    assert [wave.soak_seconds for wave in found] == [30, 30, 0]


def placed(**values: dict[str, str]) -> list[Member]:
    return [Member(tenant=name, server="s", attributes=found, order=i) for i, (name, found) in enumerate(values.items())]


def test_tenants_go_by_attribute_and_those_without_come_last_either_way() -> None:
    """Equal ones keep the registry's order."""
    members = placed(a={"tier": "2"}, b={}, c={"tier": "1"}, d={"tier": "2"}, e={})
    assert names(in_turn(members, ["tier"])) == "c a d b e"
    assert names(in_turn(members, ["-tier"])) == "a d c b e"
    assert names(in_turn(members, [])) == "a b c d e"


def test_the_first_key_counts_most() -> None:
    """The second one orders what the first leaves equal."""
    members = placed(a={"tier": "2", "region": "eu"}, b={"tier": "1", "region": "jp"}, c={"tier": "1", "region": "us"})
    assert names(in_turn(members, ["tier", "-region"])) == "c b a"
    assert names(in_turn(members, ["-region", "tier"])) == "c b a"
    assert names(in_turn(members, ["region", "tier"])) == "a b c"


def test_digits_count_as_numbers() -> None:
    """Nine comes before ten, and any two values compare."""
    members = placed(
        a={"id": "t10"}, b={"id": "t9"}, c={"id": "10"}, d={"id": "t"}, e={"id": "09"}, f={"id": "9"}, g={"id": ""}
    )
    assert names(in_turn(members, ["id"])) == "g e f c d b a"
    assert in_turn(placed(a={"id": "9" * 5000}, b={"id": "8"}), ["id"])[0].tenant == "b"


def test_a_key_that_nobody_has_is_named() -> None:
    """A misspelt attribute orders nothing; the command says so."""
    members = placed(a={"tier": "2"}, b={})
    assert unknown_attributes(members, ["-teir", "tier"]) == ("teir",)


TARGET = Target(
    tenant=TenantId("acme", "std", "001"),
    database="acme_001",
    group="std",
    kind="tenant_group",
    template="t",
    server="main",
    variables={"tier": "gold", "group": "mine"},
    order=7,
)


def test_a_target_brings_its_variables_and_its_own_fields() -> None:
    """A variable that is called like a field does not hide it."""
    member = Member.of(TARGET, first=True)
    assert (member.tenant, member.server, member.order, member.first) == ("acme/std/001", "main", 7, True)
    assert member.attributes["tier"] == "gold"
    assert member.attributes["group"] == "std"
    assert member.attributes["tenant_id"] == "001"


def test_provisioning_still_has_waves_of_one_server() -> None:
    """Steps in order, each wave on one server and bounded."""
    steps = [Step(target=TARGET, action=Action.CREATE)] * 3
    assert [len(wave) for wave in waves(steps, size=2)] == [2, 1]


# Budget


@pytest.mark.parametrize(
    ("total", "budget", "allowed"),
    [
        (100, None, None),
        (100, 0, 0),
        (100, 3, 3),
        (100, "5%", 5),
        (119, "5%", 5),
        (3, "5%", 0),
        (1000, "0.25%", 2),
        (3, "100%", 3),
    ],
)
def test_a_share_of_a_small_fleet_allows_none(total: int, budget: int | str | None, allowed: int | None) -> None:
    """Shares are rounded down: less than one tenant is no tenant."""
    assert allowed_failures(total, budget) == allowed
    assert over_budget(total + 1, total, budget) is (allowed is not None)
    if allowed is not None:
        assert not over_budget(allowed, total, budget)
        assert over_budget(allowed + 1, total, budget)


def test_undecided_targets_count_as_failures() -> None:
    """What was rolled back or skipped does not."""
    assert count_failures(Status) == 2


def test_the_gate_closes_above_its_rate() -> None:
    """At the rate it is still open; 0 lets nobody fail; a wave without checks is healthy."""
    from decimal import Decimal

    assert not over_error_rate(1, 20, Decimal(5))
    assert over_error_rate(2, 20, Decimal(5))
    assert over_error_rate(1, 1000, Decimal(0))
    assert not over_error_rate(0, 0, Decimal(0))
