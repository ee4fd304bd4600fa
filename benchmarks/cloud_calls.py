"""CPU per call of the clients of a cloud, against a stub in another process that answers at once and always the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Sample, Settings, alternate

ROUNDS = 7
CALLS = 960
QUICK_CALLS = 160

Step = Callable[[], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class CloudCalls:
    """One comparison. ``stub``: source of a program that reads ``answers`` (JSON) from its input and prints its port;
    ``steps``: what each leg does once, by name, its clients kept open by the stack."""

    stub: str
    answers: Mapping[str, Any]
    steps: Callable[[AsyncExitStack, str], Awaitable[dict[str, Step]]]
    concurrency: int

    def calls(self, settings: Settings) -> int:
        """Of one leg in one round."""
        return QUICK_CALLS if settings.quick else CALLS

    def samples(self, settings: Settings) -> Mapping[str, list[Sample]]:
        """By leg, in turn."""
        stub = subprocess.Popen([sys.executable, "-c", self.stub], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert stub.stdin is not None
        assert stub.stdout is not None
        try:
            stub.stdin.write(json.dumps(self.answers) + "\n")
            stub.stdin.flush()
            endpoint = f"http://127.0.0.1:{int(stub.stdout.readline())}"
            with asyncio.Runner() as runner:
                return self._alternated(runner, endpoint, settings)
        finally:
            stub.kill()
            stub.wait()
            stub.stdin.close()
            stub.stdout.close()

    def _alternated(self, runner: asyncio.Runner, endpoint: str, settings: Settings) -> Mapping[str, list[Sample]]:
        """All legs in one event loop, with clients that live as long as it."""
        calls = self.calls(settings)
        stack = AsyncExitStack()

        async def opened() -> dict[str, Step]:
            return await self.steps(stack, endpoint)

        steps = runner.run(opened())

        def leg(name: str) -> Callable[[], Sample]:
            return lambda: runner.run(self._timed(steps[name], calls))

        for name in steps:
            leg(name)()  # warm: connections, caches, threads
        try:
            return alternate({name: leg(name) for name in steps}, settings.rounds_or(ROUNDS))
        finally:
            runner.run(stack.aclose())

    async def _timed(self, step: Step, calls: int) -> Sample:
        left = iter(range(calls))

        async def worker() -> None:
            for _ in left:
                await step()

        cpu = time.process_time()
        await asyncio.gather(*(worker() for _ in range(self.concurrency)))
        spent = time.process_time() - cpu
        # "seconds" is what ratios are made of: here processor time, because the wall clock of a shared machine says little
        return Sample(seconds=spent, client_cpu=spent)
