"""Every bad input gets one line with place and hint and the right exit code, and nothing is made: not even a server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from manor.cli.failures import run
from manor.cli.main import cli

PLACE = r"customer_a/tenant_registry\.yaml:\d+:\d+: "


def refuse(draft: Any, verb: str = "deploy", code: int = 2) -> str:
    """Run a verb on the draft's registry; what it says on stderr. Nothing may come to be."""
    before = sorted(draft.folder.rglob("*"))
    done = draft("multi-tenant", verb, "--registry", "customer_a/tenant_registry.yaml", code=code)
    assert sorted(draft.folder.rglob("*")) == before
    return str(done.stderr if verb == "deploy" else done.stdout)


def test_broken_yaml(draft: Any) -> None:
    """The place where reading stopped, and that it is no YAML."""
    draft.registry.write_text("customer_info: [1,\n  2\nx: {", encoding="utf-8")
    assert re.match("manor: " + PLACE + "this is not YAML", refuse(draft))


def test_a_file_of_a_gigabyte(draft: Any) -> None:
    """It is refused by its size, before it is read."""
    with draft.registry.open("wb") as file:
        file.truncate(1 << 30)
    told = refuse(draft)
    assert "1,073,741,824 bytes" in told
    assert "hint:" in told


def test_deeply_aliased_yaml(draft: Any) -> None:
    """A few lines that would expand to billions of values are refused with the place."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    draft.registry.write_text("\n".join(lines), encoding="utf-8")
    told = refuse(draft)
    assert re.match("manor: " + PLACE, told)
    assert "aliases" in told


def test_deeply_nested_yaml(draft: Any) -> None:
    """Thousands of brackets do not overflow anything."""
    draft.registry.write_text("a: " + "[" * 20_000 + "]" * 20_000, encoding="utf-8")
    assert "nest" in refuse(draft)


def test_a_registry_that_is_not_there(draft: Any) -> None:
    """It names the file."""
    draft.registry.unlink()
    assert "tenant_registry.yaml: cannot read the file: No such file" in refuse(draft)


@pytest.mark.parametrize("template", ["../../outside", "/etc", "linked"], ids=["dots", "absolute", "link"])
def test_a_template_outside_the_project(draft: Any, tmp_path: Path, template: str) -> None:
    """Dots, absolute paths and symbolic links that lead out are refused with the place."""
    (tmp_path / "outside").mkdir()
    (draft.folder / "customer_a" / "linked").symlink_to(tmp_path / "outside")
    draft.edit('template: "common"', f"template: {template!r}")
    told = refuse(draft)
    assert re.search(PLACE + f"the template '{template}' is outside the project", told)


@pytest.mark.parametrize("form", ["{0.__class__}", "{:{width}}", "{tenant.__init__}", "{!r}", "{:>999999999}", "none"])
def test_a_tenant_id_format_that_is_not_plain(draft: Any, form: str) -> None:
    """Attribute access, conversions, nesting and giant widths are not formats of a number."""
    draft.edit("tenant_count: 2", f"tenant_count: 2\n    tenant_id_format: {json.dumps(form)}")
    assert re.search(PLACE + ".*tenant_id_format", refuse(draft))


def test_a_name_of_64_bytes(draft: Any) -> None:
    """One byte more than PostgreSQL keeps: it would be cut in silence, so it is refused with its length."""
    draft.edit('name: "acme_common"', f'name: "{"a" * 64}"')
    told = refuse(draft)
    assert re.search(PLACE, told)
    assert "64 bytes" in told
    assert "63" in told


@pytest.mark.parametrize("name", ["acme common", "äcme", "postgres", "pg_acme", "manor_acme", 'a"b', ""])
def test_an_illegal_name(draft: Any, name: str) -> None:
    """Letters that names may not hold and names that belong to the server are found before anything is made."""
    draft.edit('name: "acme_common"', f"name: {json.dumps(name, ensure_ascii=False)}")
    assert re.search(PLACE, refuse(draft))


def test_a_name_that_two_groups_share(draft: Any) -> None:
    """Both places are told."""
    draft.edit('naming_pattern: "{customer_code}_partner_{tenant_id}"', 'naming_pattern: "{customer_code}_std_{tenant_id}"')
    told = refuse(draft)
    assert "'acme_std_001' of group partners is taken by acme/standard/001" in told
    assert len(re.findall(r"tenant_registry\.yaml:\d+:\d+", told)) >= 2


def test_everything_that_is_wrong_is_told_in_one_pass(draft: Any) -> None:
    """`validate` lists each finding with its place on a line of its own, and a suggestion where one is near."""
    draft.edit("tenant_count: 2", "tenant_cuont: 2")
    draft.edit('template: "common"', 'template: "comon"')
    draft.edit('region: "japan"', "region: [japan]")
    told = refuse(draft, "validate")
    lines = [line for line in told.splitlines() if re.match("✗ " + PLACE, line)]
    assert len(lines) >= 3
    assert "tenant_count" in told
    assert "common" in told
    document = draft.json("multi-tenant", "validate", "--registry", "customer_a/tenant_registry.yaml", code=2)
    assert document["valid"] is False
    assert len(document["findings"]) == len(lines)
    assert {"file", "line", "column", "message", "hint", "severity"} <= document["findings"][0].keys()


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('column_type: "VARCHAR(100)"', 'column_type: "GEOMETRY"'),
        ("default_value: \"'user'\"", 'default_value: "user\'"'),
        ('default_value: "CURRENT_TIMESTAMP"', 'default_value: "CURRENT_TIMESTAMP(("'),
    ],
    ids=["type", "quotes", "parentheses"],
)
def test_a_schema_that_the_engine_cannot_make(draft: Any, written: str, instead: str) -> None:
    """`validate` finds it with its place, once for all templates that share it, although no server is asked."""
    schema = draft.folder / "schema.yaml"
    text = schema.read_text(encoding="utf-8")
    assert written in text
    schema.write_text(text.replace(written, instead, 1), encoding="utf-8")
    found = [line for line in refuse(draft, "validate").splitlines() if line.startswith("✗ schema.yaml:")]
    assert len(found) == 1
    assert re.match(r"✗ schema\.yaml:\d+:\d+: ", found[0])


def test_a_setting_that_cannot_be_honoured(draft: Any) -> None:
    """`validate` ends like the deploy that would refuse it."""
    draft.edit("database_groups:", "environment_config: {security: {cross_tenant_access: true}}\ndatabase_groups:")
    told = refuse(draft, "validate", code=3)
    assert "cross_tenant_access" in told
    assert "deploy refuses" in told
    assert "cross_tenant_access" in refuse(draft, code=3)


def test_errors_are_json_where_json_is_asked_for(draft: Any) -> None:
    """`--format json` keeps its word in failure: the error object stands on stdout, with the findings in it."""
    draft.edit('template: "common"', 'template: "comon"')
    error = draft.json("multi-tenant", "deploy", "--registry", "customer_a/tenant_registry.yaml", code=2)["error"]
    assert error["code"] == "bad_input"
    assert error["message"]
    assert error["findings"][0]["line"] > 0


def test_unsafe_settings_are_refused(draft: Any) -> None:
    """What was asked for and cannot be kept stops a deploy with the exit code of a refusal."""
    draft.edit("database_groups:", "environment_config:\n  security:\n    audit_logging: false\ndatabase_groups:")
    assert "audit" in refuse(draft, code=3)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://manor:hunter2@127.0.0.1:1/postgres",
        "postgresql://manor:hunter2@/postgres?host=/nowhere/at/all",
        "postgresql://manor:hunter2@no-such-host.invalid:5432/postgres",
    ],
    ids=["port", "socket", "host"],
)
@pytest.mark.parametrize("words", [("multi-tenant", "deploy"), ("multi-tenant", "healthcheck")], ids=" ".join)
def test_an_unreachable_server(draft: Any, url: str, words: tuple[str, ...]) -> None:
    """Exit code 4, one line that names the deployment, a hint, and no password."""
    (draft.folder / "customer_a" / "environ.yaml").write_text(f"deployments:\n  main: {url!r}\n", encoding="utf-8")
    done = draft(*words, "--registry", "customer_a/tenant_registry.yaml", code=4)
    assert "main" in done.stderr
    assert "hint:" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert draft.json(*words, "--registry", "customer_a/tenant_registry.yaml", code=4)["error"]["code"] == "unreachable"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("deployments:\n  main: mysql://u@h/d\n", "PostgreSQL"),
        ("deployments:\n  main: postgresql://u:${UNSET_HERE}@h/d\n", "UNSET_HERE"),
        ("deployments:\n  main: postgresql://u:p@ss@h:port/d\n", "percent"),
        ("deploymnets: {}\n", "deployments"),
    ],
    ids=["mysql", "variable", "url", "key"],
)
def test_an_environment_that_cannot_be_used(draft: Any, text: str, hint: str) -> None:
    """The place in environ.yaml, and what to write instead."""
    (draft.folder / "customer_a" / "environ.yaml").write_text(text, encoding="utf-8")
    told = refuse(draft)
    assert re.search(r"environ\.yaml:\d+:\d+: ", told)
    assert hint in told


MALFORMED = [
    "",
    "~",
    "[]",
    "just text",
    "\x00",
    "a: 1\na: 2",
    "? [complex, key]\n: value",
    "registry_version: 2.0",
    "!!python/object/apply:os.system ['true']",
    "customer_info: {}\ndatabase_groups: {}",
    "customer_info: &a\n  customer_code: *a",
    'registry_version: "9.9"\ncustomer_info: {customer_code: x}\ndatabase_groups: {}',
    "database_groups:\n  g: {type: tenant_group, tenant_count: -1}",
    "database_groups:\n  g: {type: nonsense}",
    "database_groups:\n  g:\n    type: fixed_group\n    databases: [1, null, {}]",
    "database_groups:\n  ? {}\n  : {}",
    "%YAML 9.9\n---\n{}",
    "--- {}\n--- {}\n",
    "a: !unknown x",
    "a: 'unterminated",
    "\ufeffdatabase_groups: 7",
    "database_groups: {g: {type: tenant_group, template: tenant_type1, tenant_count: 1e400}}",
    "x: " + "9" * 5000,
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_no_registry_whatsoever_ends_in_a_traceback(draft: Any, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Malformed in any way: exit code 2, something said, and never an internal error."""
    draft.registry.write_text(text, encoding="utf-8")
    for verb in ("validate", "preview", "deploy"):
        code = run(cli, ["multi-tenant", verb, "--registry", str(draft.registry), "--verbose"])
        told = capfd.readouterr()
        assert code == 2, told.out + told.err
        assert "tenant_registry.yaml" in told.out + told.err
    assert not (draft.folder / ".manor").exists()


def test_bytes_that_are_no_text(draft: Any) -> None:
    """Neither is a file in another encoding a reason to fall over."""
    draft.registry.write_bytes(b"customer_info:\n  customer_name: \xff\xfe\x80\n")
    assert "tenant_registry.yaml" in refuse(draft)
