"""``manor catalog rebuild``: a lost catalog comes back from what the servers and the registries still tell.

Nothing on the servers is changed but the passwords of the tenants' roles, which were stored nowhere else. A kill at any point
leaves a catalog that says that it is being rebuilt; running the command again goes on with it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import DatabaseRecord
from manor.control.catalog.tombstones import Tombstone
from manor.control.operations.fleet import FleetSource
from manor.control.operations.rebuild_look import (
    Declared,
    Looks,
    look_at_prepared,
    look_at_servers,
    look_into,
    read_declared,
)
from manor.control.operations.recovery import Recovery, aside_name, make_room, refuse_in_use, replaced_by
from manor.control.rollout.bases.adopt import adopt_bases
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.erasure.graves import dig, graves_of
from manor.control.rollout.rebuild import GoldenLook, begin, end, restore_stock, restore_tenants
from manor.control.rollout.rebuild_plan import Declaration, Finding, Rebuilt, choose_catalog, plan_rebuild, tenants_of
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status
from manor.errors import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildRequest:
    """What the command line asks for."""

    catalog_id: str | None = None
    dry_run: bool = False
    parallel: int = 8
    lock_wait_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    catalog: str
    looks: Looks
    declared: Declared
    rebuilt: Rebuilt
    tombstones: Mapping[str, Tombstone]
    """By tenant: who was erased, as far as that was written down beside the catalog."""
    replaced: str
    """Id of a catalog without tenants that is in the way; empty where there is none."""


async def rebuild(recovery: Recovery, sources: Sequence[FleetSource], request: RebuildRequest, place: BasePlace) -> Report:
    """Bring the catalog back; one outcome per tenant, and a notice for each thing that nobody can know any more. ``place``:
    where base backups are, which the catalog is told of again.

    Raises ``RefusedError`` where the catalog is there and has tenants, ``InputError`` where it is not clear which catalog was
    lost, ``InvalidInput`` for a registry that cannot be read.
    """
    began, started_at = time.monotonic(), recovery.now()
    plan = await _plan(recovery, sources, request)
    if request.dry_run:
        return _report(plan, [_planned(finding) for finding in plan.rebuilt.findings], dry_run=True)
    await make_room(recovery, plan.catalog)
    async with await recovery.place.open() as catalog:
        await catalog.take_identity(plan.catalog)
        return await _carry_out(recovery.runtime(catalog), plan, request, place, began, started_at)


async def _adopted(runtime: Runtime, place: BasePlace) -> list[str]:
    """What to say of base backups."""
    adopted, problems = await adopt_bases(runtime, place)
    found = [f"{counted(adopted, 'base backup')} found in storage and recorded again"] if adopted else []
    return [*found, *problems]


async def _carry_out(
    runtime: Runtime, plan: _Plan, request: RebuildRequest, place: BasePlace, began: float, started_at: dt.datetime
) -> Report:
    async with runtime.catalog.lock(FLEET_LOCK, wait_seconds=request.lock_wait_seconds, holder=runtime.operation):
        runtime.telemetry.emit("operation.planned", runtime.operation, targets=len(plan.rebuilt.findings))
        await begin(runtime, plan.rebuilt)
        await dig(runtime, _graves(plan), _unfinished(plan))
        fingerprints = await restore_stock(runtime, plan.rebuilt, _goldens(plan))
        outcomes = await restore_tenants(runtime, plan.rebuilt.findings, fingerprints, parallel=request.parallel)
        bases = await _adopted(runtime, place)
        problems = await end(runtime, outcomes)
    seconds = time.monotonic() - began
    made = _report(plan, outcomes, operation=runtime.operation, problems=problems, started_at=started_at, seconds=seconds)
    return replace(made, notices=(*made.notices, *bases))


async def _plan(recovery: Recovery, sources: Sequence[FleetSource], request: RebuildRequest) -> _Plan:
    await refuse_in_use(recovery)
    present = await _half_rebuilt(recovery.found)
    looks = await look_at_servers(recovery.servers)
    catalog = choose_catalog(looks, request.catalog_id, present)
    tenants = tenants_of(catalog, looks)
    declared = read_declared(sources, tenants)
    rebuilt = plan_rebuild(
        catalog,
        looks,
        await look_into(recovery.servers, tenants, declared, parallel=request.parallel),
        declared.tenants,
        declared.migrations,
        await look_at_prepared(recovery.servers, catalog),
    )
    replaced = await replaced_by(recovery, catalog)
    return _Plan(
        catalog=catalog,
        looks=looks,
        declared=declared,
        rebuilt=rebuilt,
        tombstones=recovery.tombstones.of(catalog),
        replaced=replaced,
    )


def _living(plan: _Plan) -> set[str]:
    return {str(finding.found.tenant) for finding in plan.rebuilt.findings}


def _graves(plan: _Plan) -> list[Tombstone]:
    return graves_of(plan.tombstones, _living(plan))


def _unfinished(plan: _Plan) -> dict[str, DatabaseRecord]:
    """By tenant whose erasure began and that a registry still declares, where it was."""
    began = [one.tenant for one in _graves(plan) if one.state != "erased"]
    return {tenant: _declared_record(plan.declared.tenants[tenant]) for tenant in began if tenant in plan.declared.tenants}


def _declared_record(declaration: Declaration) -> DatabaseRecord:
    target = declaration.target
    return DatabaseRecord(
        tenant=target.tenant,
        database=target.database,
        server=target.server,
        group=target.group,
        template=target.template,
        state="erasing",
        role=target.database,
        source=declaration.source,
        config={"isolation": [[one.table, one.column, one.value] for one in declaration.isolation]},
    )


def _buried(plan: _Plan) -> Iterator[str]:
    """What the tombstones say, for people."""
    unfinished = _unfinished(plan)
    for one in _graves(plan):
        if one.state == "erased":
            yield f"{one.tenant} was erased, and stays so"
        elif one.tenant in unfinished:
            yield f"the erasure of {one.tenant} had begun: `manor tenant delete` goes on with it"
        else:
            yield f"the erasure of {one.tenant} had begun, and no registry tells any more where it was"
    for tenant in sorted(plan.tombstones.keys() & _living(plan)):
        yield f"{tenant} was to be erased, and its database is there: `manor tenant delete` it again"


async def _half_rebuilt(found: Catalog | None) -> str:
    """The id of a catalog whose rebuild is to be gone on with; empty where there is none."""
    return found.id if found is not None and (await found.content()).rebuild else ""


def _goldens(plan: _Plan) -> list[GoldenLook]:
    """Goldens of templates that a registry still declares; the others are built again when they are needed."""
    return [
        GoldenLook(server=server, database=found, isolation=plan.declared.isolation_of(marker.template))
        for server, look in sorted(plan.looks.items())
        for _, found in sorted(look.items())
        if (marker := found.marker) is not None
        and (marker.catalog, marker.kind) == (plan.catalog, "golden")
        and not found.broken
        and plan.declared.knows(marker.template)
    ]


def _planned(finding: Finding) -> Outcome:
    record, failure = finding.record, finding.failure
    if record is None:
        return Outcome(target=finding.target, status=Status.ERROR, failure=failure, detail=failure.message if failure else "")
    version = f"version {record.version}" if record.version else "no migrations"
    detail = f"would be recorded ({version}, role {record.role}, source {record.source or 'unknown'}) with a new password"
    return Outcome(target=finding.target, status=Status.PENDING, detail=detail)


def _replaced(plan: _Plan) -> tuple[str, ...]:
    if not plan.replaced:
        return ()
    return (f"the catalog {plan.replaced}, made since and without tenants, is kept as database {aside_name(plan.replaced)}",)


def _report(
    plan: _Plan,
    outcomes: Sequence[Outcome],
    *,
    operation: str = "",
    dry_run: bool = False,
    problems: tuple[Failure, ...] = (),
    started_at: dt.datetime | None = None,
    seconds: float = 0.0,
) -> Report:
    return Report(
        operation=operation,
        verb="rebuild",
        dry_run=dry_run,
        started_at=started_at,
        duration_seconds=seconds,
        outcomes=tuple(outcomes),
        notices=(*_replaced(plan), *_buried(plan), *(f"lost: {one}" for one in plan.rebuilt.unknown)),
        problems=problems,
        extra={"catalog": plan.catalog, "lost": list(plan.rebuilt.unknown)},
    )
