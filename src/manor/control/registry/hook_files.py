"""Whether the hooks of a registry are files inside the project: the look at the disk that pure ``resolve`` cannot take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manor.control.registry.hook_paths import hook_paths, path_problem
from manor.control.registry.model import Registry


def look_at_paths(registry: Registry, *, folder: Path, project: Path) -> Mapping[str, str]:
    """What is wrong with each named path on the disk: path as written → problem. ``folder`` is the registry's own."""
    problems: dict[str, str] = {}
    for _, written in hook_paths(registry):
        problem = path_problem(written) or _problem_on_disk(folder / written, project)
        if problem:
            problems[written] = problem
    return problems


def _problem_on_disk(path: Path, project: Path) -> str | None:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "does not exist"
    if not real.is_relative_to(project.resolve()):
        return "leads out of the project through a symbolic link"
    return None if real.is_file() else "is not a file"
