"""The file that ``--report`` names. It is looked at before the work, because afterwards it would be too late to refuse it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from manor.cli.render import say, to_text
from manor.errors import InputError


class Document(Protocol):
    """What has a document to write: every operation's report."""

    def to_json(self) -> Mapping[str, Any]:
        """The document of ``--format json``."""
        ...


_FORMATS = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
_BEGINNINGS = (b'{\n  "operation": {\n    "id": ', b"operation:\n  id: ")
"""Of every report that was ever written, by which one is told from a registry and from any other file."""


def check_report_file(path: Path | None) -> None:
    """Raise ``InputError`` unless a report can go there: its ending, its folder, and nothing there but an earlier report."""
    if path is None:
        return
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"--report {path}: the ending must be .json, .yaml or .yml")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--report {path}: the folder {path.absolute().parent} does not exist")
    if path.is_dir():
        raise InputError(f"--report {path}: this is a folder", hint="name a file in it")
    if path.is_file() and not _may_be_replaced(path):
        raise InputError(
            f"--report {path}: the file exists and is not an earlier report, it would be lost",
            hint="choose another name, or remove the file",
        )


def _may_be_replaced(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            beginning = file.read(max(map(len, _BEGINNINGS)))
    except OSError as error:
        raise InputError(f"--report {path}: the file cannot be read: {error.strerror}") from error
    return not beginning or beginning.startswith(_BEGINNINGS)


def write_report(report: Document, path: Path | None) -> None:
    """Write the document to a file; its ending decides the format. Raises ``InputError`` where it cannot be written."""
    if path is None:
        return
    how = _FORMATS[path.suffix.lower()]
    try:
        path.write_text(to_text(report.to_json(), how) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"the report cannot be written to {path}: {error.strerror}") from error
    say(f"report written to {path}")
