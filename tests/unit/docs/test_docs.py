"""The documentation, checked like code: nothing undocumented, nothing documented that is not there, no link into the void."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from manor.cli.main import cli
from manor.cli.options import GlobalOptions
from manor.control.registry.acted_on import WAITING, WAITING_OF_GROUPS, refusals
from manor.control.registry.model import Registry, json_schema
from manor.control.templates.mapping import MappingFile
from manor.errors import EXIT_CODES, Code, Place
from manor.settings_shapes import EnvironFile, ProjectFile

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
WITH_COMMANDS = [page for page in PAGES if "decisions" not in page.parts and page.name != "CONTRIBUTING.md"]
MADE_BY_OTHERS = {"benchmarks/RESULTS.md"}
"""Linked from the README and written by `make bench`."""


def load_generator() -> ModuleType:
    found = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


generate = load_generator()


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


# The generated pages


def test_the_generated_pages_are_what_the_code_says() -> None:
    """Whoever changes a key, a command, a type or an error runs `make docs`."""
    assert generate.outdated() == []


def test_checking_names_the_page_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--check`` writes nothing, says which page is old, and fails."""
    monkeypatch.setattr(generate, "REFERENCE", tmp_path / "reference")
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "reference" / "errors.md").write_text("old", encoding="utf-8")
    assert generate.main(["--check"]) == 1
    assert "docs/reference/errors.md" in capsys.readouterr().err
    assert (tmp_path / "reference" / "errors.md").read_text(encoding="utf-8") == "old"


def keys_in_schema(schema: dict[str, Any], shape: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of all keys of a JSON Schema, by another road than the generator's."""
    if "$ref" in shape:
        yield from keys_in_schema(schema, schema["$defs"][shape["$ref"].rpartition("/")[2]], path)
    for part in (*shape.get("anyOf", ()), *shape.get("oneOf", ())):
        yield from keys_in_schema(schema, part, path)
    for name, inner in shape.get("properties", {}).items():
        yield f"{path}{name}"
        yield from keys_in_schema(schema, inner, f"{path}{name}.")
    for below in (shape.get("items"), shape.get("additionalProperties")):
        if isinstance(below, dict):
            yield from keys_in_schema(schema, below, f"{path}*.")


@pytest.mark.parametrize(
    ("page", "schema"),
    [
        ("registry.md", json_schema()),
        ("mapping.md", MappingFile.model_json_schema()),
        ("settings.md", ProjectFile.model_json_schema()),
        ("settings.md", EnvironFile.model_json_schema()),
    ],
    ids=["registry", "mapping", "project", "environ"],
)
def test_every_key_is_documented(page: str, schema: dict[str, Any]) -> None:
    """Every key of a format has a row, with a description."""
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([^|]*) \| [^|]* \|$", text_of(page), re.MULTILINE)
    described = {key for key, meaning in rows if meaning}
    assert set(keys_in_schema(schema, schema)) - described == set()


def test_the_registry_page_says_not_yet_where_nothing_acts() -> None:
    """The last column follows the table that validate and deploy print from."""
    column = dict(re.findall(r"^\| `([^`]+)` \|.*\| ([^|]*) \|$", text_of("registry.md"), re.MULTILINE))
    waiting = {key for key, acted_on in column.items() if acted_on == "not yet"}
    assert {".".join(path) for path in WAITING} <= waiting
    assert {f"database_groups.*.{key}" for key in WAITING_OF_GROUPS} <= waiting


class Anywhere:
    """Places for a registry that stands in no file."""

    def place(self, path: object = (), *, key: bool = False) -> Place:
        """Its dotted path."""
        return Place(".".join(map(str, path)))  # type: ignore[call-overload]


def test_the_registry_page_names_exactly_what_deploy_refuses() -> None:
    """Each setting that stops a deploy is documented so, and no other."""
    registry = Registry.model_validate(
        {
            "registry_version": "2.0",
            "customer_info": {"customer_code": "c"},
            "database_groups": {},
            "environment_config": {
                "security": {"tenant_isolation": "schema", "cross_tenant_access": True, "audit_logging": False}
            },
            "hooks": {"pre_provision": ["a.sh"], "post_provision": ["b.sh"], "pre_update": ["c"], "post_update": ["d"]},
        }
    )
    refused = {finding.place.file for finding in refusals(registry, Anywhere())}
    assert {path for path, condition in generate.CONDITIONS.items() if "refuses" in condition} == refused


def test_every_variable_of_the_environment_is_documented() -> None:
    """A variable of ours that some module reads has a row in the settings."""
    read = {
        name
        for file in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'"(MANOR_[A-Z_]+)"', file.read_text(encoding="utf-8"))
    }
    assert {name for name in read if f"| `{name}` |" not in text_of("settings.md")} == set()


def test_every_error_code_is_documented_with_its_exit_code() -> None:
    """errors.md has each code with its exit code and meaning, and when-a-deploy-fails.md what to do next."""
    how_to = (DOCS / "how-to" / "when-a-deploy-fails.md").read_text(encoding="utf-8")
    for code in Code:
        assert re.search(rf"^\| `{code}` \| {EXIT_CODES[code]} \| \S", text_of("errors.md"), re.MULTILINE), code
        assert re.search(rf"^\| `{code}` \| \S[^|]* \| \S", how_to, re.MULTILINE), code


def commands() -> dict[str, click.Command]:
    return dict(generate.commands())


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_documented(name: str) -> None:
    """A command has a section; each of its options stands in it or among the global ones, and has a help text."""
    section = text_of("commands.md").partition(f"## `manor {name}`\n")[2].partition("\n## ")[0]
    before = text_of("commands.md").partition("\n## ")[0]
    assert section.strip()
    for option in commands()[name].params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert all(f"`{opt}`" in section or f"`{opt}`" in before for opt in option.opts), option.name


# Links


def links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    """And where it names a section, to that section."""
    for link in links(page):
        path, _, section = link.partition("#")
        if "://" in path or path in MADE_BY_OTHERS:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not section or section in anchors(target), link


def test_every_page_can_be_reached_from_the_index() -> None:
    """No page is only found by listing the folder; decisions are listed by their folder."""
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.is_file():
            reached.add(page)
            waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
    wanted = {page.resolve() for page in DOCS.rglob("*.md") if "decisions" not in page.parts}
    assert wanted - {page.resolve() for page in reached} == set()


# Commands that pages show


def shown_commands() -> list[tuple[str, list[str]]]:
    """(page, words) of every manor command in a bash block or in a README's console block."""
    found = []
    for page in WITH_COMMANDS:
        for block in re.findall(r"^```(?:bash|console)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            block = re.sub(r"^cat > .*?<<'END'\n.*?^END$", "", block, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
            for line in block.splitlines():
                found += [(shown(page), words) for words in manor_calls(line.removeprefix("$ "))]
    return found


def manor_calls(line: str) -> list[list[str]]:
    """The words behind ``manor`` for each call in one shell line."""
    words = shlex.split(line, comments=True)
    starts = [i for i, word in enumerate(words) if word == "manor" and (i == 0 or words[i - 1] in {"&&", "||", ";"})]
    calls = []
    for start in starts:
        rest = words[start + 1 :]
        end = next((i for i, word in enumerate(rest) if word in {"&&", "||", ";", "|"}), len(rest))
        calls.append(rest[:end])
    return calls


def parse(words: list[str]) -> None:
    """Let click read a command line without running anything. Raises ``click.ClickException`` where it cannot."""
    context = cli.make_context("manor", list(words), obj=GlobalOptions())
    group: click.Command = cli
    while isinstance(group, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, arguments = group.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, arguments, parent=context)
        group = command


@pytest.mark.parametrize(("page", "words"), shown_commands(), ids=lambda v: " ".join(v) if isinstance(v, list) else v)
def test_a_command_that_a_page_shows_exists_with_these_options(page: str, words: list[str]) -> None:
    """What stands in a block can be typed: click's parser accepts it."""
    if words == ["--version"]:
        return
    parse(words)


@pytest.mark.parametrize("words", [["tenant", "show", "--drfit", "x"], ["multi-tenant", "deploy"], ["tenants", "list"]])
def test_the_check_of_commands_finds_a_wrong_one(words: list[str]) -> None:
    """A wrong option, a missing one, and a command that there is not."""
    with pytest.raises(click.ClickException):
        parse(words)


def test_pages_show_enough_commands_to_be_worth_checking() -> None:
    """The blocks are found: README and quick start alone show dozens."""
    assert len(shown_commands()) > 60


def test_both_quick_starts_run_the_same_blocks() -> None:
    """The translation differs in its prose only."""
    english, japanese = (
        re.findall(r"^```.*?^```", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for name in ("quick-start.md", "quick-start.ja.md")
    )
    assert english == japanese


# Names of the design documents


def names_rows() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text_of("names.md"), re.MULTILINE)
    return [row for row in rows if row[0] not in {"There", "---"}]


@pytest.mark.parametrize(("there", "here"), names_rows())
def test_a_name_of_the_design_documents_leads_somewhere(there: str, here: str) -> None:
    """Python names can be imported, commands exist, files are in the blueprint; everything else says that it comes later."""
    named = re.findall(r"`([^`]+)`", here)
    assert named or here.startswith("comes later")
    for name in named:
        if name.startswith("manor "):
            assert name.removeprefix("manor ") in commands()
        elif f"file `{name}`" in here:
            assert (ROOT / "src" / "manor" / "blueprints" / "saas" / name).is_file()
        elif name not in {"{VAR}", "manor.tenants", "manor.audit_log"}:
            module, _, attribute = name.partition(":")
            imported = importlib.import_module(module)
            assert not attribute or hasattr(imported, attribute)
