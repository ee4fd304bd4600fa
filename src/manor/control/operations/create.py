"""``manor tenant create``: one more tenant of a group, beside those that the registry counts, in one operation.

It is made by the same steps as a deploy makes its databases, under the same lock, and stands in the catalog like the others;
its id is a word instead of a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from manor.control.operations.deploy import DeployRequest, deploy
from manor.control.operations.fleet import Examine, Fleet, FleetSource, load_fleet
from manor.control.provision.plan import tombstone_words
from manor.control.registry.model import TenantGroup
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import ConflictError, InputError, NotFoundError
from manor.scan import suggest
from manor.tenancy import TenantId, id_part_problem


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """Who is to be made."""

    name: str
    """Display name, any text."""
    tenant_id: str = ""
    """Its short id; empty: the name."""
    group: str | None = None
    """None: the registry's only group of numbered tenants."""

    @property
    def short(self) -> str:
        """The short id."""
        return self.tenant_id or self.name


def fleet_with(source: FleetSource, new: NewTenant, examine: Examine) -> tuple[Fleet, TenantId]:
    """The registry's fleet with one more tenant. Raises ``InputError`` for a name that cannot be an id, a group that must be
    named, and ``InvalidInput`` where its database's name is taken or too long."""
    problem = id_part_problem(new.short)
    if problem:
        raise InputError(f"the id {new.short!r} {problem}", hint="give it a short id of its own: --tenant-id ID")
    bare = load_fleet(source, examine)
    groups = {n: g for n, g in bare.registry.database_groups.items() if isinstance(g, TenantGroup)}
    if new.group is None and len(groups) != 1:
        raise InputError("which group does the tenant belong to?", hint=f"--group G; {suggest('', list(groups))}")
    group = new.group or next(iter(groups))
    if group not in groups:
        raise NotFoundError(f"there is no group of tenants {group!r} in {source.shown_as}", hint=suggest(group, list(groups)))
    tenant = TenantId(bare.registry.customer_info.customer_code, group, new.short)
    if str(tenant) in bare.declared:
        raise ConflictError(f"tenant {tenant} is one of those that the registry counts", hint="choose another --tenant-id")
    return load_fleet(replace(source, further={group: {new.short: new.name}}), examine), tenant


async def create_tenant(runtime: Runtime, fleet: Fleet, tenant: TenantId, *, lock_wait_seconds: float = 10.0) -> Report:
    """Make it. Raises ``ConflictError`` where there is such a tenant already."""
    await refuse_taken(runtime, fleet, tenant)
    request = DeployRequest(only=str(tenant), verb="tenant create", lock_wait_seconds=lock_wait_seconds)
    report = await deploy(runtime, fleet, request)
    if any(outcome.status is Status.SKIPPED for outcome in report.outcomes):
        raise _exists(tenant)
    return report


async def refuse_taken(runtime: Runtime, fleet: Fleet, tenant: TenantId) -> None:
    """Raise ``ConflictError`` where there is such a tenant already, or was one that was erased."""
    known = {str(record.tenant): record for record in await runtime.catalog.databases(source=fleet.source.shown_as)}
    found = known.get(str(tenant))
    if found is not None and found.state == "ready":
        raise _exists(tenant)
    erased = await runtime.catalog.erasure(str(tenant))
    if erased is not None and erased.tenant == str(tenant):
        raise ConflictError(f"tenant {tenant}: {tombstone_words(erased)}", hint="choose another --tenant-id")


def _exists(tenant: TenantId) -> ConflictError:
    return ConflictError(f"there is a tenant {tenant} already", hint=f"`manor tenant show {tenant}`")
