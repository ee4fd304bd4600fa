"""Writes outcomes down in batches while the next targets are under way.

Nothing waits for it but the end of a wave: the tenant's own history says what was done, should this process die before the
catalog heard of it.
"""

from __future__ import annotations

import asyncio
import functools

from manor.control.catalog.records import AuditEvent, DatabaseRecord, TargetRecord
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime


class Recorder:
    """Outcomes on their way into the journal. ``token``: the runner's; once another one has taken over, nothing is recorded."""

    def __init__(self, runtime: Runtime, token: int | None = None) -> None:
        self._runtime = runtime
        self._token = token
        self._waiting: list[tuple[TargetRecord, DatabaseRecord | None, AuditEvent | None]] = []
        self._task: asyncio.Task[None] | None = None

    def put(self, target: TargetRecord, moved: DatabaseRecord | None = None, audit: AuditEvent | None = None) -> None:
        """Take one outcome; ``moved``: the database's new head where it was changed."""
        self._waiting.append((target, moved, audit))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Wait until all is written. Raises what kept it from being written."""
        while self._waiting or self._task is not None:
            task, self._task = self._task or asyncio.create_task(self._write()), None
            await task

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
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
            for target in targets:
                self._runtime.telemetry.emit("target.recorded", self._runtime.operation, target.tenant, status=target.status)
