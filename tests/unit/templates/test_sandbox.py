"""Templates cannot get out: the escapes of the public lists fail, and so does work without an end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.registry.tenant_info import TenantInfo
from manor.control.templates.opaque import MARK
from manor.control.templates.template_engine import TenantTemplateEngine
from manor.errors import ManorError

TENANT = TenantInfo(
    tenant_id="t1", customer_code="acme", customer_name="Acme", instances=("main", "test"), billing_info={"plan": {"seats": 3}}
)

ESCAPES = [
    # PayloadsAllTheThings, HackTricks and the CVEs of Jinja2's own sandbox
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'][1]['__subclasses__']() }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ ()|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [].__class__.__base__.__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ config.__class__.__init__.__globals__['os'].popen('id').read() }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('id').read() }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
    "{{ namespace.__init__.__globals__.os.popen('id').read() }}",
    "{{ namespace.__init__ }}",
    "{{ namespace().__class__ }}",
    "{{ lipsum.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ range.__class__ }}",
    "{{ range.__globals__ }}",
    "{{ request.application.__globals__.__builtins__.__import__('os') }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ dict.__base__.__subclasses__() }}",
    "{{ tenant.__class__ }}",
    "{{ tenant['__class__'] }}",
    "{{ tenant.__dict__ }}",
    "{{ tenant.__init__.__globals__ }}",
    "{{ tenant.model_fields }}",
    "{{ tenant.model_dump() }}",
    "{{ tenant.parse_file('/etc/passwd') }}",
    "{{ tenant.tenant.parse_file('/etc/passwd') }}",
    "{{ tenant.fields }}",
    "{{ tenant.customer_name.__class__ }}",
    "{{ tenant.customer_name.__getattribute__('__class__') }}",
    "{{ tenant.instances.__class__ }}",
    "{{ tenant.instances.append('x') }}",
    "{{ tenant.billing_info.update({'a': 1}) }}",
    "{{ tenant.billing_info.__setitem__('a', 1) }}",
    "{{ tenant.billing_info.pop('plan') }}",
    "{{ '{0.__class__}'.format(tenant) }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ ''|attr('format') }}",
    "{{ ['{0.__class__}']|map('format', 1)|list }}",
    "{{ ['a']|map(attribute='__class__')|list }}",
    "{{ [tenant]|map(attribute='__class__')|list }}",
    "{{ [tenant]|map('attr', '__class__')|list }}",
    "{{ ['a']|groupby('__class__') }}",
    "{{ ['a', 'b']|sort(attribute='__class__') }}",
    "{{ [1]|sum(attribute='__class__') }}",
    "{{ ['a']|selectattr('__class__')|list }}",
    "{{ ''.encode().__class__ }}",
    "{{ (1).__class__ }}",
    "{{ 1|attr('real') }}",
    "{{ ''.join.__self__.__class__ }}",
    "{{ ''.upper.__self__ }}",
    "{{ ''.upper.__call__ }}",
    "{% set x = ''.__class__ %}{{ x }}",
    "{% for c in ''.__class__.__mro__ %}{{ c }}{% endfor %}",
    "{% for c in [] %}{% endfor %}{{ loop.__class__ }}",
    "{% for c in [1] %}{{ loop._iterator }}{% endfor %}",
    "{% for c in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% macro m() %}{{ caller.__class__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{{ varargs.__class__ }}{% endmacro %}{{ m(1) }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}{{ ns.__class__.__mro__ }}",
    "{% import 'environment.j2' as e %}{{ e.__class__ }}",
    "{% import 'environment.j2' as e %}{{ e._body_stream }}",
    "{% include '/etc/passwd' %}",
    "{% include '../../../../etc/passwd' %}",
    "{% extends '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.popen('id') }}",
    "{{ ''|xmlattr }}",
    "{{ 'x'|pprint }}",
    "{{ {}|urlize }}",
    "{{ tenant|string }}",
    "{{ tenant|upper }}",
    "{{ range|string }}",
    "{{ [namespace]|map('lower')|list }}",
    "{{ [tenant]|string }}",
    "{{ tenant ~ '' }}",
    "{{ tenant|tojson }}",
    "{{ tenant.instances|dictsort }}",
    "{{ undefined_thing }}",
    "{{ missing.__class__ }}",
    "{{ _ }}",
    "{{ environment }}",
    "{{ context }}",
    "{% debug %}",
    "{% do tenant %}",
]

ENDLESS = [
    "{{ range(10 ** 9) | list }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
    "{% include 'environment.j2' %}{% include 'environment.j2' %}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ [0] * 10 ** 9 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ (99999 ** 60) ** 60 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ 'x'.ljust(10 ** 9) }}",
    "{{ 'x'.center(10 ** 9) }}",
    "{{ 'x'.zfill(10 ** 9) }}",
    "{{ 'x'|center(10 ** 9) }}",
    "{{ 'x'|indent(10 ** 9) }}",
    "{{ '\\t'.expandtabs(10 ** 9) }}",
    "{{ [1]|batch(10 ** 9, 0)|list }}",
    "{{ [1]|slice(10 ** 9)|list }}",
    "{{ 'x'|wordwrap(1, wrapstring='y' * 10 ** 9) }}",
    "{% set n = namespace(x='xxxxxxxxxx') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='xxxxxxxxxx') %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=['x']) %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set n.x = n.x|replace('b', n.x) %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set n.x = [n.x, n.x]|join(n.x) %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=2) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
    "{% for x in [[1, [2]]] recursive %}{{ loop(range(9)) }}{% endfor %}",
    "{{ [[1], [2]]|sum(start=[]) }}",
    "{% set n = namespace(x=[]) %}{% for i in range(1000) %}{% set n.x = n.x + [n.x] %}{% endfor %}{{ n.x|sum(start=[]) }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ n.x == 1 }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1, varargs, varargs) }}{% else %}{{ varargs }}{% endif %}{% endmacro %}{{ m(60, 1) }}",
    "{% set n = namespace(x=range(99)|list) %}{% for i in range(9) %}{% set n.x = n.x|map('default')|list + n.x %}"
    "{% endfor %}{% for i in range(9000) %}{{ n.x }}{% endfor %}",
    "{% set x = range(9999)|list %}{% for i in range(9000) %}{% set y = x|sort %}{% endfor %}",
    "{% set n = namespace(x='xxxxxxxxxx') %}{% for i in range(16) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
    "{% set l = range(9999)|list %}{% for u in l|map('replace', '1', n.x) %}{% endfor %}",
    "{% set n = namespace(x='xxxxxxxxxx') %}{% for i in range(16) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
    "{% for i in range(9999) %}{% set y = n.x.count('y') %}{% endfor %}",
    "{{ 1|round(10 ** 9, 'floor') }}",
    "{{ 1e400 }}",
    "{{ '1e400'|float }}",
    "{{ 'inf'|float }}",
    "{{ 'nan'|float }}",
    "{{ 1e300 * 1e300 }}",
    "{{ 1e300 / 1e-300 }}",
    "{{ config.infinite }}",
    "{{ config.infinite - 1 }}",
    "{{ [config.infinite] }}",
    "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
    "{% for x in range(9000) %}{{ 'x' * 9000 }}{% endfor %}",
    "{% for x in range(9000) %}" + "y" * 9000 + "{% endfor %}",
]


def render(folder: Path, text: str) -> Any:
    (folder / "t.j2").write_text(text, encoding="utf-8")
    return TenantTemplateEngine(folder).render("t.j2", TENANT, {"plan": "x", "infinite": float("inf")})


@pytest.mark.parametrize("text", ESCAPES)
def test_an_escape_fails(tmp_path: Path, text: str) -> None:
    """With an error of ours, never with something of Python's in the text."""
    with pytest.raises(ManorError):
        render(tmp_path, text)


@pytest.mark.parametrize("text", ENDLESS, ids=range(len(ENDLESS)))
def test_work_without_an_end_is_stopped(tmp_path: Path, text: str) -> None:
    """Soon, and before it fills the memory."""
    began = time.process_time()
    with pytest.raises(ManorError):
        render(tmp_path, text.replace("'environment.j2'", "'t.j2'"))
    assert time.process_time() - began < 10


def test_no_template_changes_what_others_see(tmp_path: Path) -> None:
    """Each rendering gets its own copies, and none can be changed."""
    (tmp_path / "t.j2").write_text(
        "{% set _ = tenant.billing_info.plan %}{{ tenant.billing_info.plan.seats }}", encoding="utf-8"
    )
    engine = TenantTemplateEngine(tmp_path)
    text, values = engine.render("t.j2", TENANT)
    assert (MARK.sub("@", text), values) == ("@", [3])


def test_a_template_knows_no_process_and_no_environment(tmp_path: Path) -> None:
    """Its names are tenant, config and instances, and two functions."""
    os.environ["MANOR_TEST_SECRET"] = "s3cret"
    try:
        for name in ("os", "sys", "environ", "open", "self.environment", "MANOR_TEST_SECRET"):
            with pytest.raises(ManorError):
                render(tmp_path, "{{ " + name + " }}")
    finally:
        del os.environ["MANOR_TEST_SECRET"]


@given(name=st.text(max_size=200), quote=st.sampled_from(["", '"', "'"]))
def test_any_name_comes_back_as_it_was(name: str, quote: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever it holds."""
    folder = tmp_path_factory.getbasetemp() / "any_name"
    folder.mkdir(exist_ok=True)
    (folder / "t.j2").write_text(f"a: {quote}{{{{ tenant.customer_name }}}}{quote}\nb: 1\n", encoding="utf-8")
    tenant = TENANT.model_copy(update={"customer_name": name})
    assert TenantTemplateEngine(folder).generate("t.j2", tenant) == {"a": name, "b": 1}
