"""The data directory: made by initdb under a provisional name, finished, and renamed into place last; and its three files of
ours.

Whoever sees the name ``pgdata`` sees a finished cluster: administrator, access rules, settings and the shut-out of PUBLIC
included. What a killed command left under a provisional name is removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from manor.control.engines.embedded.account import Account
from manor.control.engines.embedded.binaries import Binaries
from manor.control.engines.embedded.failures import process_failed, translated
from manor.control.engines.embedded.layout import DATA_FOLDER, Site, make_owned_folder, retired_name
from manor.control.engines.embedded.settings import (
    ACCESS,
    ADMIN,
    Surroundings,
    render_identities,
    render_settings,
)
from manor.errors import Code, EngineError

SETTINGS_FILE = "manor.conf"
_INCLUDE = f"include '{SETTINGS_FILE}'"
_SHUT_OUT_PUBLIC = "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC\n"
_FICLONE = 0x40049409  # linux/fs.h


def version_of(data: Path) -> int:
    """Major version that made this data directory. Raises ``EngineError`` (``corrupt``) where it is none, and ``OSError``."""
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii").strip())
    except (FileNotFoundError, ValueError):
        hint = "move the folder away to start with an empty server"
        raise EngineError(f"{data} is not a data directory of PostgreSQL", code=Code.CORRUPT, hint=hint) from None


def create_cluster(site: Site, account: Account, binaries: Binaries, socket_directory: Path) -> None:
    """Make the data directory of a project. Raises ``EngineError``; nothing but a finished directory is left under its name."""
    home = site.layout.home
    building = home / f"{DATA_FOLDER}.new-{secrets.token_hex(4)}"
    try:
        make_owned_folder(building, account)
        _run_initdb(building, account, binaries, site.environment)
        write_configuration(site, building, account, socket_directory)
        _include_settings(building, account)
        _shut_out_public(building, account, binaries, site.environment)
        building.rename(site.layout.real_data)
        _sync_folder(home)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _run_initdb(building: Path, account: Account, binaries: Binaries, environment: Mapping[str, str]) -> None:
    locale = ["--no-locale", "--encoding=UTF8"]
    if binaries.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command: list[str | Path] = [binaries.program("initdb"), "-D", building, "-U", ADMIN, *locale]
    command += ["--data-checksums", "--auth-local=peer", "--auth-host=reject", "--no-instructions"]
    done = account.run(command, environment)
    if done.returncode:
        raise process_failed("making the data directory (initdb)", done.stdout, building.parent)


def _include_settings(building: Path, account: Account) -> None:
    text = (building / "postgresql.conf").read_text(encoding="utf-8")
    _replace_file(building / "postgresql.conf", f"{text}\n{_INCLUDE}\n", account)


def _shut_out_public(building: Path, account: Account, binaries: Binaries, environment: Mapping[str, str]) -> None:
    """Tenants' roles must not get into the databases that come with a cluster. Single-user mode: no server is needed yet."""
    command: list[str | Path] = [binaries.program("postgres"), "--single", "-c", "exit_on_error=true"]
    command += ["-c", "logging_collector=off", "-D", building, "postgres"]
    done = account.run(command, environment, text=_SHUT_OUT_PUBLIC)
    if done.returncode:
        raise process_failed("finishing the data directory (postgres --single)", done.stdout, building.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_configuration(site: Site, data: Path, account: Account, socket_directory: Path) -> bool:
    """Write what differs of ``manor.conf``, ``pg_hba.conf`` and ``pg_ident.conf``; returns whether anything did."""
    around = Surroundings(
        cluster_name=site.layout.cluster_name,
        socket_directory=str(socket_directory),
        major=version_of(data),
        linux=sys.platform == "linux",
        clones_files=_clones_files(data),
    )
    files = {
        SETTINGS_FILE: render_settings(site.settings, around),
        "pg_hba.conf": ACCESS,
        "pg_ident.conf": render_identities(_administrators(site, account)),
    }
    changed = {name: text for name, text in files.items() if _differs(data / name, text)}
    with translated("writing the server's settings", data):
        for name, text in changed.items():
            _replace_file(data / name, text, account)
    return bool(changed)


def _administrators(site: Site, account: Account) -> set[str]:
    """Users of the system who are the administrator: the project's owner, ourselves, root and the server's account."""
    users = {account.name}
    for uid in {site.layout.project.stat().st_uid, os.geteuid(), 0}:
        try:
            users.add(pwd.getpwuid(uid).pw_name)
        except KeyError:
            continue  # PostgreSQL could not tell who it is either
    return users


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except FileNotFoundError:
        return True


def _replace_file(path: Path, text: str, account: Account) -> None:
    """Atomically and durably: a fresh file is renamed over the name, which in the account's folder might be a link."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            os.fchmod(handle.fileno(), 0o600)
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        account.own(Path(temporary))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _clones_files(folder: Path) -> bool:
    """Whether files here can share their blocks, found out by trying."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as copy:
        source.write(b"x" * 4096)
        source.flush()
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
    return True


def remove_data(data: Path) -> None:
    """Take the data directory's name away first, so that no half of it ever looks like a whole."""
    gone = retired_name(data.parent)
    data.rename(gone)
    shutil.rmtree(gone)
