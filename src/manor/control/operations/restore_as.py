"""``manor tenant restore --as``: the tenant that gets a backup of another one, where there is none of that name yet."""

from __future__ import annotations

from dataclasses import dataclass

from manor.control.operations.create import NewTenant
from manor.control.operations.fleet import Fleet
from manor.control.operations.restore import RestoreRequest, owner_of, require_key
from manor.control.rollout.backups.backup_file import find_backup
from manor.control.rollout.backups.vault import BackupVault
from manor.control.runtime import Runtime
from manor.errors import InputError, NotFoundError, RefusedError
from manor.tenancy import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """A tenant that has to be made before it can be given a backup."""

    new: NewTenant
    named: str
    """As it was written."""
    template: str
    """Of the backup: the only one that it fits."""
    source: str
    """The registry that declares the backup's tenant, relative to the project; empty: not known (any more)."""


async def heir_of(runtime: Runtime, configured: BackupVault | None, request: RestoreRequest) -> Heir | None:
    """Who has to be made first; None: nobody. Raises as ``restore`` does for a backup that cannot be the right one, so that no
    tenant is made for nothing."""
    if request.into is None or await _is_known(runtime, request.into):
        return None
    file = await find_backup(
        runtime, configured, request.backup_file, base=request.base, without_manifest=request.without_manifest
    )
    made = file.manifest
    if made is None:
        raise RefusedError(
            f"{file.described} has no manifest, so nobody knows for which template it is",
            hint="make the tenant with `manor tenant create` first",
        )
    owner = await owner_of(runtime, file, request.tenant)
    await require_key(runtime, file)
    group, _, short = request.into.rpartition("/")
    return Heir(
        new=NewTenant(name=short, tenant_id=short, group=group.rpartition("/")[2] or made.group),
        named=request.into,
        template=made.template,
        source=owner.source if owner is not None else "",
    )


async def _is_known(runtime: Runtime, text: str) -> bool:
    try:
        await runtime.catalog.database_by_tenant(text, with_url=False)
    except NotFoundError:
        return False
    return True


def refuse_unfit(fleet: Fleet, tenant: TenantId, heir: Heir) -> None:
    """Raise ``InputError`` where the tenant that would be made is not the one that was named, ``RefusedError`` where it is of
    another template than the backup."""
    if "/" in heir.named and str(tenant) != heir.named:
        raise InputError(
            f"there is no tenant {heir.named}, and only {tenant} could be made here", hint="--as CUSTOMER/GROUP/ID"
        )
    for target in fleet.select(only=str(tenant)):
        if target.template != heir.template:
            raise RefusedError(
                f"the backup is of template {heir.template}, {tenant} would be of {target.template}",
                hint="name a tenant of another group: --as CUSTOMER/GROUP/ID",
            )
