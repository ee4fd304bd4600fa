"""From what somebody typed to a backup: the id of one, or the place of its file; and to what can be loaded.

A file is a backup if its manifest stands beside it. One without is believed only on request, and has to prove itself by its
schema.
"""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from manor.control.backup.manifest import Manifest
from manor.control.catalog.backups import BackupRecord
from manor.control.engines.dumps import DumpForm
from manor.control.rollout.backups.load import Source
from manor.control.rollout.backups.vault import ENCRYPTED, MANIFEST, Backup, BackupVault, Sums, id_of
from manor.control.runtime import Runtime
from manor.errors import Code, InputError, ManorError, NotFoundError, RefusedError
from manor.storage import open_store

_BACKUP_ID = re.compile(r"\d{8}T\d{9}-[0-9a-f]{8}")
_ARCHIVE = b"PGDMP"
"""With which a custom dump begins (PostgreSQL source, pg_backup_archiver.c)."""
_LOOKED_AT = 4096
"""So many bytes of a file without a manifest are looked at."""
_NO_SCRIPT = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
"""What stands in no script; ESC does, in encodings such as ISO-2022-JP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFile:
    """A dump that is there."""

    vault: BackupVault
    key: str
    form: DumpForm
    backup: Backup | None
    """None: it has no manifest."""

    @property
    def described(self) -> str:
        """For people."""
        return self.vault.store.display(self.key)

    @property
    def manifest(self) -> Manifest | None:
        """What was written down about it."""
        return self.backup.manifest if self.backup is not None else None

    def source(self, runtime: Runtime, *, tenant: str, role: str) -> Source:
        """What is to be loaded for ``tenant``, whose role is ``role``."""
        made = self.manifest
        if self.backup is None or made is None:
            plain = functools.partial(self.vault.store.get, self.key)
            return Source(described=self.described, form=self.form, chunks=plain, expected=None, tenant=tenant, database="")
        is_others = made.tenant != tenant
        return Source(
            described=self.described,
            form=made.form,
            chunks=functools.partial(self.vault.open, runtime, self.backup),
            expected=made.photograph,
            tenant=made.tenant,
            database=made.database,
            golden=made.golden,
            isolation=made.isolation if is_others else None,
            roles={made.role: role} if is_others and made.role else {},
            require_intact=functools.partial(_require_intact, self.vault, self.backup),
        )


async def _require_intact(vault: BackupVault, backup: Backup) -> None:
    """Read all of it as it is stored; raises where it was altered. What is inside is not looked at: it may not be readable."""
    stored = Sums(vault.store.get(backup.dump_key))
    async for _ in stored:
        pass
    dump = backup.manifest.dump
    if (stored.size, stored.sha256) != (dump.bytes, dump.sha256):
        raise ManorError(
            f"{vault.store.display(backup.dump_key)} was altered: its digest is another one",
            hint="restore another backup; `manor backup verify` reads all of them",
            code=Code.CORRUPT,
        )


async def find_backup(
    runtime: Runtime, configured: BackupVault | None, text: str, *, base: Path, without_manifest: bool = False
) -> BackupFile:
    """The backup that ``text`` means: an id, a path (a relative one counts from ``base``) or a URL. ``configured``: the
    environment's own store.

    Raises ``NotFoundError``, ``RefusedError`` for a file without manifest unless ``without_manifest``, and ``ManorError``
    (``corrupt``) where manifest or file were altered, cut, or do not belong together.
    """
    if _BACKUP_ID.fullmatch(text) and not (base / text).exists():
        return await _by_id(runtime, configured, text)
    location, name = split_location(text)
    vault = BackupVault(open_store(location, base=base))
    key = f"{id_of(name)}{MANIFEST}"
    if await vault.store.head(key) is None:
        return await _without_manifest(vault, name, without_manifest)
    backup = await _beside(vault, key, name)
    with contextlib.suppress(NotFoundError):  # of another installation
        _require_recorded(vault, backup, await runtime.catalog.backup(backup.manifest.id))
    return await _whole(vault, backup)


async def _beside(vault: BackupVault, key: str, name: str) -> Backup:
    """The manifest beside a file, wherever somebody has put both; it names its file."""
    where = vault.store.display(key)
    made = Manifest.from_json(await vault.store.read(key), named=where)
    if id_of(key) != made.id or name not in (made.dump.key, key):
        raise ManorError(
            f"{where} is the manifest of {made.dump.key}, not of {name}",
            hint="put the file and its own manifest side by side, under the names that they had",
            code=Code.CORRUPT,
        )
    return Backup(key=key, manifest=made)


async def _by_id(runtime: Runtime, configured: BackupVault | None, backup_id: str) -> BackupFile:
    try:
        record = await runtime.catalog.backup(backup_id)
    except NotFoundError:
        unrecorded = await _unrecorded(configured, backup_id)
        if unrecorded is None:
            raise
        return unrecorded
    is_here = configured is not None and configured.location == record.location
    vault = configured if configured is not None and is_here else BackupVault(open_store(record.location))
    backup = await vault.load(record.key)
    _require_recorded(vault, backup, record)
    return await _whole(vault, backup)


async def _unrecorded(configured: BackupVault | None, backup_id: str) -> BackupFile | None:
    """A backup that the environment's store has and the catalog does not: its index may have been lost."""
    if configured is None:
        return None
    async for found in configured.store.list():
        if found.key.endswith(f"/{backup_id}{MANIFEST}"):
            return await _whole(configured, await configured.load(found.key))
    return None


def _require_recorded(vault: BackupVault, backup: Backup, record: BackupRecord) -> None:
    if backup.manifest.digest != record.digest:
        raise ManorError(
            f"{vault.store.display(backup.key)} is not the manifest that was recorded when the backup was made",
            hint="somebody has written another one in its place",
            code=Code.CORRUPT,
        )


async def _whole(vault: BackupVault, backup: Backup) -> BackupFile:
    """Raises where the dump is gone, or shorter or longer than it was; its content is proved while it is read."""
    found, dump = await vault.store.head(backup.dump_key), backup.manifest.dump
    where = vault.store.display(backup.dump_key)
    if found is None:
        raise NotFoundError(f"{where} is not there, only its manifest is", hint="`manor backup list` shows other backups")
    if found.size != dump.bytes:
        raise ManorError(
            f"{where} has {found.size} bytes, its manifest says {dump.bytes}",
            hint="it was cut or altered: restore another backup",
            code=Code.CORRUPT,
        )
    return BackupFile(vault=vault, key=backup.dump_key, form=backup.manifest.form, backup=backup)


async def _without_manifest(vault: BackupVault, name: str, allowed: bool) -> BackupFile:
    where = vault.store.display(name)
    if await vault.store.head(name) is None:
        raise NotFoundError(f"there is no backup {where}", hint="`manor backup list` shows the ids of those that there are")
    if not allowed:
        raise RefusedError(
            f"{where} has no manifest beside it: nothing says what it holds, or that it is whole",
            hint="--without-manifest loads it, and compares its schema with those that the tenant's template has had",
        )
    if name.endswith(ENCRYPTED):
        raise RefusedError(f"{where} is encrypted, and without its manifest nobody knows for whom", hint="decrypt it first")
    form = _form_of(await vault.store.get_range(name, 0, _LOOKED_AT), where)
    return BackupFile(vault=vault, key=name, form=form, backup=None)


def _form_of(begins: bytes, where: str) -> DumpForm:
    """What a file is that begins so. Raises ``InputError`` for one that is neither an archive of pg_dump nor a script: such
    have no control characters but those of white space."""
    if begins.startswith(_ARCHIVE):
        return DumpForm.CUSTOM
    if not begins.strip() or _NO_SCRIPT.search(begins):
        raise InputError(
            f"{where} is no dump: neither what pg_dump --format=custom writes nor a script of SQL",
            hint="name a dump; one that was compressed or written with --format=tar or directory must be made anew",
        )
    return DumpForm.PLAIN


def split_location(text: str) -> tuple[str, str]:
    """(the folder or URL that holds a file, the file's name); options of a URL stay with the folder. Raises ``InputError``."""
    place, mark, options = text.partition("?") if "://" in text else (text, "", "")
    folder, slash, name = place.rpartition("/")
    if not name or (slash and "://" in place and folder.endswith("/")):
        raise InputError(f"{place!r} names no file", hint="name the dump: a path, a URL, or the id of a backup")
    if not slash:
        folder = "."
    return f"{folder or '/'}{mark}{options}", name
