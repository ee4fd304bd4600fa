"""The backups in one store. A dump is written first and its manifest last: a backup without a manifest does not exist.

Below the store's location each tenant has a folder ``<customer>/<group>/<id>`` with ``<backup>.dump`` (or ``.sql``), encrypted
``.age``, and ``<backup>.manifest.json``. Both are written whole or not at all, so that a death at any point leaves a backup,
nothing, or a dump without a manifest, which ``manor backup prune`` sweeps.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from manor import __version__
from manor.control.backup.manifest import DumpFile, Manifest, Photograph
from manor.control.catalog.backups import BackupRecord, TenantKey
from manor.control.catalog.chain import safe_json
from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.dumps import DumpForm
from manor.control.rollout.retry import retrying, until_recorded
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.errors import Code, ManorError, NotFoundError, RefusedError
from manor.storage.driver import Found
from manor.storage.store import Store

MANIFEST = ".manifest.json"
ENCRYPTED = ".age"
CATALOGS = "@catalog"
"""The folder of catalogs' backups: no tenant's id can begin so."""
_DUMPS = tuple(f".{form.ending}{tail}" for form in DumpForm for tail in ("", ENCRYPTED))
FINAL_EXPORT = "final_export"
"""The kind of a backup that is made for the customer of a tenant that goes."""
_TRIES = 2
"""Of one tenant's backup, where the first error was one that trying again can help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup whose manifest was read."""

    key: str
    """Of the manifest in its store."""
    manifest: Manifest

    @property
    def dump_key(self) -> str:
        """Of the dump, beside it."""
        return f"{self.key.rpartition('/')[0]}/{self.manifest.dump.key}".removeprefix("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a store, by backup id; nothing was read."""

    manifests: dict[str, Found] = field(default_factory=dict)
    dumps: dict[str, Found] = field(default_factory=dict)


class Sums:
    """Passes chunks on, and knows their size and digest afterwards."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.size = 0
        self._chunks = chunks
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Hex, of what went through."""
        return self._digest.hexdigest()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self.size += len(chunk)
        self._digest.update(chunk)
        return chunk


class BackupVault:
    """One store as backups see it. ``encrypt``: whether new ones are encrypted, each with its tenant's own key."""

    def __init__(self, store: Store, *, encrypt: bool = False) -> None:
        self.store = store
        self.encrypt = encrypt

    @property
    def location(self) -> str:
        """Of the store, for records and messages."""
        return self.store.display()

    async def take(
        self, runtime: Runtime, record: DatabaseRecord, *, form: DumpForm = DumpForm.CUSTOM, kind: str = "logical"
    ) -> Backup:
        """Back one tenant up; ``index`` it afterwards. Raises ``ManorError`` with no backup made; a dump may be left then,
        which is no backup."""
        return await retrying(functools.partial(self._take, runtime, record, form, kind), attempts=_TRIES)

    async def _take(self, runtime: Runtime, record: DatabaseRecord, form: DumpForm, kind: str) -> Backup:
        made_at, backup_id = runtime.now(), new_backup_id(runtime)
        recipient = (await self._key(runtime, str(record.tenant))).recipient if self.encrypt else ""
        name = f"{backup_id}.{form.ending}{ENCRYPTED if recipient else ''}"
        dumps = runtime.servers[record.server].dumps
        async with dumps.photographing(record.database, recorded_isolation(record.config)) as (photograph, snapshot):
            self._tell(runtime, "photographed", record)
            async with (
                aclosing(dumps.dump(record.database, form=form, snapshot=snapshot)) as chunks,
                aclosing(_unless_erased(runtime, record, kind, chunks)) as wanted,
            ):
                dump = await self.put_dump(f"{record.tenant}/{name}", wanted, recipient)
        self._tell(runtime, "stored", record)
        made = _manifest(runtime, record, backup_id, kind, form, photograph, dump, recipient, made_at)
        backup = Backup(key=f"{record.tenant}/{backup_id}{MANIFEST}", manifest=made)
        await self.store.write(backup.key, made.to_json())
        self._tell(runtime, "sealed", record)
        await self._keep_unless_erased(runtime, record, backup)
        return backup

    async def _keep_unless_erased(self, runtime: Runtime, record: DatabaseRecord, backup: Backup) -> None:
        """An erasure that begins after this finds the backup and removes it; one that began before may have looked already."""
        try:
            await _refuse_erased(runtime, record, backup.manifest.kind)
        except ManorError:
            await self.remove(backup.key, backup.dump_key)
            raise

    async def put_dump(self, key: str, chunks: AsyncIterator[bytes], recipient: str = "") -> DumpFile:
        """Store a dump, encrypted for ``recipient`` where there is one; a manifest is to follow."""
        name = key.rpartition("/")[2]
        if not recipient:
            stored = await self.store.put(key, chunks)
            return DumpFile(key=name, bytes=stored.size, sha256=stored.sha256, plain_sha256=stored.sha256)
        from manor.control.backup.envelope import encrypting

        plain = Sums(chunks)
        async with aclosing(encrypting(plain, [recipient])) as sealed:
            stored = await self.store.put(key, sealed)
        return DumpFile(key=name, bytes=stored.size, sha256=stored.sha256, plain_sha256=plain.sha256)

    async def _key(self, runtime: Runtime, tenant: str) -> TenantKey:
        return await until_recorded(runtime, functools.partial(runtime.catalog.tenant_key, tenant, new_tenant_key))

    def _tell(self, runtime: Runtime, step: str, record: DatabaseRecord) -> None:
        runtime.telemetry.emit(f"backup.{step}", runtime.operation, str(record.tenant))

    async def index(self, runtime: Runtime, backups: Sequence[Backup]) -> None:
        """Record backups in the catalog, but those that an erasure has removed since. One that this never happens to is found
        in storage all the same."""
        records = [self.record_of(backup) for backup in backups]
        await until_recorded(runtime, functools.partial(runtime.catalog.put_backups, records, of_living=True))
        for backup in backups:
            runtime.telemetry.emit("backup.recorded", runtime.operation, backup.manifest.tenant)

    def record_of(self, backup: Backup) -> BackupRecord:
        """A backup as the catalog knows it."""
        made = backup.manifest
        return BackupRecord(
            id=made.id,
            location=self.location,
            key=backup.key,
            tenant=made.tenant,
            kind=made.kind,
            form=str(made.form),
            database=made.database,
            server=made.server,
            bytes=made.dump.bytes,
            rows=made.photograph.total_rows,
            version=made.photograph.version,
            fingerprint=made.photograph.fingerprint,
            digest=made.digest,
            encrypted=made.encrypted,
            operation=made.operation,
            made_by=made.made_by,
            made_at=made.made_at,
        )

    async def load(self, key: str) -> Backup:
        """Read a manifest. Raises ``NotFoundError``, and ``ManorError`` (``corrupt``) for one that is not to be trusted or
        stands in another one's place."""
        where = self.store.display(key)
        manifest = Manifest.from_json(await self.store.read(key), named=where)
        if (id_of(key), tenant_of(key)) != (manifest.id, manifest.tenant):
            raise ManorError(f"{where} is the manifest of backup {manifest.id} of {manifest.tenant}", code=Code.CORRUPT)
        return Backup(key=key, manifest=manifest)

    async def open(self, runtime: Runtime, backup: Backup) -> AsyncIterator[bytes]:
        """The plain dump, proved at its end: read it to the end before anything that was made of it counts.

        Raises ``ManorError`` (``corrupt``) where size or digest are others than the manifest's, ``NotFoundError``, and
        ``CatalogError`` where the tenant's key was destroyed.
        """
        stored = Sums(self.store.get(backup.dump_key))
        plain = Sums(await self.plain(runtime, backup, stored))
        async for chunk in plain:
            yield chunk
        async for _ in stored:  # what stands behind the end of an encrypted file
            pass
        self.require_intact(backup, stored, plain)

    async def proved(self, backup: Backup) -> AsyncIterator[bytes]:
        """The dump of a backup that is not encrypted, proved at its end. Raises as ``open``."""
        stored = Sums(self.store.get(backup.dump_key))
        async for chunk in stored:
            yield chunk
        self.require_intact(backup, stored, stored)

    async def plain(self, runtime: Runtime, backup: Backup, stored: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What is inside ``stored``. Raises ``CatalogError`` where the tenant's key was destroyed."""
        manifest = backup.manifest
        if not manifest.encrypted:
            return stored
        from manor.control.backup.envelope import decrypting

        secret = await runtime.catalog.secret_for(manifest.tenant, manifest.encrypted)
        return decrypting(stored, secret, what=self.store.display(backup.dump_key))

    def require_intact(self, backup: Backup, stored: Sums, plain: Sums) -> None:
        """Raise ``ManorError`` (``corrupt``) unless what was read is what the manifest says. Read ``stored`` to its end."""
        dump, where = backup.manifest.dump, self.store.display(backup.dump_key)
        if stored.size != dump.bytes:
            raise ManorError(
                f"{where} has {stored.size} bytes, its manifest says {dump.bytes}", code=Code.CORRUPT, hint=_ANOTHER
            )
        if (stored.sha256, plain.sha256) != (dump.sha256, dump.plain_sha256):
            raise ManorError(f"{where} was altered: its digest is another one", code=Code.CORRUPT, hint=_ANOTHER)

    async def list(self, tenant: str = "") -> Listing:
        """What there is, of one tenant or of all; catalogs are left out."""
        listing = Listing()
        async for found in self.store.list(tenant):
            if found.key.startswith(f"{CATALOGS}/"):
                continue
            if found.key.endswith(MANIFEST):
                listing.manifests[id_of(found.key)] = found
            elif found.key.endswith(_DUMPS):
                listing.dumps[id_of(found.key)] = found
        return listing

    async def find(self, backup_id: str, tenant: str = "") -> Backup:
        """The backup with this id. Raises ``NotFoundError``, and as ``load``."""
        found = (await self.list(tenant)).manifests.get(backup_id)
        if found is None:
            raise NotFoundError(f"there is no backup {backup_id!r} in {self.location}", hint="`manor backup list` shows them")
        return await self.load(found.key)

    async def manifests(self, tenant: str = "") -> AsyncIterator[Backup]:
        """All backups, of one tenant or of all, the oldest of each tenant first. Raises as ``load``."""
        for found in (await self.list(tenant)).manifests.values():
            yield await self.load(found.key)

    async def remove(self, manifest_key: str, dump_key: str) -> None:
        """Remove a backup: its manifest first, so that it does not exist from then on. Safe to repeat."""
        await self.store.delete([manifest_key])
        await self.store.delete([dump_key])


async def _unless_erased(
    runtime: Runtime, record: DatabaseRecord, kind: str, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """The chunks; at their end, before they get their key, raises ``RefusedError`` where the tenant is being erased."""
    async for chunk in chunks:
        yield chunk
    await _refuse_erased(runtime, record, kind)


async def _refuse_erased(runtime: Runtime, record: DatabaseRecord, kind: str) -> None:
    """Raise ``RefusedError`` where the tenant's erasure has begun: nothing is written of it any more but its final export."""
    tenant = str(record.tenant)
    if kind == FINAL_EXPORT:
        return
    state = await until_recorded(runtime, functools.partial(runtime.catalog.erasure_state, tenant))
    if state:
        words = "is being erased" if state == "erasing" else "was erased"
        raise RefusedError(f"tenant {tenant} {words}: its backup was not kept", hint="`manor tenant certificate` tells more")


_ANOTHER = "restore another backup; `manor backup verify` reads all of them"


def id_of(key: str) -> str:
    """The backup's id in the key of its manifest or dump."""
    return key.rpartition("/")[2].partition(".")[0]


def newest_first(manifests: Iterable[Found]) -> list[str]:
    """Their keys. Ids begin with the moment that they were made in; of one moment, what was written later is newer."""
    ordered = sorted(manifests, key=lambda found: (id_of(found.key).partition("-")[0], found.modified), reverse=True)
    return [found.key for found in ordered]


def tenant_of(key: str) -> str:
    """The tenant whose folder a key stands in."""
    return key.rpartition("/")[0]


def new_backup_id(runtime: Runtime) -> str:
    """Sorts by time, in milliseconds; unique in all stores."""
    moment = f"{runtime.now().astimezone(dt.UTC):%Y%m%dT%H%M%S%f}"[:-3]
    return f"{moment}-{runtime.new_token()}"


def new_tenant_key() -> TenantKey:
    """A new key pair."""
    from manor.control.backup.envelope import new_identity

    made = new_identity()
    return TenantKey(recipient=made.recipient, secret=made.secret)


def _manifest(
    runtime: Runtime,
    record: DatabaseRecord,
    backup_id: str,
    kind: str,
    form: DumpForm,
    photograph: Photograph,
    dump: DumpFile,
    recipient: str,
    made_at: dt.datetime,
) -> Manifest:
    return Manifest(
        id=backup_id,
        kind=kind,
        tenant=str(record.tenant),
        group=record.group,
        template=record.template,
        database=record.database,
        server=record.server,
        form=form,
        photograph=photograph,
        dump=dump,
        role=record.role,
        name=record.name,
        golden=record.golden,
        isolation=recorded_isolation(record.config),
        config=json.loads(safe_json(record.config)),  # a manifest is readable without a key
        encrypted=recipient,
        made_by=runtime.actor,
        made_at=made_at.astimezone(dt.UTC),
        operation=runtime.operation,
        manor_version=__version__,
        installation=runtime.catalog.id,
    )
