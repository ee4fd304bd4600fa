"""Reads folders of migrations, and makes one chain of several: project, environment, template."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from manor.control.migrate.alembic_source import is_environment, read_environment
from manor.control.migrate.files import Part, assemble, chain_findings, parse_part
from manor.control.migrate.model import Migration, ordered
from manor.control.templates.folders import OUTSIDE, Folders, kind_problem, read_bytes
from manor.errors import Finding, InputError, Place

MAX_FILE_BYTES = 64 * 1024 * 1024
"""A migration is sent as one text and kept in memory by every worker."""


def read_folder(folder: Path, *, shown_as: str, project: Path | None = None) -> tuple[tuple[Migration, ...], list[Finding]]:
    """The migrations in ``folder`` by version, which findings call ``shown_as``; none if there is no such folder.

    Read are files that end in ``.sql``; hidden files, sub-folders and other files are passed over. A folder that is an Alembic
    environment is read by Alembic. No symbolic link may lead out of ``project`` (by default: out of ``folder``).
    """
    if not folder.exists():
        return (), []
    root = project if project is not None else folder
    folders = Folders.at(root, root)
    if not folders.contains(folder):
        hint = "it is a symbolic link that leads out: copy the folder in"
        return (), [Finding(message=f"{folder.name} {OUTSIDE}", place=Place(shown_as), hint=hint)]
    if is_environment(folder):
        return read_environment(folder, shown_as=shown_as, folders=folders)
    try:
        paths = [path for path in folders.entries(folder) if path.name.lower().endswith(".sql") and not path.is_dir()]
    except InputError as error:
        return (), [Finding(message=error.message, place=Place(shown_as), hint="let the user that runs Manor read it")]
    parts: list[Part] = []
    findings: list[Finding] = []
    for path in paths:
        part, problems = _read_file(path, f"{shown_as}/{path.name}", folders)
        findings.extend(problems)
        parts.extend([part] if part is not None else [])
    migrations, problems = assemble(parts)
    return migrations, [*findings, *problems]


def merge_folders(layers: Iterable[Iterable[Migration]]) -> tuple[tuple[Migration, ...], list[Finding]]:
    """One chain of the migrations of several folders; a version that stands twice is a finding with both places.

    The layers' own findings are not repeated if their chains had none.
    """
    migrations = [migration for layer in layers for migration in layer]
    return ordered(migrations), chain_findings(migrations)


def _read_file(path: Path, shown_as: str, folders: Folders) -> tuple[Part | None, list[Finding]]:
    if not folders.contains(path):
        hint = "it is a symbolic link that leads out: copy the file in"
        return None, [Finding(message=f"{path.name} {OUTSIDE}", place=Place(shown_as), hint=hint)]
    if problem := kind_problem(path):
        return None, [Finding(message=problem, place=Place(shown_as))]
    try:
        content = read_bytes(path, MAX_FILE_BYTES)
    except InputError as error:
        return None, [Finding(message=error.message, place=Place(shown_as), hint=error.hint)]
    return parse_part(content, path.name, shown_as=shown_as)
