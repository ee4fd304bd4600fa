"""The distribution's PostgreSQL as somebody else's server: started for a test, and thrown away."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from manor.control.engines.embedded.account import Account, account_of


@dataclass(frozen=True, kw_only=True)
class Debian:
    """As its packages make it: no checksums of pages, and an ordinary login for Manor."""

    url: str
    outside: str
    """The superuser's URL."""
    folder: Path
    """Of its socket and its data; the server's account may write there."""
    port: int
    account: Account
    programs: Path
    options: str
    """Of the server's command line."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        self.run(self.programs / "pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-o", self.options, "start")

    def recover_in_place(self) -> None:
        """Stop it and let it recover to the end of its own log, which begins a new timeline."""
        self.run(self.programs / "pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")
        (self.data / "recovery.signal").touch()
        self.account.own(self.data / "recovery.signal")
        self.start()

    def run(self, *command: object) -> str:
        """Run a program under the server's account; what it printed."""
        done = self.account.run([str(part) for part in command], os.environ)
        assert done.returncode == 0, done.stdout
        return done.stdout


@contextlib.contextmanager
def debian_server(programs: Path, *, login: str = "", settings: Mapping[str, str] | None = None) -> Iterator[Debian]:
    """Listening on this machine only. ``login``: attributes of Manor's own; ``settings``: of the server, ``{folder}`` is filled
    in."""
    account = account_of(pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else os.geteuid())
    folder = Path(tempfile.mkdtemp(prefix="manor-debian-"))
    account.own(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outside = f"postgresql://postgres:outside@127.0.0.1:{port}/postgres"
    url = outside.replace("postgres:outside", "platform:platform")
    password = folder / "password"
    password.write_text("outside", encoding="utf-8")
    account.own(password)
    wanted = {
        "listen_addresses": "127.0.0.1",
        "max_prepared_transactions": "20",
        "max_connections": "60",
        "restore_command": "false",
        **(settings or {}),
    }
    options = [f"-c {name}='{value.format(folder=folder)}'" for name, value in wanted.items()]
    started = " ".join([f"-p {port} -k {folder}", *options])
    server = Debian(url=url, outside=outside, folder=folder, port=port, account=account, programs=programs, options=started)
    try:
        who = ("-U", "postgres", "--auth-host", "scram-sha-256", "--auth-local", "trust", "--pwfile", password)
        server.run(programs / "initdb", "-D", server.data, *who, "-E", "UTF8", "--no-locale")
        server.start()
        with psycopg.connect(outside, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE platform LOGIN CREATEDB CREATEROLE {login} PASSWORD 'platform'".encode())
            connection.execute("GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_create_restore_point(text) TO platform")
        yield server
    finally:
        account.run([str(programs / "pg_ctl"), "-D", str(server.data), "-m", "immediate", "stop"], {})
        shutil.rmtree(folder)
