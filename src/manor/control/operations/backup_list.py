"""``manor backup list``: storage is the truth and the catalog its index.

An entry whose manifest is gone is marked, and a backup that only storage knows is listed too.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from manor.control.catalog.backups import BackupRecord
from manor.control.rollout.backups.vault import BackupVault, Listing, id_of, tenant_of
from manor.control.runtime import Runtime
from manor.errors import ManorError, NotFoundError


class BackupState(enum.StrEnum):
    """How a backup is, as far as can be told without reading its dump."""

    COMPLETE = "complete"
    UNRECORDED = "not in the catalog"
    ELSEWHERE = "in another store"
    GONE = "manifest gone"
    NO_DUMP = "dump gone"
    OTHER_SIZE = "dump has another size"
    UNREADABLE = "manifest unreadable"
    FOREIGN = "of another installation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One backup, and how it is."""

    id: str
    tenant: str
    key: str
    """Of its manifest."""
    dump_key: str
    """Empty where it is not known."""
    state: BackupState
    record: BackupRecord | None
    """What the catalog or else its manifest says of it; None where the manifest cannot be read."""

    @property
    def usable(self) -> bool:
        """Whether it counts as a backup: complete, and the last verification found nothing wrong."""
        complete = self.state in (BackupState.COMPLETE, BackupState.UNRECORDED)
        return complete and self.record is not None and not self.record.problem


async def list_backups(runtime: Runtime, vault: BackupVault, *, tenant: str | None = None) -> list[Listed]:
    """Backups of one tenant (its full id) or of all, by tenant, the newest first."""
    return (await survey_backups(runtime, vault, tenant=tenant))[0]


async def survey_backups(runtime: Runtime, vault: BackupVault, *, tenant: str | None = None) -> tuple[list[Listed], Listing]:
    """The same, and what lies in the store."""
    # The catalog first: a backup that is made meanwhile is one that it does not know, not one whose manifest is gone.
    records = await runtime.catalog.backups(tenant=tenant)
    listing = await vault.list(tenant or "")
    known = {record.id for record in records}
    listed = [_recorded(record, vault, listing) for record in records]
    listed += [await _found(runtime, vault, found.key, listing) for id_, found in listing.manifests.items() if id_ not in known]
    return sorted(listed, key=lambda one: (one.tenant, _age(one), one.id)), listing


def _age(one: Listed) -> float:
    return -one.record.made_at.timestamp() if one.record is not None else 0.0


async def resolve_tenant(runtime: Runtime, name: str) -> str:
    """The full id of a tenant, or of one that is no more and has backups. Raises ``NotFoundError`` and ``InputError``."""
    try:
        return str((await runtime.catalog.database_by_tenant(name, with_url=False)).tenant)
    except NotFoundError:
        if await runtime.catalog.backups(tenant=name):
            return name
        raise


def _recorded(record: BackupRecord, vault: BackupVault, listing: Listing) -> Listed:
    dump = listing.dumps.get(record.id)
    return Listed(
        id=record.id,
        tenant=record.tenant,
        key=record.key,
        dump_key=dump.key if dump is not None else "",
        state=state_of(record, vault.location, listing),
        record=record,
    )


def state_of(record: BackupRecord, location: str, listing: Listing) -> BackupState:
    """How a recorded backup is, given what lies in the store at ``location``. Pure."""
    if record.location != location:
        return BackupState.ELSEWHERE
    if record.id not in listing.manifests:
        return BackupState.GONE
    dump = listing.dumps.get(record.id)
    if dump is None:
        return BackupState.NO_DUMP
    return BackupState.COMPLETE if dump.size == record.bytes else BackupState.OTHER_SIZE


async def _found(runtime: Runtime, vault: BackupVault, key: str, listing: Listing) -> Listed:
    """One that the catalog does not know."""
    dump = listing.dumps.get(id_of(key))
    dump_key = dump.key if dump is not None else ""
    try:
        backup = await vault.load(key)
    except ManorError:
        return Listed(
            id=id_of(key), tenant=tenant_of(key), key=key, dump_key=dump_key, state=BackupState.UNREADABLE, record=None
        )
    record = vault.record_of(backup)
    state = state_of(record, vault.location, listing)
    if not backup.manifest.is_of(runtime.catalog.id):
        state = BackupState.FOREIGN
    elif state is BackupState.COMPLETE:
        state = BackupState.UNRECORDED
    return Listed(id=record.id, tenant=record.tenant, key=key, dump_key=dump_key, state=state, record=record)
