"""How an embedded server is right now. Looks, and touches nothing; no lock is needed."""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from manor.control.engines.embedded import cluster, log_files, probe, processes, sockets
from manor.control.engines.embedded.account import choose_account
from manor.control.engines.embedded.failures import translated
from manor.control.engines.embedded.layout import Site
from manor.control.engines.embedded.probe import Answer


class ServerState(enum.StrEnum):
    """What an embedded server can be."""

    ABSENT = "absent"
    STOPPED = "stopped"
    STARTING = "starting"
    """It is there, but does not accept connections (yet, or any more)."""
    RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """An embedded server as it is now."""

    state: ServerState
    pid: int | None
    version: str
    """Full version where it runs, major version where only its files are there, empty otherwise."""
    data_directory: Path
    socket_directory: Path
    url: str
    started_at: datetime | None
    """UTC."""
    log_file: Path | None
    problem: str = ""
    """What somebody should know: why it does not let us in, that it was killed, what waits for a restart."""


def find_socket_directory(site: Site) -> Path:
    """The directory that the last start chose, or that the first one will choose."""
    with translated("looking for the server's socket", site.layout.folder):
        recorded = sockets.recorded_directory(site.layout)
        if recorded is not None:
            return recorded
        owner = site.layout.owner_of_data()
    uid = owner if owner is not None else choose_account(site.environment, None).uid
    return sockets.expected_directory(site.layout, uid)


def find_answer(site: Site) -> Answer:
    """Whether the project's server accepts connections; a socket in a directory of somebody else's is not asked."""
    directory, owner = find_socket_directory(site), site.layout.owner_of_data()
    if owner is None or not sockets.is_trusted(directory, owner) or not _may_run(site):
        return Answer.NONE
    return probe.knock(sockets.admin_url(directory))


def look(site: Site) -> ServerStatus:
    """The status. Raises ``EngineError`` where the project's ``.manor`` may not be looked into."""
    with translated("looking at the embedded PostgreSQL", site.layout.folder):
        if not site.layout.exists:
            return _status(site, ServerState.ABSENT, problem=_absence(site))
        match find_answer(site):
            case Answer.READY:
                return _look_at_running(site)
            case Answer.NOT_YET:
                return _status(site, ServerState.STARTING, pid=_pid(site), problem=_last_line(site))
            case Answer.NONE:
                return _look_at_silent(site)


def _look_at_running(site: Site) -> ServerStatus:
    try:
        facts = probe.ask(sockets.admin_url(find_socket_directory(site)))
    except psycopg.Error as error:
        return _status(site, ServerState.RUNNING, pid=_pid(site), problem=str(error).strip())
    waiting = f"waiting for a restart: {facts.pending_restart}" if facts.pending_restart else ""
    return _status(
        site, ServerState.RUNNING, pid=facts.pid, version=facts.version, started_at=facts.started_at, problem=waiting
    )


def _look_at_silent(site: Site) -> ServerStatus:
    pid = _pid(site)
    if pid is not None:
        return _status(site, ServerState.STARTING, pid=pid, problem="the server runs but does not answer")
    return _status(site, ServerState.STOPPED, problem=_unclean_end(site))


def _may_run(site: Site) -> bool:
    """Whether a server of this very data directory runs, as far as we can see.

    Otherwise the server of a project that was moved away would answer in the place of the one that was made there since.
    """
    try:
        return processes.running_postmaster(site.layout.real_data) is not None
    except PermissionError:
        return True


def _pid(site: Site) -> int | None:
    try:
        found = processes.running_postmaster(site.layout.real_data)
    except PermissionError:
        return None  # the data is another account's; the number is not ours to know
    return found.pid if found else None


def _unclean_end(site: Site) -> str:
    with contextlib.suppress(PermissionError):
        if processes.has_pid_file(site.layout.real_data):
            return "the server was killed or the machine went down; the next start recovers"
    return ""


def _absence(site: Site) -> str:
    if site.layout.data.is_symlink() and not site.layout.home.is_dir():
        return f"the data was kept in {site.layout.home}, which is gone"
    return ""


def _last_line(site: Site) -> str:
    with contextlib.suppress(OSError):
        return log_files.read_tail(site.layout.log, 1)
    return ""


def _status(
    site: Site,
    state: ServerState,
    *,
    pid: int | None = None,
    version: str = "",
    started_at: datetime | None = None,
    problem: str = "",
) -> ServerStatus:
    directory = find_socket_directory(site)
    return ServerStatus(
        state=state,
        pid=pid,
        version=version or _major_version(site),
        data_directory=site.layout.real_data,
        socket_directory=directory,
        url=sockets.admin_url(directory),
        started_at=started_at,
        log_file=_newest_log(site),
        problem=problem,
    )


def _major_version(site: Site) -> str:
    with contextlib.suppress(OSError):
        return str(cluster.version_of(site.layout.real_data)) if site.layout.exists else ""
    return ""


def _newest_log(site: Site) -> Path | None:
    with contextlib.suppress(OSError):
        return log_files.newest_log(site.layout.log)
    return None
