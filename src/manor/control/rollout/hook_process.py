"""Runs one program of the user's: within a time limit, with the end of its output, and with nothing of it left behind.

The program leads a session and process group of its own. That group is killed when the program ends, runs out of time or is
cancelled, so that no helper of it lives on; a process that leaves the group on purpose (``setsid``) is let go. POSIX only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
KEPT_BYTES = 20_480
"""Of the output, from its end: more than is shown, because a password cut in half at the front must not be shown."""
_CHUNK_BYTES = 65_536
_LAST_CHUNKS = 64
"""What can still be in the pipe (1 MiB at most) fits; a process that was let go and writes on must not hold us up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    exit: int
    """Exit code; negative: the signal that ended it."""
    seconds: float
    output: bytes = field(repr=False)
    """The end of standard output and standard error, in the order they came."""
    timed_out: bool


class _Output:
    """The reading end of a pipe; keeps the last ``KEPT_BYTES`` of what comes."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._kept = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self._read)

    def _read(self) -> bool:
        """Whether more may follow."""
        try:
            chunk = os.read(self._reading, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._reading)
        self._kept += chunk
        del self._kept[:-KEPT_BYTES]
        return bool(chunk)

    def rest(self) -> bytes:
        """Everything kept, with what is still in the pipe."""
        for _ in range(_LAST_CHUNKS):
            if not self._read():
                break
        return bytes(self._kept)

    def close(self) -> None:
        self._loop.remove_reader(self._reading)
        os.close(self._reading)


@contextlib.contextmanager
def _capture() -> Iterator[_Output]:
    output = _Output()
    try:
        yield output
    finally:
        output.close()


async def run_process(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdin: bytes,
    timeout_seconds: float,
    grace_seconds: float = GRACE_SECONDS,
) -> Ended:
    """Run ``command`` in ``folder`` to its end. Raises ``OSError`` where it cannot be started.

    Cancelling the task ends the whole process group as running out of time does.
    """
    with tempfile.TemporaryFile() as given, _capture() as output:
        given.write(stdin)  # a file, not a pipe: a program that does not read it fails nobody
        given.seek(0)
        began = time.monotonic()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=environment,
                stdin=given,
                stdout=output.writing,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(output.writing)
        try:
            in_time = await _ends_within(process, timeout_seconds)
        finally:
            await _end_group(process, grace_seconds)
        return Ended(exit=await process.wait(), seconds=time.monotonic() - began, output=output.rest(), timed_out=not in_time)


async def _ends_within(process: Process, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return False
    return True


async def _end_group(process: Process, grace_seconds: float) -> None:
    """Ask, then kill. A cancelled wait kills at once: nothing of the group outlives this call."""
    try:
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            await _ends_within(process, grace_seconds)
    finally:
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    """A group keeps its number as long as anybody is in it; one that is empty has ended, which is all that is wanted."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
