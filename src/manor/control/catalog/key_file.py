"""The key file on disk: made once, whole or not at all, and replaced under a lock. Knows files, not cryptography."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from manor.errors import CatalogError, Code

_HEADER = (
    "# Keys of Manor's catalog. The first encrypts tenant URLs, all decrypt. Keep a copy elsewhere, out of version control:\n"
    "# without them no stored URL can be read and no audit entry be verified.\n"
)


def split_keys(text: str) -> list[str]:
    """Keys of a file or variable: separated by commas or white space, ``#`` begins a comment."""
    return re.sub(r"#.*", "", text).replace(",", " ").split()


def read_key_file(path: Path, *, private: bool) -> list[str]:
    """Keys of a file. Raises ``CatalogError`` where it cannot be read, holds none or, if ``private``, others may read it."""
    try:
        mode = path.stat().st_mode
        keys = split_keys(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise CatalogError(
            f"cannot read the key file {path}: {reason}", hint="see MANOR_KEY_FILE", code=Code.BAD_INPUT
        ) from None
    if private and mode & 0o077:
        raise CatalogError(f"others may read the key file {path}", hint=f"chmod 600 '{path}'", code=Code.DENIED)
    if not keys:
        raise CatalogError(f"the key file {path} holds no key", hint="restore it, or set MANOR_KEY", code=Code.BAD_INPUT)
    return keys


def create_key_file(path: Path, keys: Sequence[str]) -> None:
    """Make the file unless it is there; of two creators one wins and neither sees half a file. Raises ``CatalogError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _written_beside(path, keys) as beside, contextlib.suppress(FileExistsError):
            os.link(beside, path)
    except OSError as error:
        raise CatalogError(f"cannot make the key file {path}: {error.strerror}", hint="or set MANOR_KEY") from error


def replace_key_file(path: Path, keys: Sequence[str]) -> None:
    """Exchange the content in one step, owner kept. Call it inside ``locked_key_file``."""
    owner = path.stat()
    try:
        with _written_beside(path, keys) as beside:
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(beside, owner.st_uid, owner.st_gid)
            beside.replace(path)
    except OSError as error:
        raise CatalogError(f"cannot change the key file {path}: {error.strerror}") from error


@contextlib.contextmanager
def locked_key_file(path: Path) -> Iterator[None]:
    """One change at a time, over processes. The lock is a file of its own, because the key file itself is replaced."""
    try:
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CatalogError(f"cannot lock the key file {path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _written_beside(path: Path, keys: Sequence[str]) -> Iterator[Path]:
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_HEADER + "".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        yield beside
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a new or renamed file of this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
