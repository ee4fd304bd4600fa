"""Outcomes reach the journal, or whoever waits for them is told that they did not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from manor.control.rollout import retry
from manor.control.rollout.release.recorder import Recorder
from manor.control.runtime import Outage, StopSignal
from manor.errors import ConflictError, ManorError, UnreachableError
from manor.telemetry import Telemetry


class Journal:
    """A catalog that takes outcomes, or fails with ``error``."""

    def __init__(self) -> None:
        self.error: ManorError | None = None
        self.written: list[str] = []

    async def record_moves(self, _operation: str, targets: Sequence[Any], **_: Any) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.written += [target.tenant for target in targets]


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def runtime(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(retry, "RECORDING_SECONDS", 0.0)
    return SimpleNamespace(operation="op", catalog=journal, outage=Outage(), stop=StopSignal(), telemetry=Telemetry())


def outcome(tenant: str) -> Any:
    return SimpleNamespace(tenant=tenant, status="success")


def gone() -> UnreachableError:
    return UnreachableError("gone", transient=True)


async def until_given_up() -> None:
    """Let the attempt under way end, which waits for nothing but its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_outcomes_that_could_not_be_written_are_written_with_the_next_ones(journal: Journal, runtime: Any) -> None:
    """The catalog was away for longer than it is waited for and came back: nothing is lost, so nothing is raised."""

    async def work() -> None:
        recorder = Recorder(runtime)
        journal.error = gone()
        recorder.put(outcome("a"))
        recorder.put(outcome("b"))
        await until_given_up()
        journal.error = None
        recorder.put(outcome("c"))
        await recorder.flush()

    asyncio.run(work())
    assert journal.written == ["a", "b", "c"]


def test_a_flush_tries_once_more_what_could_not_be_written(journal: Journal, runtime: Any) -> None:
    """Also where no further outcome came."""

    async def work() -> None:
        recorder = Recorder(runtime)
        journal.error = gone()
        recorder.put(outcome("a"))
        await until_given_up()
        journal.error = None
        await recorder.flush()

    asyncio.run(work())
    assert journal.written == ["a"]


def test_a_flush_raises_the_first_error_as_long_as_an_outcome_is_missing(journal: Journal, runtime: Any) -> None:
    """Whatever was tried since, and each time that it is asked; the journal is whole once a flush raises nothing."""

    async def work() -> None:
        recorder = Recorder(runtime)
        journal.error = gone()
        recorder.put(outcome("a"))
        await until_given_up()
        first, journal.error = journal.error, ConflictError("taken over")
        recorder.put(outcome("b"))
        for _ in range(2):
            with pytest.raises(UnreachableError) as raised:
                await recorder.flush()
            assert raised.value is first
        journal.error = None
        await recorder.flush()
        await recorder.flush()

    asyncio.run(work())
    assert journal.written == ["a", "b"]


def test_an_interrupted_flush_loses_nothing(journal: Journal, runtime: Any) -> None:
    """Who is cancelled while outcomes are under way may flush again."""

    async def work() -> None:
        recorder = Recorder(runtime)
        recorder.put(outcome("a"))
        flushing = asyncio.create_task(recorder.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        await recorder.flush()

    asyncio.run(work())
    assert journal.written == ["a"]
