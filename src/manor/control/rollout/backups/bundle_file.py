"""Bundles as files: a folder packed into a tar, whole or not at all, and unpacked again with every checksum compared."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from manor.control.backup.bundle import SUMS, compare_sums, corrupt, is_safe, read_sums, write_sums
from manor.errors import ConflictError, InputError

_CHUNK = 1 << 20


def refuse_existing(bundle: Path) -> None:
    """Raise ``ConflictError`` where the file is there."""
    if bundle.exists():
        raise ConflictError(f"{bundle} is there already", hint="name a new file")


def bundle_size(bundle: Path) -> int:
    """Of the file, in bytes."""
    return bundle.stat().st_size


def unpacked_below(state: Path, bundle: Path) -> Path:
    """Unpack into a new folder below ``state``, and return it; nothing is left where that fails. Raises as ``unpack``."""
    if not bundle.is_file():
        raise InputError(f"there is no bundle {bundle}", hint="`manor tenant export` makes one")
    state.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="import-", dir=state))
    try:
        unpack(bundle, folder)
    except BaseException:  # an interrupt too
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def pack(folder: Path, bundle: Path) -> None:
    """Write the checksums into ``folder`` and all of it into ``bundle``, which must be new. The tar grows beside ``folder``, on
    the bundle's own file system. Blocks; call it in a thread."""
    sums = {_name(folder, path): _sha256(path) for path in _files(folder)}
    (folder / SUMS).write_text(write_sums(sums), encoding="utf-8")
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        # Whoever has the file has the data: it is nobody else's to read.
        with open(partial, "xb", opener=functools.partial(os.open, mode=0o600)) as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for path in _files(folder):
                    tar.add(path, arcname=_name(folder, path), recursive=False, filter=_plain)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, bundle)  # unlike a rename, it replaces nothing
    except FileExistsError as error:
        raise ConflictError(f"{bundle} is there already", hint="name a new file") from error
    except OSError as error:
        raise InputError(f"the bundle {bundle} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def unpack(bundle: Path, folder: Path) -> None:
    """Unpack into the empty ``folder``. Raises ``ManorError`` (``corrupt``) for one that was altered or cut, ``InputError``
    where it cannot be read. Blocks; call it in a thread."""
    try:
        with tarfile.open(bundle, mode="r:") as tar:
            for member in tar:
                if not member.isreg() or not is_safe(member.name):
                    raise corrupt(f"it has a member {member.name!r} that no bundle has")
                _extract(tar, member, folder / member.name)
            end = tar.offset
        _refuse_padding(bundle, end)
    except (tarfile.TarError, EOFError) as error:
        raise corrupt(f"it is cut, or no tar at all ({error})") from error
    except OSError as error:
        raise InputError(f"the bundle {bundle} cannot be read: {error.strerror}") from error
    _compare(folder)


def _refuse_padding(bundle: Path, end: int) -> None:
    """``end``: where the last member ends. Behind it a tar has two empty blocks, and zeros up to a whole record."""
    size = -(-(end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    with bundle.open("rb") as file:
        file.seek(end)
        rest = file.read(size - end + 1)
    if len(rest) < size - end:
        raise corrupt("it is cut")
    if rest != bytes(size - end):
        raise corrupt("something was put behind its end")


def _compare(folder: Path) -> None:
    found = {_name(folder, path): path for path in _files(folder)}
    sums = found.pop(SUMS, None)
    if sums is None:
        raise corrupt(f"it has no {SUMS}")
    try:
        written = read_sums(sums.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise corrupt(f"{SUMS} is no text") from error
    compare_sums(written, {name: _sha256(path) for name, path in found.items()})


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None or to.exists():
        raise corrupt(f"its member {member.name!r} stands twice")
    with source, to.open("xb") as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
    if to.stat().st_size != member.size:
        raise corrupt(f"{member.name} is cut")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what says on which machine it was made, and by whom."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.name.endswith(".sh") else 0o644
    return member


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
