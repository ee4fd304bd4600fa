"""Records backups in the catalog in batches while the next ones are made: nothing waits for it but the end.

A backup is what storage says. One whose entry could not be written is listed all the same, and recorded by the next pruning.
"""

from __future__ import annotations

import asyncio

from manor.control.rollout.backups.vault import Backup, BackupVault
from manor.control.runtime import Runtime
from manor.control.steps import Failure
from manor.errors import ManorError

_BATCH = 20


class Indexing:
    """Backups on their way into the catalog."""

    def __init__(self, runtime: Runtime, vault: BackupVault) -> None:
        self._runtime = runtime
        self._vault = vault
        self._waiting: list[Backup] = []
        self._task: asyncio.Task[None] | None = None
        self._failure: Failure | None = None

    def put(self, backup: Backup) -> None:
        """Take one backup."""
        self._waiting.append(backup)
        if len(self._waiting) >= _BATCH and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write())

    async def flush(self) -> tuple[Failure, ...]:
        """Wait until all are recorded; returns what kept some of them from it."""
        if self._task is not None:
            await self._task
        await self._write()
        return (self._failure,) if self._failure is not None else ()

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._vault.index(self._runtime, batch)
            except ManorError as error:
                self._failure = Failure.of(error)
