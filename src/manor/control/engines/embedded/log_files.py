"""The server's log files: starting one, reading the end, keeping their number (and so their size) bounded.

``startup.log`` has what the server says before its own collector takes over; the collector's files are of 10 MB each.
"""

from __future__ import annotations

import os
from pathlib import Path

from manor.control.engines.embedded.account import Account

_STARTUP = "startup.log"
_KEPT_FILES = 10


def open_startup_log(folder: Path, account: Account) -> int:
    """A fresh ``startup.log`` as a file descriptor to append to. Never follows a link, since ``folder`` is the account's."""
    path = folder / _STARTUP
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    account.own(path)
    return descriptor


def newest_log(folder: Path) -> Path | None:
    """The file that was written last, None where there is none or it cannot be looked at."""
    files = _by_age(folder)
    return files[-1] if files else None


def read_tail(folder: Path, lines: int) -> str:
    """The last ``lines`` lines of all the log files together, oldest first; empty where there is no log. Raises ``OSError``."""
    collected: list[str] = []
    for path in reversed(_by_age(folder)):
        missing = lines - len(collected)
        if missing <= 0:
            break
        collected = _read(path).splitlines()[-missing:] + collected
    return "\n".join(collected)


def prune(folder: Path) -> None:
    """Remove the oldest files of the collector."""
    for path in sorted(folder.glob("postgresql-*.log"))[:-_KEPT_FILES]:
        path.unlink(missing_ok=True)


def _by_age(folder: Path) -> list[Path]:
    found = [*folder.glob("postgresql-*.log"), folder / _STARTUP]
    return sorted((p for p in found if p.is_file() and not p.is_symlink()), key=lambda p: (p.stat().st_mtime_ns, p.name))


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as handle:
        return handle.read()
