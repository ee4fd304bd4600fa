"""Which account of the operating system the server runs under, and running things as that account.

PostgreSQL refuses to run as root, so a root invoker hands its processes to an unprivileged account. Changing the user is left
to ``subprocess`` (no ``su``, no PAM, no shell profile), with no supplementary groups. What an account can reach is asked of the
kernel by trying it as that account: mode bits alone would miss ACLs, ``noexec`` mounts and security modules.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manor.control.engines.embedded.failures import translated
from manor.errors import Code, EngineError, InputError

ACCOUNT_VARIABLE = "MANOR_SERVER_ACCOUNT"
_DEFAULT_ACCOUNTS = ("postgres", "nobody")
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of the operating system."""

    name: str
    uid: int
    gid: int

    @property
    def switch(self) -> dict[str, Any]:
        """Keyword arguments for ``subprocess`` that make a child run under this account; empty where it is our own."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def run(
        self, command: Sequence[str | Path], environment: Mapping[str, str], *, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end under this account; ``stdout`` holds both of its outputs, ``text`` is its input.

        Raises ``EngineError`` where it cannot be started at all.
        """
        with translated(f"starting {Path(command[0]).name} as {self.name!r}", Path(command[0])):
            return subprocess.run(
                [os.fspath(part) for part in command],
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
                cwd="/",
                umask=0o077,
                env=process_environment(environment),
                **self.switch,
            )

    def own(self, path: Path) -> None:
        """Give ``path`` itself (nothing below it) to this account. Does nothing where it is our own."""
        if os.geteuid() != self.uid:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def process_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What PostgreSQL's processes see: no ``PG*`` variables, no locale, none of the caller's secrets."""
    inherited = {name: environment[name] for name in _INHERITED if name in environment}
    return {"PATH": _DEFAULT_PATH, **inherited, "LC_ALL": "C"}


def account_of(uid: int) -> Account:
    """The account with this number. Raises ``EngineError`` (``unsupported``) where it has no name: PostgreSQL needs one."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EngineError(
            f"the user id {uid} has no entry in /etc/passwd, and PostgreSQL does not run without one",
            code=Code.UNSUPPORTED,
            hint="add the user to the machine or container, or name a server of your own as a deployment URL",
        ) from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def choose_account(environment: Mapping[str, str], owner_of_data: int | None) -> Account:
    """Who runs the server: the owner of existing data, else ourselves, else (as root) an unprivileged account.

    As root: ``MANOR_SERVER_ACCOUNT``, else ``postgres``, else ``nobody``. Raises ``InputError`` for a wrong variable and
    ``EngineError`` (``denied``) where the data belongs to somebody whom we cannot become.
    """
    ourselves = os.geteuid()
    if owner_of_data is not None:
        return _owner(owner_of_data, ourselves)
    if ourselves != 0:
        return account_of(ourselves)
    named = environment.get(ACCOUNT_VARIABLE)
    return _named(named) if named else _default()


def _owner(owner: int, ourselves: int) -> Account:
    account = account_of(owner)
    if owner == 0:
        hint = "give it to an unprivileged account: chown -R, then run the command again"
        raise EngineError(
            "the data directory belongs to root, and PostgreSQL refuses to run as root", code=Code.DENIED, hint=hint
        )
    if ourselves not in (0, owner):
        raise EngineError(
            f"the data directory belongs to {account.name!r}",
            code=Code.DENIED,
            hint=f"run the command as {account.name} or as root",
        )
    return account


def _named(name: str) -> Account:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise InputError(f"{ACCOUNT_VARIABLE} names {name!r}, which is not an account of this machine") from None
    if entry.pw_uid == 0:
        raise InputError(f"{ACCOUNT_VARIABLE} names {name!r}, which is root", hint="name an unprivileged account")
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _default() -> Account:
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _DEFAULT_ACCOUNTS:
        if name in known:
            return _named(name)
    raise InputError(
        "PostgreSQL refuses to run as root, and there is no account 'postgres' or 'nobody'",
        hint=f"set {ACCOUNT_VARIABLE} to an unprivileged account",
    )


def can_enter(account: Account, folder: Path, environment: Mapping[str, str]) -> bool:
    """Whether the account can walk into ``folder``, every folder above it included."""
    return account.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder], environment).returncode == 0
