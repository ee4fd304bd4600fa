"""Puts a full base backup and its increments together into a data directory, with PostgreSQL's own program.

It walks the newest layer, so that databases which are laid out in no layer are in none of its ways: what comes out has, byte
for byte, the files that it would make of whole layers. Where a file of an older layer is missing, or a layer between, it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from manor.control.engines.embedded.account import process_environment
from manor.control.engines.embedded.failures import is_full, process_failed, translated
from manor.control.engines.side.rooms import Room
from manor.errors import Code, EngineError, NotFoundError

PROGRAM = "pg_combinebackup"
_DOING = "putting increments together"
_TAIL_LINES = 4


async def combine(room: Room, program: Path, major: int, environment: Mapping[str, str]) -> None:
    """Fill the room's data directory from its layers and remove them. Raises ``EngineError`` (``corrupt``: they do not belong
    together; ``exhausted``), ``NotFoundError`` where the machine has the server without this program."""
    code, said = await _finished(_command(room, program, major), environment)
    if code:
        raise _failure(said, room)
    with translated(_DOING, room.layers):
        await asyncio.to_thread(shutil.rmtree, room.layers)


def _command(room: Room, program: Path, major: int) -> list[str]:
    if not program.is_file():
        hint = "install the programs that come with this PostgreSQL, or choose a moment that a full base backup reaches"
        raise NotFoundError(f"there is no {program}, which puts increments together", hint=hint)
    # In numbers, not in names: 10 comes after 9. Nothing of what it makes has to survive, and the layers go away.
    layers = sorted(room.layers.iterdir(), key=lambda layer: int(layer.name))
    sharing = ["--link"] if major >= 18 else []
    return [str(part) for part in (program, "--no-manifest", "--no-sync", *sharing, f"--output={room.data}", *layers)]


async def _finished(command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and what it said. It does not outlive whoever waits."""
    with translated(_DOING, Path(command[0])):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            umask=0o077,
            env={**process_environment(environment), "LC_ALL": "C"},
            start_new_session=True,
        )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")


def _failure(said: str, room: Room) -> EngineError:
    if is_full(said):
        return process_failed(_DOING, said, room.folder)
    tail = "\n".join([line for line in said.strip().splitlines() if " warning: " not in line][-_TAIL_LINES:])
    return EngineError(
        f"the base backup and those that it is an increment of cannot be put together; {PROGRAM} said:\n{tail}",
        code=Code.CORRUPT,
        hint="use a moment that an older or newer full base backup reaches",
    )
