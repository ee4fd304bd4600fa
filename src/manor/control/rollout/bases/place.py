"""Where base backups, archives of WAL and side instances of one environment are; ``wiring`` fills it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from manor.control.backup.base_chain import missing_parent
from manor.control.backup.base_manifest import MANIFEST, BaseManifest
from manor.control.engines.repositories import Repository
from manor.control.engines.sides import SideServers
from manor.control.rollout.bases.archive import WalArchive
from manor.errors import CatalogError, NotFoundError
from manor.storage.store import Store

BASES = "bases"


class ArchiveSwitch(Protocol):
    """Archiving of a server that Manor runs itself. Synchronous."""

    @property
    def forced(self) -> bool | None:
        """What the settings say; None: on while there are base backups."""
        ...

    def turn(self, *, on: bool) -> None:
        """Switch it, durably. Safe to repeat."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePlace:
    """By server: its archive, its side instances, and the switch of its archiving where that is ours."""

    store: Store
    archives: Mapping[str, WalArchive]
    sides: Mapping[str, SideServers]
    switches: Mapping[str, ArchiveSwitch]
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    """Of whole clusters, kept by another program: the source instead of base backups."""

    def folder_of(self, server: str, base: str = "") -> str:
        """Prefix of a server's base backups, or of one of them."""
        return f"{BASES}/{server}/{base}" if base else f"{BASES}/{server}"

    async def manifests(self, server: str) -> tuple[list[BaseManifest], list[CatalogError]]:
        """The server's base backups, oldest first, and those that cannot be used: for their manifests, or because a base backup
        is gone that they are an increment of."""
        found, broken = await self._read_all(server)
        missing = {one.id: parent for one in found if (parent := missing_parent(one, found))}
        broken += [self._without_parent(one, missing[one.id]) for one in found if one.id in missing]
        return [one for one in found if one.id not in missing], broken

    async def _read_all(self, server: str) -> tuple[list[BaseManifest], list[CatalogError]]:
        """What can be read, oldest first, and the errors of what cannot."""
        keys = [f.key async for f in self.store.list(self.folder_of(server)) if f.key.endswith(f"/{MANIFEST}")]
        found = await asyncio.gather(*(self.read(key) for key in keys), return_exceptions=True)
        for problem in found:
            if isinstance(problem, BaseException) and not isinstance(problem, (CatalogError, NotFoundError)):
                raise problem
        usable = [manifest for manifest in found if isinstance(manifest, BaseManifest)]
        return sorted(usable, key=lambda m: (m.stopped_at, m.stop_lsn)), [e for e in found if isinstance(e, CatalogError)]

    def _without_parent(self, manifest: BaseManifest, parent: str) -> CatalogError:
        where = self.store.display(self.folder_of(manifest.server, manifest.id))
        return CatalogError(
            f"{where}: it needs base backup {parent}, which is not there or cannot be read",
            hint=f"bring {parent} back, or use another base backup",
        )

    async def read(self, key: str) -> BaseManifest:
        """One manifest. Raises ``CatalogError`` and ``NotFoundError``."""
        content = await self.store.read(key)
        return BaseManifest.from_json(content.decode("utf-8", "replace"), place=self.store.display(key))

    async def unfinished(self, server: str) -> list[str]:
        """Folders of base backups that never got a manifest: those of killed commands. One that an increment goes on from had
        its manifest, and is of use once that is brought back."""
        needed = {self.folder_of(server, one.parent) for one in (await self._read_all(server))[0] if one.parent}
        folders: dict[str, bool] = {}
        async for found in self.store.list(self.folder_of(server)):
            folder, _, name = found.key.rpartition("/")
            folders[folder] = folders.get(folder, False) or name == MANIFEST
        return sorted(folder for folder, whole in folders.items() if not whole and folder not in needed)
