"""The engine port: hands batches of tenants to whoever carries them out, here or on other machines.

An engine delivers at least once and decides nothing. What was done stands in the journal and, committed with the change, in
each tenant's own history; therefore a batch that is delivered twice is harmless, and whether a wave is over is asked of the
journal, never counted from jobs. Pausing, aborting and stopping after failures are in the statement by which targets are
claimed: an engine need not interrupt anything.

To add an engine: implement ``JobEngine`` and, where other processes carry batches out, ``WorkerEngine``; a job is
``Batch.to_json``, nothing else. Raise ``UnreachableError`` (transient) where trying again may help. Run
``manor.testing.jobs.JobEngineSuite``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from manor.errors import Code, EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tenants of one server, carried out together."""

    operation: str
    token: int
    """The runner's: a batch of an earlier runner is not carried out."""
    wave: int
    number: int
    """Within the wave, from 0."""
    server: str
    tenants: tuple[str, ...]
    """Full tenant ids, in the plan's order."""

    @property
    def key(self) -> str:
        """The same for the same work: submitting it again adds nothing."""
        digest = hashlib.sha256("\n".join(self.tenants).encode()).hexdigest()[:16]
        return f"{self.operation}/{self.token}/{self.wave}/{self.number}/{digest}"

    def to_json(self) -> str:
        """The job's arguments."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What ``to_json`` wrote. Raises ``EngineError`` (corrupt) for anything else."""
        try:
            document: Mapping[str, Any] = json.loads(text)
            return cls(
                operation=str(document["operation"]),
                token=int(document["token"]),
                wave=int(document["wave"]),
                number=int(document["number"]),
                server=str(document["server"]),
                tenants=tuple(map(str, document["tenants"])),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError("a job is not one of ours, or of another version of Manor", code=Code.CORRUPT) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine does."""

    remote: bool
    """Whether batches are carried out in other processes, so that only the journal knows what came of them."""
    batch_size: int | None
    """Most tenants per batch; None: all tenants of a server in a wave are one."""
    redelivers: bool
    """Whether it brings a batch back whose worker died or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A batch that is not finished: bring it back."""

    seconds: float = 0.0
    reason: str = ""


Carry = Callable[[Batch], Awaitable[Again | None]]
"""Carries a batch out, as far as it is not done yet. None: nothing of it is left to whoever carries out batches."""
IsOver = Callable[[], Awaitable[bool]]
"""Asks the journal whether a wave is over."""


class JobEngine(Protocol):
    """The coordinator's side."""

    @property
    def capabilities(self) -> Capabilities:
        """Declared, not found out."""
        ...

    async def submit(self, batches: Sequence[Batch]) -> None:
        """Have batches carried out. One that is known already, by its key, and not finished is left as it is."""
        ...

    async def cancel(self, operation: str) -> None:
        """Forget the operation's batches that nobody has begun. Those under way end by themselves: nothing is left to claim."""
        ...

    async def wait(self, operation: str, wave: int, is_over: IsOver) -> None:
        """Return once the wave is over. Raises what ``is_over`` raises.

        A remote engine asks ``is_over`` again and again, sooner when something has happened; one that carries batches out
        itself returns when it has, and leaves ``is_over`` unasked.
        """
        ...

    async def close(self) -> None:
        """Close what was opened; a later call opens it again."""
        ...


class WorkerEngine(Protocol):
    """The workers' side of an engine whose batches are carried out in other processes."""

    async def serve(
        self,
        carry: Carry,
        *,
        servers: Collection[str],
        parallel: int,
        should_stop: Callable[[], bool],
        on_trouble: Callable[[Exception], None],
    ) -> None:
        """Carry out batches of ``servers``, at most ``parallel`` at once and one per server at a time over all workers, until
        ``should_stop``; then those under way are waited for. What goes wrong is told to ``on_trouble`` and tried again."""
        ...


def cut(operation: str, token: int, wave: int, targets: Sequence[tuple[str, str]], *, size: int | None) -> tuple[Batch, ...]:
    """Batches of a wave, whose targets are (server, tenant) in order: per server of even sizes, none above ``size``."""
    by_server: dict[str, list[str]] = {}
    for server, tenant in targets:
        by_server.setdefault(server, []).append(tenant)
    parts = [(server, part) for server, tenants in by_server.items() for part in _even(tenants, size)]
    return tuple(
        Batch(operation=operation, token=token, wave=wave, number=number, server=server, tenants=tuple(part))
        for number, (server, part) in enumerate(parts)
    )


def _even(tenants: Sequence[str], size: int | None) -> list[Sequence[str]]:
    count = 1 if size is None else -(-len(tenants) // size)
    edges = [len(tenants) * index // count for index in range(count + 1)]
    return [tenants[begin:end] for begin, end in itertools.pairwise(edges)]
