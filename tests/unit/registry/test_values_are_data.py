"""Whatever a customer is called, it stays data: no quote, brace, newline or SQL in it changes what a registry means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.registry.id_format import IdFormat, id_format_problem
from manor.control.registry.resolve import Resolution, resolve
from manor.control.registry.yaml_files import check_registry
from manor.tenancy import database_name_problem, id_part_problem
from manor.yaml_reader import parse_yaml


def quoted(text: str) -> str:
    """``text`` as a double-quoted YAML scalar without any character that could mean something."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08X}" for c in text) + '"'


def resolution_of(customer_name: str) -> Resolution:
    text = f"""\
registry_version: "2.0"
customer_info: {{customer_code: acme, customer_name: {quoted(customer_name)}}}
database_groups:
  g:
    type: tenant_group
    template: t
    tenant_count: 2
    naming_pattern: "{{customer_code}}_{{tenant_id}}"
    variables:
      A_TITLE: "{{B_NAME}} ({{tenant_id}})"
      B_NAME: "{{customer_name}}"
"""
    return resolve(check_registry(parse_yaml(text, "f")), None, ("embedded",), source="f")


@pytest.mark.parametrize(
    "name",
    [
        'A: "B" {{ 7*7 }}',
        "{tenant_id}",
        "{customer_name}",
        "${HOME}",
        "Robert'); DROP TABLE students; --",
        "first\nsecond",
        "001",
        "no",
        "*alias",
        "!sql NOW()",
        "株式会社 😀",
        "",
        "% \\",
    ],
)
def test_a_strange_name_is_inserted_as_it_is(name: str) -> None:
    resolution = resolution_of(name)
    assert resolution.findings == ()
    assert resolution.targets[0].variables["customer_name"] == name
    assert resolution.targets[0].variables["A_TITLE"] == f"{name} (001)"
    assert [target.database for target in resolution.targets] == ["acme_001", "acme_002"]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_name_at_all_survives(name: str) -> None:
    resolution = resolution_of(name)
    assert resolution.findings == ()
    assert resolution.targets[1].variables["A_TITLE"] == f"{name} (002)"


def test_a_character_that_no_database_stores_is_found() -> None:
    (finding,) = resolution_of("a\x00b").findings
    assert finding.message.startswith("customer_info: customer_name is not written as it must be")
    assert (finding.place.line, finding.place.column) == (2, 53)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=70))
def test_any_fixed_name_is_either_a_safe_identifier_or_a_finding(name: str) -> None:
    text = f"""\
registry_version: "2.0"
customer_info: {{customer_code: acme}}
database_groups: {{g: {{type: fixed_group, databases: [{{name: {quoted(name)}, template: t}}]}}}}
"""
    document = parse_yaml(text, "f")
    resolution = resolve(check_registry(document), None, ("embedded",), source="f")
    if resolution.findings:
        return
    (target,) = resolution.targets
    assert database_name_problem(target.database) is None
    assert id_part_problem(target.tenant.id) is None


@given(st.text(alphabet="ab_-01{}:!.[]dxXcs<> ", max_size=12))
def test_an_accepted_id_format_reaches_for_nothing_but_its_number(text: str) -> None:
    if id_format_problem(text) is not None:
        with pytest.raises(ValueError, match="not a tenant id format"):
            IdFormat.parse(text)
        return
    assert IdFormat.parse(text).format(7) == text.format(7)


@given(st.from_regex(r"[a-z0-9]{0,3}\{(:0?[0-9]?[dxX]?)?\}[a-z0-9]{0,3}", fullmatch=True), st.sets(st.integers(0, 10**6)))
def test_different_numbers_have_different_ids(text: str, numbers: set[int]) -> None:
    ids = IdFormat.parse(text)
    assert len({ids.format(number) for number in numbers}) == len(numbers)
