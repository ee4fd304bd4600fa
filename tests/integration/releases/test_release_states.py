"""An operation's states as a machine: Hypothesis walks releases through stops, deaths and what people do about them.

A small model says what each tenant has seen and what the last operation left; the server, the journal and the table of legal
moves (``rollout.states``) must agree with it after every step.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import fleet_fixtures as fixtures
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from manor.control.rollout.states import MOVES, Event, State, states_with

TENANTS = 3
STOPPED = """\
import os, signal, sys
import psycopg
from manor.cli import progress
from manor.cli.main import main

kind, number, how, url, *arguments = sys.argv[1:]

class Stopping(progress.Progress):
    seen = 0

    def __call__(self, event):
        super().__call__(event)
        Stopping.seen += event.kind == kind
        if event.kind == kind and Stopping.seen == int(number):
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif how == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                with psycopg.connect(url, dbname="manor_catalog", autocommit=True) as connection:
                    ask = "UPDATE manor.operations SET wanted = %s WHERE state = 'running' AND decision = ''"
                    connection.execute(ask, [how])

progress.Progress = Stopping
sys.argv = ["manor", *arguments]
main()
"""
"""The ``manor`` command that is stopped, or asked to, at the n-th event of a kind; a process, because it may be killed."""


def after_some_moves(state: State) -> set[State]:
    """Every state that a release can come to from ``state``."""
    found: set[State] = set()
    waiting = [state]
    while waiting:
        new = set(MOVES[waiting.pop()].values()) - found
        found |= new
        waiting += new
    return found


MOMENTS = {
    "rolling": ("target.moved", "target.ended", "target.recorded"),
    "atomic": ("target.prepared", "release.voted", "release.decided", "target.committed"),
}


class Releases(RuleBasedStateMachine):
    """One fleet of three tenants. ``make`` is set by the test."""

    make: Callable[[], Any]

    @initialize()
    def deploy(self) -> None:
        self.fleet = self.make()
        self.number = 0
        self.last = ""
        """The newest release's id."""
        self.kinds: dict[str, str] = {}
        self.seen: dict[str, State] = {}

    def _release(self) -> dict[str, Any]:
        found: dict[str, Any] = self.fleet.json("operation", "show", self.last)
        return found

    def _state(self) -> State:
        return State(self._release()["operation"]["state"])

    def _newest(self) -> str:
        rows = self.fleet.operations()
        return next((row["id"] for row in rows if row["verb"] != "deploy"), "")

    def _next_migration(self) -> None:
        """A new one, once all tenants have seen the last."""
        if not self.number or all(history[-1:] == [f"{self.number:03d}"] for history in self.fleet.histories()):
            self.number += 1
            up = f"CREATE TABLE t{self.number} (id integer);"
            self.fleet.write(f"{self.number:03d}", up, f"DROP TABLE t{self.number};")

    @precondition(lambda self: not self.last or self._state() not in (State.RUNNING, State.PAUSED, State.INTERRUPTED))
    @rule(
        kind=st.sampled_from(sorted(MOMENTS)),
        how=st.sampled_from(["go on", "pause", "abort", "interrupt", "kill"]),
        moment=st.integers(0, 3),
        number=st.integers(1, TENANTS),
    )
    def release(self, kind: str, how: str, moment: int, number: int) -> None:
        """All tenants, undisturbed or stopped at some event."""
        self._next_migration()
        event = MOMENTS[kind][moment % len(MOMENTS[kind])]
        words = ["tenant", "migrate", "--all", "--strategy", kind, "--parallel", "1"]
        if how == "go on":
            self.fleet(*words)
        else:
            single = event.startswith("release.")
            arguments = [event, "1" if single else str(number), how, self.fleet.url, *words]
            command = [sys.executable, "-W", "ignore", "-c", STOPPED, *arguments]
            done = subprocess.run(command, cwd=self.fleet.folder, capture_output=True, text=True, timeout=120, check=False)
            assert "internal error" not in done.stderr, done.stderr
            assert "Traceback" not in done.stderr, done.stderr
            assert done.returncode in (0, 1, 130, -9), done.stderr
        self.last = self._newest()

    @precondition(lambda self: self.last)
    @rule()
    def recover(self) -> None:
        """Nothing is left in doubt."""
        self.fleet("operation", "recover")
        assert self._state() is not State.RUNNING

    @precondition(lambda self: self.last)
    @rule()
    def resume(self) -> None:
        """Where that is legal, it ends, or says why not; where it is not, nothing changes."""
        before = self._settled()
        done = self.fleet.run("--format", "json", "operation", "resume", self.last)
        if before not in states_with(Event.RESUME):
            assert done.code == 3, done.text
            assert self._state() is before
        if done.code == 0:
            assert self._state() is State.SUCCEEDED
            assert (
                self._release()["summary"] == {"success": len(self._release()["outcomes"])}
                or "skipped" in self._release()["summary"]
            )

    @precondition(lambda self: self.last)
    @rule()
    def abort(self) -> None:
        """Only what has not ended can be aborted."""
        before = self._settled()
        done = self.fleet.run("--format", "json", "operation", "abort", self.last)
        if before not in states_with(Event.ABORT):
            assert done.code == 3, done.text
            assert self._state() is before
        else:
            assert done.code == 0, done.text
            assert self._state() is State.ABORTED

    @precondition(lambda self: self.last)
    @rule()
    def pause(self) -> None:
        """Nothing runs any more: there is nothing to pause."""
        before = self._settled()
        assert self.fleet.run("operation", "pause", self.last).code == 3
        assert self._state() is before

    @precondition(lambda self: self.last)
    @rule(verb=st.sampled_from(["retry", "undo"]))
    def again(self, verb: str) -> None:
        """A new operation about exactly what the last one left, or changed; refused where there is nothing."""
        before = self._settled()
        outcomes = {outcome["database"]: outcome["status"] for outcome in self._release()["outcomes"]}
        changed = {database for database, status in outcomes.items() if status == "success"}
        wanted = changed if verb == "undo" else set(outcomes) - changed - {d for d, s in outcomes.items() if s == "skipped"}
        done = self.fleet.run("--format", "json", "operation", verb, self.last)
        if before in (State.RUNNING, State.PAUSED) or not wanted:
            assert done.code == 3, done.text
            return
        if done.code == 0 and done.document["operation"]["id"]:
            assert set(fixtures.statuses(done.document)) == wanted
            self.last = done.document["operation"]["id"]

    def _settled(self) -> State:
        """The state after whatever died was looked at, which is a legal move."""
        found = self._state()
        self.fleet("operation", "recover")
        after = self._state()
        if after is not found:
            assert after in MOVES[found].values(), (found, after)
        return after

    @invariant()
    def all_agree(self) -> None:
        """Every move is legal; histories are a release's before or after; what succeeded is in the tenant's own history."""
        if not getattr(self, "last", ""):
            return
        for row in self.fleet.operations():
            now = State(row["state"])
            before = self.seen.setdefault(row["id"], now)
            assert now is before or now in after_some_moves(before), row
            self.seen[row["id"]] = now
        versions = [f"{number:03d}" for number in range(1, self.number + 1)]
        for history in self.fleet.histories():
            assert history in (versions, versions[:-1], versions[:-2]), history
        for history, made in zip(self.fleet.histories(), self.fleet.has(f"t{self.number}"), strict=True):
            assert made is (self.number > 0 and history[-1:] == [f"{self.number:03d}"])

    def teardown(self) -> None:
        if getattr(self, "last", ""):
            self.fleet("operation", "recover")
            self.fleet.check_truth()


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
SHORT = settings(
    max_examples=3, stateful_step_count=6, deadline=None, suppress_health_check=QUIET, database=None, derandomize=True
)
LONG = settings(max_examples=60, stateful_step_count=12, deadline=None, suppress_health_check=QUIET, database=None)


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> type[Releases]:
    """The machine, each example with a fleet of its own."""
    numbers = itertools.count()

    def make() -> Any:
        folder = tmp_path_factory.mktemp("states") / f"p{next(numbers)}"
        return fixtures.build_fleet(folder, wiped_server(), tenants=TENANTS)

    return type("Machine", (Releases,), {"make": staticmethod(make)})


@pytest.mark.timeout(600)
def test_operations_keep_to_their_states(machine: type[Releases]) -> None:
    """A few short walks."""
    run_state_machine_as_test(machine, settings=SHORT)


@pytest.mark.nightly
@pytest.mark.timeout(14_400)
def test_operations_keep_to_their_states_at_length(machine: type[Releases]) -> None:
    """Many long walks."""
    run_state_machine_as_test(machine, settings=LONG)
