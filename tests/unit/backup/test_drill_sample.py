"""Whose turn it is to be restored for practice."""

from __future__ import annotations

import datetime as dt
import itertools

from hypothesis import given
from hypothesis import strategies as st

from manor.control.backup.drill import Waiting, never_drilled, sample

DAY = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def waiting(tenant: str, created: int = 0, last: int | None = None, ok: int | None = None) -> Waiting:
    def day(number: int | None) -> dt.datetime | None:
        return None if number is None else DAY + dt.timedelta(days=number)

    return Waiting(tenant=tenant, created_at=DAY + dt.timedelta(days=created), last=day(last), last_ok=day(ok))


def test_who_was_never_drilled_comes_first_and_then_who_has_waited_longest() -> None:
    fleet = [waiting("a", last=5, ok=5), waiting("b", created=3), waiting("c", created=1), waiting("d", last=2, ok=2)]
    assert sample(fleet, 10) == ["c", "b", "d", "a"]
    assert sample(fleet, 2) == ["c", "b"]
    assert sample(fleet, 0) == []


def test_a_failed_drill_was_a_turn_and_proved_nothing() -> None:
    fleet = [waiting("bad", last=4), waiting("good", last=3, ok=3), waiting("new", created=9)]
    assert sample(fleet, 3) == ["new", "good", "bad"]
    assert never_drilled(fleet) == ["bad", "new"]


@given(st.integers(1, 12), st.integers(1, 5))
def test_sampling_again_and_again_reaches_everybody_in_turn(tenants: int, number: int) -> None:
    """After enough drills every tenant had one before any had two more than another."""
    turns = {f"t{n}": 0 for n in range(tenants)}
    last: dict[str, int | None] = dict.fromkeys(turns)
    clock = itertools.count(1)
    for _ in range(3 * tenants):
        for name in sample([waiting(name, last=last[name]) for name in turns], number):
            turns[name] += 1
            last[name] = next(clock)
    assert max(turns.values()) - min(turns.values()) <= 1
