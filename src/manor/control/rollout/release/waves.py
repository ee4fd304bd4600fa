"""Goes through the waves of a release: so many targets at once, then the gate, the pause, and the next wave.

A wave is cut into batches and handed to a job engine: by default to the one that carries them out in this process, else to
workers on other machines. Gate, pause and the end stay here, with the coordinator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from manor.control.catalog.records import TargetRecord
from manor.control.jobs.engine import Again, Batch, JobEngine, cut
from manor.control.jobs.inline import InlineEngine
from manor.control.rollout.release.batch import BatchRunner, Mover, Tally
from manor.control.rollout.release.elsewhere import WaveElsewhere
from manor.control.rollout.release.move import move
from manor.control.rollout.release.stopping import REASONS, Stop, failures, wait_unless_asked
from manor.control.rollout.release.work import Work

__all__ = ["Gate", "Mover", "Stop", "WavePlan", "Went", "go"]


Gate = Callable[[Sequence[TargetRecord]], Awaitable[str]]
"""Looks at the targets of a wave; returns why the next one must not begin, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WavePlan:
    """Targets that are handled together."""

    number: int
    targets: tuple[TargetRecord, ...]
    wait_seconds: float = 0.0
    """Pause after it, unless it is the last one."""
    done: tuple[TargetRecord, ...] = ()
    """Targets of it that were changed before the release stopped: the gate looks at them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """How far a release went."""

    stop: Stop
    results: tuple[TargetRecord, ...]
    """Of the targets that were begun."""
    reason: str = ""


async def go(work: Work, waves: Sequence[WavePlan], *, mover: Mover = move, gate: Gate | None = None) -> Went:
    """Go through the waves in order. Outcomes are written down when this returns.

    Workers know ``move`` only: any other mover is run in this process.
    """
    results: list[TargetRecord] = []
    for wave in waves:
        stop, reason, handled = await _one(work, wave, mover, failures(results))
        results += handled
        if stop is Stop.FINISHED and gate is not None:
            stop, reason = await _looked(wave, (*wave.done, *handled), gate)
        if stop is Stop.FINISHED and wave is not waves[-1]:
            stop, reason = await soak(work, wave, (*wave.done, *handled), gate)
        if stop is not Stop.FINISHED:
            return Went(stop=stop, results=tuple(results), reason=reason)
    return Went(stop=Stop.FINISHED, results=tuple(results))


async def soak(work: Work, wave: WavePlan, targets: Sequence[TargetRecord], gate: Gate | None) -> tuple[Stop, str]:
    """The pause after a wave, with a second look at its end: what went bad meanwhile keeps the next wave from beginning."""
    if not wave.wait_seconds:
        return Stop.FINISHED, ""
    stop = await wait_unless_asked(work, wave.wait_seconds)
    if stop is not Stop.FINISHED:
        return stop, REASONS[stop]
    return await _looked(wave, targets, gate) if gate is not None else (Stop.FINISHED, "")


async def _looked(wave: WavePlan, targets: Sequence[TargetRecord], gate: Gate) -> tuple[Stop, str]:
    reason = await gate(targets)
    return (Stop.GATE, f"after wave {wave.number}: {reason}") if reason else (Stop.FINISHED, "")


async def _one(work: Work, wave: WavePlan, mover: Mover, failed: int) -> tuple[Stop, str, list[TargetRecord]]:
    if not wave.targets:
        return Stop.FINISHED, "", []
    work.runtime.telemetry.emit("wave.started", work.operation, str(wave.number), targets=len(wave.targets))
    runner = _WaveRunner(work, wave, mover, Tally(failures=failed))
    stop = await runner.run()
    work.runtime.telemetry.emit("wave.ended", work.operation, str(wave.number))
    return stop, "" if stop is Stop.FINISHED else REASONS[stop], list(runner.tally.results)


@dataclass(slots=True)
class _WaveRunner:
    """One wave, through an engine."""

    work: Work
    wave: WavePlan
    mover: Mover
    tally: Tally
    _targets: dict[str, TargetRecord] = field(init=False)

    def __post_init__(self) -> None:
        self._targets = {target.tenant: target for target in self.wave.targets}

    async def run(self) -> Stop:
        """Carry it out; ``tally`` holds what came of it, and the journal too."""
        engine = self.work.runtime.jobs
        if engine is None or self.mover is not move:
            return await self._here()
        wave = WaveElsewhere(self.work, engine, self._batches(engine), self.wave.number, self.tally)
        return await wave.run()

    async def _here(self) -> Stop:
        engine = InlineEngine(self._carry)
        await engine.submit(self._batches(engine))
        await engine.wait(self.work.operation, self.wave.number, _never_asked)
        await self.work.recorder.flush()
        return self.tally.stop

    async def _carry(self, batch: Batch) -> Again | None:
        targets = [self._targets[tenant] for tenant in batch.tenants]
        await BatchRunner(self.work, targets, self.mover, self.tally).run()
        return None

    def _batches(self, engine: JobEngine) -> tuple[Batch, ...]:
        return cut(
            self.work.operation,
            self.work.token,
            self.wave.number,
            [(target.server, target.tenant) for target in self.wave.targets],
            size=engine.capabilities.batch_size,
        )


async def _never_asked() -> bool:
    return True
