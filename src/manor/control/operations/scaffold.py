"""``manor init``: a project from a blueprint. Never overwrites anything."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from manor.errors import InputError, NotFoundError, RefusedError
from manor.scan import suggest


def blueprints() -> list[str]:
    """Names of the blueprints that come with Manor."""
    root = resources.files("manor.blueprints")
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("_"))


def scaffold(blueprint: str, folder: Path) -> list[Path]:
    """Copy a blueprint into ``folder``, which must be empty or absent; returns the files made, relative to it.

    Raises ``NotFoundError`` for an unknown blueprint, ``RefusedError`` where something is in the way.
    """
    known = blueprints()
    if blueprint not in known:
        raise NotFoundError(f"there is no blueprint {blueprint!r}", hint=suggest(blueprint, known))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RefusedError(f"{folder} exists and is not empty", hint="name another folder, or empty this one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with resources.as_file(resources.files("manor.blueprints") / blueprint) as source:
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
