"""Cohorts: targets that stand at the same place: the same steps are run on them, the same schema must come out. Pure.

A golden's digest says exactly which migrations were run upon which template, so the catalog alone tells what a tenant needs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from manor.control.engines.driver import IsolatedColumn, Marker
from manor.control.engines.releases import Change, ChangeStep
from manor.control.migrate.model import Direction, Migration, Section, head_of_versions, release_digest
from manor.errors import InputError, Place

History = tuple[tuple[str, str, str], ...]
"""(version, checksum, name), in the order in which they were run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One step of a cohort, without its text."""

    version: str
    checksum: str
    name: str
    kind: str
    """``up``, ``down``; or ``record`` and ``forget``: only the history changes, a row comes or goes."""

    @property
    def takes_back(self) -> bool:
        """Whether the history is shorter afterwards."""
        return self.kind in ("down", "forget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What is to be done to some targets, all of one server, template and history."""

    number: int
    source: str
    template: str
    server: str
    base: str
    """Digest of the template that the history was run upon."""
    golden_from: str
    before: History
    steps: tuple[StepPlan, ...]
    fingerprint: str = ""
    """What must come out; known once the new golden is built."""

    @property
    def after(self) -> History:
        """The history that the steps lead to."""
        gone = {step.version for step in self.steps if step.takes_back}
        come = tuple((s.version, s.checksum, s.name) for s in self.steps if not s.takes_back)
        return tuple(row for row in self.before if row[0] not in gone) + come

    @property
    def golden_to(self) -> str:
        """Digest of the golden with ``after``."""
        return release_digest(self.base, ((version, checksum) for version, checksum, _ in self.after))

    @property
    def version(self) -> str:
        """The newest migration afterwards."""
        return head_of_versions(row[0] for row in self.after)

    @property
    def version_before(self) -> str:
        """The newest migration before."""
        return head_of_versions(row[0] for row in self.before)

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "number": self.number,
            "source": self.source,
            "template": self.template,
            "server": self.server,
            "base": self.base,
            "golden_from": self.golden_from,
            "before": [list(row) for row in self.before],
            "steps": [[s.version, s.checksum, s.name, s.kind] for s in self.steps],
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        return cls(
            number=document["number"],
            source=document["source"],
            template=document["template"],
            server=document["server"],
            base=document["base"],
            golden_from=document["golden_from"],
            before=tuple((v, c, n) for v, c, n in document["before"]),
            steps=tuple(StepPlan(version=v, checksum=c, name=n, kind=k) for v, c, n, k in document["steps"]),
            fingerprint=document["fingerprint"],
        )


Scripts = Mapping[tuple[str, str], Migration]
"""Migrations by (version, checksum)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Steps that commit together, or one step whose statements commit one by one."""

    change: Change
    apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all changes of one run of an operation have in common."""

    operation: str
    token: int
    lock_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 300.0


def segments(
    cohort: Cohort, scripts: Scripts, terms: Terms, *, marker: Marker | None, isolation: Sequence[IsolatedColumn]
) -> list[Segment]:
    """A cohort's steps for one target. The last segment brings the marker and must give the fingerprint."""
    found: list[Segment] = []
    before = [(version, checksum) for version, checksum, _ in cohort.before]
    runs = list(_runs(cohort, scripts))
    for number, (apart, steps) in enumerate(runs, start=1):
        change = Change(
            operation=terms.operation,
            token=terms.token,
            before=tuple(before),
            steps=tuple(steps),
            later=tuple(step for _, steps_then in runs[number:] for step in steps_then),
            lock_timeout_seconds=terms.lock_timeout_seconds,
            statement_timeout_seconds=terms.statement_timeout_seconds,
        )
        found.append(Segment(change=change, apart=apart))
        gone = {step.version for step in steps if step.down}
        before = [row for row in before if row[0] not in gone]
        before += [(step.version, step.checksum) for step in steps if not step.down]
    last = replace(found[-1].change, marker=marker, isolation=tuple(isolation), fingerprint=cohort.fingerprint)
    return [*found[:-1], replace(found[-1], change=last)]


def is_atomic(cohort: Cohort, scripts: Scripts) -> bool:
    """Whether one transaction does all of it."""
    return not any(apart for apart, _ in _runs(cohort, scripts))


def _runs(cohort: Cohort, scripts: Scripts) -> Iterator[tuple[bool, list[ChangeStep]]]:
    together: list[ChangeStep] = []
    for plan in cohort.steps:
        section = section_of(plan, scripts)
        step = _change_step(plan, section)
        if section is None or section.transaction:
            together.append(step)
            continue
        if together:
            yield False, together
            together = []
        yield True, [step]
    if together:
        yield False, together


def section_of(plan: StepPlan, scripts: Scripts) -> Section | None:
    """The SQL of a step; None where only the history changes."""
    if plan.kind in ("record", "forget"):
        return None
    return scripts[plan.version, plan.checksum].section(Direction(plan.kind))


def _change_step(plan: StepPlan, section: Section | None) -> ChangeStep:
    return ChangeStep(
        version=plan.version,
        checksum=plan.checksum,
        name=plan.name,
        text=section.text if section else None,
        place=section.place if section else None,
        statements=_places(section.text, section.place) if section else (),
        down=plan.takes_back,
    )


@functools.lru_cache(maxsize=1024)
def _places(text: str, place: Place) -> tuple[Place, ...]:
    """Where each statement begins: the same for all tenants."""
    from manor.control.migrate.statements import split  # imports sqlglot, which few commands need

    try:
        return tuple(statement.place for statement in split(text, place).statements)
    except InputError:  # the lint says what is wrong with it
        return ()


def script_json(migration: Migration) -> dict[str, Any]:
    """A migration for the catalog: ``{version, checksum, body}``."""
    body = {
        "name": migration.name,
        "file": migration.place.file,
        "up": _section_json(migration.up),
        "down": _section_json(migration.down) if migration.down else None,
        "squashes": list(migration.squashes),
    }
    return {"version": migration.version, "checksum": migration.checksum, "body": body}


def _section_json(section: Section) -> dict[str, Any]:
    place = section.place
    return {"text": section.text, "transaction": section.transaction, "line": place.line, "column": place.column}


def migration_from(version: str, body: Mapping[str, Any]) -> Migration:
    """What ``script_json`` wrote."""
    return Migration(
        version=version,
        name=body["name"],
        up=_section_from(body["up"], body["file"]),
        down=_section_from(body["down"], body["file"]) if body["down"] else None,
        place=Place(body["file"], 1, 1),
        squashes=tuple(body["squashes"]),
    )


def _section_from(body: Mapping[str, Any], file: str) -> Section:
    place = Place(file, body["line"], body["column"])
    return Section(text=body["text"], transaction=body["transaction"], place=place)
