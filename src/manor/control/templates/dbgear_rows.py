"""Rows as DBGear reads them: ``$name`` is one of its variables where there is one of that name, ``$$name`` is the text. Pure.

Braces are text. A name that is no variable stays as it is written, dollar sign included. DBGear takes every text with a
parenthesis for SQL; here only calls of the few functions below are, and other SQL needs ``!sql``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from manor.control.templates.model import Sql
from manor.errors import Finding
from manor.scan import Text, Variable
from manor.yaml_reader import YamlDocument

TENANT_NAME = "tenant_name"
"""The one variable that differs from database to database: the name of a tenant's database."""

_TOKEN = re.compile(r"\$\$(\w+)|\$(\w+)")
_FUNCTIONS = {
    "NOW()": "CURRENT_TIMESTAMP",
    "CURRENT_TIMESTAMP()": "CURRENT_TIMESTAMP",
    "SYSDATE()": "CURRENT_TIMESTAMP",
    "LOCALTIME()": "CURRENT_TIMESTAMP",
    "UTC_TIMESTAMP()": "timezone('UTC', CURRENT_TIMESTAMP)",
    "CURDATE()": "CURRENT_DATE",
    "CURRENT_DATE()": "CURRENT_DATE",
    "CURTIME()": "LOCALTIME",
    "UUID()": "gen_random_uuid()",
}


class DbgearCells:
    """Reads the cells of one data file."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """``variables``: values of all variables but ``TENANT_NAME``."""
        self.variables = variables

    def read(self, cell: Any, _document: YamlDocument, _path: tuple[str | int, ...], _findings: list[Finding]) -> Any:
        """The cell that a parsed value means; as in DBGear, lists are left alone."""
        if isinstance(cell, str):
            function = _FUNCTIONS.get(cell.strip().upper())
            return Sql(function) if function is not None and len(_path) == 2 else self.text(cell)
        if isinstance(cell, dict):
            return {key: self.read(item, _document, (*_path, key), _findings) for key, item in cell.items()}
        return cell

    def text(self, text: str) -> str | Text:
        """One text with its variables filled in, but for ``TENANT_NAME``, which makes it a ``Text``."""
        if "$" not in text:
            return text
        parts: list[str | Variable] = []
        position = 0
        for match in _TOKEN.finditer(text):
            parts += [text[position : match.start()], self._token(match)]
            position = match.end()
        parts.append(text[position:])
        if not any(isinstance(part, Variable) for part in parts):
            return "".join(part for part in parts if isinstance(part, str))
        return Text(tuple(part for part in parts if part != ""))

    def _token(self, match: re.Match[str]) -> str | Variable:
        escaped, name = match.groups()
        if escaped is not None:
            return f"${escaped}"
        if name in self.variables:
            return self.variables[name]
        return Variable(TENANT_NAME) if name == TENANT_NAME else match.group(0)
