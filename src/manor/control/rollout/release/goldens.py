"""Goldens of a release: the old one is copied, the copy migrated, and what comes out is what every tenant must come to.

This is the rehearsal too: a syntax error, a statement that cannot be prepared or a migration that ends its transaction is found
here, before any tenant is touched.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.records import GoldenRecord, Lineage
from manor.control.engines.driver import IsolatedColumn, Marker, ServerDriver
from manor.control.engines.releases import Change
from manor.control.migrate.cohort import Cohort, Scripts, Terms, section_of, segments
from manor.control.rollout.goldens import golden_name
from manor.control.rollout.release.apart import run_apart
from manor.control.rollout.release.baselines import Trial, recorded_only, refuse_what_is_not_there
from manor.control.rollout.release.work import gid_of
from manor.control.rollout.retry import ATTEMPTS, retrying
from manor.control.runtime import Runtime, operation_token
from manor.errors import Code, EngineError, NotFoundError, RefusedError, UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenWork:
    """What building the goldens of one release needs."""

    runtime: Runtime
    scripts: Scripts
    terms: Terms
    isolation: Mapping[int, tuple[IsolatedColumn, ...]]
    """By cohort: the isolated columns of its targets, whatever their values."""
    prepare: bool = False
    """Whether the steps must be such as can be prepared."""


async def release_goldens(work: GoldenWork, cohorts: Sequence[Cohort]) -> list[Cohort]:
    """The cohorts with the fingerprints that must come out, each from a golden that is recorded and ready to be copied.

    Unless all must be prepared, those whose server does not answer are left without a fingerprint: nobody is moved by them
    (``Work.require_golden``).

    Raises ``EngineError`` with the place in the user's file, ``RefusedError`` where a down section does not lead back or a
    baseline records what is not there, and ``NotFoundError`` where the golden that the tenants were copied from is gone.
    """
    built: dict[tuple[str, str], str] = {}
    away = set(work.runtime.away)
    for cohort in cohorts:
        key = (cohort.server, cohort.golden_to)
        if key in built or (cohort.server in away and not work.prepare):
            continue
        try:
            # Begun anew each time: a server that restarts must not end a release before it has begun.
            built[key] = await retrying(functools.partial(_golden, work, cohort), attempts=ATTEMPTS)
        except UnreachableError:
            if work.prepare or not await _is_away(work.runtime.servers[cohort.server]):
                raise
            away.add(cohort.server)
    await work.runtime.catalog.put_lineages(lineages_of(cohorts))
    return [replace(cohort, fingerprint=built.get((cohort.server, cohort.golden_to), "")) for cohort in cohorts]


async def _is_away(server: ServerDriver) -> bool:
    """Whether it is this server that does not answer: the catalog's errors are of the same kind."""
    try:
        await server.facts()
    except UnreachableError:
        return True
    return False


def without_golden(cohorts: Iterable[Cohort]) -> list[str]:
    """What to say about servers that did not answer."""
    names = sorted({cohort.server for cohort in cohorts if not cohort.fingerprint})
    return [f"server {name} does not answer: nothing is done to its tenants" for name in names]


def lineages_of(cohorts: Iterable[Cohort]) -> list[Lineage]:
    """What the digests that the cohorts lead to are made of."""
    found = {c.golden_to: Lineage(digest=c.golden_to, base=c.base, history=c.after) for c in cohorts if c.after}
    return list(found.values())


async def _golden(work: GoldenWork, cohort: Cohort) -> str:
    """The fingerprint of the golden that a cohort leads to, which is built where it is missing."""
    runtime, server = work.runtime, work.runtime.servers[cohort.server]
    recorded = {golden.digest: golden for golden in await runtime.catalog.goldens(cohort.server)}
    present = await server.databases()
    known = recorded.get(cohort.golden_to)
    if known is not None and known.database in present and not _goes_back(cohort):
        return known.fingerprint
    old = recorded.get(cohort.golden_from)
    if old is None or old.database not in present:
        raise NotFoundError(
            f"the golden database of {cohort.template} on {cohort.server}, which its tenants were copied from, is gone",
            hint="`manor multi-tenant deploy` builds it again",
        )
    token = operation_token(runtime.operation)
    building = f"manor_new_{runtime.catalog.id}_golden_{cohort.golden_to[:16]}_{token}"
    try:
        return await _build(work, server, cohort, old, known, building)
    finally:
        await server.drop_database(building)


def _tried(building: str) -> str:
    """The name of a copy that only something is tried on."""
    return building.replace("_golden_", "_tried_")


def _goes_back(cohort: Cohort) -> bool:
    return any(step.takes_back for step in cohort.steps)


async def _build(
    work: GoldenWork, server: ServerDriver, cohort: Cohort, old: GoldenRecord, known: GoldenRecord | None, building: str
) -> str:
    runtime = work.runtime
    under_way = Marker(catalog=runtime.catalog.id, kind="building", operation=runtime.operation)
    if known is None and (recorded := recorded_only(cohort, work.scripts)):
        trial = Trial(server=server, database=_tried(building), marker=under_way, terms=work.terms)
        await refuse_what_is_not_there(trial, cohort, old, recorded)
    await server.drop_database(building)
    await server.clone(old.database, building)
    await server.restrict({building: under_way})
    runtime.telemetry.emit("golden.copied", runtime.operation, cohort.template, server=server.name)
    await _run(work, server, cohort, building)
    runtime.telemetry.emit("golden.migrated", runtime.operation, cohort.template, server=server.name)
    name = golden_name(runtime.catalog.id, cohort.golden_to) if known is None else _tried(building)
    marker = Marker(
        catalog=runtime.catalog.id,
        kind="golden" if known is None else "building",
        template=cohort.template,
        digest=cohort.golden_to,
        operation=runtime.operation,
    )
    await server.drop_database(name)  # one that the catalog does not vouch for is not trusted
    fingerprint = await _seal(work, server, cohort, (building, name), marker)
    runtime.telemetry.emit("golden.sealed", runtime.operation, cohort.template, server=server.name, database=name)
    if known is not None:
        await server.drop_database(name)
        return _same(known, fingerprint, cohort)
    record = GoldenRecord(
        server=server.name, template=cohort.template, digest=cohort.golden_to, database=name, fingerprint=fingerprint
    )
    await runtime.catalog.put_golden(record)
    runtime.telemetry.emit("golden.built", runtime.operation, cohort.template, server=server.name, database=name)
    return fingerprint


async def _seal(work: GoldenWork, server: ServerDriver, cohort: Cohort, names: tuple[str, str], marker: Marker) -> str:
    """Its fingerprint. Where the copy must not become a golden, the error says by which migrations it came to that."""
    try:
        return await server.releases.seal(*names, marker, work.isolation[cohort.number])
    except EngineError as error:
        if error.code is not Code.BAD_INPUT:
            raise
        sections = [section for step in cohort.steps if (section := section_of(step, work.scripts)) is not None]
        versions = ", ".join(step.version for step in cohort.steps)
        place = sections[0].place if len(sections) == 1 else None
        raise EngineError(f"{versions}: {error.message}", hint=error.hint, code=error.code, place=place) from error


def _same(known: GoldenRecord, fingerprint: str, cohort: Cohort) -> str:
    if fingerprint == known.fingerprint:
        return fingerprint
    versions = ", ".join(step.version for step in cohort.steps if step.kind == "down")
    raise RefusedError(
        f"the down sections of {versions} do not lead back to the schema of version {cohort.version or 'none'}",
        hint="correct them: what `migrate:up` does, `migrate:down` must undo; nothing was changed",
    )


async def _run(work: GoldenWork, server: ServerDriver, cohort: Cohort, building: str) -> None:
    for segment in segments(cohort, work.scripts, work.terms, marker=None, isolation=()):
        change = replace(segment.change, fingerprint="", isolation=())
        if segment.apart:
            await run_apart(server.releases, building, change)
            continue
        if work.prepare:
            await _try_to_prepare(work, server, building, change)
        await server.releases.apply(building, change)


async def _try_to_prepare(work: GoldenWork, server: ServerDriver, building: str, change: Change) -> None:
    gid = gid_of(work.runtime.catalog.id, work.runtime.operation, building)
    async with server.releases.ballot(connections=1) as ballot:
        try:
            await ballot.vote(building, change, gid)
        except EngineError as error:
            if error.code is Code.UNSUPPORTED:
                raise RefusedError(
                    f"this release cannot be all or none: {error.message}",
                    hint="take --strategy rolling, or move the statement into a migration with transaction:false",
                    place=error.place,
                ) from error
            raise
        await ballot.roll_back(building, gid)
