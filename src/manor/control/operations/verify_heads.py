"""``--verify``: each database is asked for its history and its schema before anything is planned.

Where the catalog is behind (somebody ran a migration with another tool, a catalog was restored from a backup), it learns the
truth, if the schema proves it. Where the schema is not that of any known release, the tenant is astray: named, and left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from manor.control.catalog.records import AuditEvent, DatabaseRecord, Lineage, TargetRecord
from manor.control.engines.releases import Seen
from manor.control.migrate.model import release_digest, version_key
from manor.control.migrate.plan import history_of
from manor.control.operations.release_draft import Selection, select
from manor.control.operations.tenants import server_of
from manor.control.rollout.release.work import ended
from manor.control.rollout.retry import retrying
from manor.control.rollout.strategy import Kind
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Status
from manor.errors import Code, EngineError, ManorError, RefusedError, counted

PARALLEL = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedHeads:
    """What was found in the databases."""

    astray: Mapping[str, Failure] = field(default_factory=dict)
    """By tenant id, why it cannot be released."""
    corrected: frozenset[str] = frozenset()
    """Tenants of which the catalog had another version."""
    seen: int = 0

    def told(self, targets: Sequence[TargetRecord]) -> tuple[TargetRecord, ...]:
        """The targets of a draft, with what was found."""
        return tuple(self._told(target) for target in targets)

    def _told(self, target: TargetRecord) -> TargetRecord:
        if target.tenant in self.astray:
            return ended(target, Status.ERROR, failure=self.astray[target.tenant])
        if target.status != Status.SKIPPED:
            return target
        remark = "the catalog had another version" if target.tenant in self.corrected else "verified"
        return replace(target, detail=f"{target.detail}, {remark}")


def refuse_astray(found: VerifiedHeads, kind: Kind) -> None:
    """Raise ``RefusedError`` where a release to all or none would leave tenants out."""
    if found.astray and kind is Kind.ATOMIC:
        tenant, failure = next(iter(found.astray.items()))
        raise RefusedError(
            f"{counted(len(found.astray), 'tenant')} cannot be released, {tenant} first: {failure.message}",
            hint="put them right, leave them out, or take --strategy rolling",
        )


async def verify_heads(runtime: Runtime, selection: Selection, *, parallel: int | None) -> VerifiedHeads:
    """Look into every chosen database that is ready; correct the catalog where it is behind and the schema proves it."""
    everything = await runtime.catalog.databases()
    chosen = [record for record in select(everything, selection) if record.state == "ready"]
    lineages = await runtime.catalog.lineages(record.golden for record in everything)
    goldens = {
        (name, golden.digest): golden.fingerprint for name in runtime.servers for golden in await runtime.catalog.goldens(name)
    }
    slots = {name: asyncio.Semaphore(parallel or PARALLEL) for name in {record.server for record in chosen}}
    astray: dict[str, Failure] = {}
    corrected: list[DatabaseRecord] = []
    learnt: dict[str, Lineage] = {}

    async def one(record: DatabaseRecord) -> None:
        try:
            async with slots[record.server]:
                isolation = recorded_isolation(record.config)
                server = server_of(runtime, record).releases
                seen = await retrying(lambda: server.look(record.database, isolation), attempts=2)
            found, lineage = _judge(record, seen, lineages, goldens)
        except ManorError as error:
            astray[str(record.tenant)] = Failure.of(error)
            return
        if found != record:
            corrected.append(found)
            learnt[lineage.digest] = lineage

    async with asyncio.TaskGroup() as group:
        for record in chosen:
            group.create_task(one(record))
    if corrected:
        await _correct(runtime, corrected, list(learnt.values()))
    names = frozenset(str(record.tenant) for record in corrected)
    return VerifiedHeads(astray=astray, corrected=names, seen=len(chosen))


async def _correct(runtime: Runtime, corrected: Sequence[DatabaseRecord], learnt: Sequence[Lineage]) -> None:
    await runtime.catalog.put_lineages(learnt)
    events = [
        AuditEvent(actor=runtime.actor, action="tenant.version_found", subject=str(r.tenant), details={"version": r.version})
        for r in corrected
    ]
    await runtime.catalog.correct_heads(runtime.operation, corrected, audit=events)


def _judge(
    record: DatabaseRecord, seen: Seen, lineages: Mapping[str, Lineage], goldens: Mapping[tuple[str, str], str]
) -> tuple[DatabaseRecord, Lineage]:
    """The record as it should be. Raises ``EngineError`` (drift) where the schema is not that of its history."""
    base, known = history_of(record, lineages)
    checksums = {version: checksum for version, checksum, _ in known}
    rows = sorted(seen.history, key=lambda row: version_key(row.version))
    history = tuple((row.version, row.checksum or checksums.get(row.version, ""), row.name) for row in rows)
    same = {(v, c) for v, c, _ in history} == {(v, c) for v, c, _ in known}
    digest = record.golden if same else release_digest(base, ((v, c) for v, c, _ in history))
    expected = record.fingerprint if same else goldens.get((record.server, digest), "")
    if not seen.isolated or seen.fingerprint != expected:
        raise _astray(record, seen, known=bool(expected), same=same)
    lineage = Lineage(digest=digest, base=base, history=history)
    version = history[-1][0] if history else ""
    return replace(record, golden=digest, version=version, fingerprint=seen.fingerprint), lineage


def _astray(record: DatabaseRecord, seen: Seen, *, known: bool, same: bool) -> EngineError:
    if not seen.isolated:
        what = "an isolated column does not hold this tenant's value"
    elif same:
        what = f"its schema is not that of version {record.version or 'none'}"
    elif known:
        what = "its history was changed, and its schema is not the one that belongs to it"
    else:
        versions = ", ".join(row.version for row in seen.history) or "none"
        what = f"its history ({versions}) is not one that was ever released here"
    hint = f"`manor tenant show {record.tenant} --drift` lists the differences"
    return EngineError(f"database {record.database}: {what}", hint=hint, code=Code.DRIFT)
