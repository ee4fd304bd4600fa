"""The tables of states: every way ends, and what the commands do is in them."""

from __future__ import annotations

import pytest

from manor.control.rollout.states import MOVES, REOPENED, TARGET_MOVES, Event, State, states_before, states_with
from manor.control.steps import Status


def reachable(start: State) -> set[State]:
    found, waiting = {start}, [start]
    while waiting:
        new = set(MOVES[waiting.pop()].values()) - found
        found |= new
        waiting += new
    return found


def test_every_state_has_a_row_and_can_be_reached() -> None:
    """A new state is no state until somebody says how one gets there."""
    assert set(MOVES) == set(State)
    assert reachable(State.RUNNING) == set(State)
    assert {event for moves in MOVES.values() for event in moves} == set(Event)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_way_to_an_end(state: State) -> None:
    """And those that are an end have no way on."""
    assert reachable(state) & {State.SUCCEEDED, State.ABORTED}
    assert (not MOVES[state]) is (state in (State.SUCCEEDED, State.ABORTED))


def test_a_release_runs_again_only_by_being_resumed() -> None:
    """Which gives it a new token; what has succeeded or was given up never does."""
    ways = [(state, event) for state, moves in MOVES.items() for event, to in moves.items() if to is State.RUNNING]
    assert {event for _, event in ways} == {Event.RESUME}
    assert set(states_before(State.RUNNING)) == set(states_with(Event.RESUME))
    assert set(states_with(Event.RESUME)) == {State.PAUSED, State.INTERRUPTED, State.NEEDS_DECISION, State.FAILED}


def test_only_a_running_release_comes_to_an_end_by_itself() -> None:
    """All other ways are somebody's word."""
    for state in (State.SUCCEEDED, State.FAILED, State.NEEDS_DECISION, State.PAUSED, State.INTERRUPTED):
        assert states_before(state) == (State.RUNNING,)
    assert set(states_with(Event.ABORT)) == set(State) - {State.FAILED, State.SUCCEEDED, State.ABORTED}


def test_what_is_done_is_never_taken_up_again() -> None:
    """A target that has the release, or was left out by plan, is not touched by a resumed one."""
    assert set(TARGET_MOVES) == set(Status)
    assert set(REOPENED) == set(Status) - {Status.SUCCESS, Status.SKIPPED, Status.ROLLED_BACK}
    assert len(REOPENED) == len(set(REOPENED))
    assert not any(TARGET_MOVES[status] for status in (Status.SUCCESS, Status.SKIPPED, Status.ROLLED_BACK))
