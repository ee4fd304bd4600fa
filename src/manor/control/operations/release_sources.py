"""Where releases come from: the registries that declared the tenants, and their folders of migrations.

A tenant's chain is made of three folders: ``migrations/`` of the project, the registry's own (``migration_config.
data_migration_scripts``, else ``migrations/`` beside it), and ``migrations/`` of the tenant's template. The first two are for
numbered tenants (``type: tenant_group``); a fixed database has tables of its own, so only its template's folder counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from manor.control.catalog.records import DatabaseRecord
from manor.control.migrate.folder import merge_folders, read_folder
from manor.control.migrate.history import Chain
from manor.control.migrate.model import Migration
from manor.control.registry.hook_paths import path_problem
from manor.control.registry.model import Registry
from manor.control.registry.yaml_files import load_registry
from manor.errors import Finding, InputError, InvalidInput, Place

MIGRATIONS = "migrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSource:
    """One registry as releases see it."""

    source: str
    folder: Path
    registry: Registry

    @property
    def scripts_folder(self) -> str:
        """Where its migrations are, relative to its folder."""
        config = self.registry.migration_config
        return (config.data_migration_scripts if config else None) or MIGRATIONS

    @property
    def baseline(self) -> str:
        """Up to which version the templates hold the migrations already; empty where they hold none."""
        config = self.registry.migration_config
        return (config.baseline if config else None) or ""

    def is_numbered(self, group: str) -> bool:
        """Whether a group's tenants are numbered ones."""
        found = self.registry.database_groups.get(group)
        return found is not None and found.type == "tenant_group"


class ReleaseSources:
    """Reads each registry and each folder once."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._sources: dict[str, ReleaseSource] = {}
        self._folders: dict[Path, tuple[Migration, ...]] = {}
        self._chains: dict[tuple[str, str, bool], Chain] = {}
        self._findings: list[Finding] = []

    def source(self, source: str) -> ReleaseSource:
        """The registry that catalog entries call ``source``. Raises ``InputError`` where it cannot be read."""
        if source not in self._sources:
            path = self._project / source
            if not path.is_file():
                raise InputError(
                    f"the registry {source}, which declared tenants of this release, is gone",
                    hint="put it back",
                    place=Place(source),
                )
            loaded = load_registry(path, shown_as=source)
            if loaded.model is None or loaded.findings:
                raise InvalidInput(loaded.findings)
            self._sources[source] = ReleaseSource(source=source, folder=path.parent, registry=loaded.model)
        return self._sources[source]

    def chains(self, records: Iterable[DatabaseRecord]) -> dict[tuple[str, str, str], Chain]:
        """The chain of each (source, template, group) among ``records``. Raises ``InvalidInput`` with everything that is wrong
        in the folders."""
        found: dict[tuple[str, str, str], Chain] = {}
        for source, template, group in sorted({(r.source, r.template, r.group) for r in records}):
            numbered = self.source(source).is_numbered(group)
            key = (source, template, numbered)
            if key not in self._chains:
                self._chains[key] = self._chain(*key)
            found[source, template, group] = self._chains[key]
        if self._findings:
            raise InvalidInput(list(dict.fromkeys(self._findings)))
        return found

    def chain(self, source: str, template: str, *, numbered: bool) -> Chain:
        """One chain; ``InvalidInput`` as ``chains``."""
        chain = self._chain(source, template, numbered)
        if self._findings:
            raise InvalidInput(list(dict.fromkeys(self._findings)))
        return chain

    def baselines(self) -> Mapping[str, str]:
        """By source, of those that were read."""
        return {source: found.baseline for source, found in self._sources.items() if found.baseline}

    def _chain(self, source: str, template: str, numbered: bool) -> Chain:
        home = self.source(source)
        written = home.scripts_folder
        problem = path_problem(written)
        if problem:
            raise InputError(f"data_migration_scripts: {written} {problem}", place=Place(source))
        shared = [self._project / MIGRATIONS, home.folder / written] if numbered else []
        folders = list(dict.fromkeys([*shared, home.folder / template / MIGRATIONS]))
        merged, findings = merge_folders(self._folder(folder) for folder in folders)
        self._findings += findings
        return Chain.of(merged)

    def _folder(self, folder: Path) -> tuple[Migration, ...]:
        if folder not in self._folders:
            inside = folder.is_relative_to(self._project)
            shown = (folder.relative_to(self._project) if inside else folder).as_posix()
            migrations, findings = read_folder(folder, shown_as=shown, project=self._project)
            self._findings += findings
            self._folders[folder] = migrations
        return self._folders[folder]
