"""Where an embedded server keeps its things, and making those places.

Everything is seen below ``<project>/.manor/``: ``pgdata`` (data), ``pglog`` (logs), ``archive`` (WAL). Where the server's
account cannot reach the project, they live in a *home* below the state directory and those three names are symbolic links to
it. The home's ``project`` file says whose it is, so that a copied project does not drive the original's data.

A data directory is finished when the name ``pgdata`` exists: it is made under another name and renamed last, and renamed away
before it is removed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.embedded.account import Account, can_enter
from manor.control.engines.embedded.settings import ARCHIVE_FOLDER, LOG_FOLDER, EmbeddedSettings
from manor.errors import Code, ConflictError, EngineError, NotFoundError

STATE_VARIABLE = "MANOR_STATE_DIR"
DATA_FOLDER = "pgdata"
_MARKER = "project"
_LINKED = (DATA_FOLDER, LOG_FOLDER, ARCHIVE_FOLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names of one project's server."""

    project: Path
    """Real path, no symbolic links."""
    digest: str
    """12 hex characters of the real path's SHA-256."""

    @classmethod
    def of(cls, project: Path) -> Layout:
        real = Path(os.path.realpath(project))
        return cls(project=real, digest=hashlib.sha256(os.fsencode(real)).hexdigest()[:12])

    @property
    def folder(self) -> Path:
        return self.project / ".manor"

    @property
    def data(self) -> Path:
        return self.folder / DATA_FOLDER

    @property
    def socket_link(self) -> Path:
        """A symbolic link to the socket directory, so that everybody finds the one that was chosen."""
        return self.folder / "socket"

    @property
    def lock_file(self) -> Path:
        return self.folder / "server.lock"

    @property
    def cluster_name(self) -> str:
        """Part of the server's process titles; how its orphaned processes are recognised."""
        return f"manor-{self.digest}"

    @property
    def exists(self) -> bool:
        """Whether a finished data directory is there."""
        return self.data.is_dir()

    @property
    def home(self) -> Path:
        """The real folder that holds data, logs and archive."""
        return Path(os.path.realpath(self.data)).parent

    @property
    def real_data(self) -> Path:
        return self.home / DATA_FOLDER

    @property
    def log(self) -> Path:
        return self.home / LOG_FOLDER

    @property
    def archive(self) -> Path:
        return self.home / ARCHIVE_FOLDER

    def owner_of_data(self) -> int | None:
        """User id that owns the data directory, None where there is none."""
        return self.data.stat().st_uid if self.exists else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All that is known about a server before looking at it."""

    layout: Layout
    settings: EmbeddedSettings
    environment: Mapping[str, str]


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where things go that cannot stand in the project: ``MANOR_STATE_DIR``, else the system's (root) or the user's folder."""
    named = environment.get(STATE_VARIABLE)
    if named:
        return Path(os.path.realpath(named))
    if os.geteuid() == 0:
        return Path("/var/lib/manor")
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "manor"


def make_state_directory(state: Path) -> None:
    """Make it for everybody to pass through, whatever our umask is; an existing one is left as it is."""
    if not state.is_dir():
        state.mkdir(mode=0o755, parents=True)
        state.chmod(0o755)


def prepare_folder(layout: Layout) -> None:
    """Make ``.manor`` (mode 0700, belonging to the project's owner) if it is missing. Raises ``NotFoundError``."""
    if not layout.project.is_dir():
        raise NotFoundError(f"{layout.project} is not a folder")
    if layout.folder.is_dir():
        return
    layout.folder.mkdir(mode=0o700)
    layout.folder.chmod(0o700)
    _give_to_owner(layout, layout.folder)


def _give_to_owner(layout: Layout, path: Path) -> None:
    if os.geteuid() == 0:
        owner = layout.project.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def open_lock(layout: Layout) -> int:
    """A file descriptor of the lock file, which is made if it is missing."""
    descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    _give_to_owner(layout, layout.lock_file)
    return descriptor


def prepare_home(layout: Layout, account: Account, environment: Mapping[str, str]) -> None:
    """Decide (once) where data, logs and archive live, and make what is missing but the data directory itself."""
    if layout.data.is_symlink():
        _require_home(layout)
        check_home(layout)
    elif not layout.exists and not _admit(layout, account, environment):
        _make_state_home(layout, state_directory(environment) / layout.digest)
    if not can_enter(account, layout.home, environment):
        raise EngineError(
            f"the server runs as {account.name!r}, who cannot reach {layout.home}",
            code=Code.DENIED,
            hint="let this account through (chmod o+x on the folders above it)",
        )
    for name in (LOG_FOLDER, ARCHIVE_FOLDER):
        make_owned_folder(layout.home / name, account)


def _admit(layout: Layout, account: Account, environment: Mapping[str, str]) -> bool:
    """Whether the account can live in ``.manor``. A private ``.manor`` lets the account's group pass through."""
    if can_enter(account, layout.folder, environment):
        return True
    if not can_enter(account, layout.project, environment):
        return False
    mode = stat.S_IMODE(layout.folder.stat().st_mode)
    if mode & 0o067:
        return False
    os.chown(layout.folder, -1, account.gid)
    layout.folder.chmod(mode | stat.S_IXGRP)
    return can_enter(account, layout.folder, environment)


def make_owned_folder(path: Path, account: Account) -> None:
    """A private folder of the account's; an existing one is left as it is."""
    if not path.is_dir():
        path.mkdir(mode=0o700)
        path.chmod(0o700)  # our umask may have taken even that away
        account.own(path)


def _make_state_home(layout: Layout, home: Path) -> None:
    make_state_directory(home.parent)
    home.mkdir(mode=0o711, exist_ok=True)
    if home.stat().st_uid != os.geteuid():
        raise EngineError(f"{home} belongs to somebody else", code=Code.REFUSED, hint=f"remove it, or set {STATE_VARIABLE}")
    if (home / DATA_FOLDER).exists():
        raise ConflictError(
            f"{home} already holds the data of {_recorded_project(home)}, but {layout.folder} does not refer to it",
            hint=f"to use it again: ln -s {home / DATA_FOLDER} {layout.data}; to start with an empty server: remove it",
        )
    home.chmod(0o711)
    _record_project(home, layout.project)
    for name in _LINKED:
        _link(layout.folder / name, home / name)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise ConflictError(f"{link} is in the way: the embedded PostgreSQL needs the name", hint="move it elsewhere")
    link.symlink_to(target)


def _require_home(layout: Layout) -> None:
    if not layout.home.is_dir():
        raise NotFoundError(
            f"the data of this project was kept in {layout.home}, which is gone",
            hint="bring it back; or give the data up with manor server destroy, and start with an empty server",
        )


def check_home(layout: Layout) -> None:
    """A home that Manor made must be this project's; one whose project was moved is taken along. Raises ``ConflictError``."""
    if not is_state_home(layout.home):
        return
    recorded = _recorded_project(layout.home)
    if recorded == layout.project:
        return
    if os.path.realpath(recorded / ".manor" / DATA_FOLDER) == str(layout.real_data):
        raise ConflictError(
            f"this project is a copy of {recorded}, and its data is the original's ({layout.home})",
            hint=f"remove the links {', '.join(_LINKED)} in {layout.folder} to start with an empty server",
        )
    _record_project(layout.home, layout.project)


def _record_project(home: Path, project: Path) -> None:
    (home / _MARKER).write_bytes(os.fsencode(project) + b"\n")


def _recorded_project(home: Path) -> Path:
    return Path(os.fsdecode((home / _MARKER).read_bytes().removesuffix(b"\n")))


def is_state_home(home: Path) -> bool:
    """Whether this is a home that Manor made below a state directory."""
    return (home / _MARKER).is_file() and not (home / _MARKER).is_symlink()


def has_traces(layout: Layout) -> bool:
    """Whether anything of a server is there, whole or not."""
    names = [layout.folder / name for name in _LINKED]
    return any(os.path.lexists(name) for name in (*names, layout.socket_link))


def remove_leftovers(home: Path) -> None:
    """What killed commands left: half-made and half-removed data directories.

    An initdb may have outlived the command that started it. Renaming takes its paths away, so that it fails instead of filling
    the folder again; what it still holds on to is removed next time.
    """
    for leftover in home.glob(f"{DATA_FOLDER}.*-*"):
        gone = retired_name(home)
        leftover.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def retired_name(home: Path) -> Path:
    """A fresh name for a data directory that is about to be removed."""
    return home / f"{DATA_FOLDER}.old-{secrets.token_hex(4)}"


def remove_home(layout: Layout, home: Path) -> None:
    """Remove logs, archive and leftovers, the state home around them and the links to it; the data must be gone already."""
    remove_leftovers(home)
    for name in (LOG_FOLDER, ARCHIVE_FOLDER):
        shutil.rmtree(home / name, ignore_errors=True)
    if home != layout.folder:
        shutil.rmtree(home, ignore_errors=True)
    for name in _LINKED:
        if (layout.folder / name).is_symlink():
            (layout.folder / name).unlink()
