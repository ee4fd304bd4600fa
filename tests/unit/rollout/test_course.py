"""What the journal keeps of a release, and which version new tenants get by it."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from manor.control.catalog.records import DatabaseRecord
from manor.control.migrate.cohort import Cohort, StepPlan
from manor.control.rollout.release.conduct import Conduct
from manor.control.rollout.release.course import Course
from manor.control.rollout.release.heads import heads_after, late_tenants
from manor.control.rollout.strategy import Gate, Kind
from manor.control.rollout.windows import Window
from manor.tenancy import TenantId

COHORT = Cohort(
    number=1,
    source="prod/tenant_registry.yaml",
    template="standard",
    server="local",
    base="b" * 64,
    golden_from="g" * 64,
    before=(("001", "c1", "one"),),
    steps=(StepPlan(version="002", checksum="c2", name="two", kind="up"),),
)


def _record(number: int, version: str, **changed: Any) -> DatabaseRecord:
    record = DatabaseRecord(
        tenant=TenantId("acme", "standard", f"{number:03}"),
        database=f"acme_{number:03}",
        server="local",
        group="standard",
        template="standard",
        state="ready",
        role="r",
        url="u",
        source=COHORT.source,
        name="n",
        variables={},
        config={},
        version=version,
        golden=COHORT.golden_from,
    )
    return replace(record, **changed)


def test_the_journal_gives_back_the_whole_course() -> None:
    """Whoever resumes it on another machine reads what was settled, through JSON, and nothing is lost."""
    course = Course(
        kind=Kind.CANARY,
        cohorts=(replace(COHORT, fingerprint="f" * 64),),
        conduct=Conduct(parallel=7, max_failures=3, snapshot=True),
        soak_seconds={1: 30.0, 2: 0.0},
        gate=Gate(sql=("SELECT true",), scripts=("checks/a.sql",), max_error_rate=Decimal("2.5"), timeout_seconds=9),
        windows=(
            Window(
                days=frozenset({5, 6}), opens=dt.time(22), closes=dt.time(4), zone=ZoneInfo("Asia/Tokyo"), where="tier = 'gold'"
            ),
        ),
        label="002_two",
        undoes=True,
        undone="def",
        back_of="abc",
        discard_writes=True,
        protected=frozenset({"acme/standard/009", "acme/standard/001"}),
    )
    assert Course.from_json(json.loads(json.dumps(course.to_json()))) == course


def test_an_undo_that_was_recorded_without_what_it_undoes_is_read() -> None:
    """Its parent in the journal says it: only undos of releases were recorded so."""
    course = Course(kind=Kind.ROLLING, cohorts=(COHORT,), conduct=Conduct(), undoes=True)
    document = course.to_json()
    del document["undone"]
    assert Course.from_json(document) == course


def test_new_tenants_get_what_all_have_that_are_not_held_back() -> None:
    """One neighbour that stayed behind keeps them there; one that is pinned does not."""
    records = [_record(1, "002"), _record(2, "001"), _record(3, "", state="failed")]
    cohorts = {1: COHORT}
    place = (COHORT.source, "standard")
    assert heads_after(records, cohorts, (), frozenset()) == [(*place, "001")]
    assert heads_after(records, cohorts, (), {"acme/standard/002"}) == [(*place, "002")]


def test_tenants_made_meanwhile_follow_where_everybody_moved_on() -> None:
    """They came from the golden that was replaced; those that were known, or that another golden made, are left alone."""
    heads = [(COHORT.source, "standard", "002")]
    late = _record(4, "001")
    records = [_record(1, "002"), late, _record(5, "001", golden="x" * 64), _record(6, "001", state="pending")]
    assert late_tenants(records, {"acme/standard/001"}, [COHORT], heads) == [(late, COHORT)]
    assert late_tenants(records, {"acme/standard/001"}, [COHORT], [(COHORT.source, "standard", "001")]) == []
