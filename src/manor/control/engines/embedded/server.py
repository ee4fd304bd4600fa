"""The embedded PostgreSQL of one project: started on demand, left running, stopped or destroyed on request.

Synchronous; async callers use a thread. Starting, stopping and destroying hold a file lock, so that of two commands at once one
does the work and the other finds it done. ``status`` and ``logs`` take no lock and change nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from manor.control.engines.embedded import cluster, launch, layout, log_files, processes, sockets
from manor.control.engines.embedded.binaries import LATEST, find_binaries
from manor.control.engines.embedded.failures import translated
from manor.control.engines.embedded.layout import Layout, Site
from manor.control.engines.embedded.probe import Answer
from manor.control.engines.embedded.settings import ADMIN, EmbeddedSettings
from manor.control.engines.embedded.status import ServerState, ServerStatus, find_answer, find_socket_directory, look
from manor.errors import ConflictError, InputError, RefusedError

__all__ = ["EmbeddedServer", "EmbeddedSettings", "ServerState", "ServerStatus"]


class EmbeddedServer:
    """The embedded PostgreSQL of the project in ``project``.

    ``environment`` (default: the process's) is where ``MANOR_SERVER_ACCOUNT``, ``MANOR_STATE_DIR`` and ``PATH`` are read.
    """

    def __init__(
        self, project: Path, settings: EmbeddedSettings | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._site = Site(
            layout=Layout.of(project),
            settings=settings or EmbeddedSettings(),
            environment=dict(os.environ if environment is None else environment),
        )

    @property
    def exists(self) -> bool:
        """Whether a finished data directory is there, running or not."""
        with translated("looking for the embedded PostgreSQL", self._site.layout.folder):
            return self._site.layout.exists

    @property
    def url(self) -> str:
        """The administrator's URL. Known before the server runs; no password is needed (peer authentication)."""
        return sockets.admin_url(find_socket_directory(self._site))

    @property
    def archive_folder(self) -> Path:
        """Where finished WAL segments go while they are archived. The server must have been made."""
        with translated("looking for the WAL archive", self._site.layout.folder):
            return self._site.layout.archive

    def start(self) -> ServerStatus:
        """Make the server if there is none, start it if it does not run, and bring its settings up to ours. Safe to repeat.

        Returns when it accepts connections. Raises ``EngineError`` (``exhausted``: disk full; ``timeout``; ``denied``) with the
        end of the server's log, ``ConflictError`` where another command holds the lock too long, ``RefusedError``,
        ``NotFoundError``.
        """
        with self._changing("starting the embedded PostgreSQL"):
            if find_answer(self._site) is Answer.READY:
                launch.apply_settings(self._site)
            else:
                launch.bring_up(self._site)
        return self.status()

    def ensure_running(self) -> str:
        """Start the server if it does not run, leave it alone if it does; returns its URL. Raises as ``start``."""
        if not self.exists or find_answer(self._site) is not Answer.READY:
            with self._changing("starting the embedded PostgreSQL"):
                if find_answer(self._site) is not Answer.READY:
                    launch.bring_up(self._site)
        return self.url

    def stop(self, *, mode: str = "fast") -> None:
        """Stop the server and wait until it is gone; does nothing if it does not run.

        ``mode``: ``smart`` waits for sessions to end, ``fast`` ends them, ``immediate`` does not even write a checkpoint.
        Raises ``EngineError`` (``timeout``, ``denied``), and ``InputError`` for another mode.
        """
        if mode not in launch.STOP_SIGNALS:
            raise InputError(f"unknown way to stop a server: {mode!r}", hint=f"choose one of {', '.join(launch.STOP_SIGNALS)}")
        if self.exists:
            with self._changing("stopping the embedded PostgreSQL"):
                launch.take_down(self._site, mode)

    def status(self) -> ServerStatus:
        """How things are; touches nothing. Raises ``EngineError`` where the project's ``.manor`` may not be looked into."""
        return look(self._site)

    def logs(self, lines: int = 100) -> str:
        """The last ``lines`` lines of the server's log, oldest first; empty where there is none yet. Raises ``EngineError``."""
        with translated("reading the server's log", self._site.layout.log):
            return log_files.read_tail(self._site.layout.log, lines)

    def destroy(self) -> None:
        """Stop the server and delete its data, logs and WAL archive: nothing can be brought back. Does nothing where there is
        none.

        Raises ``RefusedError`` where the data directory is a link to a place that Manor did not make.
        """
        with translated("destroying the embedded PostgreSQL", self._site.layout.folder):
            absent = not layout.has_traces(self._site.layout)
        if not absent:
            with self._changing("destroying the embedded PostgreSQL"):
                self._destroy()

    def client_binary(self, name: str) -> Path:
        """A PostgreSQL program of the server's version, such as ``psql`` or ``pg_dump``. Raises ``NotFoundError``."""
        try:
            major = cluster.version_of(self._site.layout.real_data) if self.exists else LATEST
        except PermissionError:
            major = LATEST  # somebody else's data; newer clients understand older servers
        return find_binaries(major).program(name)

    def client_environment(self) -> dict[str, str]:
        """Our environment with ``PGHOST``, ``PGUSER`` and ``PGDATABASE`` set, so that a client program needs no arguments."""
        ours = {name: value for name, value in self._site.environment.items() if not name.startswith("PG")}
        return {**ours, "PGHOST": str(find_socket_directory(self._site)), "PGUSER": ADMIN, "PGDATABASE": "postgres"}

    def _destroy(self) -> None:
        names = self._site.layout
        home = names.home
        if home != names.folder and home.is_dir() and not layout.is_state_home(home):
            raise RefusedError(
                f"{names.data} is a link to {home}, which Manor did not make", hint="stop the server and remove it by hand"
            )
        layout.check_home(names)
        if names.exists:
            cluster.version_of(names.real_data)  # never remove a folder that is no data directory
            launch.take_down(self._site, "immediate")
            processes.end_orphans(names.real_data, names.cluster_name)
            cluster.remove_data(names.real_data)
        layout.remove_home(names, home)
        sockets.remove_directory(names)

    @contextlib.contextmanager
    def _changing(self, doing: str) -> Iterator[None]:
        with translated(doing, self._site.layout.project):
            layout.prepare_folder(self._site.layout)
            descriptor = layout.open_lock(self._site.layout)
            try:
                self._wait_for_lock(descriptor)
                yield
            finally:
                os.close(descriptor)

    def _wait_for_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._site.settings.start_timeout_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._refuse_to_wait()
                time.sleep(processes.POLL_SECONDS)
            else:
                return

    def _refuse_to_wait(self) -> None:
        raise ConflictError(
            "another command has been starting or stopping this project's server for too long",
            hint=f"see who holds {self._site.layout.lock_file}",
        )
