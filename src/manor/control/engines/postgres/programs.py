"""Runs PostgreSQL's own programs: found for a server's version, given their login by environment, their output streamed.

No password is ever an argument. What a program says is passed on without what may hold rows: its error lines and hints only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from manor.errors import Code, EngineError, ManorError, NotFoundError, UnsupportedError

Finder = Callable[[str, int], str]
"""The path of a program (``pg_dump``) that works with a server of this major version. Raises ``NotFoundError`` and
``UnsupportedError`` where every one that is there is older."""

CHUNK_BYTES = 256 * 1024
_READERS: list[ThreadPoolExecutor] = []
"""The one pool, once there is one: a thread for each program that is read, which in the loop's own pool would keep everybody
else from their turn. A forked process has none of its parent's threads, and makes its own."""
os.register_at_fork(after_in_child=_READERS.clear)
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "HOME", "TMPDIR", "SYSTEMROOT")
_DISTRIBUTIONS = "/usr/lib/postgresql"
"""Where Debian and Ubuntu keep the programs of each major version."""
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_ERROR = re.compile(r"error:|ERROR:|FATAL:|PANIC:")
_TOLD_LINES = 3
_INSTALL = "install PostgreSQL's client programs (Debian, Ubuntu: apt-get install postgresql-client)"


def _readers() -> ThreadPoolExecutor:
    if not _READERS:
        _READERS.append(ThreadPoolExecutor(max_workers=512, thread_name_prefix="manor-programs"))
    return _READERS[0]


def machine_program(name: str, major: int) -> str:
    """The machine's own program: of the oldest version that is not older than the server."""
    found = {version: str(path) for version, path in _installed(name)}
    fitting = [version for version in sorted(found) if version >= major]
    if fitting:
        return found[fitting[0]]
    program = shutil.which(name)
    if program is None:
        raise NotFoundError(f"there is no {name} on this machine", hint=_INSTALL)
    version = version_of(program)
    if version < major:
        raise too_old(name, version, major)
    return program


def too_old(name: str, version: int, major: int) -> UnsupportedError:
    """What is said where the newest program is older than the server."""
    return UnsupportedError(
        f"{name} {version} is older than the server, which is PostgreSQL {major}",
        hint=f"install the client programs of PostgreSQL {major} or newer",
    )


def _installed(name: str) -> list[tuple[int, Path]]:
    folder = Path(_DISTRIBUTIONS)
    versions = [entry for entry in folder.iterdir() if entry.name.isdigit()] if folder.is_dir() else []
    return [(int(entry.name), entry / "bin" / name) for entry in versions if (entry / "bin" / name).is_file()]


@cache
def version_of(program: str) -> int:
    """The major version that a program says it has; 0 where it says none."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    match = _VERSION.search(said)
    return int(match[1]) if match else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a program."""

    program: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    """The ``PG…`` variables."""
    where: str
    """The server and database that its errors name."""

    @property
    def name(self) -> str:
        """Of the program."""
        return Path(self.program).name


def program_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a program sees: no ``PG…`` variable but ``variables``, no locale, none of our own secrets."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "LC_ALL": "C", "PGCLIENTENCODING": "UTF8", **variables}


async def streamed(run: Run) -> AsyncGenerator[bytes]:
    """Its output. Raises ``EngineError`` where it fails; whoever stops reading ends it."""
    output = _Output(run)
    try:
        while chunk := await _read_on(output):
            yield chunk
        output.require_success()
    finally:
        await asyncio.get_running_loop().run_in_executor(_readers(), output.end)


async def _read_on(output: _Output) -> bytes:
    reading = asyncio.get_running_loop().run_in_executor(_readers(), output.read)
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        output.stop()  # the thread waits for what no longer comes
        await asyncio.wait([reading])
        raise


class _Output:
    """A program and its output, read in threads: begun with the first piece and waited for with the last one, it takes a small
    database's dump a single hop, where asyncio's own pipes take a dozen."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the program

    def read(self) -> bytes:
        """The next piece, empty at the end. Raises ``EngineError`` where the program cannot be started."""
        process = self._process or self._begin()
        assert process.stdout is not None  # noqa: S101 - it was asked for
        piece = process.stdout.read(CHUNK_BYTES)
        if len(piece) < CHUNK_BYTES:
            process.wait()
        return piece

    def _begin(self) -> subprocess.Popen[bytes]:
        run = self._run
        try:
            process = subprocess.Popen(
                [run.program, *run.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=program_environment(run.environment),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        except OSError as error:
            raise _unstartable(run, error) from error
        with self._lock:
            self._process = process
            if self._stopped:
                process.kill()
        return process

    def require_success(self) -> None:
        """Raise what the program's exit code means, once all was read."""
        if self._process is not None and self._process.returncode:
            self._said.seek(0)
            raise failure_of(self._run, self._process.returncode, self._said.read().decode(errors="replace"))

    def stop(self) -> None:
        """End the program now or, where it is just being started, at once."""
        with self._lock:
            self._stopped = True
            if self._process is not None and self._process.returncode is None:
                self._process.kill()

    def end(self) -> None:
        """No program outlives whoever started it, whatever happened."""
        self.stop()
        if self._process is not None:
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._said.close()


def _unstartable(run: Run, error: OSError) -> EngineError:
    return EngineError(f"{run.where}: {run.name} cannot be started: {error.strerror}", hint=_INSTALL)


async def fed(run: Run, chunks: AsyncIterator[bytes]) -> bytes:
    """Give it ``chunks`` as its input; returns its output. Raises ``EngineError`` where it fails. What ``chunks`` raises ends
    it before it can take what it got for the whole."""
    process = await _start(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said, output = asyncio.create_task(_all(process.stderr)), asyncio.create_task(_all(process.stdout))
    try:
        await _feed(process, chunks)
        await _require_success(run, process, said)
        return await output
    finally:
        await _end(process, said, output)


async def translated(run: Run, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """What it makes of ``chunks``, streamed. Raises ``EngineError`` where it fails, and whatever ``chunks`` raises."""
    process = await _start(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said, feeding = asyncio.create_task(_all(process.stderr)), asyncio.create_task(_feed_all(process, chunks))
    try:
        while chunk := await _read(process.stdout):
            yield chunk
        await feeding
        await _require_success(run, process, said)
    finally:
        await _end(process, said, feeding)


async def _feed_all(process: asyncio.subprocess.Process, chunks: AsyncIterator[bytes]) -> None:
    try:
        await _feed(process, chunks)
    except BaseException:  # cancellation too: the program must not take what it got for the whole
        if process.returncode is None:
            process.kill()
        raise


async def _feed(process: asyncio.subprocess.Process, chunks: AsyncIterator[bytes]) -> None:
    stdin = process.stdin
    assert stdin is not None  # noqa: S101 - it was asked for
    # A program that has failed no longer reads: its exit code tells.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for chunk in chunks:
            stdin.write(chunk)
            await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _start(run: Run, *, stdin: int, stdout: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            run.program,
            *run.arguments,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            limit=CHUNK_BYTES,
            env=program_environment(run.environment),
            start_new_session=True,  # Ctrl-C is ours to handle
        )
    except OSError as error:
        raise _unstartable(run, error) from error


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read(CHUNK_BYTES) if stream is not None else b""


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream is not None else b""


async def _require_success(run: Run, process: asyncio.subprocess.Process, said: asyncio.Task[bytes]) -> None:
    text = (await said).decode(errors="replace")
    code = await process.wait()
    if code:
        raise failure_of(run, code, text)


async def _end(process: asyncio.subprocess.Process, *tasks: asyncio.Task[Any]) -> None:
    """No program outlives whoever started it, whatever happened."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if process.stdin is not None:
        process.stdin.close()


_KINDS = (
    ("canceling statement due to lock timeout", Code.TIMEOUT, True, "somebody holds a lock on one of its tables for long"),
    ("could not obtain lock", Code.TIMEOUT, True, "somebody holds a lock on one of its tables for long"),
    ("permission denied", Code.DENIED, False, "the login must own the tenants' tables"),
    ("authentication failed", Code.DENIED, False, "check the login's password and rights"),
    ("aborting because of server version mismatch", Code.UNSUPPORTED, False, "install newer client programs"),
    ("No space left on device", Code.EXHAUSTED, False, "a disk is full: free space and run the command again"),
    ("does not exist", Code.NOT_FOUND, False, ""),
    ("too many clients", Code.EXHAUSTED, True, "raise max_connections or lower the parallelism"),
    ("server closed the connection", Code.UNREACHABLE, True, "the server went away"),
    ("terminating connection", Code.UNREACHABLE, True, "the server went away, or the session was ended"),
    ("connection to server", Code.UNREACHABLE, True, "is the server running and the address right?"),
)
"""What a program's words mean: the first that fits."""


def failure_of(run: Run, code: int, said: str) -> ManorError:
    """A program's failure in our words: its last error lines, without DETAIL and CONTEXT, which may hold rows."""
    lines = [line.strip() for line in said.splitlines() if _ERROR.search(line)][-_TOLD_LINES:]
    text = "; ".join(lines) or (f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}")
    for words, kind, transient, hint in _KINDS:
        if words in text:
            return EngineError(f"{run.where}: {text}", hint=hint, code=kind, transient=transient)
    return EngineError(f"{run.where}: {run.name} failed: {text}", code=Code.BAD_INPUT)
