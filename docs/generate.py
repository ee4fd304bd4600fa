"""Writes the generated pages of docs/reference from the code: models, tables and commands are their only source.

``python docs/generate.py`` writes, ``--check`` exits with 1 and names the pages that differ from what it would write.
Assumes an installed Manor; reads no server and no network.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import BaseModel

from manor import errors
from manor.cli.main import cli
from manor.cli.options import with_global_options
from manor.control.catalog.secrets import KEY_FILE_VARIABLE, KEY_VARIABLE
from manor.control.engines.embedded.account import ACCOUNT_VARIABLE
from manor.control.engines.embedded.layout import STATE_VARIABLE
from manor.control.engines.postgres import types as postgres_types
from manor.control.registry.acted_on import UTF8_CHARSETS, WAITING, WAITING_OF_GROUPS
from manor.control.registry.model import FixedGroup, Registry, TenantGroup
from manor.control.templates.data_settings import ACTED_ON, DataSettingsFile
from manor.control.templates.mapping import MappingFile
from manor.control.templates.model import Column
from manor.control.templates.schema_format import SchemaFile
from manor.errors import EXIT_CODES, Code, ManorError
from manor.settings_shapes import EnvironFile, ProjectFile
from manor.typed_input import attribute_docstrings

REFERENCE = Path(__file__).parent / "reference"
NOTICE = "<!-- Written by docs/generate.py from the code. Do not edit: run `make docs`. -->\n"
YES, LATER = "yes", "not yet"

# Models


def shape_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of each key of ``model``."""
    schema = model.model_json_schema()
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    properties: dict[str, Any] = schema["properties"]
    return properties


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that stand in a type, nearest first."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in models_in(argument)]


def children(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """(path, model) of every mapping below ``model``; ``*`` stands for a name or a position."""
    for name, field in model.model_fields.items():
        origin = typing.get_origin(field.annotation)
        below = f"{path}{name}{'.*' if origin in (dict, list) else ''}"
        for child in models_in(field.annotation):
            yield below, child


def walk(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """``model`` and every model below it with the path of its keys, ending with a dot unless it is the root."""
    yield path, model
    for below, child in children(model, path):
        yield from walk(child, f"{below}.")


def type_text(shape: dict[str, Any]) -> str:
    """A JSON Schema as people say it: ``whole number, 1 to 256``."""
    if "$ref" in shape or "oneOf" in shape:
        return "mapping"
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(type_text(part) for part in shape["anyOf"] if part.get("type") != "null"))
    if "const" in shape:
        return f'`"{shape["const"]}"`'
    if "enum" in shape:
        return " or ".join(f"`{value}`" for value in shape["enum"])
    return _plain_type(shape)


def _plain_type(shape: dict[str, Any]) -> str:
    kind = shape.get("type", "any")
    if isinstance(kind, list):
        kind = " or ".join(_KINDS[part] for part in kind if part != "null")
    elif kind == "array":
        kind = f"list of {type_text(shape.get('items', {}))}"
    elif kind == "object":
        inner = shape.get("additionalProperties")
        kind = f"mapping of names to {type_text(inner)}" if isinstance(inner, dict) and inner else "mapping"
    else:
        kind = _KINDS[kind]
    return kind + _bounds(shape)


_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "any": "any value"}


def _bounds(shape: dict[str, Any]) -> str:
    low, high = shape.get("minimum"), shape.get("maximum")
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    if low is not None:
        return f", at least {low:,}"
    return f" matching `{shape['pattern'].replace('|', chr(92) + '|')}`" if len(shape.get("pattern", "")) > 12 else ""


def default_text(model: type[BaseModel], name: str) -> str:
    """The default as it would be written, ``required`` where there is none to be had."""
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None or default == "" or isinstance(default, BaseModel) or default in ({}, []):
        return "–"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def unit_of(description: str) -> str:
    """The unit that a description names."""
    if "percent" in description:
        return "%"
    lowered = description.lower()
    return "s" if "seconds" in lowered else "days" if "days for which" in lowered else ""


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def keys_table(model: type[BaseModel], path: str, acted_on: Callable[[str], str]) -> str:
    """One row per key of one model."""
    shapes = shape_of(model)
    descriptions = attribute_docstrings(model)
    rows = []
    for name in model.model_fields:
        description = descriptions.get(name, "")
        row = (f"`{path}{name}`", type_text(shapes[name]), default_text(model, name), unit_of(description))
        rows.append((*row, cell(description), acted_on(f"{path}{name}")))
    return table(("Key", "Type", "Default", "Unit", "Meaning", "Acted on"), rows)


def model_page(model: type[BaseModel], acted_on: Callable[[str], str], *, level: str = "##", without: str = "\n") -> str:
    """Every model from ``model`` down as a section with a table, but for what stands below ``without``."""
    parts = []
    for path, part in walk(model):
        if path.startswith(without):
            continue
        name = path.rstrip(".")
        if part in (TenantGroup, FixedGroup):
            name += f"` with `type: {part.model_fields['type'].annotation.__args__[0]}"  # type: ignore[union-attr]
        title = f"{level} `{name}`\n\n" if name else ""
        parts.append(f"{title}{cell(part.__doc__ or '')}\n\n{keys_table(part, path, acted_on)}")
    return "\n".join(parts)


# Registry

CONDITIONS = {
    "operations.provisioning.validate_before_create": "`true`: yes; `false`: not yet, Manor always validates",
    "environment_config.database_defaults.charset": f"{', '.join(sorted(UTF8_CHARSETS))}: yes; others: not yet",
    "environment_config.security.tenant_isolation": "`database`: yes; others: deploy refuses",
    "environment_config.security.cross_tenant_access": "`false`: yes; `true`: deploy refuses",
    "environment_config.security.audit_logging": "`true`: yes; `false`: deploy refuses",
}
"""Keys whose value decides."""


def registry_acted_on(path: str) -> str:
    """What ``manor.control.registry.acted_on`` says about a key."""
    if path in CONDITIONS:
        return CONDITIONS[path]
    steps = tuple(path.split("."))
    waiting = any(steps[: len(prefix)] == prefix for prefix in WAITING)
    return LATER if waiting or (steps[0] == "database_groups" and steps[-1] in WAITING_OF_GROUPS) else YES


def registry_page() -> str:
    return f"""{NOTICE}
# `tenant_registry.yaml`

Every key of the registry, version 2.0. The last column says whether Manor does something with it today: a key with "not
yet" is read and checked, and `validate` and `deploy` name it as "accepted, not acted on yet"; it is never passed over in
silence. Keys that stand nowhere below are refused with their place and the nearest known key. `manor schema registry`
prints the same as a JSON Schema for editors.

`*` stands for a name or a position in a list. Text in quotes may hold `{{NAME}}` where a variable is meant; `{{{{` and
`}}}}` are braces.

{model_page(Registry, registry_acted_on)}"""


# Templates


def described_acted_on(model: type[BaseModel]) -> Callable[[str], str]:
    """For formats whose descriptions say it themselves."""
    descriptions = {f"{path}{name}": text for path, part in walk(model) for name, text in attribute_docstrings(part).items()}

    def acted_on(path: str) -> str:
        text = descriptions.get(path, "")
        return LATER if "not acted on yet" in text else "no" if "not acted on" in text else YES

    return acted_on


def mapping_page() -> str:
    settings = keys_table(DataSettingsFile, "", lambda path: YES if path in ACTED_ON else "no")
    return f"""{NOTICE}
# `_mapping.yaml`

A folder beside the registry with a `_mapping.yaml` is a template. It may also hold `schema.yaml` or `schema.sql`
([tables](schema-yaml.md)), data files `<schema>@<table>.dat` (YAML), `.csv` or `.xlsx`, several of one table told apart
as `<schema>@<table>#<segment>.dat`, and for each table a `<schema>@<table>.yaml` (below). Text may hold `{{NAME}}`:
variables of the registry's group, keys of `customer_info`, and `tenant_id`.

{model_page(MappingFile, described_acted_on(MappingFile))}
## `<schema>@<table>.yaml`

{cell(DataSettingsFile.__doc__ or "")}

{settings}"""


TYPE_EXAMPLES = (
    ("TINYINT(1)", "MySQL's boolean"),
    ("BIT(1)", "MySQL's boolean"),
    ("BIT(8)", ""),
    ("FLOAT(24)", "up to 24 binary digits"),
    ("FLOAT(53)", ""),
    ("DOUBLE PRECISION", ""),
    ("DECIMAL(10,2)", ""),
    ("BIGINT UNSIGNED AUTO_INCREMENT", ""),
    ("TIMESTAMP WITHOUT TIME ZONE", "spelled out, it stays a local time"),
    ("TIMESTAMP(3) WITH TIME ZONE", ""),
    ("CHARACTER VARYING(100)", ""),
    ("NATIONAL CHAR(10)", ""),
    ("VARCHAR(100) CHARACTER SET utf8mb4", "the character set is dropped"),
    ("ENUM('a','b')", "with a CHECK of the values"),
    ("SET('a','b')", "with a CHECK of the values"),
    ("INTEGER[]", ""),
)


def translated(spelling: str) -> str:
    """PostgreSQL's type for a spelling, ``–`` where there is none."""
    try:
        found = postgres_types.translate_type(Column(name="c", type=spelling))
    except errors.InputError:
        return "–"
    return f"`{found.sql}`" + (" identity" if found.identity else "")


def type_rows() -> list[tuple[str, ...]]:
    """Spellings that become the same type, one row; those that PostgreSQL has under the same name, last and together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, rule in postgres_types._RULES.items():
        found = (translated(name), translated(f"{name} unsigned") if rule.unsigned else "–")
        groups.setdefault(found, []).append(name)
    same = [names[0] for (sql, unsigned), names in groups.items() if names == [sql.strip("`")] and unsigned == "–"]
    rows = [(_spelled(names), *found) for found, names in groups.items() if names[0] not in same]
    return [*rows, (_spelled(same), "the same", "–")]


def _spelled(names: list[str]) -> str:
    return ", ".join(f"`{name.upper()}`" for name in names)


def schema_page() -> str:
    spellings = table(("Written", "PostgreSQL", "with UNSIGNED"), type_rows())
    examples = table(("Written", "PostgreSQL", ""), [(f"`{text}`", translated(text), note) for text, note in TYPE_EXAMPLES])
    rules = (postgres_types.__doc__ or "").partition("\n\n")[2].strip().replace("``", "`")
    return f"""{NOTICE}
# `schema.yaml` and column types

DBGear's format as Manor reads it. A `schema.yaml` may stand in the project's folder, in the environment's and in the
template's; they are merged table by table, and the nearer definition of a table wins. `schema.sql` (CREATE TABLE, INDEX,
VIEW and the like) may stand in the same places. All schemas of one database share one namespace ([decision
5](../decisions/0005-flat-namespace.md)).

{model_page(SchemaFile, described_acted_on(SchemaFile))}
## Column types

MySQL's and PostgreSQL's spellings both work, in any case of letters. Sizes are kept where PostgreSQL has them and dropped
where they are MySQL's display width. {rules}

{spellings}
Further spellings:

{examples}"""


# Settings


SOURCES = "multi_tenant.sources.*"


def settings_page() -> str:
    variables = table(
        ("Variable", "Meaning"),
        [
            (f"`{KEY_VARIABLE}`", "Keys of the catalog, comma-separated, newest first; each 32 random bytes in urlsafe base64"),
            (f"`{KEY_FILE_VARIABLE}`", f"File with such keys, where `{KEY_VARIABLE}` is not set; else `.manor/keys`"),
            (
                f"`{ACCOUNT_VARIABLE}`",
                "As root: the account that runs a new embedded server; else `postgres`, else `nobody`",
            ),
            (
                f"`{STATE_VARIABLE}`",
                "Folder for the embedded server's files that cannot stand in the project; else `/var/lib/manor` (root), "
                "`$XDG_STATE_HOME/manor` or `~/.local/state/manor`",
            ),
            (
                "`${NAME}`",
                "Any variable that `project.yaml` or `environ.yaml` names; a missing one is an error, "
                "in the settings of a source only where the source is used",
            ),
        ],
    )
    return f"""{NOTICE}
# Settings

Manor reads `project.yaml` in the project's folder (the nearest one upwards) and `environ.yaml` in the environment's
folder (the one that holds the registry). Both are optional. In both, `${{NAME}}` in a value is an environment variable
and `$$` a dollar sign: passwords belong into the environment.

## `project.yaml`

{model_page(ProjectFile, described_acted_on(ProjectFile), level="###", without=f"{SOURCES}.")}
Each of `{SOURCES}` has the keys of `multi_tenant.tenant_registry`; so has the file of `manor tenant sync --config`.

## `environ.yaml`

{model_page(EnvironFile, lambda _: YES, level="###")}
## Environment variables

{variables}
libpq's own variables (`PGSSLROOTCERT`, `PGSERVICEFILE`, …) count where a deployment's URL leaves something open."""


# Commands


def commands() -> Iterator[tuple[str, click.Command]]:
    """(name, command) of every command that does something, sorted."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", inner) for below, inner in sorted(command.commands.items()))
        elif command is not None:
            yield name, command


def global_options() -> list[click.Option]:
    """The options that stand before or after every verb."""

    @click.command()
    @with_global_options
    def nothing() -> None:
        """Carries them."""

    return [parameter for parameter in nothing.params if isinstance(parameter, click.Option)]


def option_row(option: click.Option) -> tuple[str, ...]:
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(cli))}".replace("|", "\\|")
    names = ", ".join(f"`{name}`" for name in option.opts)
    default = option.default if option.show_default and not option.is_flag else None
    text = (option.help or "").replace("  [default: ", " [default: ")
    needed = " Required." if option.required else f" [default: {default}]" if default is not None else ""
    return (f"{names}{value}", cell(f"{text}{needed}"))


def command_section(name: str, command: click.Command) -> str:
    everywhere = {option.name for option in global_options()}
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in everywhere]
    words = " ".join(p.make_metavar(click.Context(cli)) for p in command.params if isinstance(p, click.Argument))
    usage = " ".join(part for part in (f"manor {name}", "[OPTIONS]" if options else "", words) if part)
    rows = "\n" + table(("Option", "Meaning"), [option_row(option) for option in options]) if options else ""
    return f"## `manor {name}`\n\n{cell(command.help or '')}\n\n    {usage}\n{rows}"


EXITS = {
    errors.EXIT_OK: "all well",
    errors.EXIT_SOME_FAILED: "some databases failed, or something that was checked is not right",
    errors.EXIT_BAD_INPUT: "bad input: a file or an option cannot be used; nothing was changed",
    errors.EXIT_REFUSED: "refused for safety; nothing was changed",
    errors.EXIT_UNREACHABLE: "a server cannot be reached or does not let us in, or the key is not the catalog's",
    errors.EXIT_INTERRUPTED: "interrupted; what was under way is finished and recorded",
}


def exits_table() -> str:
    return table(("Exit code", "Meaning"), [(str(code), text) for code, text in EXITS.items()])


def commands_page() -> str:
    everywhere = table(("Option", "Meaning"), [option_row(option) for option in global_options()])
    sections = "\n".join(command_section(name, command) for name, command in commands())
    return f"""{NOTICE}
# Commands

Options of every command; they stand before or after the verb, and the last word counts:

{everywhere}
{exits_table()}
Results go to standard output, progress and errors to standard error. With `--format json` or `yaml` an error is a
document `{{"error": {{"code", "message", "hint"}}}}` too, a wrong option or command included; the codes are listed in
[errors](errors.md).

{sections}"""


# Errors

MEANINGS = {
    Code.BAD_INPUT: "What was written cannot be used: a file, an option, a statement that the server does not accept",
    Code.NOT_FOUND: "A thing that was named does not exist: a group, a tenant, a database",
    Code.CONFLICT: "Somebody else owns the name or holds the lock, or registry and record disagree",
    Code.REFUSED: "Doing it would be unsafe; the hint names the word that allows it, if there is one",
    Code.UNREACHABLE: "A server does not answer",
    Code.DENIED: "A server answers and does not let us in, or not do this; or the key is not the catalog's",
    Code.EXHAUSTED: "The server has no disk, memory or connections left",
    Code.TIMEOUT: "Not done within the time allowed",
    Code.INTERRUPTED: "Somebody stopped it",
    Code.DRIFT: "A database is not what its record says: schema, isolation value or access",
    Code.CORRUPT: "What Manor keeps (catalog, audit log, anchors, embedded server) is not as it must be",
    Code.UNSUPPORTED: "Understood, but this server, version or engine cannot do it",
    Code.INTERNAL: "A fault of Manor or of the server; please report it",
}


def error_classes() -> Iterator[type[ManorError]]:
    for found in vars(errors).values():
        if isinstance(found, type) and issubclass(found, ManorError):
            yield found


def errors_page() -> str:
    codes = [(f"`{code}`", str(EXIT_CODES[code]), MEANINGS[code]) for code in Code]
    classes = [(f"`{e.__name__}`", f"`{e.code}`", cell((e.__doc__ or "").replace("``", "`"))) for e in error_classes()]
    return f"""{NOTICE}
# Errors

Every failure has a code. A command that cannot begin ends with the exit code of that code. A fleet command gives each
database a code of its own in the report (`outcomes[].error.code`) and ends with 1 if there is one. What to do about each:
[when a deploy fails](../how-to/when-a-deploy-fails.md).

{table(("Code", "Exit code", "Meaning"), codes)}
{exits_table()}
## In Python

All are subclasses of `manor.errors.ManorError`, with `message`, `hint`, `place`, `code` and `transient`.

{table(("Class", "Code", "Meaning"), classes)}"""


# What outside suites say of the document layer

MOTO = Path(__file__).parents[1] / "tests" / "integration" / "outside" / "moto"
MOTO_TESTS, MOTO_SKIPPED, MOTO_VERIFIED = 708, 4, 180


def conformance_page() -> str:
    """The named lists of tests/integration/outside; the tests hold every store to them."""
    verified = (MOTO / "aws_verified.txt").read_text(encoding="utf-8").splitlines()
    differences = yaml.safe_load((MOTO / "differences.yaml").read_text(encoding="utf-8"))
    failing = [test for one in differences for test in one["tests"]]
    passing = MOTO_TESTS - MOTO_SKIPPED - len(failing)
    return f"""# Conformance to DynamoDB
{NOTICE}
The document layer is judged by tests that others wrote. Amazon DynamoDB's JSON protocol is spoken by an
[endpoint](../how-to/run-a-local-dynamodb.md) in front of each store, and the tests of moto 5.2.5 (Apache-2.0) are run
through it, unchanged. moto's authors run some of their tests against AWS itself. Nothing here was run against AWS by us.

| Tests of moto | all | pass in memory | pass on SQLite | pass on PostgreSQL |
|---|---|---|---|---|
| verified on AWS by their authors | {MOTO_VERIFIED} | {len(verified)} | {len(verified)} | {len(verified)} |
| all of `tests/test_dynamodb` ({MOTO_SKIPPED} skip themselves) | {MOTO_TESTS} | {passing} | {passing} | {passing} |

Every test run holds the three stores to the {len(verified)} by name (`tests/integration/outside/moto/aws_verified.txt`), every
nightly run to the whole list: a test that fails and is not named below is a fault, and so is one that is named and passes. The
same tests fail on all three stores.

## What does not pass, and why

Where a reason says what the service does, nobody here has tried it there; none of those tests is among the verified ones.
{"".join(_difference(one) for one in differences)}"""


def _difference(one: dict[str, Any]) -> str:
    sometimes = " Passes now and then." if one.get("sometimes") else ""
    tests = "\n".join(f"- `{test}`" for test in one["tests"])
    why = one["why"][0].upper() + one["why"][1:]
    return f"\n**{why}.**{sometimes}\n\n{tests}\n"


PAGES: dict[str, Callable[[], str]] = {
    "conformance.md": conformance_page,
    "registry.md": registry_page,
    "mapping.md": mapping_page,
    "schema-yaml.md": schema_page,
    "settings.md": settings_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
}


def outdated() -> list[str]:
    """Names of the pages that are not what the code says."""
    return [name for name, page in PAGES.items() if not _is_current(REFERENCE / name, page())]


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text.rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` only compare; returns the exit code."""
    if arguments == ["--check"]:
        old = outdated()
        for name in old:
            print(f"docs/reference/{name} is not what the code says: run make docs", file=sys.stderr)
        return 1 if old else 0
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page().rstrip() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
