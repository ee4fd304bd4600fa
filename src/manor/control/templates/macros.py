"""``${MACRO}`` in schemas: names of schemas, tables, columns, indexes and views that differ from project to project. Pure.

One scan over parsed values, the same for a ``schema.yaml`` and for a schema that a template rendered: the author's text is
searched for macros, values are inserted and never searched. In SQL a value stays data (``sql_text``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manor.control.templates.opaque import Slot, Value, as_text, split
from manor.control.templates.rendered_yaml import Scattered
from manor.control.templates.sql_text import join_sql
from manor.errors import Finding, InputError
from manor.scan import Syntax, Variable, scan, suggest
from manor.typed_input import Path
from manor.yaml_reader import YamlDocument

SQL_KEYS = frozenset(
    {"default_value", "expression", "partial_condition", "condition", "body", "select_statement", "column_type", "base_type"}
)
"""Keys of a schema whose values are SQL."""
_LISTS_OF_SQL = frozenset({"columns", "include_columns"})

Parts = list[str | tuple[Value]]
"""The author's text, and values in tuples of one."""


class MacroProcessor:
    """Exchanges macros (and the marks of a rendered template) in schemas for their values."""

    def __init__(self, context: Mapping[str, str], values: Sequence[Value] = ()) -> None:
        """``context``: by the macro's name in any case; ``values``: what the marks of a rendered document stand for."""
        self.context = {name.upper(): value for name, value in context.items()}
        if "TENANT_PREFIX" not in self.context and "CUSTOMER_CODE" in self.context:
            parts = (self.context["CUSTOMER_CODE"], self.context.get("REGION", ""))
            self.context["TENANT_PREFIX"] = "_".join(filter(None, parts))
        self.values = values

    def process_schema_manager(self, document: YamlDocument) -> tuple[YamlDocument, list[Finding]]:
        """The parsed schema with every name final, and all that is wrong: unknown macros, values that would become SQL.

        ``document`` itself stays as it is. Places of the new one are those of the old.
        """
        walk = _Walk(self, document)
        value = walk.value(document.value, ())
        return document.with_values(value, walk.names), walk.findings

    def process(self, text: str | Scattered, *, sql: bool = False) -> str:
        """One text with its macros exchanged. Raises ``InputError`` for an unknown one, with a suggestion."""
        parts = self._parts(text)
        if sql:
            return join_sql(parts)
        return "".join(part if isinstance(part, str) else as_text(part[0]) for part in parts)

    def _parts(self, text: str | Scattered) -> Parts:
        found: Parts = []
        for piece in split(text) if isinstance(text, str) else text.parts:
            if isinstance(piece, Slot):
                found.append((self.values[piece.number],))
            else:
                found.extend(self._scanned(piece))
        return found

    def _scanned(self, text: str) -> Parts:
        if "${" not in text:
            return [text]
        return [(self._macro(part.name),) if isinstance(part, Variable) else part for part in scan(text, Syntax.MACRO).parts]

    def _macro(self, name: str) -> str:
        if name not in self.context:
            hint = suggest(name, self.context) or f"give it under name_macros, or write $${{{name}}} for the text itself"
            raise InputError(f"the macro ${{{name}}} is not defined", hint=hint)
        return self.context[name]


def macro_names(value: Any) -> frozenset[str]:
    """The macros that a parsed schema uses, in capitals."""
    if isinstance(value, dict):
        return frozenset().union(*(macro_names(key) | macro_names(item) for key, item in value.items()))
    if isinstance(value, list):
        return frozenset().union(*map(macro_names, value))
    pieces = [value] if isinstance(value, str) else value.parts if isinstance(value, Scattered) else []
    return frozenset().union(*(scan(p, Syntax.MACRO).names for p in pieces if isinstance(p, str) and "${" in p))


def is_sql(path: Path) -> bool:
    """Whether the text at ``path`` of a schema is SQL."""
    last = path[-1] if path else ""
    if isinstance(last, int):
        return len(path) > 1 and path[-2] in _LISTS_OF_SQL
    return last in SQL_KEYS


class _Walk:
    """Goes through one document and fills its texts."""

    def __init__(self, macros: MacroProcessor, document: YamlDocument) -> None:
        self.macros = macros
        self.document = document
        self.findings: list[Finding] = []
        self.names: dict[str, str] = {}
        """What the keys that held something have become."""

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return self.mapping(value, path)
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        return self.text(value, path) if isinstance(value, (str, Scattered)) else value

    def mapping(self, mapping: dict[str, Any], path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in mapping.items():
            name = self.key(key, (*path, key))
            if name in made:
                self.report(f"the key {name!r} stands twice", (*path, key), key=True)
            made[name] = self.value(item, (*path, key))
        return made

    def key(self, key: str, path: Path) -> str:
        if "${" not in key and split(key) == [key]:
            return key
        name = self.names[key] = str(self.text(key, path, key=True))
        return name

    def text(self, text: str | Scattered, path: Path, *, key: bool = False) -> Value:
        sql = not key and is_sql(path)
        if isinstance(text, Scattered) and not sql and isinstance(number := text.alone, int):
            return self.macros.values[number]
        try:
            return self.macros.process(text, sql=sql)
        except InputError as error:
            self.report(error.message, path, error.hint, key=key)
            return "x"

    def report(self, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.findings.append(Finding(message=message, place=self.document.place(path, key=key), hint=hint))
