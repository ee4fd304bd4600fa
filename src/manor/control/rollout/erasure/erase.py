"""Erases one tenant, step by step: each step is safe to repeat, and written down once it is done.

The order keeps everybody out first and the proof last. What a death leaves behind, and what the next run makes of it:

=============  ==================================================  ==========================================
died after     left behind                                         next run
=============  ==================================================  ==========================================
before it      a suspended tenant: `resume` opens it again; the    exports, where that was asked for and did not
               customer's copy, or a part of it                    come to its end; begins
``begun``      a tombstone, which any deploy leaves alone; its     seals
               databases are closed to all but Manor
``exported``   the same: only an erasure that an earlier Manor     seals
               began exports here
``sealed``     databases that nobody may enter, for ever           drops
``databases``  a role that may not log in                          drops it
…              what the later steps are about                      goes on with the first step not done
=============  ==================================================  ==========================================
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from manor.control.catalog.records import DatabaseRecord, ErasureRecord
from manor.control.engines.driver import Marker
from manor.control.engines.entries import ERASING
from manor.control.rollout.backups.vault import FINAL_EXPORT, BackupVault, id_of
from manor.control.rollout.backups.verifying import verify_backup
from manor.control.rollout.erasure.places import Surroundings, look_around, split
from manor.control.rollout.erasure.unfinished import places_of_writing
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, ManorError
from manor.storage.store import Store

Step = Callable[[], Awaitable[Mapping[str, Any]]]
STEPS = ("closed", "exported", "sealed", "databases", "role", "objects", "backups", "keys", "entries")
"""In order; ``begun`` comes before them, the scan and the certificate after."""


@dataclass(slots=True, kw_only=True)
class Erasure:
    """One tenant's erasure under way. ``found``: as the catalog has it, begun."""

    runtime: Runtime
    record: DatabaseRecord
    found: ErasureRecord
    around: Surroundings
    export_to: BackupVault | None = None
    """Where the customer's export goes; None: nowhere."""
    steps: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What was done, by step."""

    @property
    def tenant(self) -> str:
        """Its full id."""
        return str(self.record.tenant)

    async def run(self) -> Mapping[str, Mapping[str, Any]]:
        """Do what is not done yet; returns what each step had to tell. Raises ``ManorError``; running again goes on."""
        self.steps = dict(self.found.steps)
        for name in STEPS:
            if name not in self.steps:
                await self._one(name)
        return self.steps

    async def _one(self, name: str) -> None:
        await self.runtime.still_alone()
        step: Step = getattr(self, f"_{name}")
        facts = {"at": self.runtime.now().isoformat(), **await step()}
        self.steps[name] = facts
        record = functools.partial(self.runtime.catalog.erasure_step, self.tenant, name, facts)
        await until_recorded(self.runtime, record)
        self._tell(name)

    async def _closed(self) -> Mapping[str, Any]:
        return {"sessions_ended": await shut_out(self.runtime, self.record)}

    async def _exported(self) -> Mapping[str, Any]:
        if self.export_to is None or await self._is_gone():
            return {}
        return await final_export(self.runtime, self.record, self.export_to)

    async def _is_gone(self) -> bool:
        """Whether it never was made."""
        return self.record.database not in await self.runtime.servers[self.record.server].databases()

    async def _sealed(self) -> Mapping[str, Any]:
        owned = await look_around(self.runtime, self.record, self.around)
        marker = Marker(catalog=self.runtime.catalog.id, kind=ERASING, tenant=self.tenant, operation=self.runtime.operation)
        for server, database in owned.databases:
            seal = functools.partial(self.runtime.servers[server].entries.seal, database, marker)
            await retrying(seal, attempts=ATTEMPTS)
            self._tell("database_sealed", database=database)
        return {"databases": [list(pair) for pair in owned.databases]}

    async def _databases(self) -> Mapping[str, Any]:
        """Those that were sealed, and any that came to be meanwhile."""
        sealed = [(server, name) for server, name in self.steps.get("sealed", {}).get("databases", ())]
        owned = await look_around(self.runtime, self.record, self.around)
        names = list(dict.fromkeys([*sealed, *owned.databases]))
        for server, database in names:
            await self._drop(server, database)
        for server in {server for server, _ in names}:
            gone = [database for name, database in names if name == server]
            forget = functools.partial(self.runtime.catalog.forget_kept, server, gone)
            await until_recorded(self.runtime, forget)
        return {"databases": [list(pair) for pair in names]}

    async def _drop(self, server: str, database: str) -> None:
        driver = self.runtime.servers[server]
        marker = await retrying(functools.partial(driver.swaps.marker, database), attempts=ATTEMPTS)
        found = (await driver.databases()).get(database)
        if found is None:
            return
        if not found.broken and (marker is None or marker.tenant != self.tenant):
            message = f"database {database} on {server} is another one than was sealed: it is left alone"
            raise EngineError(message, hint="somebody made a database of that name meanwhile", code=Code.CONFLICT)
        await retrying(functools.partial(driver.drop_database, database), attempts=ATTEMPTS)
        self._tell("database_dropped", database=database)

    async def _role(self) -> Mapping[str, Any]:
        server, role = self.runtime.servers[self.record.server], self.record.role
        if role not in await server.roles():
            return {"role": role}
        kept_by = await server.entries.foreign_possessions(role)
        if kept_by:
            raise EngineError(
                f"role {role} cannot be dropped: it has rights or objects in {', '.join(kept_by[:3])}",
                hint=f"REASSIGN OWNED BY / DROP OWNED BY {role} there, and run the command again",
                code=Code.CONFLICT,
            )
        await retrying(functools.partial(server.drop_role, role), attempts=ATTEMPTS)
        return {"role": role, "server": self.record.server}

    async def _objects(self) -> Mapping[str, Any]:
        removed = {}
        for location in (await look_around(self.runtime, self.record, self.around)).objects:
            place = split(location, self.around.open_store)
            removed[location] = await place.store.delete_prefix(place.prefix)
        return {"objects": removed}

    async def _backups(self) -> Mapping[str, Any]:
        """Those of the catalog, wherever they are, all that lies in the tenant's folder of the environment's backups, and what
        killed commands left unfinished; but no backup of another installation."""
        records = await self.runtime.catalog.backups(tenant=self.tenant)
        own = [one for one in records if one.kind != FINAL_EXPORT]
        for one in own:
            await self._remove_backup(self._store_of(one.location), one.key)
        vault = self.around.vault
        foreign = await self._foreign()
        swept = await self._sweep_folder(foreign) if not self._is_exported_to(vault) else 0
        forget = functools.partial(self.runtime.catalog.forget_backups, [one.id for one in records])
        await until_recorded(self.runtime, forget)
        places = sorted({one.location for one in own} | {vault.location})
        return {
            "backups": len(own),
            "objects_swept": swept,
            "unfinished_swept": await self._sweep_unfinished(places),
            "locations": places,
            "foreign": [vault.store.display(f"{self.tenant}/{one}") for one in foreign],
        }

    async def _foreign(self) -> list[str]:
        """Ids of the backups in the tenant's folder that another installation has made of a tenant of the same id."""
        vault, found = self.around.vault, []
        for backup_id, manifest in (await vault.list(self.tenant)).manifests.items():
            with contextlib.suppress(ManorError):  # what cannot be read says of nobody that it is theirs
                if not (await vault.load(manifest.key)).manifest.is_of(self.runtime.catalog.id):
                    found.append(backup_id)
        return found

    async def _sweep_folder(self, foreign: Collection[str]) -> int:
        store = self.around.vault.store
        keys = [found.key async for found in store.list(self.tenant) if id_of(found.key) not in foreign]
        await store.delete(keys)
        return len(keys)

    async def _sweep_unfinished(self, locations: Iterable[str]) -> int:
        stores = [self._store_of(location) for location in locations]
        return await (await places_of_writing(self.runtime, self.around, stores)).sweep()

    async def _remove_backup(self, store: Store, key: str) -> None:
        """A backup's manifest first, so that it does not exist from then on, and all that has its name."""
        folder, _, name = key.rpartition("/")
        await store.delete([key])
        backup_id = name.partition(".")[0]
        same = [f.key async for f in store.list(folder) if f.key.rpartition("/")[2].startswith(f"{backup_id}.")]
        await store.delete(same)

    def _store_of(self, location: str) -> Store:
        vault = self.around.vault
        return vault.store if location == vault.location else self.around.open_store(location)

    def _is_exported_to(self, vault: BackupVault) -> bool:
        """Whether the customer's export lies where the backups do: then only backups are removed there, one by one."""
        return self.steps.get("exported", {}).get("location") == vault.location

    async def _keys(self) -> Mapping[str, Any]:
        destroy = functools.partial(self.runtime.catalog.destroy_tenant_keys, self.tenant)
        return {"keys": await until_recorded(self.runtime, destroy)}

    async def _entries(self) -> Mapping[str, Any]:
        await until_recorded(self.runtime, lambda: self.runtime.catalog.erase_entries(self.tenant))
        undone = await until_recorded(self.runtime, self.runtime.catalog.rewrite_tenants)
        return {"note": undone} if undone else {}

    def _tell(self, kind: str, **details: object) -> None:
        self.runtime.telemetry.emit(f"erase.{kind}", self.runtime.operation, self.tenant, **details)


async def shut_out(runtime: Runtime, record: DatabaseRecord) -> int:
    """Let nobody in but Manor; returns how many sessions were ended."""
    entries = runtime.servers[record.server].entries
    return await retrying(functools.partial(entries.shut_out, record.role, record.database), attempts=ATTEMPTS)


async def final_export(runtime: Runtime, record: DatabaseRecord, vault: BackupVault) -> Mapping[str, Any]:
    """A backup for the customer, read back and proved; what one that was killed left there is removed first. Raises
    ``ManorError``."""
    await vault.store.sweep()
    made = await vault.take(runtime, record, kind=FINAL_EXPORT)
    await verify_backup(runtime, vault, made.key, None)
    manifest = made.manifest
    return {
        "location": vault.location,
        "backup": manifest.id,
        "file": vault.store.display(made.dump_key),
        "bytes": manifest.dump.bytes,
        "sha256": manifest.dump.sha256,
        "rows": manifest.photograph.total_rows,
        "version": manifest.photograph.version,
        "verified_at": runtime.now().isoformat(),
    }
