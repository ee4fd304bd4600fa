"""Retention: which backups are kept and why, by cases and by what must hold for all of them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.backup.retention import SERIES, Candidate, Policy, judge

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)  # a Friday
A, B = "acme/tenants/001", "acme/tenants/002"
NOTHING = Policy(keep_last=0)


def made(days_ago: float, *, tenant: str = A, kind: str = "logical", held: bool = False) -> Candidate:
    at = NOW - dt.timedelta(days=days_ago)
    return Candidate(id=f"{tenant[-1]}{kind[0]}{days_ago:06.2f}", tenant=tenant, kind=kind, made_at=at, held=held)


def kept(backups: list[Candidate], policy: Policy, *, living: frozenset[str] = frozenset({A, B})) -> list[float]:
    """How many days ago those that are kept were made, the newest first."""
    found = [v.backup for v in judge(backups, policy, now=NOW, living=living) if v.kept]
    return [(NOW - backup.made_at) / dt.timedelta(days=1) for backup in found]


DAILY = [made(days) for days in range(30)]

CASES = {
    "nothing to do": ([], Policy(), []),
    "fewer than are kept": (DAILY[:3], Policy(keep_last=7), [0, 1, 2]),
    "the last ones": (DAILY, Policy(keep_last=3), [0, 1, 2]),
    "days": (DAILY, Policy(keep_last=0, keep_days=4), [0, 1, 2, 3, 4]),
    # 2026-11-20 is a Friday: the Sundays before it are 5, 12 and 19 days ago.
    "weeks": (DAILY, Policy(keep_last=0, keep_weekly=4), [0, 5, 12, 19]),
    "weeks without a backup do not count": ([made(0), made(40), made(80)], Policy(keep_last=0, keep_weekly=2), [0, 40]),
    "rules add up": (DAILY, Policy(keep_last=2, keep_days=3, keep_weekly=2), [0, 1, 2, 3, 5]),
    "the newest always": (DAILY, NOTHING, [0]),
    "a legal hold": ([*DAILY[:2], made(29, held=True)], NOTHING, [0, 29]),
    "made once on purpose": ([made(0), made(400, kind="final_export"), made(500, kind="bundle")], NOTHING, [500, 400, 0]),
    "kinds are counted apart": (
        [made(0), made(1), made(2, kind="before_change"), made(3, kind="before_change")],
        Policy(keep_last=1),
        [2, 0],
    ),
    "from the future": ([made(-3), made(0), made(1)], Policy(keep_last=1), [-3]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_kept(case: str) -> None:
    """Each rule by itself, and together."""
    backups, policy, expected = CASES[case]
    assert kept(backups, policy) == pytest.approx(expected)


def test_a_tenant_that_is_no_more_has_no_newest_to_protect() -> None:
    """Its backups go by the rules alone."""
    backups = [made(0), made(0, tenant=B), made(1, tenant=B)]
    assert kept(backups, NOTHING, living=frozenset({A})) == [0]


def test_the_newest_of_a_tenant_is_protected_once_whatever_its_kind() -> None:
    """A backup before a change may be the only recent one."""
    backups = [made(0, kind="before_change"), made(5), made(6)]
    assert kept(backups, NOTHING) == [0]


def test_each_verdict_says_why() -> None:
    """In words that an operator can follow."""
    backups = [made(0), made(1), made(2, held=True), made(3)]
    found = {v.backup.id: v.reason for v in judge(backups, Policy(keep_last=2), now=NOW, living={A})}
    assert list(found.values()) == ["the newest of its tenant", "one of the last 2", "legal hold", ""]


candidates = st.lists(
    st.builds(
        Candidate,
        id=st.uuids().map(str),
        tenant=st.sampled_from([A, B]),
        kind=st.sampled_from([*sorted(SERIES), "final_export"]),
        made_at=st.integers(-100, 24 * 300).map(lambda hours: NOW - dt.timedelta(hours=hours)),
        held=st.booleans(),
    ),
    max_size=30,
)
policies = st.builds(Policy, keep_last=st.integers(0, 5), keep_days=st.integers(0, 60), keep_weekly=st.integers(0, 5))


@given(candidates, policies, st.sets(st.sampled_from([A, B])))
def test_what_must_hold_for_every_fleet(backups: list[Candidate], policy: Policy, living: set[str]) -> None:
    """One verdict each; what is held stays; no living tenant loses its newest; the last ones of each series are kept."""
    verdicts = judge(backups, policy, now=NOW, living=living)
    assert sorted(v.backup.id for v in verdicts) == sorted(b.id for b in backups)
    keeps = {v.backup.id for v in verdicts if v.kept}
    assert {b.id for b in backups if b.held or b.kind not in SERIES} <= keeps
    for tenant in living:
        own = [b for b in backups if b.tenant == tenant]
        newest = max((b.made_at for b in own), default=None)
        assert newest is None or any(b.id in keeps for b in own if b.made_at == newest)
    for tenant in (A, B):
        for kind in SERIES:
            series = sorted((b for b in backups if (b.tenant, b.kind) == (tenant, kind)), key=lambda b: b.made_at, reverse=True)
            assert {b.made_at for b in series[: policy.keep_last]} <= {b.made_at for b in series if b.id in keeps}


@given(candidates, policies)
def test_pruning_again_removes_nothing_more(backups: list[Candidate], policy: Policy) -> None:
    """What was kept is kept by the same rules a moment later."""
    once = [v.backup for v in judge(backups, policy, now=NOW, living={A, B}) if v.kept]
    again = [v.backup for v in judge(once, policy, now=NOW, living={A, B}) if v.kept]
    assert again == once


@given(candidates, policies, st.integers(1, 5))
def test_a_more_generous_policy_keeps_no_less(backups: list[Candidate], policy: Policy, more: int) -> None:
    """Each rule only adds."""
    generous = Policy(
        keep_last=policy.keep_last + more, keep_days=policy.keep_days + more, keep_weekly=policy.keep_weekly + more
    )
    little = {v.backup.id for v in judge(backups, policy, now=NOW, living=set()) if v.kept}
    much = {v.backup.id for v in judge(backups, generous, now=NOW, living=set()) if v.kept}
    assert little <= much
