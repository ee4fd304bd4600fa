"""Which strategy a release gets: command line, registry, default; and which words do not go together."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from manor.control.registry.model import DeploymentStrategy
from manor.control.rollout.selection import find_tenants, pinned, version_for, without_held
from manor.control.rollout.strategy import MEANT_FOR, Gate, Kind, Overrides, Strategy, strategy_of
from manor.errors import InputError, InvalidInput, NotFoundError, Place
from manor.tenancy import TenantId
from manor.typed_input import check
from manor.yaml_reader import parse_yaml


def block(text: str) -> DeploymentStrategy:
    document = parse_yaml(text, "r.yaml")
    found, problems = check(DeploymentStrategy, document.value, document)
    assert found is not None, [str(problem.finding) for problem in problems]
    return found


def mistake(text: str) -> str:
    document = parse_yaml(text, "r.yaml")
    _, problems = check(DeploymentStrategy, document.value, document)
    (problem,) = problems
    return f"{problem.finding.message} ({problem.finding.hint})"


# Precedence


def test_without_a_word_it_is_atomic() -> None:
    """All tenants or none is what nobody has to ask for."""
    assert strategy_of(None) == Strategy()
    assert strategy_of(None).kind is Kind.ATOMIC
    assert strategy_of(block("lock_timeout_seconds: 9")) == Strategy(lock_timeout_seconds=9)


def test_the_command_line_goes_before_the_registry() -> None:
    """The kind as well as single settings; what it leaves open is the registry's."""
    registry = block("{type: rolling, batch_size: 7, wait_between_batches: 30, canary: {increment_percentage: 40}}")
    assert strategy_of(registry).kind is Kind.ROLLING
    assert (strategy_of(registry).batch_size, strategy_of(registry).soak_seconds) == (7, 30)
    said = strategy_of(registry, "canary", Overrides(initial_percentage=2, max_failures="3"))
    assert (said.kind, said.initial_percentage, said.increment_percentage) == (Kind.CANARY, 2, 40)
    assert (said.soak_seconds, said.max_failures) == (300, 3)
    assert strategy_of(registry, "atomic").soak_seconds == 0


def test_every_setting_of_the_registry_arrives() -> None:
    """None is lost on the way from the file."""
    found = strategy_of(
        block(
            """
            type: blue_green
            max_failures: "2.5%"
            order_by: [tier, -region]
            first: tier = 'internal'
            pins: {acme/std/007: "2.1"}
            hold_back: [acme/std/009]
            maintenance_windows: [{days: [sat], opens: 22:00, closes: "04:00", timezone: Asia/Tokyo, where: tier = 'gold'}]
            health_gate: {sql: [SELECT true], scripts: [./check.sh], max_error_rate: 0.5, timeout_seconds: 5}
            lock_timeout_seconds: 3
            prepare_deadline_seconds: 60
            atomic_connections: 50
            grace_period_seconds: 0
            """
        )
    )
    assert found.max_failures == "2.5%"
    assert found.order_by == ("tier", "-region")
    assert found.first == "tier = 'internal'"
    assert found.pins == {"acme/std/007": "2.1"}
    assert found.hold_back == ("acme/std/009",)
    assert found.windows[0].where == "tier = 'gold'"
    assert found.gate == Gate(sql=("SELECT true",), scripts=("./check.sh",), max_error_rate=Decimal("0.5"), timeout_seconds=5)
    assert (found.lock_timeout_seconds, found.prepare_deadline_seconds) == (3, 60)
    assert (found.atomic_connections, found.grace_period_seconds) == (50, 0)


def test_hold_back_may_be_a_search() -> None:
    """Text is a search, a list is tenant ids."""
    assert strategy_of(block("hold_back: tier = 'gold'")).hold_back == "tier = 'gold'"


@pytest.mark.parametrize(("kind", "budget"), [("rolling", None), ("blue_green", None), ("canary", 0), ("atomic", None)])
def test_only_a_canary_has_a_budget_of_its_own(kind: str, budget: int | None) -> None:
    """Rolling tries every tenant, a canary stops at the first failure, one vote ends an atomic release."""
    found = strategy_of(None, kind)
    assert found.max_failures == budget
    assert found.tries_every_tenant is (kind in ("rolling", "blue_green"))


def test_an_atomic_release_has_no_budget_though_the_registry_has() -> None:
    """The registry's settings of waves stand by for another kind."""
    registry = block('{type: rolling, max_failures: "5%"}')
    assert strategy_of(registry).max_failures == "5%"
    assert strategy_of(registry, "atomic").max_failures is None


# What does not go together

VALUES: dict[str, Any] = dict.fromkeys(MEANT_FOR, 1) | {"order_by": ("tier",), "first": "tier = '1'"}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", MEANT_FOR)
def test_an_option_that_means_nothing_under_the_kind_is_refused(name: str, kind: Kind) -> None:
    """It is not passed over in silence, and the hint names the kinds that it belongs to."""
    overrides = Overrides(**{name: VALUES[name]})
    if kind in MEANT_FOR[name]:
        assert strategy_of(None, kind, overrides).kind is kind
        return
    with pytest.raises(InputError, match=f"means nothing with the strategy {kind}") as caught:
        strategy_of(None, kind, overrides)
    assert caught.value.place == Place(f"--{name.replace('_', '-')}")
    assert all(str(meant) in caught.value.hint for meant in MEANT_FOR[name])


def test_waves_without_a_kind_are_refused_until_somebody_chooses() -> None:
    """Such a registry expects waves, and the default has none."""
    registry = block("{batch_size: 5, canary: {}}")
    with pytest.raises(InputError, match="says batch_size, canary, but not which type") as caught:
        strategy_of(registry)
    assert "type: rolling" in caught.value.hint
    assert strategy_of(registry, "rolling").batch_size == 5


def test_an_unknown_kind_brings_a_suggestion() -> None:
    """Also for the spelling of other tools."""
    with pytest.raises(InputError, match="there is no strategy 'blue-green'") as caught:
        strategy_of(None, "blue-green")
    assert "blue_green" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "overrides", "option", "message"),
    [
        ("rolling", Overrides(batch_size=0), "--batch-size", "batch_size must be at least 1"),
        ("canary", Overrides(initial_percentage=101), "--initial-percentage", "initial_percentage must be at most 100"),
        ("rolling", Overrides(max_failures="5 %"), "--max-failures", "must be a whole number or a percentage"),
        ("rolling", Overrides(max_failures="-1"), "--max-failures", "must be a whole number or a percentage"),
        ("rolling", Overrides(order_by=("tier", "a b")), "--order-by", "item 2 is not written as it must be"),
        ("rolling", Overrides(first=""), "--first", "first string should have at least 1 character"),
        ("atomic", Overrides(atomic_connections=0), "--atomic-connections", "must be at least 1"),
    ],
)
def test_options_have_the_registry_s_bounds(kind: str, overrides: Overrides, option: str, message: str) -> None:
    """And the option is the place."""
    with pytest.raises(InvalidInput) as caught:
        strategy_of(None, kind, overrides)
    assert caught.value.place == Place(option)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_failures: 5.5", 'max_failures must be a whole number or a percentage such as "5%", found the number 5.5 ()'),
        ("max_failures: -1", "found the number -1"),
        ("max_failures: true", "found true"),
        ('max_failures: "101%"', "found text '101%'"),
        ("hold_back: {a: b}", "hold_back must be a search text or a list of tenant ids, found a mapping"),
        ("hold_back: [1]", "hold_back must be a search text or a list of tenant ids, found a list"),
        ("order_by: tier", "order_by must be a list, found text 'tier'"),
        ("pins: {a: 2.1}", "pins: a must be text, found the number 2.1 (put it in quotes)"),
        ("maintenance_windows: [{opens: 22:00}]", "the key 'closes' is missing"),
        ("maintenance_windows: [{opens: 24:00, closes: 01:00}]", "opens is not written as it must be: text '24:00'"),
        ("maintenance_windows: [{opens: 22:00, closes: 1:00}]", "closes is not written as it must be"),
        ("maintenance_windows: [{opens: 22:00, closes: 01:00, days: []}]", "days "),
        ("maintenance_windows: [{opens: 22:00, closes: 01:00, days: [mon, tues]}]", "item 2 must be 'mon', 'tue'"),
        ("maintenance_windows: [{opens: 22:00, closes: 01:00, timezone: Asia/Tokio}]", "is not a time zone: text 'Asia/Tokio'"),
        ("maintenance_windows: [{opens: 22:00, closes: 01:00, timezone: Asia}]", "timezone is not a time zone"),
        ("maintenance_windows: [{opens: 22:00, closes: 01:00, timezone: ../UTC}]", "timezone is not a time zone"),
        ("maintenance_windows: [{opens: 22:00, closes: 01:00, timezone: ''}]", "timezone is not a time zone"),
        ("health_gate: {max_error_rate: 101}", "max_error_rate must be at most 100"),
        ("health_gate: {sqls: []}", "unknown key 'sqls' (did you mean 'sql'?)"),
        ("grace_period_seconds: -1", "grace_period_seconds must be at least 0"),
    ],
)
def test_a_mistake_in_the_registry_is_explained(text: str, message: str) -> None:
    """One finding, in the words of all other findings."""
    assert message in mistake(text)


# Pins and hold-backs

ONE, TWO, OTHER = TenantId("acme", "std", "001"), TenantId("acme", "std", "002"), TenantId("acme", "big", "001")


def test_a_tenant_may_be_written_short_where_that_is_unique() -> None:
    """The full id always works."""
    found = find_tenants(["002", "acme/std/001"], [ONE, TWO, OTHER], key="pins")
    assert found == {"002": TWO, "acme/std/001": ONE}


def test_a_short_id_of_several_tenants_names_the_candidates() -> None:
    """Guessing which one was meant would protect the wrong tenant."""
    with pytest.raises(InputError, match="means several tenants") as caught:
        find_tenants(["001"], [ONE, TWO, OTHER], key="pins")
    assert "acme/big/001, acme/std/001" in caught.value.hint


def test_a_name_that_means_nobody_is_an_error() -> None:
    """With the nearest name."""
    with pytest.raises(NotFoundError, match="hold_back names 'acme/std/0002'") as caught:
        find_tenants(["acme/std/0002"], [ONE, TWO, OTHER], key="hold_back")
    assert "acme/std/002" in caught.value.hint


def test_a_pin_is_the_highest_version() -> None:
    """A release up to less goes as far as it goes; versions compare as numbers."""
    assert pinned({"002": "2.9"}, [ONE, TWO]) == {TWO: "2.9"}
    assert version_for("2.10", "2.9") == "2.9"
    assert version_for("2.8", "2.9") == "2.8"
    assert version_for("2.8", None) == "2.8"


def test_two_pins_of_one_tenant_must_agree() -> None:
    """A short and a full spelling with different versions are a contradiction."""
    assert pinned({"002": "2", "acme/std/002": "2"}, [ONE, TWO]) == {TWO: "2"}
    with pytest.raises(InputError, match="pins hold acme/std/002 at 2 and at 3"):
        pinned({"002": "2", "acme/std/002": "3"}, [ONE, TWO])


def test_who_is_held_back_goes_only_when_named() -> None:
    """And is reported as held otherwise."""
    choice = without_held([ONE, TWO, OTHER], {TWO, OTHER}, named={OTHER})
    assert choice.taken == (ONE, OTHER)
    assert choice.held == (TWO,)
