"""Which PostgreSQL a side instance runs: the very version whose files it was given."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from manor.control.engines.embedded.account import Account
from manor.control.engines.embedded.binaries import find_binaries, place_binaries
from manor.control.engines.embedded.layout import state_directory
from manor.errors import ManorError, NotFoundError

_DEBIAN = Path("/usr/lib/postgresql")


def find_postgres(major: int, account: Account, environment: Mapping[str, str], *, embedded: bool) -> Path:
    """The program ``postgres`` of that major version. The bundled one for the embedded server; for others the machine's own is
    preferred, because it sorts text with the same libraries. Raises ``NotFoundError``."""
    own = None if embedded else _machines(major)
    if own is not None:
        return own
    try:
        return place_binaries(find_binaries(major), account, state_directory(environment), environment).program("postgres")
    except ManorError as error:
        raise NotFoundError(
            f"this machine has no PostgreSQL {major}, and files of one version are read by no other",
            hint=f"install it (Debian, Ubuntu: apt-get install postgresql-{major}); {error.message}",
        ) from error


def _machines(major: int) -> Path | None:
    debian = _DEBIAN / str(major) / "bin" / "postgres"
    if debian.is_file():
        return debian
    found = shutil.which("postgres")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return Path(found) if f" {major}." in version else None
