"""Paths that a registry names: hooks and the folder of migrations. They must stay inside the project.

Pure: this looks at the text only, ``hook_files`` looks at the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from manor.control.registry.model import Registry

HOOK_KINDS = ("pre_provision", "post_provision", "pre_update", "post_update")


def path_problem(written: str) -> str | None:
    """Why the text of a path cannot be accepted, or None."""
    if "\0" in written or "\\" in written:
        return "is not a plain path"
    if PurePosixPath(written).is_absolute() or written.startswith("~"):
        return "is absolute: only paths inside the project are allowed"
    if ".." in PurePosixPath(written).parts:
        return "leaves its folder with '..': only paths inside the project are allowed"
    return None


def hook_paths(registry: Registry) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every program of the user's: where in the registry it stands and what is written there."""
    for kind in HOOK_KINDS:
        for index, written in enumerate(getattr(registry.hooks, kind)):
            yield ("hooks", kind, index), written
    strategy = registry.deployment_strategy
    for index, written in enumerate(strategy.health_gate.scripts if strategy else ()):
        yield ("deployment_strategy", "health_gate", "scripts", index), written
