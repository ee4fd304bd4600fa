"""One side instance: laid out, started, waited for, entered. Implements ``Side`` of the port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from manor.control.engines.bases import ServerShape
from manor.control.engines.embedded.account import Account, process_environment
from manor.control.engines.embedded.failures import is_full, process_failed, translated
from manor.control.engines.embedded.probe import Answer, knock
from manor.control.engines.postgres.driver import PostgresServer
from manor.control.engines.postgres.programs import Finder
from manor.control.engines.side import log as side_log
from manor.control.engines.side.combine import PROGRAM, combine
from manor.control.engines.side.pulled import read_in_thread
from manor.control.engines.side.rooms import Room, end_server
from manor.control.engines.side.settings import ACCESS, Surroundings, raised_limits, render_identities, render_settings
from manor.control.engines.side.tenant import examine, find_tenant
from manor.control.engines.side.unpack import finish, give_away, make_empty_databases, unpack
from manor.control.engines.sides import Replay, TenantThen
from manor.control.engines.wal import number_at, read_lsn, segment_name
from manor.errors import Code, EngineError

NAME = "side instance"
_POLL_SECONDS = 0.02


class PostgresSide:
    """A side instance in ``room``, run by ``program`` under ``account``.

    ``deadline_seconds``: how long the replay may take. It ends by itself at the end of the log; this is for a disk that hangs.
    """

    def __init__(
        self,
        room: Room,
        shape: ServerShape,
        program: Path,
        account: Account,
        environment: Mapping[str, str],
        *,
        programs: Finder,
        deadline_seconds: float,
    ) -> None:
        self._room, self._shape, self._program, self._account = room, shape, program, account
        self._environment = environment
        self._programs = programs
        self._deadline_seconds = deadline_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._server: PostgresServer | None = None

    @property
    def archive(self) -> Path:
        return self._room.archive

    @property
    def url(self) -> str:
        """The superuser's URL; no password, because the instance knows us by our user id."""
        host = quote(str(self._room.socket_directory), safe="")
        return f"postgresql://{quote(self._shape.superuser, safe='')}@/postgres?host={host}&port=5432"

    async def use_archive(self, folder: Path) -> bool:
        readable = await asyncio.to_thread(
            self._account.run, ["/bin/sh", "-c", 'cd -- "$1" && ls >/dev/null', "sh", folder], self._environment
        )
        if readable.returncode:
            return False
        self._room.archive.unlink(missing_ok=True)
        self._room.archive.symlink_to(folder)
        return True

    async def lay_out(self, chunks: AsyncIterator[bytes], *, layer: int | None = None) -> None:
        data = self._room.data if layer is None else self._room.layers / str(layer)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with translated("laying out the side instance", data):
            await read_in_thread(chunks, lambda stream: unpack(stream, data, visibility_maps=layer is None))

    async def combine(self) -> None:
        await combine(self._room, self._program.with_name(PROGRAM), self._shape.major, self._environment)

    async def lay_out_by(self, fill: Callable[[Path], Awaitable[None]]) -> Path:
        data = self._room.data
        with translated("laying out the side instance", data):
            data.mkdir(mode=0o700, exist_ok=True)
            self._account.own(data)
        await fill(data)
        control = await asyncio.to_thread(
            self._account.run, [self._program.with_name("pg_controldata"), data], self._environment
        )
        self._shape = replace(self._shape, limits=raised_limits(self._shape.limits, control.stdout))
        return data

    async def leave_out(self, oids: Sequence[int]) -> None:
        with translated("laying out the side instance", self._room.data):
            await asyncio.to_thread(make_empty_databases, self._room.data, oids)

    async def recover(self, replay: Replay) -> PostgresServer:
        around = Surroundings(socket_directory=str(self._room.socket_directory), cluster_name=self._room.cluster_name)
        files = {
            "postgresql.conf": render_settings(self._shape, replay, around),
            "pg_hba.conf": ACCESS,
            "pg_ident.conf": render_identities(_users(self._account), self._shape.superuser),
            "recovery.signal": "",
        }
        with translated("laying out the side instance", self._room.data):
            await asyncio.to_thread(finish, self._room.data, files, self._account)
            if not replay.restore_command and not self._room.archive.is_symlink():
                await asyncio.to_thread(give_away, self._room.archive, self._account)
        self._process = self._start()
        await self._wait(self._process, replay)
        self._server = PostgresServer(NAME, self.url, operation=self._room.cluster_name, sessions=4, programs=self._programs)
        return self._server

    def _start(self) -> subprocess.Popen[bytes]:
        with translated("starting the side instance", self._program), self._room.log.open("wb") as log:
            return subprocess.Popen(
                [self._program, "-D", self._room.data],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                umask=0o077,
                env=process_environment(self._environment),
                start_new_session=True,
                **self._account.switch,
            )

    async def _wait(self, process: subprocess.Popen[bytes], replay: Replay) -> None:
        """Until it accepts sessions, which it does only once it has reached the target."""
        deadline = time.monotonic() + self._deadline_seconds
        while await asyncio.to_thread(knock, self.url) is not Answer.READY:
            if process.poll() is not None:
                raise self._failure(replay)
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the side instance has not reached {replay.value} after {self._deadline_seconds:g} seconds",
                    code=Code.TIMEOUT,
                    hint="take base backups more often, so that there is less log to replay",
                )
            await asyncio.sleep(_POLL_SECONDS)

    def _failure(self, replay: Replay) -> EngineError:
        text = self._room.log.read_text(encoding="utf-8", errors="replace")
        if is_full(text):
            return process_failed("replaying the log", text, self._room.folder)
        return side_log.failure(text, target=replay.value, segment=self._damaged(text, replay), segments=replay.segments)

    def _damaged(self, text: str, replay: Replay) -> str:
        named = side_log.read_end(text).damaged
        if "/" not in named:
            return named
        size = self._shape.segment_bytes
        number = number_at(read_lsn(named), size)
        known = [name for name in replay.segments if name.endswith(segment_name(0, number, size)[8:])]
        return known[-1] if known else segment_name(replay.timeline, number, size)

    async def find(self, tenant: str) -> TenantThen | None:
        found = await find_tenant(self.url, tenant)
        if found is None:
            return None
        then = await examine(self.url, *found)
        text = self._room.log.read_text(encoding="utf-8", errors="replace")
        if then.complete and side_log.incomplete_databases(text, [then.oid]):
            raise EngineError(
                f"tenant {tenant}: pages of its database {then.database} are missing from the base backup",
                code=Code.CORRUPT,
                hint="use an older or newer base backup",
            )
        return then

    async def begin_again(self) -> None:
        await self.end()
        await asyncio.to_thread(shutil.rmtree, self._room.data)
        await asyncio.to_thread(shutil.rmtree, self._room.layers, ignore_errors=True)

    async def end(self) -> None:
        """Stop it, at once."""
        if self._server is not None:
            await self._server.close()
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(self._process.wait)
        await asyncio.to_thread(end_server, self._room)


def _users(account: Account) -> set[str]:
    """Users of the system who may enter: ourselves and the account."""
    users = {account.name}
    with contextlib.suppress(KeyError):
        users.add(pwd.getpwuid(os.geteuid()).pw_name)
    return users
