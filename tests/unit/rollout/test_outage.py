"""How long an operation waits for a catalog that is away: once per outage, however many of its steps need it."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from manor.control.rollout import retry
from manor.control.rollout.retry import retrying, until_recorded
from manor.control.runtime import Outage, StopSignal
from manor.errors import InputError, UnreachableError
from manor.telemetry import Event, Telemetry


class Catalog:
    """Answers, or does not; counts the questions."""

    def __init__(self) -> None:
        self.away = True
        self.asked = 0

    async def record(self) -> str:
        self.asked += 1
        if self.away:
            raise UnreachableError("gone", transient=True)
        return "recorded"


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def runtime(told: list[Event], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(retry, "RECORDING_SECONDS", 1.0)
    monkeypatch.setattr(retry, "STOPPED_SECONDS", 0.0)
    return SimpleNamespace(operation="op", outage=Outage(), stop=StopSignal(), telemetry=Telemetry(told.append))


def test_what_comes_after_a_wait_in_vain_does_not_wait_again(runtime: Any, told: list[Event]) -> None:
    """Otherwise a server that dies costs the time limit once per step and try."""
    catalog = Catalog()

    async def work() -> int:
        for _ in range(2):
            with pytest.raises(UnreachableError):
                await retrying(lambda: until_recorded(runtime, catalog.record), attempts=3)
        began, before = time.monotonic(), catalog.asked
        with pytest.raises(UnreachableError):
            await until_recorded(runtime, catalog.record)
        assert time.monotonic() - began < 1
        return catalog.asked - before

    assert asyncio.run(work()) == 1
    assert [event.kind for event in told] == ["catalog.away"]


def test_an_answer_ends_the_outage(runtime: Any, told: list[Event]) -> None:
    """The next one gets the whole time again, and is told of again."""
    catalog = Catalog()

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.3, setattr, catalog, "away", False)
        assert await until_recorded(runtime, catalog.record) == "recorded"
        assert runtime.outage.seconds == 0
        catalog.away = True
        asyncio.get_running_loop().call_later(0.3, setattr, catalog, "away", False)
        assert await until_recorded(runtime, catalog.record) == "recorded"

    asyncio.run(work())
    assert [event.kind for event in told] == ["catalog.away"] * 2


def test_who_was_asked_to_stop_waits_no_longer(runtime: Any) -> None:
    """Ctrl-C is heard while the catalog is away."""
    catalog = Catalog()
    runtime.stop.set()
    with pytest.raises(UnreachableError):
        asyncio.run(until_recorded(runtime, catalog.record))
    assert catalog.asked == 1


def test_an_error_that_waiting_cannot_mend_is_raised_at_once(runtime: Any, told: list[Event]) -> None:
    """And is no outage."""

    async def refuse() -> None:
        raise InputError("no")

    with pytest.raises(InputError):
        asyncio.run(until_recorded(runtime, refuse))
    assert told == []
