"""Where a bundle is put together: a folder beside the file that it becomes, locked for as long as its command lives.

Whoever gets the lock of such a folder knows that its command is dead, and removes it: it holds a tenant's rows in plain.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".manor-export-"


@contextlib.contextmanager
def workroom(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, removed at the end. Blocks, for as long as it takes to make or remove a few files."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder


def workrooms(parent: Path) -> list[Path]:
    """Those that are there, of living and of dead commands."""
    return sorted(path for path in parent.glob(f"{_PREFIX}*") if path.is_dir() and not path.is_symlink())


def sweep_workrooms(parent: Path) -> int:
    """Remove those of dead commands; how many. Raises ``OSError`` where one cannot be removed."""
    return sum(_remove_if_dead(folder) for folder in workrooms(parent))


def _remove_if_dead(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
        return True
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(handle)
