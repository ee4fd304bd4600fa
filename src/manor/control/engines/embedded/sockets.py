"""The directory of the server's Unix socket.

A socket's path is limited to 107 bytes (103 on macOS), so the directory stands in ``/tmp`` and not in the project:
``manor-<uid>-<digest>``, owned by the server's account, open to all for passing through, because the tenants' applications
connect here too. It is fixed rather than taken from ``TMPDIR``, which differs between the users who must meet here. Only its
owner can put a socket into it, so its owner is checked before every connection.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from urllib.parse import quote

from manor.control.engines.embedded.account import Account
from manor.control.engines.embedded.layout import Layout
from manor.control.engines.embedded.processes import holds_socket
from manor.control.engines.embedded.settings import ADMIN
from manor.errors import RefusedError

_SOCKET_ROOT = Path("/tmp")  # noqa: S108 - the directory below it is created exclusively and its owner checked
_SOCKET_FILE = ".s.PGSQL.5432"
_LOCK_FILE = f"{_SOCKET_FILE}.lock"


def expected_directory(layout: Layout, uid: int) -> Path:
    """Where the socket of a server that runs under ``uid`` goes."""
    return _SOCKET_ROOT / f"manor-{uid}-{layout.digest}"


def recorded_directory(layout: Layout) -> Path | None:
    """The directory that the last start chose, None before the first."""
    return layout.socket_link.readlink() if layout.socket_link.is_symlink() else None


def admin_url(directory: Path) -> str:
    """The administrator's URL; no password, because the server knows us by our user id."""
    return f"postgresql://{ADMIN}@/postgres?host={quote(str(directory), safe='')}"


def is_trusted(directory: Path, uid: int) -> bool:
    """Whether this is a real directory that belongs to ``uid`` and into which nobody else can put a socket."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o022


def has_socket(directory: Path) -> bool:
    """Whether a server's socket is (or was left) there."""
    return (directory / _SOCKET_FILE).exists()


def prepare_directory(layout: Layout, account: Account) -> Path:
    """Make the directory and record it. Raises ``RefusedError`` where somebody else has taken the name."""
    directory = expected_directory(layout, account.uid)
    if recorded_directory(layout) not in (None, directory):
        remove_directory(layout)
    if not os.path.lexists(directory):
        directory.mkdir(mode=0o755)
        directory.chmod(0o755)
        account.own(directory)
    if not is_trusted(directory, account.uid):
        raise RefusedError(
            f"{directory} is not a directory that belongs to {account.name!r} alone", hint="find out who made it, and remove it"
        )
    if recorded_directory(layout) is None:
        layout.socket_link.symlink_to(directory)
    return directory


def clear_stale_lock(directory: Path) -> None:
    """Remove a lock whose process is no server (any more): PostgreSQL asks only whether the number is taken."""
    if not _is_held(directory):
        (directory / _LOCK_FILE).unlink(missing_ok=True)


def _is_held(directory: Path) -> bool:
    try:
        pid = int((directory / _LOCK_FILE).read_text(encoding="ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    return holds_socket(pid, directory)


def remove_directory(layout: Layout) -> None:
    """Remove the recorded directory, if it is one of ours that no server uses, and its record.

    A project that was copied records the original's directory, whose server may be running.
    """
    directory = recorded_directory(layout)
    if directory is None:
        return
    ours = directory.parent == _SOCKET_ROOT and directory.name.startswith("manor-") and not directory.is_symlink()
    if ours and not _is_held(directory):
        shutil.rmtree(directory, ignore_errors=True)
    layout.socket_link.unlink()
