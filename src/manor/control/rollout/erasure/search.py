"""Looks for what should be gone, in every kind of place that can be read from here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.backup.base_manifest import MANIFEST, BaseManifest
from manor.control.backup.certificate import ScanResult
from manor.control.backup.scan import Finder, Hit, Term, Where, scan_data_folder, scan_files, scan_path, useful
from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import ServerDriver
from manor.control.engines.dumps import DumpForm
from manor.control.rollout.backups.vault import FINAL_EXPORT, Backup
from manor.control.rollout.bases.members import read_member
from manor.control.rollout.bases.place import BASES
from manor.control.rollout.erasure.places import Surroundings, split
from manor.control.rollout.erasure.remains import base_place
from manor.control.rollout.erasure.unfinished import places_of_writing
from manor.control.runtime import Runtime
from manor.errors import ManorError
from manor.storage.store import Store


def terms_of(record: DatabaseRecord, asked: Sequence[str], others: Sequence[DatabaseRecord]) -> tuple[list[Term], list[str]]:
    """What is searched for, and what would prove nothing: too short, or part of what other tenants are called."""
    names = dict.fromkeys((record.database, record.role, str(record.tenant)))
    values = dict.fromkeys(str(value) for _, _, value in record.config.get("isolation", ()))
    found = [Term(text=text, label=f"marker {number}") for number, text in enumerate(asked, start=1)]
    found += [Term(text=name, label=f"name {number}", is_name=True) for number, name in enumerate(names, start=1)]
    # What is part of a name is where names are, and proves nothing.
    found += [Term(text=text, label="isolation value") for text in values if not any(text in name for name in names)]
    if record.name and not any(record.name in name for name in names):
        found.append(Term(text=record.name, label="display name"))
    known = [text for one in others for text in (one.database, one.name, *map(str, one.variables.values()))]
    return useful(found, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search."""

    runtime: Runtime
    around: Surroundings
    finder: Finder
    objects: tuple[str, ...] = ()
    """Locations of the tenant's objects."""

    async def run(self, tenant: str, *, left_out: Sequence[str] = ()) -> ScanResult:
        """Search everywhere. ``left_out``: labels of terms that would prove nothing."""
        self.runtime.telemetry.emit("erase.searching", self.runtime.operation, tenant)
        searched: list[str] = []
        unsearched = [f"{label}: too short, or part of what others are called" for label in left_out]
        hits: list[Hit] = []
        for name, server in self.runtime.servers.items():
            found, places, missing = await self._server(name, server)
            hits, searched, unsearched = [*hits, *found], [*searched, *places], [*unsearched, *missing]
        hits += await self._catalog()
        hits += await self._dumps(tenant, unsearched)
        hits += await self._storage(tenant)
        hits += await self._bases(tenant, unsearched)
        hits += await self._unfinished(unsearched)
        searched += ["catalog", f"backups in {self.around.vault.location}", *(f"objects in {one}" for one in self.objects)]
        return ScanResult(
            at=self.runtime.now(),
            terms=tuple(term.label for term in self.finder.terms),
            searched=tuple(searched),
            unsearched=tuple(unsearched),
            hits=tuple(hits),
        )

    async def _server(self, name: str, server: ServerDriver) -> tuple[list[Hit], list[str], list[str]]:
        await server.checkpoint()  # files of dropped databases and rewritten tables are removed by then
        folders = await server.folders()
        shown = f"server {name}"
        if folders is None:
            return [], [], [f"{shown}: its files cannot be read from here"]
        hits = await asyncio.to_thread(scan_data_folder, folders.data, self.finder, shown_as=shown)
        places, missing = [f"{shown}: data files, WAL"], []
        if folders.logs is not None:
            hits += await self._files(folders.logs, Where.LOG, f"{shown}: logs")
            places.append(f"{shown}: logs")
        if folders.archive is not None:
            hits += await self._files(folders.archive, Where.WAL_ARCHIVE, f"{shown}: WAL archive")
            places.append(f"{shown}: WAL archive")
        if folders.compressed_images:
            missing.append(f"{shown}: page images in its WAL are compressed (wal_compression), and not opened")
        return hits, places, missing

    async def _files(self, folder: Path, kind: Where, shown: str) -> list[Hit]:
        return await asyncio.to_thread(scan_files, folder, self.finder, kind, shown_as=shown)

    async def _catalog(self) -> list[Hit]:
        found = await self.runtime.catalog.catalog_hits([term.text for term in self.finder.terms])
        return [
            Hit(
                kind=Where.CATALOG,
                where=table,
                label=self.finder.terms[number].label,
                is_name=self.finder.terms[number].is_name,
                count=count,
            )
            for (table, number), count in sorted(found.items())
        ]

    async def _dumps(self, tenant: str, unsearched: list[str]) -> list[Hit]:
        """Backups of the catalog that can be opened: decrypted, and custom dumps turned into SQL."""
        hits: list[Hit] = []
        for record in await self.runtime.catalog.backups(tenant=tenant):
            vault = self.around.vault
            if record.kind == FINAL_EXPORT or record.location != vault.location:
                continue
            try:
                backup = await vault.load(record.key)
                counts = await self.finder.count_stream(await self._text(backup))
            except ManorError as error:
                unsearched.append(f"backup {record.id}: {error.message}")
                continue
            hits += self.finder.hits(Where.DUMP, vault.store.display(backup.dump_key), counts)
        return hits

    async def _text(self, backup: Backup) -> AsyncIterator[bytes]:
        plain = self.around.vault.open(self.runtime, backup)
        if backup.manifest.form is DumpForm.PLAIN:
            return plain
        server = self.runtime.servers.get(backup.manifest.server) or next(iter(self.runtime.servers.values()))
        return server.dumps.as_text(plain, server_version=backup.manifest.photograph.server_version)

    async def _storage(self, tenant: str) -> list[Hit]:
        """The tenant's objects, and the files of its backups as they lie there."""
        hits = await self._objects(self.around.vault.store, tenant)
        for location in self.objects:
            place = split(location, self.around.open_store)
            hits += await self._objects(place.store, place.prefix)
        return hits

    async def _bases(self, tenant: str, unsearched: list[str]) -> list[Hit]:
        """The pieces of base backups that could hold it: the tenant's own databases, and what all have in common."""
        hits: list[Hit] = []
        store = self.around.vault.store
        for server in self.runtime.servers:
            keys = [f.key async for f in store.list(f"{BASES}/{server}") if f.key.endswith(f"/{MANIFEST}")]
            for key in keys:
                try:
                    hits += await self._base(store, key, tenant)
                except ManorError as error:
                    unsearched.append(f"{store.display(key)}: {error.message}")
        return hits

    async def _unfinished(self, unsearched: list[str]) -> list[Hit]:
        """What the sweep left because a living command writes it: searched as it lies there, and named whatever is found."""
        writing = await places_of_writing(self.runtime, self.around)
        left, unseen = await asyncio.to_thread(writing.look)
        unsearched += unseen
        hits: list[Hit] = []
        for path in left:
            unsearched.append(f"{path}: unfinished; a command writes it, or it could not be removed")
            hits += await asyncio.to_thread(scan_path, path, self.finder, Where.STORAGE)
        return hits

    async def _base(self, store: Store, key: str, tenant: str) -> list[Hit]:
        content = await store.read(key)
        manifest = BaseManifest.from_json(content.decode("utf-8", "replace"), place=store.display(key))
        hits: list[Hit] = []
        for piece in manifest.pieces_for(tenant):
            counts = await self.finder.count_stream(read_member(store, manifest.members[piece]))
            hits += self.finder.hits(Where.BASE_BACKUP, f"{base_place(manifest.id)}, piece {piece}", counts)
        return hits

    async def _objects(self, store: Store, prefix: str) -> list[Hit]:
        hits: list[Hit] = []
        async for found in store.list(prefix):
            with contextlib.suppress(ManorError):  # gone meanwhile
                counts = await self.finder.count_stream(store.get(found.key))
                hits += self.finder.hits(Where.STORAGE, store.display(found.key), counts)
        return hits
