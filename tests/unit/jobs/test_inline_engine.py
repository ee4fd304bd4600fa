"""The engine that carries batches out in the command itself keeps the port's promises."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from manor.control.jobs.engine import Carry, JobEngine
from manor.control.jobs.inline import InlineEngine
from manor.testing.jobs import JobBench, JobEngineSuite


class InlineBench:
    """Needs no workers."""

    @contextlib.asynccontextmanager
    async def open(
        self, carry: Carry, *, workers: int = 1, servers: tuple[str, ...] = ("north", "south")
    ) -> AsyncIterator[JobEngine]:
        engine = InlineEngine(carry)
        yield engine
        await engine.close()


class TestInlineEngine(JobEngineSuite):
    """The suite."""

    @pytest.fixture
    def bench(self) -> JobBench:
        return InlineBench()
