"""The conformance suite of job engines: what every implementation of ``manor.control.jobs.engine`` promises.

A driver's test module subclasses ``JobEngineSuite`` and brings the fixture ``bench``. Batches are carried out by a stand-in for
releases whose journal is a dictionary. That releases survive killed workers and servers is tested with real processes beside
it. Needs pytest and pytest-asyncio.
"""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from manor.control.jobs.engine import Again, Batch, Carry, JobEngine, cut

_PATIENCE_SECONDS = 30.0


class JobBench(Protocol):
    """What a driver's test module provides as the fixture ``bench``."""

    def open(
        self, carry: Carry, *, workers: int = 1, servers: tuple[str, ...] = ("north", "south")
    ) -> AbstractAsyncContextManager[JobEngine]:
        """An engine for a coordinator; where it is remote, with so many workers that serve ``servers``."""
        ...


@dataclass(slots=True)
class Journal:
    """A stand-in for the catalog: what was done, and how often."""

    done: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)
    most_under_way: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    async def carry(self, batch: Batch) -> Again | None:
        """Do what is not done yet."""
        self.deliveries[batch.key] += 1
        self.under_way[batch.server] += 1
        self.most_under_way[batch.server] = max(self.most_under_way[batch.server], self.under_way[batch.server])
        try:
            for tenant in batch.tenants:
                if tenant not in self.done:
                    await asyncio.sleep(self.seconds)
                    self.done[tenant] += 1
        finally:
            self.under_way[batch.server] -= 1
        return None

    def is_over(self, batches: tuple[Batch, ...]) -> Over:
        """Whether all of these are done."""
        return Over(self, {tenant for batch in batches for tenant in batch.tenants})


@dataclass(frozen=True, slots=True)
class Over:
    """The question that a coordinator asks."""

    journal: Journal
    tenants: set[str]

    async def __call__(self) -> bool:
        return self.tenants <= set(self.journal.done)


_NUMBERS = itertools.count(1)


def some(
    targets: int = 6, *, size: int | None = 2, wave: int = 1, servers: tuple[str, ...] = ("north", "south")
) -> tuple[Batch, ...]:
    """Batches of an operation that nobody has heard of."""
    operation = f"operation-{next(_NUMBERS)}-{secrets.token_hex(3)}"
    return cut(operation, 1, wave, [(servers[i % len(servers)], f"{operation}/t/{i}") for i in range(targets)], size=size)


async def finish(engine: JobEngine, journal: Journal, batches: tuple[Batch, ...]) -> None:
    """Wait for the one wave of ``batches``, with patience but not forever."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await engine.wait(batches[0].operation, batches[0].wave, journal.is_over(batches))


class JobEngineSuite:
    """Subclass it, and provide the fixture ``bench``."""

    async def test_every_target_is_done_once(self, bench: JobBench) -> None:
        """A wave is over when everything in it was done, each target once."""
        journal, batches = Journal(), some()
        async with bench.open(journal.carry) as engine:
            await engine.submit(batches)
            await finish(engine, journal, batches)
        assert set(journal.done.values()) == {1}
        assert len(journal.done) == 6

    async def test_several_workers_share_without_doing_anything_twice(self, bench: JobBench) -> None:
        """Two workers carry out a wave together; each target is done once."""
        journal, batches = Journal(seconds=0.02), some(24, size=3)
        async with bench.open(journal.carry, workers=2) as engine:
            await engine.submit(batches)
            await finish(engine, journal, batches)
        assert set(journal.done.values()) == {1}
        assert len(journal.done) == 24

    async def test_submitting_again_adds_nothing(self, bench: JobBench) -> None:
        """A batch that was submitted twice is delivered once."""
        journal, batches = Journal(seconds=0.05), some(2, size=None)
        async with bench.open(journal.carry) as engine:
            await engine.submit(batches)
            await engine.submit(batches)
            await finish(engine, journal, batches)
        assert set(journal.deliveries.values()) == {1}

    async def test_submitting_what_is_done_does_nothing(self, bench: JobBench) -> None:
        """A finished wave that is submitted again is over at once, and nothing is done twice."""
        journal, batches = Journal(), some()
        async with bench.open(journal.carry) as engine:
            for _ in range(2):
                await engine.submit(batches)
                await finish(engine, journal, batches)
        assert set(journal.done.values()) == {1}

    async def test_waves_follow_each_other(self, bench: JobBench) -> None:
        """The second wave of an operation is carried out like the first."""
        journal, first = Journal(), some()
        second = cut(first[0].operation, 1, 2, [("north", "later/t/1")], size=2)
        async with bench.open(journal.carry) as engine:
            for batches in (first, second):
                await engine.submit(batches)
                await finish(engine, journal, batches)
        assert journal.done["later/t/1"] == 1

    async def test_what_is_cancelled_is_never_begun(self, bench: JobBench) -> None:
        """Cancelled before anybody could take it: nothing of it is done; another operation is not touched."""
        journal = Journal()
        gone, kept = some(servers=("nobody serves it",)), some()
        async with bench.open(journal.carry) as engine:
            await engine.submit(gone)
            await engine.submit(kept)
            await engine.cancel(gone[0].operation)
            await finish(engine, journal, kept)
        assert {tenant for batch in gone for tenant in batch.tenants}.isdisjoint(journal.done)

    async def test_a_batch_that_is_not_finished_comes_back(self, bench: JobBench) -> None:
        """Whoever says ``Again`` is given the batch again, and nothing that was done is done twice."""
        journal, batches = Journal(), some(2, size=None)

        async def twice(batch: Batch) -> Again | None:
            if not journal.deliveries[batch.key]:
                journal.deliveries[batch.key] += 1
                return Again(seconds=0.01, reason="not yet")
            return await journal.carry(batch)

        async with bench.open(twice) as engine:
            await engine.submit(batches)
            await finish(engine, journal, batches)
        assert set(journal.done.values()) == {1}
        assert set(journal.deliveries.values()) == {2}

    async def test_a_batch_that_failed_comes_back_where_the_engine_says_so(self, bench: JobBench) -> None:
        """An error of the carrier's own is not the end of a batch, or it is raised to whoever waits."""
        journal, batches = Journal(), some(1, size=None)

        async def failing_once(batch: Batch) -> Again | None:
            if not journal.deliveries[batch.key]:
                journal.deliveries[batch.key] += 1
                raise RuntimeError("a bug")
            return await journal.carry(batch)

        raised = False
        async with bench.open(failing_once) as engine:
            await engine.submit(batches)
            try:
                await finish(engine, journal, batches)
            except* RuntimeError:
                raised = True
            assert raised is not engine.capabilities.redelivers
        assert bool(journal.done) is engine.capabilities.redelivers

    async def test_one_batch_of_a_server_at_a_time(self, bench: JobBench) -> None:
        """A server never has two remote batches at once, however many workers there are; two servers have one each."""
        journal, batches = Journal(seconds=0.03), some(12, size=2)
        async with bench.open(journal.carry, workers=3) as engine:
            await engine.submit(batches)
            await finish(engine, journal, batches)
            if engine.capabilities.remote:
                assert set(journal.most_under_way.values()) == {1}
        assert len(journal.done) == 12

    async def test_what_the_journal_raises_is_raised(self, bench: JobBench) -> None:
        """A remote engine's ``wait`` ends with the error of the question."""

        async def broken() -> bool:
            raise LookupError("no journal")

        journal, batches = Journal(), some()
        raised = False
        async with bench.open(journal.carry) as engine:
            await engine.submit(batches)
            try:
                await engine.wait(batches[0].operation, batches[0].wave, broken)
            except LookupError:
                raised = True
            assert raised is engine.capabilities.remote
