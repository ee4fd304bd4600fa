"""``manor backup archive receive``: the log of a user's own server, streamed into the archive for as long as the command runs.

pg_receivewal does the work; a replication slot keeps on the server what has not been received. Where the archive is not a
folder of this machine, segments are received into the project's ``.manor`` and uploaded from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from manor.control.engines.driver import ServerDriver
from manor.control.engines.wal import is_history, is_segment
from manor.control.rollout.bases.archive import WalArchive
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.take import refuse_unfit
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, RefusedError

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 5.0
_TAIL_LINES = 6
_READ_BYTES = 1 << 20


def slot_of(runtime: Runtime) -> str:
    """The replication slot of this catalog on every server."""
    return f"manor_{runtime.catalog.id}"


async def receive(runtime: Runtime, place: BasePlace, server: str, *, spool: Path) -> None:
    """Receive until ``runtime.stop`` is requested; what ends too early is started again. ``spool``: a folder of this machine
    for segments on their way to an archive elsewhere.

    Raises ``RefusedError`` where Manor itself archives this server or another command receives from it, or the login may not;
    ``EngineError`` where receiving fails at once.
    """
    driver = runtime.servers[server]
    if server in place.switches:
        raise RefusedError(f"server {server} archives its own log", hint="manor backup archive status shows how that goes")
    refuse_unfit(server, await driver.bases.facts())
    async with runtime.catalog.lock(f"receive {server}", wait_seconds=0, holder=runtime.operation):
        await driver.bases.reserve(slot_of(runtime))
        archive = place.archives[server]
        folder = archive.folder or spool
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        tasks = [_receive(runtime, driver, folder)] + ([] if archive.folder else [_upload(runtime, archive, folder)])
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)


async def _receive(runtime: Runtime, driver: ServerDriver, folder: Path) -> None:
    program = await driver.bases.program("pg_receivewal")
    command = [program, "-D", str(folder), "-S", slot_of(runtime), "--no-password"]
    first = True
    while not runtime.stop.requested:
        async with _running(command, dict(driver.bases.receiver_environment())) as (process, said):
            runtime.telemetry.emit("archive.receiving", runtime.operation, driver.name)
            while not runtime.stop.requested and process.returncode is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(process.wait()), _LOOK_SECONDS)
            ended = process.returncode is not None
        if ended and first:
            raise _failed(driver.name, said)
        first = False
        if not runtime.stop.requested:
            await asyncio.sleep(_AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def _running(
    command: list[str], environment: dict[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, deque[bytes]]]:
    """The program and the last lines that it says; ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=environment
    )
    said: deque[bytes] = deque(maxlen=_TAIL_LINES)
    listening = asyncio.create_task(_listen(process, said))
    try:
        yield process, said
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()  # it finishes what it is writing
        await process.wait()
        await listening


async def _listen(process: asyncio.subprocess.Process, said: deque[bytes]) -> None:
    """A pipe that nobody reads would stop it one day: it complains every five seconds while its server is away."""
    if process.stderr is not None:
        async for line in process.stderr:
            said.append(line)


def _failed(server: str, said: Iterable[bytes]) -> EngineError:
    tail = b"".join(said).decode("utf-8", "replace").strip()
    hint = "the login needs REPLICATION and a line 'replication' in pg_hba.conf"
    return EngineError(f"server {server}: pg_receivewal ended; it said:\n{tail}", hint=hint, code=Code.DENIED)


async def _upload(runtime: Runtime, archive: WalArchive, folder: Path) -> None:
    """Bring finished segments to the archive, and remove them here."""
    while not runtime.stop.requested:
        for name in await asyncio.to_thread(_finished, folder):
            await archive.store.put(f"{archive.prefix}/{name}", _chunks(folder / name), overwrite=True)
            if is_segment(name):
                await asyncio.to_thread((folder / name).unlink)
        await asyncio.sleep(_LOOK_SECONDS)


def _finished(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if is_segment(path.name) or is_history(path.name))


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _READ_BYTES):
            yield chunk
