"""What commands and options there are, before any server: the words of the reference, help, formats, exit codes of misuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from manor.cli.failures import run
from manor.cli.main import cli

Told = tuple[int, str, str]

DATA = Path(__file__).parents[2] / "data"

GLOBAL = ("--project", "--environment", "--format", "--verbose", "--quiet")
FLEET = ("--registry", "--group", "--limit", "--parallel", "--report", "--deployment")
RELEASE = ("--strategy", "--to", "--dry-run", "--rehearse", "--backup-first", "--plan-digest", "--parallel", "--report")
COMMANDS = {
    ("multi-tenant", "validate"): ("--registry", "--deployment"),
    ("multi-tenant", "preview"): ("--registry", "--group", "--limit", "--deployment"),
    ("multi-tenant", "deploy"): (*FLEET, "--dry-run", "--plan-digest", "--allow-large-change"),
    ("multi-tenant", "add-tenants"): ("--registry", "--group", "--count", "--dry-run"),
    ("multi-tenant", "healthcheck"): FLEET,
    ("tenant", "list"): ("--group",),
    ("tenant", "show"): ("--tenant-id",),
    ("tenant", "url"): ("--tenant-id",),
    ("tenant", "psql"): (),
    ("tenant", "rotate-password"): ("--tenant-id",),
    ("server", "start"): (),
    ("server", "stop"): ("--mode",),
    ("server", "status"): (),
    ("server", "logs"): ("--lines",),
    ("server", "doctor"): (),
    ("server", "destroy"): ("--confirm",),
    ("audit", "list"): ("--limit", "--subject"),
    ("audit", "verify"): (),
    ("catalog", "rotate-key"): ("--retire",),
    ("schema", "registry"): (),
    ("tenant", "sync"): (
        "--source",
        "--config",
        "--dry-run",
        "--plan-digest",
        "--allow-large-change",
        "--all-configs",
        "--report",
    ),
    ("tenant", "provision"): ("--query", "--source", "--template", "--parallel", "--dry-run", "--plan-digest", "--report"),
    ("tenant", "search"): ("--source", "--gone", "--limit"),
    ("batch", "healthcheck"): ("--parallel", "--filter", "--group", "--limit", "--report"),
    ("tenant", "create"): ("--name", "--group", "--registry"),
    ("tenant", "backup"): (
        "--all",
        "--tenant-id",
        "--group",
        "--filter",
        "--output",
        "--plain",
        "--encrypt",
        "--no-encrypt",
        "--parallel",
        "--report",
    ),
    ("backup", "list"): ("--tenant-id", "--location"),
    ("backup", "verify"): ("--tenant-id", "--all", "--location"),
    ("backup", "prune"): ("--dry-run", "--location"),
    ("backup", "hold"): ("--reason", "--location"),
    ("backup", "release"): ("--reason",),
    ("tenant", "migrate"): ("--all", "--tenant-id", "--group", "--filter", "--verify", *RELEASE),
    ("batch", "deploy-schema"): ("--migration", "--filter", *RELEASE),
    ("migration", "new"): ("--template",),
    ("migration", "status"): ("--all", "--tenant-id", "--group", "--filter"),
    ("migration", "lint"): ("--strategy",),
    ("migration", "baseline"): ("--to", "--all", "--tenant-id"),
    ("migration", "squash"): ("--through", "--delete-files"),
    ("operation", "list"): ("--limit",),
    ("operation", "show"): (),
    ("operation", "watch"): (),
    ("operation", "pause"): (),
    ("operation", "abort"): (),
    ("operation", "recover"): (),
    ("operation", "resume"): ("--report",),
    ("operation", "retry"): ("--report",),
    ("operation", "undo"): ("--report", "--discard-writes"),
    ("operation", "decide"): ("--tenant-id", "--as"),
    ("backup", "base"): ("--server", "--location", "--archive-timeout"),
    ("backup", "bases"): ("--server",),
    ("backup", "mark"): ("--server",),
    ("backup", "archive"): (),
    ("backup", "extract"): ("--tenant-id", "--to", "--to-mark", "--to-lsn", "--output", "--dry-run"),
    ("tenant", "restore"): ("--tenant-id", "--backup-file", "--to", "--to-mark", "--to-lsn", "--as", "--undo", "--dry-run"),
    ("backup", "drill"): ("--all", "--sample", "--tenant-id", "--location", "--parallel", "--report"),
    ("backup", "drills"): (),
    ("backup", "schedule"): (),
    ("tenant", "suspend"): ("--tenant-id", "--reason", "--report"),
    ("tenant", "resume"): ("--tenant-id", "--report"),
    ("tenant", "hold"): ("--tenant-id", "--reason"),
    ("tenant", "unhold"): ("--tenant-id", "--reason"),
    ("tenant", "delete"): ("--tenant-id", "--confirm", "--dry-run", "--due", "--after", "--final-export", "--search-for"),
    ("tenant", "certificate"): ("--tenant-id", "--output"),
    ("tenant", "export"): ("--tenant-id", "--bundle", "--report"),
    ("tenant", "import"): ("--bundle", "--group", "--as", "--registry"),
    ("audit", "verify-certificate"): ("--fingerprint",),
    ("catalog", "backup"): ("--output",),
    ("catalog", "restore"): ("--backup-file",),
    ("catalog", "rebuild"): ("--registry", "--catalog-id", "--dry-run"),
    ("data", "serve"): ("--store", "--tenant", "--host", "--port"),
    ("data", "capabilities"): ("--backend",),
    ("worker",): ("--parallel",),
    ("init",): ("--blueprint",),
    ("doctor",): ("--registry", "--parallel", "--deployment"),
}


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Run a command in this process: (exit code, stdout, stderr)."""

    def here(*arguments: object) -> Told:
        code = run(cli, [str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return here


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_the_options_of_the_reference(here: Callable[..., Told], words: tuple[str, ...]) -> None:
    """`--help` of each command says what it does and lists its own options and the global ones."""
    code, told, _ = here(*words, "--help")
    assert code == 0
    assert re.search(r"\n\n  \S.{20}", told), "a sentence on what it does"
    listed = set(re.findall(r"--[a-z-]+", told))
    assert listed >= {*COMMANDS[words], *GLOBAL}


def test_no_command_is_missing_from_this_list(here: Callable[..., Told]) -> None:
    """Every command that exists is checked above."""
    context = cli.make_context("manor", ["init", "x"], resilient_parsing=True)
    found = set()
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        children = getattr(command, "commands", None)
        found |= {(name, child) for child in children} if children else {(name,)}
    assert found == set(COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--format", "json", "multi-tenant", "preview"),
        ("multi-tenant", "--format", "json", "preview"),
        ("multi-tenant", "preview", "--format", "json"),
        ("--format", "yaml", "multi-tenant", "preview", "--format", "json"),
    ],
)
def test_global_options_stand_before_or_after_the_verb(
    here: Callable[..., Told], draft: Any, arguments: tuple[str, ...]
) -> None:
    """Wherever they stand they mean the same, and the last word counts."""
    code, told, _ = here(*arguments, "--registry", draft.registry)
    assert code == 0
    assert json.loads(told)["total"] == 6


def test_the_three_formats_say_the_same(here: Callable[..., Told], draft: Any) -> None:
    """A table for people, JSON and YAML for programs, with one content."""
    verb = ("multi-tenant", "preview", "--registry", draft.registry, "--limit", 6)
    _, table, _ = here(*verb)
    document = json.loads(here(*verb, "--format", "json")[1])
    assert yaml.safe_load(here(*verb, "--format", "yaml")[1]) == document
    assert [d["database"] for d in document["databases"]] == re.findall(r"^\s*(acme_\w+)", table, re.MULTILINE)
    assert document["databases"][0]["tenant_id"] == "acme/standard/001"


def test_preview_is_cut_and_says_how_much_is_left(here: Callable[..., Told], draft: Any) -> None:
    """Five rows unless told otherwise, as in the reference."""
    _, told, _ = here("multi-tenant", "preview", "--registry", draft.registry)
    assert "... and 1 more" in told
    _, told, _ = here("multi-tenant", "preview", "--registry", draft.registry, "--group", "partners", "--limit", 1)
    assert "acme_partner_001" in told
    assert "... and 1 more" in told


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nonsense",), "No such command"),
        (("multi-tenant", "deploy"), "--registry"),
        (("multi-tenant", "deploy", "--registry", "r.yaml", "--parallel", "0"), "--parallel"),
        (("multi-tenant", "deploy", "--registry", "r.yaml", "--limit", "-1"), "--limit"),
        (("multi-tenant", "add-tenants", "--registry", "r.yaml", "--group", "g", "--count", "0"), "--count"),
        (("tenant", "show"), "TENANT"),
        (("tenant", "show", "a", "b"), "unexpected"),
        (("--format", "xml", "tenant", "list"), "--format"),
        (("audit", "list", "--limit", "many"), "--limit"),
    ],
)
def test_misuse_is_exit_code_2_and_says_what_was_wrong(
    here: Callable[..., Told], arguments: tuple[str, ...], reason: str
) -> None:
    """Usage on stderr, nothing on stdout."""
    code, told, error = here(*arguments)
    assert (code, told) == (2, "")
    assert reason in error


def test_init_makes_a_project_that_validates(here: Callable[..., Told], tmp_path: Path) -> None:
    """The blueprint is complete: what `init` writes, `validate` finds nothing wrong with."""
    code, told, _ = here("--format", "json", "init", "--blueprint", "saas", tmp_path / "new")
    assert code == 0
    document = json.loads(told)
    assert "customer_a/tenant_registry.yaml" in document["files"]
    code, told, _ = here("multi-tenant", "validate", "--registry", tmp_path / "new" / "customer_a" / "tenant_registry.yaml")
    assert code == 0, told
    assert "153 databases" in told


def test_init_refuses_a_folder_that_is_not_empty(here: Callable[..., Told], tmp_path: Path) -> None:
    """Nothing is overwritten; the exit code is that of a refusal."""
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    code, _, error = here("init", tmp_path)
    assert code == 3
    assert "not empty" in error
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    code, _, error = here("init", tmp_path / "mine.txt")
    assert code == 3
    code, _, error = here("init", "--blueprint", "sas", tmp_path / "new")
    assert code == 2
    assert "saas" in error
    assert not (tmp_path / "new").exists()


def test_the_registrys_json_schema_is_one_and_knows_every_key_of_the_reference(here: Callable[..., Told]) -> None:
    """`manor schema registry` prints a JSON Schema; its references resolve, its objects know each key of the reference."""
    code, told, _ = here("schema", "registry")
    assert code == 0
    schema = json.loads(told)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert yaml.safe_load(here("schema", "registry", "--format", "yaml")[1]) == schema
    text = (DATA / "reference_registry.yaml").read_text(encoding="utf-8")
    text += (DATA / "reference_registry_extension.yaml").read_text(encoding="utf-8")
    assert list(unknown_keys(schema, schema, yaml.safe_load(text), "")) == []
    assert list(unknown_keys(schema, schema, {"customer_inf": {}}, "")) == ["/customer_inf"]


def unknown_keys(root: dict[str, Any], schema: dict[str, Any], value: Any, path: str) -> list[str]:
    """Keys of ``value`` that the schema has no place for, in the branch of it that fits best."""
    if "$ref" in schema:
        return unknown_keys(root, resolved(root, schema["$ref"]), value, path)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return min((unknown_keys(root, branch, value, path) for branch in branches), key=len)
    if isinstance(value, list):
        items = schema.get("items", {})
        return [found for n, item in enumerate(value) for found in unknown_keys(root, items, item, f"{path}/{n}")]
    if not isinstance(value, dict) or not schema:
        return []
    if schema.get("type") not in (None, "object"):
        return [f"{path} is no {schema['type']}"]
    found = []
    for key, inner in value.items():
        place = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
        if place is False:
            found.append(f"{path}/{key}")
        elif isinstance(place, dict):
            found += unknown_keys(root, place, inner, f"{path}/{key}")
    return found


def resolved(root: dict[str, Any], reference: str) -> dict[str, Any]:
    """What a reference inside the schema points to; a dangling one fails the test."""
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found
