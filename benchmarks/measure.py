"""What every benchmark needs to measure fairly: samples with processor time, alternating rounds, ratios within a round.

Absolute times on a shared machine mean little. Two ways of doing a job are therefore measured in turn within one run, each
round beginning with another one, and only the ratio of the times of one round is judged.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run was asked to be."""

    rounds: int | None = None
    """None: each benchmark's own number."""
    quick: bool = False
    """Smaller fleets and one round: shows that everything runs, proves nothing."""

    def rounds_or(self, usual: int) -> int:
        """The number of rounds of a benchmark that usually does ``usual``."""
        return self.rounds or (1 if self.quick else usual)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement, in seconds. Processor times are those of all server processes, and of this one."""

    seconds: float
    server_cpu: float = 0.0
    client_cpu: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Least, middle and greatest of several values."""

    least: float
    middle: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ``ValueError`` for no values at all."""
        return cls(least=min(values), middle=statistics.median(values), greatest=max(values))

    def show(self, digits: int = 2) -> str:
        """``least / median / greatest``."""
        return " / ".join(f"{value:.{digits}f}" for value in (self.least, self.middle, self.greatest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the table of targets; ``reached`` is judged by the median."""

    what: str
    target: str
    measured: str
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark has to say: verdicts, a table and remarks."""

    title: str
    method: str
    """How it was measured, for the reader who wants to doubt it."""
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdicts: Sequence[Verdict] = ()
    remarks: Sequence[str] = ()


def alternate(legs: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """Measure all legs ``rounds`` times, each round beginning with the next one; samples by leg, in the order of rounds."""
    names = list(legs)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        for offset in range(len(names)):
            name = names[(number + offset) % len(names)]
            sample = legs[name]()
            samples[name].append(sample)
            print(f"    round {number + 1}: {name} {sample.seconds:.2f} s", flush=True)
    return samples


def ratios(of: Sequence[Sample], to: Sequence[Sample]) -> Spread:
    """Time of ``of`` divided by time of ``to``, round by round."""
    return Spread.of([a.seconds / b.seconds for a, b in zip(of, to, strict=True)])


def sample_rows(samples: Mapping[str, Sequence[Sample]], *, count: int = 0) -> list[list[str]]:
    """One row per leg under ``SAMPLE_HEADER``; ``count`` databases make a rate."""
    rows = []
    for name, taken in samples.items():
        seconds = Spread.of([s.seconds for s in taken])
        rate = f"{count / seconds.middle:.1f}" if count else "–"
        server = statistics.median(s.server_cpu for s in taken)
        client = statistics.median(s.client_cpu for s in taken)
        rows.append([name, seconds.show(), rate, f"{server:.2f}", f"{client:.2f}"])
    return rows


SAMPLE_HEADER = ("way", "seconds (min / median / max)", "databases/s", "server CPU s", "client CPU s")


class Stopwatch:
    """Measures the wall, the server's processes and this process, from its making to ``read``."""

    def __init__(self, postmaster: int | None = None) -> None:
        self._postmaster = postmaster
        os.sync()  # what was left to write must not be paid for by the next
        self._server = server_cpu(postmaster)
        self._client = time.process_time()
        self._began = time.perf_counter()

    def read(self) -> Sample:
        """What was used since."""
        seconds = time.perf_counter() - self._began
        client = time.process_time() - self._client
        return Sample(seconds=seconds, server_cpu=server_cpu(self._postmaster) - self._server, client_cpu=client)


def server_cpu(postmaster: int | None) -> float:
    """Processor seconds of a server so far: its first process, the children that ended, and those that live."""
    if postmaster is None:
        return 0.0
    process = psutil.Process(postmaster)
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children():
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended between the two looks and is counted with the next one
        total += spent.user + spent.system
    return float(total)
