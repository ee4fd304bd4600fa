"""``TenantTemplateEngine``: a tenant and a template to a document, values always data.

Templates are compiled once and kept; documents that differ in values only are parsed once. Nothing here reads the registry but
``generate_environment_config``, which is handed one.
"""

from __future__ import annotations

import itertools
import re
import traceback
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Template, TemplateError, TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from manor.control.templates.jinja_sandbox import TemplateSandbox
from manor.control.templates.macros import MacroProcessor
from manor.control.templates.opaque import LEDGER, Ledger, Value
from manor.control.templates.rendered_yaml import Skeletons, read_rendered
from manor.control.templates.schema_layer import SchemaLayer
from manor.control.templates.schema_yaml import parse_schema
from manor.control.templates.template_files import TemplateFiles
from manor.control.templates.tenant_names import TenantFacts
from manor.control.templates.tenant_view import TenantView, plain_value
from manor.errors import Finding, InputError, InvalidInput, ManorError, NotFoundError, Place
from manor.scan import suggest
from manor.yaml_reader import YamlDocument

ENVIRONMENT_TEMPLATE = "environment.j2"
SCHEMA_TEMPLATE = "schema.j2"
MAX_STEPS = 100_000
"""Turns of loops and calls in one rendering, all together."""
MAX_OUTPUT_CHARACTERS = 4_000_000
COMPILED_TEMPLATES = 200
_PARTS_AT_A_TIME = 64
_OF_EXPRESSIONS = (
    ArithmeticError, AttributeError, LookupError, MemoryError, NameError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
"""What an expression of a template can raise; the text of a template is the author's, so that it is an error of input."""


class TenantLookup(Protocol):
    """What the engine asks of a source of tenants."""

    async def get_tenant(self, tenant_id: str) -> TenantFacts:
        """One tenant. Raises ``NotFoundError``."""
        ...

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """Its own settings, JSON values."""
        ...


class TenantTemplateEngine:
    """Renders the templates of one folder. Not to be shared by threads; a rendering never waits."""

    def __init__(
        self,
        template_dir: Path | str | None = None,
        registry: TenantLookup | None = None,
        cache_enabled: bool = True,
        *,
        shown_as: str = "",
        schema_templates: Mapping[str, str] | None = None,
    ) -> None:
        """``template_dir`` is the project's ``templates.base_dir``; without one, or for a template that it has not, Manor's own
        serve. ``shown_as`` is how messages name the folder. ``cache_enabled=False`` compiles and parses anew each time.
        ``schema_templates`` are files of the folder by the names that the project gives them."""
        folder = Path(template_dir) if template_dir is not None else None
        self.registry = registry
        self.schema_templates = dict(schema_templates or {})
        self.files = TemplateFiles(folder, _built_in(), shown_as=shown_as)
        self.cache_enabled = cache_enabled
        self._compiled: dict[str, Template] = {}
        self._sandbox = TemplateSandbox(self.files, cache_size=COMPILED_TEMPLATES if cache_enabled else 0)
        self._skeletons = Skeletons() if cache_enabled else Skeletons(limit=0)

    async def generate_environment_config(self, tenant_id: str) -> dict[str, Any]:
        """The environment of a tenant of the registry, as ``environment.j2`` says it.

        Raises ``NotFoundError`` for a tenant that the registry has not, ``InputError`` with a place for a template that fails.
        """
        if self.registry is None:
            raise InputError("the template engine has no registry to find tenants in")
        tenant = await self.registry.get_tenant(tenant_id)
        config = await self.registry.get_tenant_config(tenant_id)
        return self.environment_config(tenant, config)

    def environment_config(self, tenant: TenantFacts, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """``generate_environment_config`` for a tenant at hand."""
        document = self.generate(ENVIRONMENT_TEMPLATE, tenant, config)
        if not isinstance(document, dict):
            raise InputError(f"tenant {tenant.tenant_id}: it renders no mapping", place=self._place(ENVIRONMENT_TEMPLATE))
        return document

    def generate(self, name: str, tenant: TenantFacts, config: Mapping[str, Any] | None = None) -> Any:
        """The document that the template ``name`` means for a tenant. Raises ``InputError`` with a place."""
        text, values = self.render(name, tenant, config)
        try:
            return self._skeletons.fill(text, name, values)
        except InputError as error:
            raise self._as_rendered(error, name, tenant) from error

    def generate_schema(
        self,
        tenant: TenantFacts,
        config: Mapping[str, Any] | None = None,
        *,
        template: str = "",
        name_macros: Mapping[str, str] | None = None,
    ) -> SchemaLayer:
        """The tables, views and triggers that a schema template means for a tenant: the objects that a ``schema.yaml`` gives.

        ``template`` is a name of ``schema_templates``; without one ``schema.j2`` of the folder. Raises ``NotFoundError`` for a
        name that is not there, ``InputError`` for a template that fails, ``InvalidInput`` with all that is wrong with a schema.
        """
        document, findings = self.schema_document(template, tenant, config, name_macros or {})
        layer, more = parse_schema(document, rendered=True)
        errors = [finding for finding in (*findings, *more) if finding.severity == "error"]
        if errors:
            raise InvalidInput(errors)
        return layer

    def schema_document(
        self, template: str, tenant: TenantFacts, config: Mapping[str, Any] | None, name_macros: Mapping[str, str]
    ) -> tuple[YamlDocument, list[Finding]]:
        """The parsed schema with every name final, and what is wrong with macros and values. Raises as ``generate_schema``."""
        name = self._schema_file(template)
        text, values = self.render(name, tenant, config)
        document = read_rendered(text, self.as_rendered(name, tenant))
        return MacroProcessor(name_macros, values).process_schema_manager(document)

    def _schema_file(self, template: str) -> str:
        if not template:
            return SCHEMA_TEMPLATE
        if template not in self.schema_templates:
            hint = suggest(template, self.schema_templates) or "declare it in multi_tenant.templates of project.yaml"
            raise NotFoundError(f"there is no schema template {template!r}", hint=hint)
        return self.schema_templates[template]

    def render(self, name: str, tenant: TenantFacts, config: Mapping[str, Any] | None = None) -> tuple[str, Sequence[Value]]:
        """(text with marks, the values that the marks stand for). Raises ``InputError`` with the template's line."""
        view = TenantView(tenant)
        known = {"tenant": view, "config": plain_value(config or {}), "instances": view.field("instances")}
        ledger = Ledger(MAX_STEPS)
        token = LEDGER.set(ledger)
        try:
            return self._text(name, known), ledger.values
        except (InputError, TemplateError, *_OF_EXPRESSIONS) as error:
            raise self._explained(error, name, tenant, known) from error
        finally:
            LEDGER.reset(token)

    def _text(self, name: str, known: Mapping[str, Any]) -> str:
        stream = self._template(name).generate(known)
        chunks: list[str] = []
        left = MAX_OUTPUT_CHARACTERS
        while chunk := "".join(itertools.islice(stream, _PARTS_AT_A_TIME)):
            left -= len(chunk)
            if left < 0:
                raise InputError(f"the template writes more than {MAX_OUTPUT_CHARACTERS:,} characters")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else "".join(chunks)

    def _template(self, name: str) -> Template:
        """A compiled template; one that was used before is at hand."""
        found = self._compiled.get(name)
        if found is None:
            found = self._sandbox.get_template(name)
            if self.cache_enabled:
                self._compiled[name] = found
        return found

    def environment_place(self, tenant: TenantFacts) -> Place:
        """What is wrong with a tenant's environment stands there."""
        return Place(self.as_rendered(ENVIRONMENT_TEMPLATE, tenant))

    def as_rendered(self, name: str, tenant: TenantFacts) -> str:
        """How places name a rendered text."""
        return f"{self.files.shown(name)} (as rendered for {tenant.tenant_id})"

    def _as_rendered(self, error: InputError, name: str, tenant: TenantFacts) -> InputError:
        line, column = (error.place.line, error.place.column) if error.place else (0, 0)
        place = Place(self.as_rendered(name, tenant), line, column)
        return InputError(error.message, place=place, hint=error.hint)

    def _place(self, name: str, line: int = 0) -> Place:
        return Place(self.files.shown(name), line, 1 if line else 0)

    def _explained(self, error: Exception, name: str, tenant: TenantFacts, known: Mapping[str, Any]) -> ManorError:
        """What went wrong while a template rendered, with the line of the template that it went wrong at."""
        if isinstance(error, TemplateNotFound):
            hint = f"put it into the folder {self.files.shown_as}" if self.files.shown_as else "name the folder of templates"
            return NotFoundError(f"there is no template {error.name!r}", place=self._place(name), hint=hint)
        place = self._line_of(error) or self._place(name)
        message, hint = _message(error, known)
        if isinstance(error, InputError):
            place, hint = error.place or place, error.hint
        return InputError(f"tenant {tenant.tenant_id}: {message}", place=place, hint=hint)

    def _line_of(self, error: Exception) -> Place | None:
        if isinstance(error, TemplateSyntaxError):
            return Place(error.filename or self.files.shown(error.name or ""), error.lineno, 1)
        frames = traceback.extract_tb(error.__traceback__, limit=-20)
        known = [frame for frame in frames if frame.filename.endswith(".j2")]
        return Place(known[-1].filename, known[-1].lineno or 0, 1) if known else None


def _built_in() -> dict[str, str]:
    here = resources.files("manor.control.templates")
    return {ENVIRONMENT_TEMPLATE: here.joinpath(ENVIRONMENT_TEMPLATE).read_text(encoding="utf-8")}


def _message(error: Exception, known: Mapping[str, Any]) -> tuple[str, str]:
    """(what happened, hint). Jinja2's own words, except where they show Python's insides."""
    if isinstance(error, InputError):
        return error.message, error.hint
    if isinstance(error, UndefinedError):
        message = str(error.message)
        unknown = re.fullmatch(r"'([^']+)' is undefined", message)
        return message, suggest(unknown.group(1), known) if unknown else ""
    if isinstance(error, TemplateSyntaxError):
        return f"this is not a template of Jinja2: {error.message}", ""
    if isinstance(error, SecurityError):
        return f"the sandbox refuses this: {error.message}", "templates look at values; they run no code"
    if isinstance(error, RecursionError):
        return "the template calls itself without end", ""
    return str(error), ""
