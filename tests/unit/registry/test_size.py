"""Thousands of tenants cost little: work is counted in function calls, because seconds depend on who else uses the machine."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

import pytest

from manor.control.registry.resolve import resolve
from manor.control.registry.yaml_files import LoadedRegistry, check_registry
from manor.yaml_reader import parse_yaml

HEAD = 'registry_version: "2.0"\ncustomer_info: {customer_code: c, customer_name: X}\ndatabase_groups:\n  g:\n'


def numbered(count: int) -> str:
    return (
        f'{HEAD}    type: tenant_group\n    template: t\n    tenant_count: {count}\n    naming_pattern: "{{PREFIX}}_main"\n'
        '    variables:\n      PREFIX: "{customer_code}_t_{tenant_id}"\n      CODE: "{customer_code}"\n      KIND: standard\n'
    )


def listed(count: int) -> str:
    entries = (
        f"      - name: c_{index:05d}\n        template: t\n        variables:\n"
        f'          PREFIX: c_{index:05d}\n          CODE: "{{customer_code}}"\n          KIND: standard\n'
        for index in range(count)
    )
    return f"{HEAD}    type: fixed_group\n    databases:\n{''.join(entries)}"


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions ``work`` calls."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("shape", [numbered, listed])
def test_five_thousand_tenants_resolve_with_one_template_load_and_few_calls_each(shape, templates, template) -> None:
    loaded = check_registry(parse_yaml(shape(5000), "f"))
    source = templates(template("t", rows=["admin@{CODE}", "{PREFIX}"], isolation="{PREFIX}", limit=50))
    results = []
    calls = calls_of(lambda: results.append(resolve(loaded, source, ("embedded",), source="f")))
    assert len(results[0].targets) == 5000
    assert results[0].findings == ()
    assert len(source.loads) == 1
    assert calls < 5000 * 100


@pytest.mark.parametrize("shape", [numbered, listed])
def test_twice_the_tenants_cost_at_most_twice_the_work(shape) -> None:
    def work(count: int) -> int:
        text = shape(count)
        return calls_of(lambda: resolve(check_registry(parse_yaml(text, "f")), None, ("embedded",), source="f"))

    work(10)
    assert work(1000) < 2.2 * work(500)


def test_places_are_looked_up_only_for_findings(templates) -> None:
    loaded = check_registry(parse_yaml(listed(200), "f"))
    asked = []

    class Counting:
        model, findings = loaded.model, loaded.findings

        def place(self, path=(), *, key=False):
            asked.append(path)
            return loaded.place(path, key=key)

    assert len(resolve(Counting(), templates("t"), ("embedded",), source="f").targets) == 200
    assert asked == [("database_groups", "g", "databases", 0, "template")]


def test_five_thousand_listed_databases_fit_into_a_hundred_megabytes() -> None:
    text = listed(5000)
    tracemalloc.start()
    try:
        loaded: LoadedRegistry = check_registry(parse_yaml(text, "f"))
        targets = resolve(loaded, None, ("embedded",), source="f").targets
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(targets) == 5000
    assert peak < 100 * 1024 * 1024
