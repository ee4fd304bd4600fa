"""The tables of states: what is legal, what is refused, and that every way ends."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from manor.control.rollout.states import FINAL, MOVES, TARGET_MOVES, Event, State, journaled, move, move_target, state_of
from manor.control.steps import Status
from manor.errors import InputError, RefusedError

ATOMIC = {State.PREPARING, State.DECIDING, State.COMMITTING, State.ROLLING_BACK}
DECIDED = {"commit": State.COMMITTING, "rollback": State.ROLLING_BACK}


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
    assert reachable(State.PLANNED) == set(State)
    assert {event for moves in MOVES.values() for event in moves} == set(Event)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_way_to_an_end(state: State) -> None:
    """And those that are an end have no way on."""
    assert reachable(state) & FINAL
    assert (not MOVES[state]) is (state in FINAL)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_what_is_not_in_the_table_is_refused_with_what_is(state: State, event: Event) -> None:
    """The hint names every legal move."""
    if event in MOVES[state]:
        assert move(state, event) is MOVES[state][event]
        return
    with pytest.raises(RefusedError) as caught:
        move(state, event)
    assert all(str(legal).replace("_", " ") in caught.value.hint for legal in MOVES[state])
    assert ("has ended" in caught.value.hint) is (state in FINAL)


def test_a_recorded_decision_is_never_turned_round() -> None:
    """Committing leads to success or to a person, rolling back never to success without one."""
    assert set(MOVES[State.COMMITTING].values()) == {State.COMMITTING, State.SUCCEEDED, State.NEEDS_DECISION}
    assert State.SUCCEEDED not in MOVES[State.ROLLING_BACK].values()
    assert [state for state in State if Event.DECIDE_COMMIT in MOVES[state]] == [State.DECIDING]


def test_only_a_unanimous_vote_leads_to_committing() -> None:
    """There is one way in."""
    ways = [(state, event) for state, moves in MOVES.items() for event, to in moves.items() if to is State.COMMITTING]
    assert {way for way in ways if way[0] is not State.COMMITTING} == {(State.DECIDING, Event.DECIDE_COMMIT)}
    assert [state for state in State if Event.VOTED in MOVES[state]] == [State.PREPARING]


def test_a_death_loses_no_decision() -> None:
    """What was decided stands; what was not is interrupted, so that its recovery rolls back."""
    for state in (State.RUNNING, State.PREPARING, State.DECIDING):
        assert move(state, Event.DIE) is State.INTERRUPTED
    for state in DECIDED.values():
        assert move(state, Event.DIE) is state
        assert move(state, Event.RECOVER) is state


def test_what_was_interrupted_is_looked_at_before_it_is_aborted() -> None:
    """Transactions may be prepared on some server."""
    with pytest.raises(RefusedError, match="that is interrupted cannot take 'abort'") as caught:
        move(State.INTERRUPTED, Event.ABORT)
    assert caught.value.hint == "legal here: recover, resume"
    assert move(move(State.INTERRUPTED, Event.RECOVER), Event.ABORT) is State.ABORTED


# What the journal keeps


@pytest.mark.parametrize("state", State)
def test_the_journal_keeps_all_that_a_recovery_needs(state: State) -> None:
    """What comes back is the state, or running where only the vote is forgotten: nothing was decided yet."""
    read = state_of(*journaled(state))
    assert read is (State.RUNNING if state in (State.PREPARING, State.DECIDING) else state)


@pytest.mark.parametrize(("decision", "phase"), DECIDED.items())
def test_a_decision_outweighs_a_lost_runner(decision: str, phase: State) -> None:
    """Whoever marked it interrupted did not undo the decision; of what has ended it is history."""
    assert state_of("interrupted", decision) is phase
    assert state_of("running", decision) is phase
    assert state_of("needs_decision", decision) is State.NEEDS_DECISION
    assert state_of("succeeded", decision) is State.SUCCEEDED


@pytest.mark.parametrize("words", [("sleeping", ""), ("running", "maybe")])
def test_words_of_a_newer_manor_are_an_error(words: tuple[str, str]) -> None:
    """They are not taken for something known."""
    with pytest.raises(InputError, match="unknown state"):
        state_of(*words)


class Operation(RuleBasedStateMachine):
    """Anything may happen in any order, and the journal may be read back at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.decision, self.asked_a_person = State.PLANNED, "", False

    @rule(event=st.sampled_from(Event))
    def happen(self, event: Event) -> None:
        before = self.state
        try:
            self.state = move(before, event)
        except RefusedError:
            assert event not in MOVES[before]
            return
        self.decision = self.decision or journaled(self.state)[1]
        self.asked_a_person |= self.state is State.NEEDS_DECISION

    @precondition(lambda self: self.state is not State.PLANNED)
    @rule()
    def read_the_journal(self) -> None:
        """A runner that knows only what was recorded."""
        self.state = state_of(journaled(self.state)[0], self.decision)

    @invariant()
    def decisions_hold(self) -> None:
        if self.decision and not self.asked_a_person:
            ends = {"commit": {State.SUCCEEDED}, "rollback": {State.FAILED, State.ABORTED}}[self.decision]
            assert self.state in ends | {DECIDED[self.decision]}

    @invariant()
    def commits_are_decided(self) -> None:
        assert self.state is not State.COMMITTING or self.decision == "commit"

    @invariant()
    def there_is_a_way_to_an_end(self) -> None:
        assert self.state in MOVES
        assert reachable(self.state) & FINAL


TestOperation = Operation.TestCase


# Targets


def test_every_status_has_a_row_and_an_end() -> None:
    """From each, an end is reached."""
    assert set(TARGET_MOVES) == set(Status)
    ends = {status for status, legal in TARGET_MOVES.items() if not legal}
    assert ends == {Status.SUCCESS, Status.SKIPPED, Status.ERROR, Status.ROLLED_BACK}
    for status in set(Status) - ends:
        assert (TARGET_MOVES[status] | TARGET_MOVES[Status.PENDING]) & ends


def test_success_needs_work_or_a_person() -> None:
    """No target is called done that nobody began."""
    assert {status for status, legal in TARGET_MOVES.items() if Status.SUCCESS in legal} == {
        Status.IN_PROGRESS,
        Status.NEEDS_DECISION,
    }


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("to", Status)
def test_a_target_s_illegal_moves_are_refused(status: Status, to: Status) -> None:
    """With the legal ones in the hint."""
    if to in TARGET_MOVES[status]:
        assert move_target(status, to) is to
        return
    with pytest.raises(RefusedError, match="cannot become") as caught:
        move_target(status, to)
    assert all(str(legal).replace("_", " ") in caught.value.hint for legal in TARGET_MOVES[status])
