"""What a release would do, worked out before anything is touched: which tenants, which migrations, in which waves."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from manor.control.catalog.records import DatabaseRecord, TargetRecord
from manor.control.migrate.cohort import Cohort, Scripts, section_of
from manor.control.migrate.plan import ReleasePlan, Trouble
from manor.control.operations.release_sources import ReleaseSources
from manor.control.operations.selecting import Selection as Selection
from manor.control.operations.selecting import found_by
from manor.control.operations.selecting import select as select
from manor.control.registry.search.fields import record_values
from manor.control.registry.search.parse import parse_search
from manor.control.rollout.budget import allowed_failures
from manor.control.rollout.release.conduct import Conduct
from manor.control.rollout.release.course import Course
from manor.control.rollout.release.move import target_of
from manor.control.rollout.release.opening import Opening
from manor.control.rollout.selection import find_tenants, pinned
from manor.control.rollout.strategy import BATCHED, Gate, Kind, Overrides, Strategy, strategy_of
from manor.control.rollout.waves import Member, release_waves
from manor.control.rollout.windows import is_open
from manor.control.steps import Status
from manor.errors import Finding, InputError, InvalidInput, Place, RefusedError, counted

if TYPE_CHECKING:
    from manor.control.migrate.lint import Hit


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One release before it begins."""

    course: Course
    targets: tuple[TargetRecord, ...]
    """Every selected tenant: pending ones with wave and cohort, the others with why they are left out."""
    records: Mapping[str, DatabaseRecord]
    scripts: Scripts
    hits: tuple[Hit, ...] = ()
    """What the lint says about the migrations to be run."""
    notices: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[TargetRecord, ...]:
        """The targets that something is to be done to."""
        return tuple(target for target in self.targets if target.status == Status.PENDING)

    @property
    def digest(self) -> str:
        """Same steps on the same tenants by the same strategy, same digest; hex, 64 characters."""
        cohorts = [[c.number, c.server, c.golden_from, c.golden_to] for c in self.course.cohorts]
        members = [[t.tenant, t.database, t.wave, t.cohort] for t in self.pending]
        text = json.dumps([str(self.course.kind), self.course.undoes, cohorts, members], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def refuse_unknown_names(strategy: Strategy, records: Sequence[DatabaseRecord]) -> None:
    """Raise ``InputError`` where a search of the strategy has a name that no tenant has: a misspelt window protects nobody."""
    searches = [("first", strategy.first), *(("maintenance_windows", window.where) for window in strategy.windows)]
    for where, text in searches:
        if text:
            found_by(text, records, where=where)


def strategy_for(
    sources: ReleaseSources, records: Iterable[DatabaseRecord], kind: str | None, overrides: Overrides
) -> Strategy:
    """The one strategy of a release over tenants of one or several registries. Raises ``InputError`` where these differ."""
    found = {
        record.source: strategy_of(sources.source(record.source).registry.deployment_strategy, kind, overrides)
        for record in records
    }
    distinct = list(found.values())
    if not distinct:
        return strategy_of(None, kind, overrides)
    bare = [replace(one, pins={}, hold_back=()) for one in distinct]
    if any(one != bare[0] for one in bare):
        raise InputError(
            f"the registries {', '.join(sorted(found))} say different things about how a release goes",
            hint="release the tenants of one registry at a time, with --group or --filter",
        )
    pins = {tenant: version for one in distinct for tenant, version in one.pins.items()}
    return replace(distinct[0], pins=pins)


def refuse_troubles(plan: ReleasePlan) -> None:
    """Raise ``InvalidInput`` for histories that do not fit the files: nothing is done to anybody then."""
    if plan.troubles:
        raise InvalidInput([_finding(trouble) for trouble in plan.troubles])


def _finding(trouble: Trouble) -> Finding:
    shown = ", ".join(trouble.tenants[:3]) + (f" and {len(trouble.tenants) - 3} more" if len(trouble.tenants) > 3 else "")
    message = f"{trouble.problem.message} ({counted(len(trouble.tenants), 'tenant')} of {trouble.template}: {shown})"
    return Finding(message=message, place=trouble.problem.place or Place(trouble.source), hint=trouble.problem.hint)


def judge(cohorts: Iterable[Cohort], scripts: Scripts) -> tuple[Hit, ...]:
    """What the lint says about every section that is to be run, each once."""
    sections = [s for cohort in cohorts for step in cohort.steps if (s := section_of(step, scripts)) is not None]
    if not sections:
        return ()
    from manor.control.migrate.lint import lint  # has hundreds of patterns, and mostly there is nothing to do

    return tuple(dict.fromkeys(hit for section in sections for hit in lint(section).hits))


def refuse_errors(hits: Iterable[Hit]) -> None:
    """Raise ``InvalidInput`` for what cannot work."""
    errors = [hit.finding() for hit in hits if hit.severity == "error"]
    if errors:
        raise InvalidInput(errors)


def refuse_unpreparable(cohorts: Iterable[Cohort], scripts: Scripts) -> None:
    """Raise ``RefusedError`` where a release of all or none has a step that cannot be part of one."""
    from manor.control.migrate.lint import unpreparable  # as ``judge``

    for cohort in cohorts:
        for step in cohort.steps:
            section = section_of(step, scripts)
            for hit in unpreparable(section) if section is not None else ():
                raise RefusedError(
                    f"{step.version} cannot be released to all or none: {hit.message}",
                    place=hit.place,
                    hint="take --strategy rolling, or release the versions before it with --to",
                )


def refuse_closed(draft: Draft, now: dt.datetime) -> None:
    """Raise ``RefusedError`` where a release to all or none would change a tenant outside its maintenance window."""
    opening = Opening.of(draft.course.windows, draft.records)
    closed = [target for target in draft.pending if not is_open(now, opening.about(target))]
    if closed:
        opens = opening.opens(closed, now)
        raise RefusedError(
            f"the maintenance window of {counted(len(closed), 'tenant')} is closed, {closed[0].database} first",
            hint=f"the next one opens at {opens:%Y-%m-%d %H:%M} UTC; waves (--strategy rolling) wait for theirs",
        )


def arrange(
    selected: Sequence[DatabaseRecord],
    plan: ReleasePlan,
    strategy: Strategy,
    *,
    held: frozenset[str],
    pins: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[TargetRecord, ...], dict[int, float]]:
    """Every selected tenant as a target, those with something to do in waves; and the pause after each wave.

    ``pins``: by tenant id.
    """
    first = parse_search(strategy.first, where="first") if strategy.first else None
    members = []
    for position, record in enumerate(selected):
        tenant = str(record.tenant)
        if tenant in plan.members and tenant not in held:
            leads = first is not None and first.matches(record_values(record))
            members.append(Member.of(replace(target_of(record), order=position), first=leads))
    waves = release_waves(members, strategy)
    wave_of = {member.tenant: wave.number for wave in waves for member in wave.members}
    rank = {member.tenant: index for index, member in enumerate(m for wave in waves for m in wave.members)}
    targets = [_target(record, plan, wave_of, held, pins) for record in selected]
    targets.sort(key=lambda target: rank.get(target.tenant, len(rank)))
    placed = tuple(replace(target, position=index) for index, target in enumerate(targets))
    return placed, {wave.number: float(wave.soak_seconds) for wave in waves}


def _target(
    record: DatabaseRecord, plan: ReleasePlan, waves: Mapping[str, int], held: frozenset[str], pins: Mapping[str, str]
) -> TargetRecord:
    tenant = str(record.tenant)
    status, detail = Status.PENDING, ""
    if record.state != "ready":
        status, detail = Status.SKIPPED, f"not released: it is {record.state}, deploy it first"
    elif tenant in held:
        status, detail = Status.SKIPPED, "held back by the registry; name it to release it"
    elif tenant not in plan.members:
        at = f"at version {record.version}" if record.version else "no migrations"
        pin = f", pinned to {pins[tenant]}" if tenant in pins else ""
        status, detail = Status.SKIPPED, f"nothing to do, {at}{pin}"
    return replace(
        TargetRecord.of(record),
        status=str(status),
        detail=detail,
        wave=waves.get(tenant),
        cohort=plan.members.get(tenant) if status is Status.PENDING else None,
    )


def held_back(strategy: Strategy, records: Sequence[DatabaseRecord], named: bool) -> frozenset[str]:
    """Tenant ids that the registry holds back, unless they were named."""
    if named or not strategy.hold_back:
        return frozenset()
    if isinstance(strategy.hold_back, str):
        return frozenset(str(record.tenant) for record in found_by(strategy.hold_back, records, where="hold_back"))
    found = find_tenants(strategy.hold_back, [record.tenant for record in records], key="hold_back")
    return frozenset(map(str, found.values()))


def pins_of(strategy: Strategy, records: Sequence[DatabaseRecord]) -> dict[str, str]:
    """Highest version by tenant id."""
    return {str(t): version for t, version in pinned(strategy.pins, [record.tenant for record in records]).items()}


def course_of(
    strategy: Strategy,
    plan: ReleasePlan,
    soak: Mapping[int, float],
    *,
    parallel: int,
    attempts: int,
    timeout: float,
    total: int,
    snapshot: bool = False,
    protected: frozenset[str],
) -> Course:
    """The course of a release by a strategy."""
    gate = strategy.gate if strategy.kind is Kind.CANARY or strategy.gate != Gate() else None
    conduct = Conduct(
        parallel=min(parallel, strategy.batch_size) if strategy.kind in BATCHED else parallel,
        attempts=attempts,
        lock_timeout_seconds=float(strategy.lock_timeout_seconds),
        statement_timeout_seconds=timeout,
        max_failures=allowed_failures(total, strategy.max_failures),
        atomic_connections=strategy.atomic_connections,
        prepare_deadline_seconds=float(strategy.prepare_deadline_seconds),
        grace_period_seconds=float(strategy.grace_period_seconds),
        snapshot=snapshot,
    )
    return Course(
        kind=strategy.kind,
        cohorts=plan.cohorts,
        conduct=conduct,
        soak_seconds=soak,
        gate=gate if strategy.kind is not Kind.ATOMIC else None,
        windows=strategy.windows,
        label=label_of(plan.cohorts),
        protected=protected,
    )


def label_of(cohorts: Iterable[Cohort]) -> str:
    """For people: which steps a release has."""
    steps: dict[str, None] = {}
    for cohort in cohorts:
        for step in cohort.steps:
            word = {"up": "", "down": "undo ", "record": "record ", "forget": "forget "}[step.kind]
            steps[f"{word}{step.version}" + (f"_{step.name}" if step.name else "")] = None
    return ", ".join(steps)
