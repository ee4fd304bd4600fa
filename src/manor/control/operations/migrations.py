"""Which folder of migrations a command is about, and ``manor migration new``. Needs neither server nor catalog."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path

from manor.control.migrate.alembic_source import is_environment
from manor.control.migrate.file_names import Misnamed, read_name
from manor.control.migrate.model import version_key
from manor.control.operations.release_sources import MIGRATIONS, ReleaseSources
from manor.control.templates.folders import OUTSIDE, Folders
from manor.errors import InputError, RefusedError

REGISTRY_FILE = "tenant_registry.yaml"
_LONGEST_NAME = 100
_EMPTY = "-- migrate:up\n\n\n-- migrate:down\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """One project, and which of its folders of migrations is meant: by default a registry's."""

    project: Path
    environment: str | None = None
    """Name of the environment's folder; None where the project has but one registry."""
    registry: Path | None = None
    """One that is not called ``tenant_registry.yaml``, or of another environment."""
    template: str | None = None
    """The folder of this template."""
    shared: bool = False
    """The folder of the project."""

    def registries(self) -> list[Path]:
        """Every registry that may be meant, by path. Raises ``InputError`` for an environment that is not there."""
        if self.registry is not None:
            return [self.registry]
        if self.environment is None:
            return sorted([*self.project.glob(REGISTRY_FILE), *self.project.glob(f"*/{REGISTRY_FILE}")])
        folder = self.project / self.environment
        if not folder.is_dir():
            raise InputError(f"there is no environment {self.environment!r} in {self.project.name}")
        return [path for path in [folder / REGISTRY_FILE] if path.is_file()]

    def source(self, registry: Path) -> str:
        """How catalog entries call a registry."""
        inside = registry.is_relative_to(self.project)
        return (registry.relative_to(self.project) if inside else registry).as_posix()

    def folder(self, sources: ReleaseSources) -> Path:
        """The folder that is meant, there or not. Raises ``InputError`` where that cannot be told or it is out of bounds."""
        folder = self.project / MIGRATIONS if self.shared else self._of_registry(sources)
        if not Folders.at(self.project, self.project).contains(folder):
            raise InputError(
                f"{self.source(folder)} {OUTSIDE}", hint="it is a symbolic link that leads out: copy the folder in"
            )
        return folder

    def _of_registry(self, sources: ReleaseSources) -> Path:
        registry = self._one_registry()
        if self.template is not None:
            return Folders.at(self.project, registry.parent).template(self.template) / MIGRATIONS
        home = sources.source(self.source(registry))
        return sources.own_folder(home)

    def _one_registry(self) -> Path:
        found = self.registries()
        if len(found) == 1:
            return found[0]
        if not found:
            raise InputError(f"there is no {REGISTRY_FILE} here", hint="--registry F names one, --project-wide needs none")
        names = ", ".join(self.source(path) for path in found)
        raise InputError(f"there are several registries: {names}", hint="--environment NAME or --registry F says which")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMigration:
    """A migration that was begun."""

    path: Path
    version: str
    name: str


def new_migration(where: Whereabouts, name: str, now: dt.datetime) -> NewMigration:
    """Write an empty migration in dbmate's format, newer than all in its folder. ``now``: aware; its UTC second is the version.

    Raises ``InputError`` for a name of nothing but signs, ``RefusedError`` where Alembic keeps the folder.
    """
    safe = safe_name(name)
    folder = where.folder(ReleaseSources(where.project))
    if is_environment(folder):
        message = f"{where.source(folder)} is an Alembic environment, which keeps its own revisions"
        raise RefusedError(message, hint=f"alembic revision -m {safe}")
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        version = _next_version(folder, now)
        path = folder / f"{version}_{safe}.sql"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(_EMPTY)
        except FileExistsError:  # somebody else was quicker
            continue
        return NewMigration(path=path, version=version, name=safe)


def safe_name(name: str) -> str:
    """``name`` as part of a file's name: letters and digits of any language in lower case, everything else ``_``."""
    safe = re.sub(r"[\W_]+", "_", name).strip("_").lower()[:_LONGEST_NAME].strip("_")
    if not safe:
        raise InputError(f"{name!r} has no letter or digit to name a file by", hint="such as: manor migration new add_plan")
    return safe


def _next_version(folder: Path, now: dt.datetime) -> str:
    """The second of ``now``, or the next number after the newest in ``folder``, whichever is later."""
    stamp = int(now.astimezone(dt.UTC).strftime("%Y%m%d%H%M%S"))
    names = [read_name(path.name) for path in folder.glob("*.sql")]
    newest = max((version_key(name.version) for name in names if not isinstance(name, Misnamed)), default=())
    return str(max(stamp, newest[0] + 1) if newest else stamp)


def lower_baselines(where: Whereabouts, version: str) -> list[str]:
    """The registries whose ``migration_config.baseline`` is older than ``version``: their new tenants would run what the
    templates hold already."""
    sources = ReleaseSources(where.project)
    found = [where.source(registry) for registry in where.registries()]
    return [source for source in found if version_key(sources.source(source).baseline) < version_key(version)]
