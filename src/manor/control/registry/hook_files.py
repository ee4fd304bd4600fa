"""Whether the hooks of a registry can be run: the look at the disk that pure ``resolve`` cannot take.

``validate`` takes it for all hooks at once, and whoever runs a hook takes it again right before, because links and rights may
have changed in between.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manor.control.registry.hook_paths import hook_paths, path_problem
from manor.control.registry.model import Registry
from manor.errors import InputError

TENANT_URL = "TENANT_URL"
GRANTED = (TENANT_URL,)
"""What a hook can ask for by name. The administrator's URL is never among it."""

_INTERPRETERS = {".py": sys.executable, ".sh": "/bin/sh"}
_NEEDS = re.compile(r"^\s*(?:#|//|--|;)+\s*manor:needs\s+(\S.*)$")
_NEEDS_LINES = 20
_HEAD_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFile:
    """A hook that can be run."""

    path: Path
    """Real path, inside the project when it was looked at."""
    command: tuple[str, ...]
    """The program and its arguments; no shell reads them."""
    needs: frozenset[str]
    """What its first lines ask for, of ``GRANTED``."""


def look_at_paths(registry: Registry, *, folder: Path, project: Path) -> Mapping[str, str]:
    """What is wrong with each named path on the disk: path as written → problem. ``folder`` is the registry's own."""
    problems: dict[str, str] = {}
    for path, written in hook_paths(registry):
        try:
            check_needs(open_hook(written, folder=folder, project=project), str(path[1]))
        except InputError as error:
            problems[written] = f"{error.message} ({error.hint})" if error.hint else error.message
    return problems


def open_hook(written: str, *, folder: Path, project: Path) -> HookFile:
    """The hook that a registry in ``folder`` names. Raises ``InputError`` whose message goes on after the hook's name."""
    problem = path_problem(written)
    if problem:
        raise InputError(problem)
    real = _real_file(folder / written, project)
    try:
        with real.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    return HookFile(path=real, command=_command(real, head), needs=_needs(head))


def check_needs(hook: HookFile, kind: str) -> None:
    """Raise ``InputError`` where a hook of this kind asks for what does not exist yet."""
    if kind == "pre_provision" and TENANT_URL in hook.needs:
        raise InputError(f"asks for {TENANT_URL}, which a {kind} hook cannot have", hint="there is no database yet")


def _real_file(path: Path, project: Path) -> Path:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InputError("does not exist") from error
    if not real.is_relative_to(project.resolve()):
        raise InputError("leads out of the project through a symbolic link")
    if not real.is_file():
        raise InputError("is not a file")
    return real


def _command(real: Path, head: bytes) -> tuple[str, ...]:
    """An executable runs itself; a script that is none, or that does not say by what, is run by what its name says."""
    interpreter = _INTERPRETERS.get(real.suffix)
    if os.access(real, os.X_OK) and (interpreter is None or head.startswith(b"#!")):
        return (str(real),)
    if interpreter is None:
        raise InputError("is not executable", hint="chmod +x makes it so; only .sh and .py files are run without")
    return (interpreter, str(real))


def _needs(head: bytes) -> frozenset[str]:
    lines = head.decode("utf-8", "replace").splitlines()[:_NEEDS_LINES]
    found = frozenset(name for line in lines if (match := _NEEDS.match(line)) for name in re.split(r"[\s,]+", match[1].strip()))
    for name in sorted(found.difference(GRANTED)):
        raise InputError(f"asks for {name}, which no hook is given", hint=f"only {', '.join(GRANTED)} can be asked for")
    return found
