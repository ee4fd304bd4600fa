"""What an operation and its targets can be, and which moves between that are legal: two tables. Pure.

An atomic operation goes through phases while the journal calls it running. What it has decided is kept apart, because it must
outlive its runner: without a recorded decision whoever recovers it rolls back (presumed abort), with one it goes on as decided.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from manor.control.steps import Status
from manor.errors import InputError, RefusedError


class State(enum.StrEnum):
    """What an operation can be."""

    PLANNED = "planned"
    """Shown to somebody, not in the journal yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Nothing is in progress, and nobody need be there to run it."""
    INTERRUPTED = "interrupted"
    """Its runner is gone; what was in progress has not been looked at."""
    PREPARING = "preparing"
    """Atomic: the tenants vote."""
    DECIDING = "deciding"
    """Atomic: all have voted yes, and the decision is not recorded yet."""
    COMMITTING = "committing"
    """Atomic: the decision to commit is recorded."""
    ROLLING_BACK = "rolling_back"
    """Atomic: the decision to roll back is recorded."""
    NEEDS_DECISION = "needs_decision"
    """Some target's state cannot tell what happened: a person must say."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.ABORTED})
"""An operation that ended so is never moved again; retry and undo are operations of their own."""


class Event(enum.StrEnum):
    """What can happen to an operation."""

    BEGIN = "begin"
    PAUSE = "pause"
    """Its runner stopped because it was asked to, and nothing is in progress."""
    RESUME = "resume"
    """Somebody wants it to go on."""
    ABORT = "abort"
    """As pause, for good. Where tenants are prepared, they must be rolled back first."""
    DIE = "die"
    """Found without a runner, or its runner was stopped by a signal."""
    RECOVER = "recover"
    """Another runner has taken over, with a higher token, and has ended what the dead one left behind."""
    PREPARE = "prepare"
    """Atomic: the vote begins."""
    VOTED = "voted"
    """Atomic: every tenant has voted yes."""
    DECIDE_COMMIT = "decide_commit"
    DECIDE_ROLLBACK = "decide_rollback"
    FINISH_OK = "finish_ok"
    FINISH_FAILED = "finish_failed"
    FINISH_ABORTED = "finish_aborted"
    """Atomic: everything is rolled back, as somebody wanted."""
    FINISH_NEEDS_DECISION = "finish_needs_decision"


MOVES: Mapping[State, Mapping[Event, State]] = {
    State.PLANNED: {Event.BEGIN: State.RUNNING},
    State.RUNNING: {
        Event.PAUSE: State.PAUSED,
        Event.ABORT: State.ABORTED,
        Event.DIE: State.INTERRUPTED,
        Event.PREPARE: State.PREPARING,
        Event.DECIDE_ROLLBACK: State.ROLLING_BACK,  # after a recovery: presumed abort
        Event.FINISH_OK: State.SUCCEEDED,
        Event.FINISH_FAILED: State.FAILED,
        Event.FINISH_NEEDS_DECISION: State.NEEDS_DECISION,
    },
    State.PAUSED: {Event.RESUME: State.RUNNING, Event.ABORT: State.ABORTED},
    # Not abort: what was in progress, and may be prepared on a server, must be looked at first.
    State.INTERRUPTED: {Event.RECOVER: State.RUNNING, Event.RESUME: State.RUNNING},
    # Not pause: prepared transactions hold locks that users wait for.
    State.PREPARING: {
        Event.VOTED: State.DECIDING,
        Event.ABORT: State.ROLLING_BACK,
        Event.DECIDE_ROLLBACK: State.ROLLING_BACK,
        Event.DIE: State.INTERRUPTED,
    },
    State.DECIDING: {
        Event.DECIDE_COMMIT: State.COMMITTING,
        Event.DECIDE_ROLLBACK: State.ROLLING_BACK,
        Event.ABORT: State.ROLLING_BACK,
        Event.DIE: State.INTERRUPTED,
    },
    # From here on it can only go on. A death changes nothing: the decision is recorded.
    State.COMMITTING: {
        Event.DIE: State.COMMITTING,
        Event.RECOVER: State.COMMITTING,
        Event.RESUME: State.COMMITTING,
        Event.FINISH_OK: State.SUCCEEDED,
        Event.FINISH_NEEDS_DECISION: State.NEEDS_DECISION,
    },
    State.ROLLING_BACK: {
        Event.DIE: State.ROLLING_BACK,
        Event.RECOVER: State.ROLLING_BACK,
        Event.RESUME: State.ROLLING_BACK,
        Event.FINISH_FAILED: State.FAILED,
        Event.FINISH_ABORTED: State.ABORTED,
        Event.FINISH_NEEDS_DECISION: State.NEEDS_DECISION,
    },
    # Resumed with a decision in the journal, it is in that decision's phase: ``state_of`` says so.
    State.NEEDS_DECISION: {
        Event.RESUME: State.RUNNING,
        Event.ABORT: State.ABORTED,
        Event.FINISH_OK: State.SUCCEEDED,
        Event.FINISH_FAILED: State.FAILED,
    },
    State.SUCCEEDED: {},
    State.FAILED: {},
    State.ABORTED: {},
}
"""Every legal move of an operation."""

TARGET_MOVES: Mapping[Status, frozenset[Status]] = {
    # Skipped or failed at once: its plan or its pre-hook said so before anything was tried.
    Status.PENDING: frozenset({Status.IN_PROGRESS, Status.SKIPPED, Status.ERROR, Status.NOT_STARTED}),
    # Back to pending: its runner died before anything was committed.
    Status.IN_PROGRESS: frozenset(
        {Status.SUCCESS, Status.SKIPPED, Status.ERROR, Status.ROLLED_BACK, Status.NEEDS_DECISION, Status.PENDING}
    ),
    # The operation was interrupted and is resumed.
    Status.NOT_STARTED: frozenset({Status.PENDING}),
    # A person says that it was done, or that it is to be done again.
    Status.NEEDS_DECISION: frozenset({Status.SUCCESS, Status.PENDING}),
    Status.SUCCESS: frozenset(),
    Status.SKIPPED: frozenset(),
    Status.ERROR: frozenset(),
    Status.ROLLED_BACK: frozenset(),
}
"""Every legal move of one target of a release."""


def move(state: State, event: Event) -> State:
    """The state after ``event``. Raises ``RefusedError``, whose hint names what is legal instead."""
    legal = MOVES[state]
    if event not in legal:
        raise RefusedError(f"an operation that is {_words(state)} cannot take {_words(event)!r}", hint=_legal(state))
    return legal[event]


def _legal(state: State) -> str:
    if state in FINAL:
        return "it has ended; retry and undo are operations of their own"
    return f"legal here: {', '.join(_words(event) for event in MOVES[state])}"


def move_target(status: Status, to: Status) -> Status:
    """``to``. Raises ``RefusedError`` where a target cannot become that, with what it can become in the hint."""
    legal = TARGET_MOVES[status]
    if to not in legal:
        hint = f"legal here: {', '.join(sorted(map(_words, legal)))}" if legal else "it has ended"
        raise RefusedError(f"a target that is {_words(status)!r} cannot become {_words(to)!r}", hint=hint)
    return to


def _words(name: enum.StrEnum) -> str:
    return str(name).replace("_", " ")


_DECISIONS = {State.COMMITTING: "commit", State.ROLLING_BACK: "rollback"}


def journaled(state: State) -> tuple[str, str]:
    """What the journal keeps of a state: (state, decision). Phases of a vote are ``running``; a decision is its own column."""
    if state in (State.PREPARING, State.DECIDING):
        return str(State.RUNNING), ""
    if state in _DECISIONS:
        return str(State.RUNNING), _DECISIONS[state]
    return str(state), ""


def state_of(recorded: str, decision: str) -> State:
    """The state that the journal's two columns mean. Raises ``InputError`` for words that are not in the table.

    A recorded decision outweighs that its runner was lost; of an operation that has ended it is history.
    """
    phases = {word: phase for phase, word in _DECISIONS.items()}
    try:
        state = State(recorded)
        phase = phases[decision] if decision else None
    except (ValueError, KeyError):
        raise InputError(f"the journal has an operation in the unknown state {recorded!r} {decision!r}") from None
    return phase if phase and state in (State.RUNNING, State.INTERRUPTED) else state
