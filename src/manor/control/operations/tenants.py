"""``manor tenant …``: single tenants, from the catalog."""

from __future__ import annotations

from dataclasses import replace

from manor.control.audit import anchor_head
from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.driver import Login, ServerDriver
from manor.control.engines.entries import ERASING
from manor.control.rollout.drift import schema_differences
from manor.control.runtime import Runtime
from manor.errors import NotFoundError, RefusedError
from manor.tenancy import password_of


async def list_tenants(runtime: Runtime, *, group: str | None = None) -> list[DatabaseRecord]:
    """Every recorded tenant, by id, without URLs."""
    return await runtime.catalog.databases(group=group)


async def find_tenant(runtime: Runtime, text: str) -> DatabaseRecord:
    """One tenant by full id, or by a short id or database name that is unique; with its URL. Raises ``NotFoundError``.

    The URL leads to where the server is now, which its next deploy writes down.
    """
    try:
        record = await runtime.catalog.database_by_tenant(text)
    except NotFoundError:
        await refuse_erased(runtime, text)
        raise
    server = runtime.servers.get(record.server)
    if server is None or not record.url:
        return record
    return replace(record, url=server.url(record.database, Login(role=record.role, password=password_of(record.url))))


async def find_record(runtime: Runtime, text: str) -> DatabaseRecord:
    """The same as it is recorded, without its URL. Raises ``NotFoundError``, which says so where it was erased."""
    try:
        return await runtime.catalog.database_by_tenant(text, with_url=False)
    except NotFoundError:
        await refuse_erased(runtime, text)
        raise


def refuse_undeployed(record: DatabaseRecord) -> None:
    """Raise ``RefusedError`` for a tenant without a finished database."""
    if record.state == ERASING:
        raise RefusedError(f"tenant {record.tenant} is being erased", hint="`manor tenant delete` goes on with it")
    if record.state != "ready":
        raise RefusedError(f"tenant {record.tenant} is {record.state}", hint="`manor multi-tenant deploy` makes its database")


async def refuse_erased(runtime: Runtime, text: str) -> None:
    """Raise ``NotFoundError`` that says when, where the tenant was erased."""
    found = await runtime.catalog.erasure(text)
    if found is not None and found.erased_at is not None:
        hint = f"`manor tenant certificate --tenant-id {found.tenant}` prints what was erased"
        raise NotFoundError(f"tenant {found.tenant} was erased on {found.erased_at:%Y-%m-%d}", hint=hint)


async def find_open_tenant(runtime: Runtime, text: str) -> DatabaseRecord:
    """The same, for whoever wants to enter. Raises ``RefusedError`` where it is suspended or being erased, too."""
    record = await find_tenant(runtime, text)
    await require_open(runtime, record)
    return record


async def require_open(runtime: Runtime, record: DatabaseRecord) -> None:
    """Raise ``RefusedError`` where nobody may enter a tenant's database."""
    if record.is_active:
        return
    if record.state == ERASING:
        refuse_undeployed(record)
    found = (await runtime.catalog.suspensions(str(record.tenant))).get(str(record.tenant))
    since = f" since {found.since:%Y-%m-%d %H:%M} UTC" if found else ""
    reason = f" ({found.reason})" if found and found.reason else ""
    raise RefusedError(
        f"tenant {record.tenant} is suspended{since}{reason}", hint=f"`manor tenant resume {record.tenant}` opens it again"
    )


def server_of(runtime: Runtime, record: DatabaseRecord) -> ServerDriver:
    """The server that holds a recorded database. Raises ``NotFoundError`` where the environment no longer names it."""
    server = runtime.servers.get(record.server)
    if server is None:
        raise NotFoundError(
            f"server {record.server}, which holds {record.database}, is not among the deployments",
            hint="put it back into environ.yaml",
        )
    return server


async def tenant_drift(runtime: Runtime, record: DatabaseRecord, *, lock_wait_seconds: float = 10.0) -> list[str]:
    """What differs between the tenant's schema and the golden one it was copied from, and between what its role may and what it
    should, in words; empty where nothing does.

    Raises ``ConflictError`` while a deploy runs: it would sweep the copy away.
    """
    server = server_of(runtime, record)
    async with runtime.catalog.lock(FLEET_LOCK, wait_seconds=lock_wait_seconds, holder=runtime.operation):
        return await _differences(runtime, server, record)


async def _differences(runtime: Runtime, server: ServerDriver, record: DatabaseRecord) -> list[str]:
    differences = await schema_differences(runtime, server, record)
    closed = () if record.is_active else (record.role,)
    faults = await server.role_faults({record.role: record.database}, closed=closed)
    return [*(fault.message for fault in faults.values()), *differences]


async def rotate_password(runtime: Runtime, text: str, *, lock_wait_seconds: float = 10.0) -> DatabaseRecord:
    """Give a tenant's role a new password. Recorded first: a password that the server has and nobody knows would lock out.

    Between the two steps new connections with the recorded URL fail; repeating the command heals an interruption. It heals a
    URL that cannot be decrypted too, so the old one is never read. Raises ``ConflictError`` while another operation runs: of
    two that set passwords at once, the catalog could keep one and the server the other.
    """
    async with runtime.catalog.lock(FLEET_LOCK, wait_seconds=lock_wait_seconds, holder=runtime.operation):
        await runtime.catalog.confirm_key()
        record = await runtime.catalog.database_by_tenant(text, with_url=False)
        await _set_new_password(runtime, record)
        return await find_tenant(runtime, str(record.tenant))


async def _set_new_password(runtime: Runtime, record: DatabaseRecord) -> None:
    if record.state != "ready":
        raise RefusedError(f"tenant {record.tenant} is {record.state}", hint="deploy it first")
    await require_open(runtime, record)
    server = server_of(runtime, record)
    login = Login(role=record.role, password=runtime.new_password())
    url = server.url(record.database, login)
    event = AuditEvent(actor=runtime.actor, action="tenant.rotate_password", subject=str(record.tenant), details={})
    await runtime.catalog.set_url(record.tenant, url, operation_id=runtime.operation, audit=[event])
    await server.set_password(login, record.database)
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
