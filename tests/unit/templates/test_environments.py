"""A tenant's environment out of ``environment.j2``: whatever the tenant is called, it stays data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from manor.control.registry.tenant_info import TenantInfo
from manor.control.templates.environments import TenantEnvironment, render_environment
from manor.control.templates.template_engine import TenantTemplateEngine
from manor.errors import InputError, NotFoundError

NASTY = [
    'A: "B" {{ 7*7 }}',
    "line\nname: other\n- x",
    "{% for x in y %}",
    "${HOME} {NAME} $$",
    "'; DROP TABLE tenants; --",
    "# no comment",
    "&anchor *alias !tag",
    "mAnOrVaLuE0eNd",
    "\ttabs\r\nand returns\u2028\x85",
    "<!-- x -->",
    "null",
    "001",
    "yes",
    "",
    "日本語の会社「株式会社」",
]


def tenant(**fields: Any) -> TenantInfo:
    return TenantInfo(**{"tenant_id": "t1", "customer_code": "acme", "region": "jp", "tier": "premium", **fields})


def engine_of(folder: Path, text: str, name: str = "environment.j2") -> TenantTemplateEngine:
    (folder / name).write_text(text, encoding="utf-8")
    return TenantTemplateEngine(folder, shown_as="templates")


def rendered(folder: Path, text: str, config: dict[str, Any] | None = None, **fields: Any) -> Any:
    return engine_of(folder, text).environment_config(tenant(**fields), config)


def test_the_references_template_says_what_the_reference_says() -> None:
    """Its HTML comment at the top is no obstacle; names are `<customer_code>_<region>_<instance>`."""
    found = render_environment(TenantTemplateEngine(), tenant(instances=("main", "test"), customer_name="Acme"))
    assert found == TenantEnvironment(
        name="t1",
        base="premium_base",
        databases={"main": "acme_jp_main", "test": "acme_jp_test"},
        schema_names={"main": "main", "test": "test"},
        name_macros={"database_prefix": "acme_jp", "table_prefix": ""},
        tenant_info={
            "tenant_id": "t1",
            "customer_name": "Acme",
            "customer_code": "acme",
            "region": "jp",
            "tier": "premium",
        },
        isolation="database",
        naming_pattern="acme_jp_{instance}",
    )


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("form", ["@", '"@"', "'@'", "|\n    @", ">-\n    @", "[@, 1]", "\n    @ : 1", "@ # said"])
def test_a_name_is_data_wherever_yaml_lets_it_stand(tmp_path: Path, name: str, form: str) -> None:
    """Plain, quoted, in blocks, lists and keys, beside a comment: the document has the same shape for every name."""
    text = f"a:\n  x: {form}\nb: 2\n".replace("@", "{{ tenant.customer_name }}")
    found, plain = rendered(tmp_path, text, customer_name=name), rendered(tmp_path, text, customer_name="Plain")
    assert found == _exchange(plain, name)


def _exchange(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {_exchange(key, name): _exchange(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_exchange(item, name) for item in value]
    return value.replace("Plain", name) if isinstance(value, str) else value


def test_documents_that_share_their_text_keep_their_values_apart(tmp_path: Path) -> None:
    """The text is parsed once; each tenant gets its own values, and nobody the last one's."""
    engine = engine_of(tmp_path, "id: {{ tenant.tenant_id }}\nlimits: {{ config.limits }}\n")
    found = [engine.environment_config(tenant(tenant_id=f"t{n}"), {"limits": {"users": n}}) for n in range(3)]
    assert found == [{"id": f"t{n}", "limits": {"users": n}} for n in range(3)]


def test_values_keep_their_types_where_they_stand_alone(tmp_path: Path) -> None:
    """Unquoted and alone, a number is a number; in quotes or in a longer text it is text."""
    config = {"n": 5, "on": True, "none": None, "list": ["a: b", 1], "zip": "001"}
    keys = ("n", "on", "none", "list", "zip")
    text = f"['{{{{ config.n }}}}', {{{{ config.n }}}} x, {', '.join(f'{{{{ config.{key} }}}}' for key in keys)}]"
    found = rendered(tmp_path, "v: " + text, config)
    assert found["v"] == ["5", "5 x", 5, True, None, ["a: b", 1], "001"]


def test_nothing_inside_a_text_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    """None in quotes would become the word None; the error says where and what to write."""
    with pytest.raises(InputError, match=r"a\.b: a value that is missing") as caught:
        rendered(tmp_path, 'a:\n  b: "{{ tenant.table_prefix }}x"')
    assert caught.value.hint == "write {{ … or '' }}"


def test_what_a_template_catches_is_text_to_its_expressions_and_its_own_when_written(tmp_path: Path) -> None:
    """Macros and set blocks may write structure; values in them stay data, and comparing them compares the plain text."""
    text = """\
{% macro pair(key, value) %}
{{ key }}: {{ value }}
{% endmacro %}
{% set name %}{{ tenant.customer_name }}!{% endset %}
{{ pair("a", tenant.customer_name) }}
same: {{ name == tenant.customer_name ~ "!" }}
loud: {{ name | upper }}
again: {{ name }}
"""
    found = rendered(tmp_path, text, customer_name="x: y\nz: 1")
    assert found == {"a": "x: y\nz: 1", "same": True, "loud": "X: Y\nZ: 1!", "again": "x: y\nz: 1!"}


def test_templates_include_extend_and_import_each_other(tmp_path: Path) -> None:
    """All of them below the folder of templates; values stay data in each."""
    (tmp_path / "part.j2").write_text("name: {{ tenant.customer_name }}\n", encoding="utf-8")
    (tmp_path / "names.j2").write_text("{% macro of(t) %}n_{{ t }}{% endmacro %}", encoding="utf-8")
    (tmp_path / "whole.j2").write_text("{% include 'part.j2' %}\n\n{% block more %}{% endblock %}", encoding="utf-8")
    block = "{% import 'names.j2' as names %}own: {{ names.of(tenant.region) }}"
    text = f"{{% extends 'whole.j2' %}}{{% block more %}}{block}{{% endblock %}}"
    assert rendered(tmp_path, text, customer_name="a: b") == {"name": "a: b", "own": "n_jp"}


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: 1\nb: {{ tenant.tierr }}\n", "tenant t1: tenant has no field 'tierr', did you mean 'tier'?", 2),
        ("a: {{ tenantt.tier }}\n", "tenant t1: 'tenantt' is undefined", 1),
        ("a: {{ config.max_users }}\n", "tenant t1: 'dict object' has no attribute 'max_users'", 1),
        ("a: 1\n\n{% if %}\n", "tenant t1: this is not a template of Jinja2: Expected an expression", 3),
        ("a: {{ tenant }}\n", "tenant t1: a tenantview cannot be written", 1),
    ],
)
def test_an_error_names_tenant_template_and_line(tmp_path: Path, text: str, message: str, line: int) -> None:
    """Nothing undefined passes in silence."""
    with pytest.raises(InputError) as caught:
        rendered(tmp_path, text)
    assert caught.value.message.startswith(message)
    assert caught.value.place is not None
    assert (caught.value.place.file, caught.value.place.line) == ("templates/environment.j2", line)


def test_a_template_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """Manor's own serve for environment.j2 only."""
    with pytest.raises(NotFoundError, match=r"there is no template 'schema\.j2'"):
        TenantTemplateEngine(tmp_path).generate("schema.j2", tenant())


def test_a_key_that_two_values_make_is_refused(tmp_path: Path) -> None:
    """A later instance of the same name would silently win."""
    with pytest.raises(InputError, match=r"x\.main: the key stands twice"):
        rendered(tmp_path, "x:\n  main: 1\n  {{ tenant.instances[0] }}: 2\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"{{ tenant | tenant_prefix }}_{{ instance }}"', '"{{ tenant.customer_name }}"', "may hold only"),
        ("base:", "bass:", "key 'base' is missing"),
        ("base:", "more: 1\nbase:", "unknown key 'more'"),
        ('_{{ instance }}"', '"', "the instances main and test get the same database name"),
        ("{{ tenant.isolation_strategy }}", "cluster", "strategy must be"),
        ("in tenant.instances %}", "in tenant.instances[:1] %}", "its instance 'test' gets no database"),
    ],
)
def test_an_environment_that_cannot_be_is_refused_with_its_tenant(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Illegal and colliding names are found before anything is created."""
    own = TenantTemplateEngine().files.built_in["environment.j2"]
    engine = engine_of(tmp_path, own.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        render_environment(engine, tenant(instances=("main", "test"), customer_name="A B"))
    assert "tenant t1" in caught.value.message


class Registry:
    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        return tenant(tenant_id=tenant_id)

    async def get_tenant_config(self, tenant_id: str) -> dict[str, Any]:
        return {"plan": f"plan of {tenant_id}"}


async def test_an_engine_with_a_registry_finds_its_tenants_there(tmp_path: Path) -> None:
    """`generate_environment_config(tenant_id)` is the reference's call; `config` is the tenant's own settings."""
    (tmp_path / "environment.j2").write_text("plan: {{ config.plan }}\nof: {{ tenant.tenant_id }}\n", encoding="utf-8")
    engine = TenantTemplateEngine(tmp_path, Registry())
    assert await engine.generate_environment_config("t7") == {"plan": "plan of t7", "of": "t7"}
