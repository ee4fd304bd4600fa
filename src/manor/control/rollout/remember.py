"""Writes down which servers there are, and follows one that has moved: the stored URLs of its tenants lead to its new address.

An embedded server moves with its project's folder, an own one when its URL changes. Names, roles and passwords stay.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable

from manor.control.catalog.records import AuditEvent, DatabaseRecord, ServerRecord
from manor.control.engines.driver import Login, ServerDriver
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime
from manor.errors import CatalogError
from manor.tenancy import TenantId, password_of


async def remember_servers(runtime: Runtime, records: Iterable[DatabaseRecord]) -> None:
    """Record every server. ``records``: all databases, of which those of a server that has moved get new URLs first."""
    known = {server.name: server.url for server in await until_recorded(runtime, runtime.catalog.servers)}
    by_server: dict[str, list[DatabaseRecord]] = {}
    for record in records:
        by_server.setdefault(record.server, []).append(record)
    for name, server in runtime.servers.items():
        if known.get(name, server.address) != server.address:
            await _follow(runtime, server, by_server.get(name, []))
        facts = await retrying(server.facts, attempts=ATTEMPTS)
        seen = ServerRecord(name=name, engine=facts.engine, url=server.address, version=facts.version)
        await until_recorded(runtime, functools.partial(runtime.catalog.put_server, seen))


async def _follow(runtime: Runtime, server: ServerDriver, records: Iterable[DatabaseRecord]) -> None:
    by_tenant = {record.tenant: record for record in records}
    tokens = await until_recorded(runtime, functools.partial(runtime.catalog.encrypted_urls, by_tenant))
    urls: dict[TenantId, str] = {}
    for tenant, token in tokens.items():
        with contextlib.suppress(CatalogError):  # one that cannot be read is its own target's failure
            record = by_tenant[tenant]
            password = password_of(runtime.catalog.decrypt_url(tenant, token)) if token else ""
            if password:
                urls[tenant] = server.url(record.database, Login(role=record.role, password=password))
    event = AuditEvent(actor=runtime.actor, action="server.move", subject=server.name, details={"databases": len(urls)})
    renew = functools.partial(runtime.catalog.renew_urls, urls, operation_id=runtime.operation, audit=[event])
    await until_recorded(runtime, renew)
    runtime.telemetry.emit("server.moved", runtime.operation, server.name, databases=len(urls))
