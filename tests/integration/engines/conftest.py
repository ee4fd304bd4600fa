"""Two servers for the engine suite: the embedded one, and a distribution's PostgreSQL over TLS with an ordinary login."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg import sql
from psycopg.conninfo import make_conninfo

from manor.control.engines.postgres.driver import PostgresServer

pytest.register_assert_rewrite(
    "manor.testing.engines",
    "manor.testing.engine_making",
    "manor.testing.release_applying",
    "manor.testing.release_fixtures",
    "manor.testing.release_voting",
)

PLATFORM_PASSWORD = "p@ss w%rd/'1"
"""Of the ordinary administrator's login: it must survive URLs and environment variables."""


@dataclass(frozen=True, kw_only=True)
class PostgresBench:
    """One PostgreSQL server as the suite needs it: ``url`` is the driver's login, ``outside`` sees everything."""

    url: str
    outside: str
    dead_url: str
    refused: type[Exception] = psycopg.Error
    slow_expression: str = "(SELECT 'slept' FROM pg_sleep(60))"
    list_type: str | None = "INTEGER[]"

    def connect(self, *, operation: str, sessions: int = 8) -> PostgresServer:
        return PostgresServer("suite", self.url, operation=operation, sessions=sessions, connect_timeout=10)

    def unreachable(self) -> PostgresServer:
        return PostgresServer("gone", self.dead_url, operation="suite", connect_timeout=2)

    def admin_url(self, database: str) -> str:
        return make_conninfo(self.url, dbname=database)

    async def ask(self, url: str, statement: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
            cursor = await connection.execute(statement.encode())
            return await cursor.fetchall() if cursor.description else []

    @contextlib.asynccontextmanager
    async def session(self, url: str) -> AsyncIterator[None]:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        try:
            yield
        finally:
            await connection.close()

    async def sessions_of(self, operation: str) -> tuple[int, int]:
        counts = "SELECT count(*), count(*) FILTER (WHERE state = 'active') FROM pg_stat_activity"
        rows = await self.ask(self.outside, f"{counts} WHERE application_name = 'manor {operation}'")
        return rows[0][0], rows[0][1]

    async def open_to_public(self, database: str) -> None:
        statement = sql.SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(sql.Identifier(database))
        await self.ask(self.outside, statement.as_string())


@dataclass(frozen=True, kw_only=True)
class PlainServer:
    """A running PostgreSQL of the distribution: TLS only, passwords by SCRAM, an ordinary role for Manor."""

    port: int
    folder: Path
    superuser_password: str = field(repr=False, default="for the test's own eyes")

    def url(self, user: str, password: str, database: str = "postgres") -> str:
        query = f"sslmode=verify-full&sslrootcert={quote(str(self.certificate))}"
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}?{query}"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    def log(self) -> list[str]:
        return (self.folder / "log").read_text(encoding="utf-8").splitlines()

    @property
    def outside(self) -> str:
        return self.url("postgres", self.superuser_password)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.outside, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def plain_server(require: Callable[[str], Path]) -> Iterator[PlainServer]:
    """Debian's PostgreSQL, started for this run and thrown away after it. The role ``platform`` has CREATEDB and CREATEROLE."""
    binaries = require("debian-postgresql")
    folder = Path(tempfile.mkdtemp(prefix="manor-plain-"))
    folder.chmod(0o755)
    try:
        port = _make(binaries, folder)
        _run(binaries / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-t", "60", "start", log=folder / "log")
        try:
            server = PlainServer(port=port, folder=folder)
            password = sql.Literal(PLATFORM_PASSWORD).as_string()
            server.ask(f"CREATE ROLE platform LOGIN CREATEDB CREATEROLE PASSWORD {password}")
            yield server
        finally:
            _run(binaries / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _make(binaries: Path, folder: Path) -> int:
    """A data directory that only takes encrypted connections with passwords; returns its port."""
    (folder / "password").write_text(PlainServer.superuser_password, encoding="utf-8")
    key, certificate = _certificate()
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    (folder / "key.pem").chmod(0o600)
    for path in (folder, *folder.iterdir()):
        _hand_over(path)
    options = ("-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync", "-E", "UTF8")
    _run(binaries / "initdb", "-D", folder / "data", *options)
    port = _free_port()
    with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(
            f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nfsync = off\nmax_connections = 60\n"
            "log_connections = on\n"
            "log_connections = on\n"
            f"ssl = on\nssl_cert_file = '{folder / 'certificate.pem'}'\nssl_key_file = '{folder / 'key.pem'}'\n"
        )
    (folder / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
    return port


def _certificate() -> tuple[bytes, bytes]:
    """(key, self-signed certificate for 127.0.0.1) in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form), certificate.public_bytes(serialization.Encoding.PEM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; its package made an account for it."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def _hand_over(path: Path) -> None:
    account = _account()
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def _run(program: Path, *arguments: object, log: Path | None = None) -> None:
    account = _account()
    identity: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    # Output goes to a file: the server inherits it, and a pipe would never end.
    with tempfile.TemporaryFile() as output:
        command = [str(program), *map(str, arguments)]
        done = subprocess.run(command, cwd="/", stdout=output, stderr=output, check=False, timeout=120, **identity)
        if done.returncode != 0:
            output.seek(0)
            told = output.read().decode() + (log.read_text(encoding="utf-8") if log and log.exists() else "")
            pytest.fail(f"{program.name} failed:\n{told}", pytrace=False)


@pytest.fixture(scope="session")
def postgres_bench() -> type[PostgresBench]:
    """Makes the bench of one server."""
    return PostgresBench


@pytest.fixture(scope="session")
def platform_password() -> str:
    """Of the role ``platform``."""
    return PLATFORM_PASSWORD
