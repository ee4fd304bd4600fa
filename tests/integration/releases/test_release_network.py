"""Every message of a release's two phases, cut, swallowed and hushed: all tenants or none, exactly once, and nothing in doubt.

The scenario is recorded once; then it is repeated with a fault at one message after the other (the whole matrix at night, a
sample otherwise). The deployment's URL leads through the proxy, the catalog's does not.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import fleet_fixtures as fixtures
import pytest

from manor.testing.pg_proxy import Action, Delay, Direction, Message, PgProxy, Point, points

POISON = "INSERT INTO items VALUES (8, 'sick', -5)"
CURE = "DELETE FROM items WHERE id = 8"
ATOMIC = ("--strategy", "atomic", "--prepare-deadline", 4)
ROLLING = ("--strategy", "rolling")
CUTS = (Action.CUT_BEFORE, Action.CUT_AFTER, Action.RESET)
QUIET = (Action.SILENCE, Action.SWALLOW)
PATIENCE = 25.0
"""Seconds for a command that nobody answers."""


@dataclass(kw_only=True)
class Line:
    """A fleet of four behind a proxy, and the migration that is next."""

    fleet: Any
    proxy: PgProxy
    number: int = 0
    points: dict[str, list[Point]] = field(default_factory=dict)
    """By scenario."""

    @property
    def version(self) -> str:
        """Of five digits: a night makes more than a thousand, and what is compared is sorted as text."""
        return f"{self.number:05d}"

    def write(self) -> None:
        """The next migration, unless the last one is still to be released."""
        if self.fleet.histories()[0][-1:] == [self.version] or not self.number:
            self.number += 1
        up = f"CREATE TABLE made_{self.number} (id integer); ALTER TABLE items ADD CONSTRAINT c CHECK (price > 0);"
        self.fleet.write(self.version, f"{up} ALTER TABLE items DROP CONSTRAINT c;")

    def release(self, options: tuple[Any, ...], *, sick: bool) -> Any:
        """One release, whatever it comes to."""
        if sick:
            self.fleet.ask(POISON, self.fleet.databases[1])
        try:
            return self.fleet("--format", "json", "tenant", "migrate", "--all", *options, code=None)
        finally:
            if sick:
                self.fleet.ask(CURE, self.fleet.databases[1])

    def record(self, options: tuple[Any, ...], *, sick: bool) -> list[Point]:
        """The points of a run without faults, from the transaction's begin on, on tenants' databases."""
        self.write()
        self.proxy.clear()
        self.release(options, sick=sick)
        return [point for point in chosen(self.proxy.messages, self.fleet.databases) if point.type != "X"]

    def settle(self) -> None:
        """What a user does afterwards: recover; then nothing is in doubt and the catalog is right."""
        self.fleet("operation", "recover")
        self.fleet.check_truth()


def chosen(messages: tuple[Message, ...], databases: list[str]) -> list[Point]:
    """The points of the tenants' own messages; what comes before a session's first statement is left out."""
    begun: set[int] = set()
    found = []
    for message, point in zip(messages, points(messages), strict=True):
        if message.direction is Direction.TO_SERVER and message.type in "QP":
            begun.add(message.connection)
        if message.connection in begun and message.database in databases:
            found.append(point)
    return found


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Iterator[Line]:
    """The fleet behind its proxy."""
    url = wiped_server()
    with PgProxy(url) as proxy:
        folder = tmp_path_factory.mktemp("network") / "p"
        line = Line(fleet=fixtures.build_fleet(folder, url, through=proxy.url), proxy=proxy)
        line.write()
        assert line.release(ROLLING, sick=False).code == 0, "the first release makes the histories, no later one does"
        yield line


def check_atomic(line: Line, options: tuple[Any, ...], *, sick: bool, fault: Any, at: Point) -> str:
    """One scenario with one fault; what the fleet came to."""
    line.write()
    before = line.number - 1
    line.proxy.clear()
    struck = line.proxy.inject(fault)
    done = line.release(options, sick=sick)
    fired = bool(struck.fired)
    line.proxy.cut_all()
    line.proxy.clear()
    line.settle()
    made = line.fleet.has(f"made_{line.number}")
    versions = {history[-1] if history else "" for history in line.fleet.histories()}
    assert len(versions) == 1, f"{at}: mixed: {line.fleet.histories()}\n{done.text}"
    assert versions <= {line.version, f"{before:05d}" if before else ""}, at
    assert set(made) == {versions == {line.version}}, at
    assert fired or sick, f"{at}: nothing was struck"  # who comes how far beside a sick tenant is another thing each time
    assert "internal error" not in done.stderr, f"{at}: {done.text}"
    if sick:
        assert not any(made), at
    report = done.document
    assert fixtures.statuses(report), at
    return "committed" if made[0] else "nothing"


def check_rolling(line: Line, fault: Any, at: Point) -> int:
    """One scenario with one fault, retried if it failed; how many tenants had failed. Each is changed exactly once."""
    line.write()
    line.proxy.clear()
    struck = line.proxy.inject(fault)
    done = line.release(ROLLING, sick=False)
    assert struck.fired, f"{at}: nothing was struck"
    line.proxy.cut_all()
    line.proxy.clear()
    line.settle()
    assert "internal error" not in done.stderr, f"{at}: {done.text}"
    found = fixtures.statuses(done.document)
    failed = [database for database, status in found.items() if status != "success"]
    if failed:
        again = line.fleet.json("operation", "retry", done.document["operation"]["id"])
        assert sorted(fixtures.statuses(again)) == sorted(failed), at
    # A table that is made twice is an error, and a row of the history has its version as its key: seen is once.
    assert [history[-1] for history in line.fleet.histories()] == [line.version] * 4, at
    assert line.fleet.has(f"made_{line.number}") == [True] * 4, at
    line.fleet.check_truth()
    return len(failed)


def two_of(line: Line, found: list[Point]) -> list[Point]:
    """Those of the tenant that may be sick and of the last: the others differ from the last in their names only."""
    return [point for point in found if point.database in (line.fleet.databases[1], line.fleet.databases[-1])]


def spread(found: list[Point], number: int) -> list[Point]:
    """So many of them, evenly spread, the first and the last included."""
    if len(found) <= number:
        return found
    step = (len(found) - 1) / (number - 1)
    return [found[round(step * index)] for index in range(number)]


def second_phase(found: list[Point]) -> list[Point]:
    """From PREPARE TRANSACTION on, of one database: where an answer that is lost is about everybody."""
    database = next(point.database for point in found if point.text.startswith("PREPARE TRANSACTION"))
    own = [point for point in found if point.database == database]
    first = next(index for index, point in enumerate(own) if point.text.startswith("PREPARE TRANSACTION"))
    return own[first:]


def test_the_proxy_sees_every_phase(line: Line) -> None:
    """What is cut in the tests below is really there: begin, prepare, commit, and the way back."""
    forward = line.record(ATOMIC, sick=False)
    back = line.record(ATOMIC, sick=True)
    for found, words in ((forward, "COMMIT PREPARED"), (back, "ROLLBACK PREPARED")):
        texts = [point.text for point in found]
        for wanted in ("BEGIN", "PREPARE TRANSACTION", words):
            assert any(wanted in text for text in texts), (wanted, sorted(set(texts)))
    line.fleet.check_truth()


@pytest.mark.parametrize("sick", [False, True], ids=["commit", "rollback"])
def test_a_cut_in_the_second_phase_leaves_all_or_none(line: Line, sick: bool) -> None:
    """Each message of one tenant from PREPARE TRANSACTION on is cut off, and the connection behind each of ours."""
    found = second_phase(line.record(ATOMIC, sick=sick))
    assert len(found) >= 6
    for point in found:
        check_atomic(line, ATOMIC, sick=sick, fault=point.fault(Action.CUT_BEFORE), at=point)
        if point.direction is Direction.TO_SERVER:
            check_atomic(line, ATOMIC, sick=sick, fault=point.fault(Action.CUT_AFTER), at=point)


def test_a_cut_while_votes_are_cast_leaves_all_or_none(line: Line) -> None:
    """A sample of all messages of all tenants."""
    found = spread(line.record(ATOMIC, sick=False), 6)
    for point in found:
        check_atomic(line, ATOMIC, sick=False, fault=point.fault(Action.CUT_BEFORE), at=point)


def test_a_cut_of_a_rolling_release_changes_each_tenant_exactly_once(line: Line) -> None:
    """A sample of all messages of all tenants."""
    for point, action in zip(spread(line.record(ROLLING, sick=False), 7), itertools.cycle(CUTS[:2]), strict=False):
        check_rolling(line, point.fault(action), point)


def test_late_messages_change_nothing(line: Line) -> None:
    """Delays far below any limit only delay."""
    for point in spread(line.record(ATOMIC, sick=False), 3):
        assert check_atomic(line, ATOMIC, sick=False, fault=point.fault(Delay(seconds=0.4)), at=point) == "committed"


def hush(line: Line, point: Point, action: Action, options: tuple[Any, ...]) -> bool:
    """One scenario in which nobody answers from ``point`` on, in a process that is killed if it waits on; whether it ended."""
    line.write()
    line.proxy.clear()
    struck = line.proxy.inject(point.fault(action))
    command = line.fleet.popen("tenant", "migrate", "--all", *options)
    try:
        struck.wait()
        command.communicate(timeout=PATIENCE)
        ended = True
    except subprocess.TimeoutExpired:
        command.kill()
        command.communicate()
        ended = False
    line.proxy.clear()
    line.proxy.cut_all()
    line.settle()
    assert len({tuple(history) for history in line.fleet.histories()}) == 1, point
    return ended


@pytest.mark.parametrize("words", ["PREPARE TRANSACTION", pytest.param("COMMIT PREPARED", marks=pytest.mark.nightly)])
def test_silence_leaves_all_or_none(line: Line, words: str) -> None:
    """The cable is out: the command gives up by itself, or is killed, and what it leaves is settled."""
    found = line.record(ATOMIC, sick=False)
    point = next(p for p in found if p.text.startswith(words) and p.direction is Direction.TO_SERVER)
    assert hush(line, point, Action.SILENCE, ATOMIC), f"it waits for ever at {point}"


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("action", QUIET)
def test_silence_anywhere_leaves_all_or_none(line: Line, action: Action) -> None:
    """A sample of all messages; the command may have to be killed."""
    for point in spread(line.record(ATOMIC, sick=False), 30):
        hush(line, point, action, ATOMIC)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("sick", [False, True], ids=["commit", "rollback"])
@pytest.mark.parametrize("action", CUTS)
def test_every_cut_of_an_atomic_release_leaves_all_or_none(line: Line, sick: bool, action: Action) -> None:
    """All messages of two of the tenants, from the first statement on."""
    for point in two_of(line, line.record(ATOMIC, sick=sick)):
        check_atomic(line, ATOMIC, sick=sick, fault=point.fault(action), at=point)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("action", CUTS)
def test_every_cut_of_a_rolling_release_changes_each_tenant_exactly_once(line: Line, action: Action) -> None:
    """All messages of two of the tenants, from the first statement on."""
    for point in two_of(line, line.record(ROLLING, sick=False)):
        check_rolling(line, point.fault(action), point)
