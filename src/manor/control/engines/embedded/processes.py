"""The server's processes: is that number really ours, who was left behind, who has ended.

A process id in a file proves nothing: it may be dead, a zombie that nobody reaps (containers), or reused by a stranger. A
postmaster is recognised by its working directory or, where that may not be read, by its command line. Orphans are recognised by
the cluster's name in their titles.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.embedded.failures import translated
from manor.errors import Code, EngineError

PID_FILE = "postmaster.pid"
POLL_SECONDS = 0.02
# macOS has no /proc; there ps answers, and knows no working directories.
_HAS_PROC = Path("/proc/self/stat").exists()
_ORPHAN_PATIENCE_SECONDS = 3.0
_WRITING_PATIENCE_SECONDS = 1.0
_PID = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """What ``postmaster.pid`` says."""

    pid: int
    ready: bool
    socket_directory: str


def read_pid_file(data: Path) -> PidFile | None:
    """None where there is no such file or it is not yet (or no longer) readable as one. Raises ``PermissionError``."""
    try:
        lines = (data / PID_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not _PID.fullmatch(lines[0].strip()):
        return None
    lines += [""] * 8
    return PidFile(pid=abs(int(lines[0])), socket_directory=lines[4], ready=lines[7].strip() == "ready")


def has_pid_file(data: Path) -> bool:
    """Whether there is such a file, readable as one or not. Raises ``PermissionError``."""
    return (data / PID_FILE).exists()


def forget_pid_file(data: Path) -> None:
    """Remove a pid file at which PostgreSQL would stop although no server runs: one whose number is a stranger's now, and one
    that a power cut left empty or without a number. Those of dead processes it removes itself.

    Call it where no process of this data directory is left. A server that is just being started out of our sight (in another
    container) is given the time to write its number.
    """
    deadline = time.monotonic() + _WRITING_PATIENCE_SECONDS
    while (found := read_pid_file(data)) is None and has_pid_file(data) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)  # nothing tells when a file gets its content
    if found is None or is_stranger(found.pid, data):
        (data / PID_FILE).unlink(missing_ok=True)


def running_postmaster(data: Path) -> PidFile | None:
    """The pid file of a live server of this data directory, None where it is missing or stale."""
    found = read_pid_file(data)
    return found if found is not None and is_postmaster(found.pid, data) else None


def is_postmaster(pid: int, data: Path) -> bool:
    """Whether this process is a PostgreSQL server of this data directory (a real path). False for a zombie."""
    line = _command_line(pid)
    if not _is_postgres(line):
        return False
    folder = _working_directory(pid)
    return folder == str(data) if folder else f" -D {data} " in f"{line} "


def is_stranger(pid: int, data: Path) -> bool:
    """Whether this number is taken by a process that is certainly not a server of this data directory (or by a zombie).

    Where its working directory cannot be read, another PostgreSQL server is given the benefit of the doubt: two servers on one
    data directory would destroy it.
    """
    if not _is_taken(pid):
        return False
    if not _is_postgres(_command_line(pid)):
        return True
    return _working_directory(pid) not in ("", str(data))


def holds_socket(pid: int, directory: Path) -> bool:
    """Whether this process may be a server that listens in ``directory``: what the lock file of its socket claims.

    Where we cannot see whose data directory it works on, another PostgreSQL server is believed.
    """
    if not _is_postgres(_command_line(pid)):
        return False
    folder = _working_directory(pid)
    if not folder:
        return True
    found = read_pid_file(Path(folder))
    return found is not None and found.pid == pid and found.socket_directory == str(directory)


def _is_postgres(line: str) -> bool:
    return line.startswith("postgres: ") or "/bin/postgres -" in line


def _is_taken(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _working_directory(pid: int) -> str:
    """Empty where the system does not tell."""
    try:
        return os.path.realpath(f"/proc/{pid}/cwd", strict=True)
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    if not _HAS_PROC:
        return _ask_ps("-p", str(pid), columns="stat=")[:1] not in ("", "Z")
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def _command_line(pid: int) -> str:
    """Words of a process's command line with spaces between; empty if it is dead or a zombie."""
    if not _HAS_PROC:
        return dict(_listed("-p", str(pid))).get(pid, "") if is_alive(pid) else ""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return os.fsdecode(raw.rstrip(b"\0").replace(b"\0", b" "))


def _listed(*selection: str) -> Iterator[tuple[int, str]]:
    for line in _ask_ps(*selection, columns="pid=,command=").splitlines():
        pid, _, text = line.strip().partition(" ")
        yield int(pid), text.strip()


def _ask_ps(*selection: str, columns: str) -> str:
    command = ["/bin/ps", "-ww", "-o", columns, *selection]
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return output.stdout.decode(errors="replace").strip()


def _all_command_lines() -> Iterator[tuple[int, str]]:
    if not _HAS_PROC:
        yield from _listed("-ax")
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name), _command_line(int(entry.name))


def find_orphans(data: Path, cluster_name: str) -> list[int]:
    """Processes on this data directory; orphans, if the caller knows that no server runs there.

    Where the working directory cannot be read (or was deleted under a server), the title or the command line decides.
    """
    signs = (f"postgres: {cluster_name}: ", f" -D {data} ")
    found = [(pid, f"{line} ") for pid, line in _all_command_lines() if _is_postgres(line)]
    return [pid for pid, line in found if (_working_directory(pid) or _named_directory(line, signs, data)) == str(data)]


def _named_directory(line: str, signs: tuple[str, str], data: Path) -> str:
    return str(data) if line.startswith(signs[0]) or signs[1] in line else ""


def end_orphans(data: Path, cluster_name: str) -> None:
    """Wait for what a killed postmaster left behind, then end it: it holds the shared memory that the next server needs.

    Raises ``EngineError`` for a process that survives even SIGKILL.
    """
    for last_word in (None, signal.SIGQUIT, signal.SIGKILL):
        orphans = find_orphans(data, cluster_name)
        if last_word is not None:
            for pid in orphans:
                send(pid, last_word)
        if wait_until_ended(orphans, _ORPHAN_PATIENCE_SECONDS):
            return
    raise EngineError(
        f"processes of an earlier server do not end: {', '.join(map(str, orphans))}",
        code=Code.CONFLICT,
        hint="they probably wait for a disk that does not answer",
    )


def end_named(words: str) -> None:
    """Kill the processes in whose command line those words stand, each with a space before and behind."""
    found = [pid for pid, line in _all_command_lines() if words in f"{line} "]
    for pid in found:
        send(pid, signal.SIGKILL)
    wait_until_ended(found, _ORPHAN_PATIENCE_SECONDS)


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process; one that has just ended is fine. Raises ``EngineError`` (``denied``) for somebody else's."""
    with translated(f"sending {number.name} to process {pid}", Path(f"/proc/{pid}")):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def wait_until_ended(pids: Iterable[int], seconds: float) -> bool:
    """Wait for all of them to end; False if time ran out first."""
    deadline = time.monotonic() + seconds
    remaining = [pid for pid in pids if is_alive(pid)]
    while remaining and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        remaining = [pid for pid in remaining if is_alive(pid)]
    return not remaining
