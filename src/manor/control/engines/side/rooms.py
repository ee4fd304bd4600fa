"""Where a side instance lives: a folder of its own, held by a lock for as long as its command lives.

The folder belongs to whoever runs the command and lets the server's account through; the data directory is given to the account
when it is finished. Whoever gets the lock of a folder knows that its command is dead, ends what runs there and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.embedded import processes
from manor.control.engines.embedded.account import Account

FOLDER = "side"
_LOCK = "lock"
_SOCKET = "socket"
_TMP = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder there; a socket's path is limited to 107 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One side instance's folder."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def layers(self) -> Path:
        """A full base backup and its increments, each a folder, until they are put together."""
        return self.folder / "layers"

    @property
    def archive(self) -> Path:
        """A folder, or a link to where the segments lie."""
        return self.folder / "archive"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def socket_directory(self) -> Path:
        return (self.folder / _SOCKET).readlink()

    @property
    def cluster_name(self) -> str:
        return f"manor-side-{self.folder.name}"


@contextlib.contextmanager
def hold_room(home: Path, account: Account) -> Iterator[Room]:
    """A fresh room below ``home``; ended and removed at the end."""
    with contextlib.ExitStack() as stack:
        with _alone(home):
            room = Room(folder=home / secrets.token_hex(4))
            room.folder.mkdir(mode=0o711)
            room.folder.chmod(0o711)
            stack.callback(_remove, room)
            descriptor = os.open(room.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        sockets = Path(tempfile.mkdtemp(prefix="manor-side-", dir=_TMP))
        (room.folder / _SOCKET).symlink_to(sockets)
        account.own(sockets)
        yield room


def sweep(home: Path) -> list[Path]:
    """End and remove the rooms of dead commands; returns their folders."""
    if not home.is_dir():
        return []
    with _alone(home):
        dead = [room for room in sorted(home.iterdir()) if room.is_dir() and _is_abandoned(room)]
        for folder in dead:
            _remove(Room(folder=folder))
    return dead


def end_server(room: Room) -> None:
    """Stop whatever runs on the room's data directory, at once."""
    data = Path(os.path.realpath(room.data))
    with contextlib.suppress(OSError):
        postmaster = processes.running_postmaster(data)
        if postmaster is not None:
            processes.send(postmaster.pid, signal.SIGQUIT)
    processes.end_orphans(data, room.cluster_name)
    processes.end_named(f" --pg1-path={room.data} ")  # pgBackRest, of a command that was killed while it restored
    processes.end_named(f" --output={room.data} ")  # pg_combinebackup, the same


def _remove(room: Room) -> None:
    end_server(room)
    with contextlib.suppress(OSError):
        if room.socket_directory.parent == _TMP and room.socket_directory.name.startswith("manor-side-"):
            shutil.rmtree(room.socket_directory, ignore_errors=True)
    shutil.rmtree(room.folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return True  # killed between the folder and its lock: we are alone, so nobody is just making it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Nobody else makes or removes rooms meanwhile."""
    descriptor = os.open(home / f".{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
