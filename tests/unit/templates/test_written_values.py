"""Whatever way a template takes a value, it is data where it is written, and of this tenant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from manor.control.registry.tenant_info import TenantInfo
from manor.control.templates.template_engine import TenantTemplateEngine
from manor.errors import InputError

NASTY = 'x"\nbase: "stolen'

WAYS = [
    "{% filter trim %}@{% endfilter %}",
    "{% filter trim|default('') %}@{% endfilter %}",
    "{% filter default('') %}@{% endfilter %}",
    "{% filter replace('q', 'q') %}{% filter trim %}@{% endfilter %}{% endfilter %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}@{% endcall %}",
    "{% macro m() %}{{ caller()|trim }}{% endmacro %}{% call m() %}@{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% call m() %}@{% endcall %}{% endcall %}",
    "{% macro m(n) %}{{ caller(n) }}{% endmacro %}{% call(n) m(tenant.customer_name) %}{{ n }}{% endcall %}",
    "{% macro m() %}{% filter trim %}{{ caller() }}{% endfilter %}{% endmacro %}{% call m() %}@{% endcall %}",
    "{% filter trim %}{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}@{% endcall %}{% endfilter %}",
    "{% set x %}@{% endset %}{{ x }}",
    "{% set x | trim %}@{% endset %}{{ x }}",
    "{% set x %}{% filter trim %}@{% endfilter %}{% endset %}{{ x }}",
    "{% set x = tenant.customer_name ~ '' %}{{ x }}",
    "{{ tenant.customer_name + '' }}",
    "{{ [tenant.customer_name]|join }}",
    "{{ [tenant.customer_name]|map('trim')|join(tenant.customer_name) }}",
    "{{ 'q'|replace('q', tenant.customer_name) }}",
    "{{ tenant.customer_name if true else '' }}",
    "{{ ''|default(tenant.customer_name, true) }}",
    "{% macro m(n) %}{{ n }}{% endmacro %}{{ m(tenant.customer_name) }}",
    "{% macro m() %}{{ varargs[0] }}{% endmacro %}{{ m(tenant.customer_name) }}",
    "{% block one scoped %}@{% endblock %}",
    "{% block one %}{% filter trim %}@{% endfilter %}{% endblock %}",
    "{% autoescape true %}@{% endautoescape %}",
    "{% autoescape true %}{% filter trim %}@{% endfilter %}{% endautoescape %}",
    "{% autoescape true %}{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}@{% endcall %}{% endautoescape %}",
    "{% include 'part.j2' %}",
    "{% include 'part.j2' without context %}",
    "{% filter trim %}{% include 'part.j2' %}{% endfilter %}",
    "{% import 'macros.j2' as m %}{{ m.of(tenant.customer_name) }}",
    "{% import 'macros.j2' as m %}{% call m.around() %}@{% endcall %}",
    "{% from 'macros.j2' import around with context %}{% call around() %}@{% endcall %}",
    "{% with x = tenant.customer_name %}{{ x }}{% endwith %}",
]


def tenant(name: str) -> TenantInfo:
    return TenantInfo(tenant_id="t1", customer_code="acme", customer_name=name)


def engine_of(folder: Path, text: str) -> TenantTemplateEngine:
    (folder / "t.j2").write_text(text, encoding="utf-8")
    return TenantTemplateEngine(folder)


def generated(folder: Path, text: str, name: str) -> Any:
    return engine_of(folder, text).generate("t.j2", tenant(name))


@pytest.fixture(autouse=True)
def _parts(tmp_path: Path) -> None:
    (tmp_path / "part.j2").write_text("{{ (tenant|default({'customer_name': 'part'})).customer_name }}")
    (tmp_path / "macros.j2").write_text(
        "{% macro of(n) %}{% filter trim %}{{ n }}{% endfilter %}{% endmacro %}{% macro around() %}{{ caller() }}{% endmacro %}"
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ['a: "@"\nz: 1', "a: @ \nz: 1", "a: '@'\nz: 1", "a: |\n  .@ \nz: 1"])
def test_a_value_is_data_whatever_way_it_takes(tmp_path: Path, way: str, form: str) -> None:
    """Through filter blocks, call blocks, macros, sets, includes and imports."""
    text = form.replace("@", way.replace("@", "{{ tenant.customer_name }}"))
    found = generated(tmp_path, text, NASTY)
    assert set(found) == {"a", "z"}
    assert found["z"] == 1


@pytest.mark.parametrize("called", ["tenant.customer_name.strip()", "namespace()", "range(3)"])
def test_only_macros_can_be_called_with_a_block(tmp_path: Path, called: str) -> None:
    """What else could be called takes no block, or is not data."""
    with pytest.raises(InputError):
        generated(tmp_path, f"a: {{% call {called} %}}{{% endcall %}} ", NASTY)


def test_a_filter_block_and_a_call_block_write_the_value_whole(tmp_path: Path) -> None:
    """And the text of the template around it stays."""
    text = (
        'a: "{% filter trim %} {{ tenant.customer_name }} {% endfilter %}"\n'
        "{% macro m() %}b:\n  c: {{ caller() }}\n  d: 1\n{% endmacro %}"
        '{% call m() %}"<{{ tenant.customer_name }}>"{% endcall %}\n'
    )
    assert generated(tmp_path, text, NASTY) == {"a": NASTY, "b": {"c": f"<{NASTY}>", "d": 1}}


def test_what_one_tenant_left_in_an_imported_template_no_other_one_sees(tmp_path: Path) -> None:
    """Modules are made anew for each rendering, with context and without."""
    (tmp_path / "kept.j2").write_text(
        "{% set ns = namespace(x='') %}"
        "{% macro put(v) %}{% set ns.x = v %}{% endmacro %}{% macro get() %}{{ ns.x }}{% endmacro %}"
    )
    engine = engine_of(tmp_path, "{% import 'kept.j2' as k %}a: \"{{ k.get() }}\"\n{{ k.put(tenant.customer_name) }}")
    found = [engine.generate("t.j2", tenant(name)) for name in ("one", "two")]
    assert found == [{"a": ""}, {"a": ""}]


def test_what_is_included_without_context_has_its_own_values_in_each_rendering(tmp_path: Path) -> None:
    """Its values are numbered anew."""
    (tmp_path / "fixed.j2").write_text("{{ 'fixed' }}")
    text = "{{ tenant.customer_name ~ ': ' }}{% include 'fixed.j2' without context %}\n"
    engine = engine_of(tmp_path, "{% if tenant.customer_name == 'two' %}z: {{ 2 }}\n{% endif %}a: " + text)
    assert engine.generate("t.j2", tenant("one")) == {"a": "one: fixed"}
    assert engine.generate("t.j2", tenant("two")) == {"z": 2, "a": "two: fixed"}


@pytest.mark.parametrize("text", ["mAnOrVaLuE7eNd b", "mAnOrVaLuE0eNd", "x mAnOrVaLuE0eNd"])
def test_text_of_a_template_is_never_taken_for_a_value(tmp_path: Path, text: str) -> None:
    """What stands for values cannot be guessed."""
    assert generated(tmp_path, f"a: {text}\nb: {{{{ tenant.customer_name }}}}", "x") == {"a": text, "b": "x"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [("[1, 2]|sum", 3), ("[{'a': 1}, {'a': 2}]|sum(attribute='a')", 3), ("[1]|sum(start=2)", 3), ("'1.5'|float * 2", 3)],
)
def test_numbers_can_be_summed(tmp_path: Path, expression: str, value: int) -> None:
    """With a start, and by an attribute."""
    assert generated(tmp_path, f"a: {{{{ {expression} }}}}", "x") == {"a": value}


def test_a_sum_of_texts_is_refused_with_what_does_it(tmp_path: Path) -> None:
    """The template's line is named."""
    with pytest.raises(InputError, match="sum works on numbers, found str") as caught:
        generated(tmp_path, "a: {{ ['x']|sum }}", "x")
    assert caught.value.hint == "join texts with join"
