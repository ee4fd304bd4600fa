"""What a release and its targets can be, and which moves between that are legal: two tables. Pure.

Whoever moves a release asks the journal to do so only from the states that the table names, in one statement: a runner that has
lost its release, or a command that came too late, moves nothing. The decision of an all-or-none release is no state but kept
beside it (``manor.operations.decision``), because it outlives its runner: it is made once, while the release is running, and
never changed; without one, whoever settles the release rolls back (presumed abort).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from manor.control.steps import Status


class State(enum.StrEnum):
    """What a release can be."""

    RUNNING = "running"
    PAUSED = "paused"
    """Nothing is in progress, and nobody need be there to run it."""
    INTERRUPTED = "interrupted"
    """Its runner stopped or died, and what was in progress has been looked at."""
    NEEDS_DECISION = "needs_decision"
    """Some target's database cannot tell what happened: a person must say."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Some targets did not come to the release; resuming takes them up again."""
    ABORTED = "aborted"


class Event(enum.StrEnum):
    """What can happen to a release."""

    PAUSE = "pause"
    """Its runner stopped because it was asked to."""
    ABORT = "abort"
    """The same for good; of one that nobody runs, somebody says so."""
    LOSE = "lose"
    """Its runner was stopped by a signal, or was found dead and somebody settled what it left."""
    SUCCEED = "succeed"
    FAIL = "fail"
    DOUBT = "doubt"
    """It has come to its end, and some target's state cannot tell."""
    RESUME = "resume"
    """Somebody takes over, under a new token."""


MOVES: Mapping[State, Mapping[Event, State]] = {
    State.RUNNING: {
        Event.PAUSE: State.PAUSED,
        Event.ABORT: State.ABORTED,
        Event.LOSE: State.INTERRUPTED,
        Event.SUCCEED: State.SUCCEEDED,
        Event.FAIL: State.FAILED,
        Event.DOUBT: State.NEEDS_DECISION,
    },
    State.PAUSED: {Event.RESUME: State.RUNNING, Event.ABORT: State.ABORTED},
    State.INTERRUPTED: {Event.RESUME: State.RUNNING, Event.ABORT: State.ABORTED},
    State.NEEDS_DECISION: {Event.RESUME: State.RUNNING, Event.ABORT: State.ABORTED},
    State.FAILED: {Event.RESUME: State.RUNNING},
    State.SUCCEEDED: {},
    State.ABORTED: {},
}
"""Every legal move of a release."""

TARGET_MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.IN_PROGRESS, Status.NOT_STARTED}),
    # Back to pending: it was taken and not begun.
    Status.IN_PROGRESS: frozenset(
        {Status.PENDING, Status.SUCCESS, Status.ERROR, Status.ROLLED_BACK, Status.NOT_STARTED, Status.NEEDS_DECISION}
    ),
    # Back to pending: the release is resumed.
    Status.NOT_STARTED: frozenset({Status.PENDING}),
    Status.ERROR: frozenset({Status.PENDING}),
    # Or to its end: it was decided to commit, and its server answers again.
    Status.NEEDS_DECISION: frozenset({Status.PENDING, Status.SUCCESS}),
    Status.SUCCESS: frozenset(),
    Status.SKIPPED: frozenset(),
    Status.ROLLED_BACK: frozenset(),
}
"""Every legal move of one target of a release."""


def states_before(state: State) -> tuple[State, ...]:
    """Those from which a release can come to ``state``."""
    return tuple(before for before, moves in MOVES.items() if state in moves.values())


def states_with(event: Event) -> tuple[State, ...]:
    """Those in which ``event`` can happen."""
    return tuple(state for state, moves in MOVES.items() if event in moves)


REOPENED = (
    Status.PENDING,
    Status.IN_PROGRESS,
    *(status for status, moves in TARGET_MOVES.items() if Status.PENDING in moves and status is not Status.IN_PROGRESS),
)
"""Targets that a resumed release takes up again. Who needs a decision is looked at once more: often its database can tell by
now."""
