"""Whose doing it is that a target has its release's version: an undo takes back what its own release did, and nothing else.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from manor.control.catalog.records import TargetRecord
from manor.control.engines.releases import HistoryRow
from manor.control.migrate.cohort import Cohort
from manor.control.steps import Status

DONE_BY = "done_by"
"""The fact of a target all of whose steps were found done by others: the operation; empty for another tool."""


def others_doing(cohort: Cohort, rows: Iterable[HistoryRow], operation: str) -> dict[str, str]:
    """The fact that a target's history tells of one that is where ``cohort`` leads: empty where ``operation`` ran any of its
    steps. What was taken back left no row that tells, so that counts as its own."""
    come = {step.version for step in cohort.steps if not step.takes_back}
    by = {row.operation for row in rows if row.version in come}
    return {} if operation in by or not by else {DONE_BY: max(by)}


def by_whom(fact: dict[str, str]) -> str:
    """The same in words, to follow on ``was done before``."""
    return "" if DONE_BY not in fact else f" by operation {fact[DONE_BY]}" if fact[DONE_BY] else " by another tool"


def is_changed_by_its_release(target: TargetRecord) -> bool:
    """Whether its steps are done, and its own release did them."""
    is_moved = target.status == Status.SUCCESS or bool(target.facts.get("moved"))
    return is_moved and DONE_BY not in target.facts
