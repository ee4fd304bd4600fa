"""Writes outcomes down in batches while the next targets are under way.

Nothing waits for it but the end of a wave: the tenant's own history says what was done, should this process die before the
catalog heard of it.

An outcome waits until it is written. A failure is therefore forgotten as soon as a later attempt has written all that waited:
the journal is whole then, and an error would call done what is done a failure. As long as one is missing, ``flush`` raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence

from manor.control.catalog.records import AuditEvent, DatabaseRecord, TargetRecord
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime


class Recorder:
    """Outcomes on their way into the journal. ``token``: the runner's; once another one has taken over, nothing is recorded.
    ``gather_seconds``: how long an outcome may wait for others to be written with it."""

    def __init__(self, runtime: Runtime, token: int | None = None, *, gather_seconds: float = 0.0) -> None:
        self._runtime = runtime
        self._token = token
        self._gather_seconds = gather_seconds
        self._hurry = asyncio.Event()
        self._waiting: list[tuple[TargetRecord, DatabaseRecord | None, AuditEvent | None]] = []
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        """The first since everything was written."""

    def put(self, target: TargetRecord, moved: DatabaseRecord | None = None, audit: AuditEvent | None = None) -> None:
        """Take one outcome; ``moved``: the database's new head where it was changed."""
        self._waiting.append((target, moved, audit))
        self._attempt()

    async def flush(self) -> None:
        """Wait until all is written; what could not be written before is tried once more. Raises the first error where it
        still cannot."""
        self._hurry.set()
        while self._waiting:
            await self._attempt()
            if self._failure is not None:
                raise self._failure

    def _attempt(self) -> asyncio.Task[None]:
        """The one under way, or a new one: two at once would write the same."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        return self._task

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                await self._write_batch(tuple(self._waiting))
        except Exception as error:  # kept for whoever flushes
            self._failure = self._failure or error
        else:
            self._failure = None

    async def _gather(self) -> None:
        if self._gather_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._gather_seconds)

    async def _write_batch(self, batch: Sequence[tuple[TargetRecord, DatabaseRecord | None, AuditEvent | None]]) -> None:
        targets = [target for target, _, _ in batch]
        write = functools.partial(
            self._runtime.catalog.record_moves,
            self._runtime.operation,
            targets,
            moved=[moved for _, moved, _ in batch if moved is not None],
            token=self._token,
            audit=[event for _, _, event in batch if event is not None],
        )
        await until_recorded(self._runtime, write)
        del self._waiting[: len(batch)]  # only now: what comes meanwhile stands behind it
        for target in targets:
            self._runtime.telemetry.emit("target.recorded", self._runtime.operation, target.tenant, status=target.status)
