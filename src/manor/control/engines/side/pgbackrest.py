"""pgBackRest's repository as a source of the past. Implements ``Repository`` of the port by running the program.

It runs under the account of side instances, which owns what it lays out. What it needs to know, passwords included, is in its
own configuration: it gets neither our environment nor any secret as an argument. That configuration's logging, links and
asynchronous archiving are overridden, because nothing of the live server's may be touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.bases import LogFacts
from manor.control.engines.embedded.account import Account, choose_account, process_environment
from manor.control.engines.embedded.layout import Layout
from manor.control.engines.repositories import Held
from manor.control.engines.side import pgbackrest_words as words
from manor.control.engines.sides import Replay
from manor.errors import Code, EngineError, ManorError, NotFoundError, UnsupportedError

_NAME = "pgbackrest"
_QUIET = ("--log-level-console=off", "--log-level-file=off", "--log-level-stderr=error")
_TYPES = {"recovery_target_time": "time", "recovery_target_name": "name", "recovery_target_lsn": "lsn"}
_CONTROL_BYTES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class PgBackRest:
    """The stanza of one server, as this machine's pgBackRest sees it."""

    server: str
    stanza: str
    config: str | None
    """Path of its configuration; None: its own default."""
    project: Path
    environment: Mapping[str, str]

    @property
    def described(self) -> str:
        return f"pgBackRest's repository (stanza {self.stanza})"

    @property
    def first_step(self) -> str:
        return f"pgbackrest --stanza={self.stanza} backup makes one"

    async def require_fit(self, facts: LogFacts) -> None:
        """Shows it a control file of the server's version: which versions it knows, it only tells when it meets one."""
        account = self._account()
        with tempfile.TemporaryDirectory(prefix="manor-pgbackrest-") as folder:
            data = Path(folder)
            (data / "global").mkdir()
            head = struct.pack("=QII", int(facts.system), facts.control_version, facts.catalog_version)
            (data / "global" / "pg_control").write_bytes(head.ljust(_CONTROL_BYTES, b"\0"))
            for path in (data, data / "global", data / "global" / "pg_control"):
                account.own(path)
            command = [*self._command(data), "--no-archive-async", "archive-get", f"{1:024X}", data / "segment"]
            code, _, said = await self._finished(command)
        error = words.failure(self._where, "looking at the version", code, said)
        if isinstance(error, UnsupportedError):
            raise error

    async def look(self, facts: LogFacts) -> Held:
        info = await self._say("listing backups", [*self._command(), "--output=json", "info"])
        try:
            held = words.read_held(info, self.stanza, facts.system)
        except ManorError as error:
            error.message = f"{self._where}: {error.message}"
            raise
        listing = await self._list(held, held.archive, "--recurse")
        names = words.read_histories(listing)
        texts = [await self._read(held, f"{held.archive}/{name}") for name in names]
        histories = {int(name[:8], 16): text for name, text in zip(names, texts, strict=True)}
        return dataclasses.replace(held, segments=words.read_segments(listing), histories=histories)

    async def holds(self, held: Held, segment: str) -> bool:
        listing = await self._list(held, f"{held.archive}/{segment[:16]}", f"--filter=^{segment}-")
        return segment in words.read_segments(listing)

    async def tablespaces(self, held: Held, label: str) -> Sequence[str]:
        command = [*self._command(), f"--repo={held.number}", f"--set={label}", "--output=json", "info"]
        return words.read_tablespaces(await self._say(f"reading backup {label}", command))

    async def restore(self, held: Held, label: str, replay: Replay, data: Path) -> None:
        target = [f"--type={_TYPES[replay.setting]}", f"--target={replay.value}", "--target-action=promote"]
        command = [*self._command(data), f"--repo={held.number}", f"--set={label}", *target]
        # Links would lead to where the live server's files are, and a restore empties the stanza's spool, in which the live
        # server's archiver waits for its answers: it gets one that does not exist.
        apart = ["--no-delta", "--no-link-all", "--reset-link-map", f"--spool-path={data.with_name('spool')}"]
        await self._say(f"restoring backup {label}", [*command, *apart, "restore"])

    def restore_command(self, data: Path) -> str:
        get = shlex.join(str(part) for part in [*self._command(data), "--no-archive-async", "archive-get"])
        # Code 1: it is not there, which ends the log. A repository that cannot be read must end the replay instead.
        return f'{get.replace("%", "%%")} %f "%p" || {{ test $? -eq 1 && exit 1; exit 126; }}'

    @property
    def _where(self) -> str:
        return f"server {self.server}"

    def _account(self) -> Account:
        return choose_account(self.environment, Layout.of(self.project).owner_of_data())

    def _command(self, data: Path | None = None) -> list[str | Path]:
        program = shutil.which(_NAME, path=process_environment(self.environment)["PATH"])
        if program is None:
            raise NotFoundError(
                f"{self._where}: there is no pgbackrest on this machine, and settings.backup.pgbackrest names it as the source",
                hint="install it (Debian, Ubuntu: apt-get install pgbackrest) and let it read the repository",
            )
        config = [f"--config={self.config}"] if self.config else []
        files = ["--reset-pg1-host", f"--pg1-path={data}"] if data is not None else []
        return [program, f"--stanza={self.stanza}", *config, *files, *_QUIET]

    async def _list(self, held: Held, folder: str, *options: str) -> str:
        command = [*self._command(), f"--repo={held.number}", "--output=json", *options, "repo-ls"]
        return await self._say("listing its archive", [*command, f"archive/{self.stanza}/{folder}"])

    async def _read(self, held: Held, path: str) -> str:
        command = [*self._command(), f"--repo={held.number}", "repo-get", f"archive/{self.stanza}/{path}"]
        return await self._say(f"reading {path}", command)

    async def _say(self, doing: str, command: Sequence[str | Path]) -> str:
        code, output, said = await self._finished(command)
        if code:
            raise words.failure(self._where, doing, code, said)
        return output

    async def _finished(self, command: Sequence[str | Path]) -> tuple[int, str, str]:
        """Exit code and both outputs. It and the processes that it starts do not outlive whoever waits."""
        account = self._account()
        try:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                umask=0o077,
                env=process_environment(self.environment),
                start_new_session=True,
                **account.switch,
            )
        except OSError as error:
            raise EngineError(f"{self._where}: pgbackrest cannot be started: {error.strerror}", code=Code.DENIED) from error
        try:
            output, said = await process.communicate()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return process.returncode or 0, output.decode(errors="replace"), said.decode(errors="replace")
