"""Where releases come from: the registries that declared the tenants, and their folders of migrations.

A template's chain is made of three folders: ``migrations/`` of the project, the registry's own (``migration_config.
data_migration_scripts``, else ``migrations/`` beside it), and its own ``migrations/``. The first two are for templates of
numbered tenants (``type: tenant_group``); one that only fixed databases have has tables of its own, and its own folder counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from manor.control.migrate.history import Chain
from manor.control.migrate.model import Migration
from manor.control.registry.acted_on import refusals, refuse_unsafe
from manor.control.registry.directory_home import DirectoryHome, load_home_settings
from manor.control.registry.hook_files import look_at_paths
from manor.control.registry.hook_paths import path_problem
from manor.control.registry.model import Registry
from manor.control.registry.resolve import path_findings
from manor.control.registry.yaml_files import load_registry
from manor.errors import Finding, InputError, InvalidInput, Place
from manor.typed_input import Places

MIGRATIONS = "migrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSource:
    """One registry as releases see it."""

    source: str
    folder: Path
    registry: Registry
    places: Places | None = None
    """Where in its file each setting stands; None where there is no file, or it was checked before."""

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

    def is_numbered(self, template: str) -> bool:
        """Whether numbered tenants, or those that a source told of, are made from a template."""
        if DirectoryHome.parse(self.source) is not None:
            return True
        groups = self.registry.database_groups.values()
        return any(group.type == "tenant_group" and group.template == template for group in groups)


class ReleaseSources:
    """Reads each registry and each folder once."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._sources: dict[str, ReleaseSource] = {}
        self._folders: dict[Path, tuple[Migration, ...]] = {}
        self._chains: dict[tuple[str, str], Chain] = {}
        self._findings: list[Finding] = []

    @classmethod
    def of(cls, project: Path, source: str, folder: Path, registry: Registry) -> Self:
        """With one registry that was read already, which stands in ``folder``."""
        sources = cls(project)
        sources._sources[source] = ReleaseSource(source=source, folder=folder, registry=registry)
        return sources

    def source(self, source: str) -> ReleaseSource:
        """The registry that catalog entries call ``source``. Raises ``InputError`` where it cannot be read."""
        home = DirectoryHome.parse(source)
        if source not in self._sources and home is not None:
            folder = home.folder(self._project)
            registry, places = load_home_settings(folder, home.registry_shown_as)
            self._sources[source] = ReleaseSource(source=source, folder=folder, registry=registry, places=places)
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
            self._sources[source] = ReleaseSource(source=source, folder=path.parent, registry=loaded.model, places=loaded)
        return self._sources[source]

    def refuse_unsafe(self, sources: Iterable[str]) -> None:
        """Raise for registries whose programs are not there, or that ask for what cannot be kept (``InvalidInput``,
        ``RefusedError``): found after the first commit, it would be too late."""
        for found in map(self.source, sorted(set(sources))):
            if found.places is None:
                continue
            seen = look_at_paths(found.registry, folder=found.folder, project=self._project)
            findings = list(path_findings(found.registry, found.places, seen))
            if findings:
                raise InvalidInput(findings)
            refuse_unsafe(tuple(refusals(found.registry, found.places)))

    def chains(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Chain]:
        """The chain of each (source, template). Raises ``InvalidInput`` with everything that is wrong in the folders."""
        found = {place: self._cached(*place) for place in sorted(set(places))}
        if self._findings:
            raise InvalidInput(list(dict.fromkeys(self._findings)))
        return found

    def _cached(self, source: str, template: str) -> Chain:
        if (source, template) not in self._chains:
            self._chains[source, template] = self._chain(self.source(source), template)
        return self._chains[source, template]

    def baselines(self) -> Mapping[str, str]:
        """By source, of those that were read."""
        return {source: found.baseline for source, found in self._sources.items() if found.baseline}

    def templates(self, source: str) -> list[str]:
        """The templates that a registry makes databases from, by name."""
        found: set[str] = set()
        for group in self.source(source).registry.database_groups.values():
            found |= {group.template} if group.type == "tenant_group" else {one.template for one in group.databases}
        return sorted(found)

    def own_folder(self, home: ReleaseSource) -> Path:
        """The registry's own folder, there or not. Raises ``InputError`` where the registry names one that leads out."""
        problem = path_problem(home.scripts_folder)
        if problem:
            message = f"data_migration_scripts: {home.scripts_folder} {problem}"
            raise InputError(message, place=Place(home.source))
        return home.folder / home.scripts_folder

    def folders(self, source: str, template: str) -> list[Path]:
        """The folders that a chain is made of, there or not; ``InputError`` as ``own_folder``."""
        home = self.source(source)
        shared = [self._project / MIGRATIONS, self.own_folder(home)] if home.is_numbered(template) else []
        return list(dict.fromkeys([*shared, home.folder / template / MIGRATIONS]))

    def shown_folders(self, places: Iterable[tuple[str, str]]) -> list[str]:
        """The folders of several chains, relative to the project."""
        found = {folder: None for place in places for folder in self.folders(*place)}
        return [folder.relative_to(self._project).as_posix() for folder in found if folder.is_relative_to(self._project)]

    def _chain(self, home: ReleaseSource, template: str) -> Chain:
        layers = [layer for folder in self.folders(home.source, template) if (layer := self._folder(folder))]
        if not layers:
            return Chain.of(())
        from manor.control.migrate.folder import merge_folders  # imports sqlglot, which few commands need

        merged, findings = merge_folders(layers)
        self._findings += findings
        return Chain.of(merged)

    def _folder(self, folder: Path) -> tuple[Migration, ...]:
        if folder not in self._folders and not folder.exists():
            self._folders[folder] = ()
        if folder not in self._folders:
            from manor.control.migrate.folder import read_folder

            inside = folder.is_relative_to(self._project)
            shown = (folder.relative_to(self._project) if inside else folder).as_posix()
            migrations, findings = read_folder(folder, shown_as=shown, project=self._project)
            self._findings += findings
            self._folders[folder] = migrations
        return self._folders[folder]
