"""Every message of a release's two phases, cut, swallowed and hushed: all tenants or none, exactly once, and nothing in doubt.

The scenario is recorded once; then it is repeated with a fault at one message after the other (the whole matrix at night, a
sample otherwise). The deployment's URL leads through the proxy, the catalog's does not.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from manor.testing.pg_proxy import Action, Delay, Direction, Message, PgProxy, Point, points

_found = importlib.util.spec_from_file_location("release_fleet_fixtures", Path(__file__).with_name("fleet_fixtures.py"))
assert _found is not None
assert _found.loader is not None
fixtures: Any = importlib.util.module_from_spec(_found)
sys.modules[_found.name] = fixtures
_found.loader.exec_module(fixtures)

POISON = "INSERT INTO items VALUES (8, 'sick', -5)"
CURE = "DELETE FROM items WHERE id = 8"
ATOMIC = ("--strategy", "atomic", "--prepare-deadline", 4)
ROLLING = ("--strategy", "rolling")
CUTS = (Action.CUT_BEFORE, Action.CUT_AFTER, Action.RESET)
QUIET = (Action.SILENCE, Action.SWALLOW)


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
        return f"{self.number:03d}"

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
        fleet = fixtures.build_fleet(folder, url, through=proxy.url, timeout=1)
        yield Line(fleet=fleet, proxy=proxy)
