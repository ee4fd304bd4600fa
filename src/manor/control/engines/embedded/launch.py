"""Bringing a server up and taking it down, whatever an earlier command or crash left behind. Assumes that the project's lock is
held."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import NoReturn

from manor.control.engines.embedded import cluster, layout, log_files, probe, processes, sockets
from manor.control.engines.embedded.account import Account, choose_account, process_environment
from manor.control.engines.embedded.binaries import LATEST, Binaries, find_binaries, place_binaries
from manor.control.engines.embedded.failures import process_failed
from manor.control.engines.embedded.layout import Site
from manor.control.engines.embedded.probe import Answer
from manor.control.engines.embedded.status import find_answer, find_socket_directory
from manor.errors import Code, EngineError

STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# The server must not be our child: it outlives us, and a killed one must not stay behind as our zombie.
_DETACH = '"$@" >&2 & echo $!'


def bring_up(site: Site) -> None:
    """Make the data directory if there is none, start its server, and wait until it accepts connections."""
    account = choose_account(site.environment, site.layout.owner_of_data())
    layout.prepare_home(site.layout, account, site.environment)
    layout.remove_leftovers(site.layout.home)
    log_files.prune(site.layout.log)
    socket_directory = sockets.prepare_directory(site.layout, account)
    binaries = _place_binaries(site, account)
    if _is_coming_up(site):
        return
    processes.end_orphans(site.layout.real_data, site.layout.cluster_name)
    if not site.layout.exists:
        cluster.create_cluster(site, account, binaries, socket_directory)
    processes.forget_pid_file(site.layout.real_data)
    sockets.clear_stale_lock(socket_directory)
    cluster.write_configuration(site, site.layout.real_data, account, socket_directory)
    _launch(site, account, binaries)


def _place_binaries(site: Site, account: Account) -> Binaries:
    major = cluster.version_of(site.layout.real_data) if site.layout.exists else LATEST
    return place_binaries(find_binaries(major), account, layout.state_directory(site.environment), site.environment)


def _is_coming_up(site: Site) -> bool:
    """Wait for a server that is there but not ready; one whose socket was removed never will be, and is stopped."""
    postmaster = processes.running_postmaster(site.layout.real_data)
    if postmaster is None:
        return False
    if postmaster.ready and not sockets.has_socket(find_socket_directory(site)):
        take_down(site, "fast")
        return False
    return _wait_until_ready(site, postmaster.pid)


def _launch(site: Site, account: Account, binaries: Binaries) -> None:
    log = log_files.open_startup_log(site.layout.log, account)
    try:
        pid = _spawn(site, account, binaries, log)
    finally:
        os.close(log)
    if not _wait_until_ready(site, pid):
        output = log_files.read_tail(site.layout.log, 40)
        raise process_failed("starting the embedded PostgreSQL", output, site.layout.home)


def _spawn(site: Site, account: Account, binaries: Binaries, log: int) -> int:
    """The server in a session of its own, holding nothing of ours but the log; returns its process id."""
    shell = subprocess.run(
        ["/bin/sh", "-c", _DETACH, "manor", str(binaries.program("postgres")), "-D", str(site.layout.real_data)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        check=True,
        text=True,
        cwd="/",
        umask=0o077,
        env=process_environment(site.environment),
        start_new_session=True,
        **account.switch,
    )
    return int(shell.stdout)


def _wait_until_ready(site: Site, pid: int) -> bool:
    """False if the process ended first."""
    deadline = time.monotonic() + site.settings.start_timeout_seconds
    while find_answer(site) is not Answer.READY:
        if not processes.is_alive(pid):
            return False
        if time.monotonic() > deadline:
            _give_up(site, pid)
        time.sleep(processes.POLL_SECONDS)
    return True


def _give_up(site: Site, pid: int) -> NoReturn:
    raise EngineError(
        f"the embedded PostgreSQL (process {pid}) does not accept connections after "
        f"{site.settings.start_timeout_seconds:g} seconds; the last lines of its log were:\n"
        + log_files.read_tail(site.layout.log, 12),
        code=Code.TIMEOUT,
        hint="it may still be recovering: run the command again to go on waiting, or manor server logs to watch",
    )


def apply_settings(site: Site) -> None:
    """Bring a running server's settings up to ours, where its files are ours to write. Raises ``EngineError``."""
    owner = site.layout.owner_of_data()
    if os.geteuid() not in (0, owner):
        return
    socket_directory = find_socket_directory(site)
    if not cluster.write_configuration(site, site.layout.real_data, choose_account(site.environment, owner), socket_directory):
        return
    if not probe.reload_settings(sockets.admin_url(socket_directory), site.settings.start_timeout_seconds):
        raise EngineError(
            "the server did not accept its new settings; its log says:\n" + log_files.read_tail(site.layout.log, 12),
            hint="manor server stop, then start it again",
        )


def take_down(site: Site, mode: str) -> None:
    """Stop the server, if it runs, and wait until it is gone. Raises ``EngineError`` (``timeout``, ``denied``)."""
    postmaster = processes.running_postmaster(site.layout.real_data)
    if postmaster is None:
        return
    processes.send(postmaster.pid, STOP_SIGNALS[mode])
    if not processes.wait_until_ended([postmaster.pid], site.settings.stop_timeout_seconds):
        raise EngineError(
            f"the server (process {postmaster.pid}) did not stop within {site.settings.stop_timeout_seconds:g} seconds",
            code=Code.TIMEOUT,
            hint="end its sessions, or use a harder way to stop: smart, fast, immediate",
        )
