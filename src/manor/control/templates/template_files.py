"""The files of templates: found below one folder, never outside of it, and read as Jinja2 wants them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, TemplateNotFound

from manor.control.templates.folders import kind_problem, read_bytes
from manor.errors import InputError, Place

MAX_TEMPLATE_BYTES = 1_000_000
_HEADING = re.compile(r"\A(?:[ \t]*<!--.*?-->[ \t]*\r?\n)+", re.DOTALL)
"""Comments for HTML's eyes at the top of a template, as the reference's have them; YAML has no such comments."""


class TemplateFiles(BaseLoader):
    """Reads templates of ``folder``; ``built_in`` are those that Manor brings along, used where the folder has none."""

    def __init__(self, folder: Path | None, built_in: dict[str, str], *, shown_as: str = "") -> None:
        self.folder = folder.resolve() if folder is not None else None
        self.shown_as = shown_as or (folder.name if folder is not None else "")
        self.built_in = built_in

    def shown(self, name: str) -> str:
        """How messages name a template."""
        return f"{self.shown_as}/{name}" if self.exists(name) else f"Manor's own {name}"

    def exists(self, name: str) -> bool:
        """Whether the folder has it."""
        return self.folder is not None and (self.folder / name).is_file()

    def get_source(self, environment: Any, template: str) -> tuple[str, str, None]:  # noqa: ARG002 - Jinja2's signature
        """(text, shown name, None). Raises ``TemplateNotFound``, ``InputError`` for a file that may not be read."""
        if self.folder is not None:
            path = self.folder / template
            if path.exists() or path.is_symlink():
                return self._read(path, template), self.shown(template), None
        if template in self.built_in:
            return without_heading(self.built_in[template]), self.shown(template), None
        raise TemplateNotFound(template)

    def _read(self, path: Path, name: str) -> str:
        place = Place(f"{self.shown_as}/{name}")
        if self.folder is None or not path.resolve().is_relative_to(self.folder):
            raise InputError("the template is outside the folder of templates", place=place, hint="copy it in")
        problem = kind_problem(path)
        if problem:
            raise InputError(problem, place=place)
        try:
            return without_heading(read_bytes(path, MAX_TEMPLATE_BYTES).decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise InputError(f"the file is not UTF-8 (byte {error.start})", place=place, hint="save it as UTF-8") from error


def without_heading(text: str) -> str:
    """The template without HTML comments at its top; lines keep their numbers."""
    return _HEADING.sub(lambda match: "\n" * match.group(0).count("\n"), text, count=1)
