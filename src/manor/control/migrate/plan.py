"""What a release does to each tenant, decided from the catalog and the migrations' files. Pure.

Targets that stand at the same place form a cohort (``cohort``): thousands of tenants are a handful of cohorts, and what a
cohort needs is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from manor.control.catalog.records import DatabaseRecord, Lineage
from manor.control.migrate.cohort import Cohort, History, Scripts, StepPlan
from manor.control.migrate.history import Chain, Problem, ProblemCode, pending
from manor.control.migrate.model import Applied, Migration, version_key

Place = tuple[str, str]
"""(source, template): what a chain of migrations belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How far a release goes."""

    to: str | None = None
    """The newest migration to run; None: all of them."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """By tenant id, the highest version that it may get."""
    baseline: Mapping[str, str] = field(default_factory=dict)
    """By source: up to this version migrations are recorded and not run."""
    allow_out_of_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why some tenants cannot be released at all."""

    problem: Problem
    source: str
    template: str
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePlan:
    """Cohorts, and which tenant is in which."""

    cohorts: tuple[Cohort, ...]
    members: Mapping[str, int]
    """By tenant id, its cohort's number; a tenant that is up to date is in none."""
    troubles: tuple[Trouble, ...]
    scripts: Scripts

    def sizes(self) -> dict[int, int]:
        """Number of members by cohort."""
        sizes: dict[int, int] = {}
        for number in self.members.values():
            sizes[number] = sizes.get(number, 0) + 1
        return sizes


def plan_release(
    records: Iterable[DatabaseRecord],
    chains: Mapping[Place, Chain],
    lineages: Mapping[str, Lineage],
    wanted: Wanted,
    *,
    extra: Mapping[tuple[str, str], Migration] | None = None,
) -> ReleasePlan:
    """Group ``records`` into cohorts. ``lineages`` says what their goldens' digests mean.

    ``extra``: migrations that were run before and are in no folder (``batch deploy-schema`` of a single file), by version and
    checksum: a tenant that has seen one is as if its chain had it.
    """
    planner = _Planner(chains, lineages, wanted, extra or {})
    members: dict[str, int] = {}
    for record in records:
        number = planner.cohort_of(record)
        if number is not None:
            members[str(record.tenant)] = number
    return ReleasePlan(cohorts=tuple(planner.cohorts), members=members, troubles=planner.troubles(), scripts=planner.scripts)


def history_of(record: DatabaseRecord, lineages: Mapping[str, Lineage]) -> tuple[str, History]:
    """(digest of its template, what was run upon it), as the catalog knows it."""
    lineage = lineages.get(record.golden)
    return (lineage.base, lineage.history) if lineage is not None else (record.golden, ())


def with_recorded(chain: Chain, history: History, recorded: Mapping[tuple[str, str], Migration]) -> Chain:
    """``chain`` and those migrations of a history that stand in no folder. What a squash stands for is not among them: its file
    is gone on purpose, and with it back in the chain the squash would be run a second time."""
    squashed = {version_key(version) for migration in chain.migrations for version in migration.squashes}
    lone = [
        recorded[version, checksum]
        for version, checksum, _ in history
        if (version, checksum) in recorded and chain.position(version) is None and version_key(version) not in squashed
    ]
    return Chain.of((*chain.migrations, *lone)) if lone else chain


def lone_only(recorded: Mapping[tuple[str, str], Migration], folders: Iterable[str]) -> dict[tuple[str, str], Migration]:
    """Recorded migrations that never stood in one of ``folders`` (relative to the project), as of ``batch deploy-schema``.

    Any other that the chain does not have has lost its file.
    """
    homes = tuple(folders)
    return {
        key: migration
        for key, migration in recorded.items()
        if not any(PurePosixPath(migration.place.file).is_relative_to(home) for home in homes)
    }


class _Planner:
    def __init__(
        self,
        chains: Mapping[Place, Chain],
        lineages: Mapping[str, Lineage],
        wanted: Wanted,
        extra: Mapping[tuple[str, str], Migration],
    ) -> None:
        self._chains = chains
        self._lineages = lineages
        self._wanted = wanted
        self._extra = extra
        self._known: dict[tuple[str, ...], int | None] = {}
        self._troubles: dict[tuple[str, ...], tuple[tuple[Problem, ...], Place, list[str]]] = {}
        self.cohorts: list[Cohort] = []
        self.scripts: dict[tuple[str, str], Migration] = {}

    def cohort_of(self, record: DatabaseRecord) -> int | None:
        pin = self._wanted.pins.get(str(record.tenant), "")
        key = (record.source, record.template, record.server, record.golden, pin)
        if key not in self._known:
            self._known[key] = self._decide(record, pin, key)
        if key in self._troubles:
            self._troubles[key][2].append(str(record.tenant))
        return self._known[key]

    def troubles(self) -> tuple[Trouble, ...]:
        return tuple(
            Trouble(problem=problem, source=place[0], template=place[1], tenants=tuple(tenants))
            for problems, place, tenants in self._troubles.values()
            for problem in problems
        )

    def _decide(self, record: DatabaseRecord, pin: str, key: tuple[str, ...]) -> int | None:
        place = (record.source, record.template)
        base, history = history_of(record, self._lineages)
        chain = self._chain(place, history)
        rows = [Applied(version=v, checksum=c, name=n) for v, c, n in history]
        to = self._within(chain, self._target(pin))
        if to == "":
            return None
        found = pending(chain, rows, to, allow_out_of_order=self._wanted.allow_out_of_order)
        if pin and to == pin and {problem.code for problem in found.problems} == {ProblemCode.TO_OLDER}:
            return None  # it is further than its pin lets it go: there is nothing to do, and no reason to stop the others
        if found.problems:
            self._troubles[key] = (found.problems, place, [])
            return None
        steps = self._steps(record.source, found.recorded, found.migrations)
        if not steps:
            return None
        self.scripts.update({(m.version, m.checksum): m for m in found.migrations})
        cohort = Cohort(
            number=len(self.cohorts),
            source=record.source,
            template=record.template,
            server=record.server,
            base=base,
            golden_from=record.golden,
            before=history,
            steps=steps,
        )
        self.cohorts.append(cohort)
        return cohort.number

    def _chain(self, place: Place, history: History) -> Chain:
        chain = self._chains.get(place) or Chain.of(())
        return with_recorded(chain, history, self._extra)

    def _within(self, chain: Chain, to: str | None) -> str | None:
        """``to`` as this chain can be taken to it: where only other templates have that migration, the newest before it.

        A chain without migrations, or with newer ones only, is at any version.
        """
        if to is None or chain.position(to) is not None or not chain.migrations:
            return to if chain.migrations else None
        if all(other.position(to) is None for other in self._chains.values()):
            return to  # nobody has it: a problem
        older = [m.version for m in chain.migrations if version_key(m.version) < version_key(to)]
        return older[-1] if older else ""

    def _target(self, pin: str) -> str | None:
        to = self._wanted.to
        if not pin:
            return to
        return pin if to is None else min(to, pin, key=version_key)

    def _steps(self, source: str, recorded: Sequence[Migration], run: Sequence[Migration]) -> tuple[StepPlan, ...]:
        baseline = self._wanted.baseline.get(source, "")
        steps = [_step(migration, "record") for migration in recorded]
        for migration in run:
            contained = bool(baseline) and version_key(migration.version) <= version_key(baseline)
            steps.append(_step(migration, "record" if contained else "up"))
        return tuple(sorted(steps, key=lambda step: version_key(step.version)))


def _step(migration: Migration, kind: str) -> StepPlan:
    return StepPlan(version=migration.version, checksum=migration.checksum, name=migration.name, kind=kind)
