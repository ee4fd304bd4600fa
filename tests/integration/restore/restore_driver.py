"""Runs one ``manor`` command that dies, or stands still until its input ends, at the first event of a kind; or that dies when
half of a dump is on its way to the program that loads it (``half``)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from manor import telemetry
from manor.cli.failures import run
from manor.cli.main import cli
from manor.control.rollout.backups.vault import BackupVault


def cut_dumps() -> None:
    """Die once the first half of a dump was written."""
    whole = BackupVault.open

    async def half(self: BackupVault, runtime: Any, backup: Any) -> AsyncIterator[bytes]:
        async for chunk in whole(self, runtime, backup):
            middle = len(chunk) // 2
            yield chunk[: chunk.rfind(b";\n", 0, middle) + 2 or middle]  # where SQL could be at its end
            with contextlib.suppress(TimeoutError):  # what holds lines back until their end may hold back all of a small dump
                async with asyncio.timeout(5):
                    while not await _is_loading(runtime):  # noqa: ASYNC110 - another program does it
                        await asyncio.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)

    BackupVault.open = half  # type: ignore[method-assign]


async def _is_loading(runtime: Any) -> bool:
    """Whether the program has made something of what it got."""
    for server in runtime.servers.values():
        found = [database for database in await server.databases() if database.startswith("manor_green_")]
        async with server._sessions.maintenance() as connection:
            query = "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = ANY (%s)"
            cursor = await connection.execute(f"{query} AND mode = 'AccessExclusiveLock'", [found])
            if found and await cursor.fetchone() is not None:
                return True
    return False


def main() -> int:
    """``restore_driver.py EVENT die|wait ARGUMENTS…``"""
    kind, what, *arguments = sys.argv[1:]
    if kind == "half":
        cut_dumps()
    emit, seen = telemetry.Telemetry.emit, []

    def watched(self: telemetry.Telemetry, event: str, operation: str, subject: str = "", **details: object) -> None:
        emit(self, event, operation, subject, **details)
        if event == kind and not seen:
            seen.append(event)
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            print("waiting", flush=True)
            sys.stdin.read()

    telemetry.Telemetry.emit = watched  # type: ignore[method-assign]
    return run(cli, arguments)


if __name__ == "__main__":
    sys.exit(main())
