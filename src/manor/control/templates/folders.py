"""Template folders on disk: which may be entered, what stands in them, and how their paths are shown.

Nothing outside the project is read: a name must be a plain folder name beside the registry, and no symbolic link, of a
folder or of a file, may lead out.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from manor.errors import InputError, Place
from manor.scan import suggest

OUTSIDE = "is outside the project"


@dataclass(frozen=True, slots=True)
class Folders:
    """The project's root and the environment below it, in which template folders stand; both resolved."""

    project: Path
    environment: Path

    @classmethod
    def at(cls, project: Path, environment: Path) -> Folders:
        """Resolve both, so that later no link of theirs can look like one that leads out."""
        return cls(project.resolve(), environment.resolve())

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders whose ``schema.yaml`` and ``schema.sql`` apply to every template, farthest first."""
        return (self.project,) if self.project == self.environment else (self.project, self.environment)

    def show(self, path: Path) -> str:
        """``path`` relative to the project where it is below it."""
        return path.relative_to(self.project).as_posix() if path.is_relative_to(self.project) else str(path)

    def contains(self, path: Path) -> bool:
        """Whether ``path``, links followed, is inside the project (or the environment)."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # a link that leads to itself
            return False
        return real.is_relative_to(self.project) or real.is_relative_to(self.environment)

    def template(self, name: str) -> Path:
        """The folder of the template ``name``. Raises ``InputError`` if there is none or it is not one that may be entered."""
        self._check_name(name)
        folder = self.environment / name
        if not folder.is_dir():
            if folder.exists():
                raise InputError(f"the template {name!r} is a file, not a folder")
            hint = suggest(name, self.names()) or f"make the folder {self.show(folder)} with a _mapping.yaml in it"
            raise InputError(f"there is no template {name!r}", hint=hint)
        if not self.contains(folder):
            raise InputError(
                f"the template {name!r} {OUTSIDE}", hint="it is a symbolic link that leads out: copy the folder in"
            )
        self._check_access(folder)
        return folder

    def _check_access(self, folder: Path) -> None:
        """Listing a folder and entering it are two permissions."""
        try:
            os.scandir(folder).close()
            with contextlib.suppress(FileNotFoundError):
                (folder / "_mapping.yaml").lstat()
        except OSError as error:
            hint = "let the user that runs Manor read and enter it"
            raise InputError(f"cannot read the folder: {error.strerror}", place=Place(self.show(folder)), hint=hint) from error

    def _check_name(self, name: str) -> None:
        if name.startswith(("/", "\\", "~")) or ".." in name.replace("\\", "/").split("/") or Path(name).is_absolute():
            raise InputError(f"the template {name!r} {OUTSIDE}", hint="name a folder beside the registry")
        if not name or name == "." or any(character in "/\\:\0\n" for character in name):
            raise InputError(f"{name!r} is not the name of a template", hint="name a folder beside the registry, without '/'")

    def names(self) -> list[str]:
        """Names of the templates that there are."""
        try:
            return sorted(f.name for f in self.environment.iterdir() if f.is_dir() and (f / "_mapping.yaml").exists())
        except OSError:
            return []

    def entries(self, folder: Path) -> list[Path]:
        """What a user means to stand in ``folder``, sorted by name; hidden files and lock files of editors left out.

        Raises ``InputError`` where the folder cannot be read.
        """
        try:
            found = sorted(folder.iterdir())
        except OSError as error:
            raise InputError(f"cannot read the folder: {error.strerror}") from error
        return [path for path in found if not path.name.startswith((".", "~$"))]


def kind_problem(path: Path) -> str | None:
    """Why the content of ``path``, links followed, cannot be read, or None; reading a pipe would wait forever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot read the file: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"{path.name} is a folder, not a file"
    return None if stat.S_ISREG(mode) else f"{path.name} is a pipe or a device, not a file"


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file of at most ``limit`` bytes. Raises ``InputError``."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise InputError(f"the file has {size:,} bytes, {limit:,} are allowed")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}") from error
