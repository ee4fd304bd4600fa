"""Databases of the three kinds, empty for each test."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy.engine import make_url


@pytest.fixture(scope="session")
def mariadb(require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a MariaDB server with a place for the name of the database. It has no accounts, and lets everybody in."""
    require("mariadb")
    folder = tmp_path_factory.mktemp("mariadb")
    data, listening = folder / "data", folder / "s"
    data.mkdir()
    own = ["--no-defaults", f"--datadir={data}", "--user=root", "--skip-grant-tables"]
    sizes = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0"]
    command = ["mariadbd", *own, f"--socket={listening}", "--skip-networking", *sizes]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            _wait_until_ready(process)
            yield f"mysql://root@localhost/{{database}}?unix_socket={listening}"
        finally:
            process.terminate()


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """It says so, and little after that."""
    said: list[bytes] = []
    for line in process.stderr or ():
        if b"ready for connections" in line:
            return
        said.append(line)
    pytest.fail(f"MariaDB did not start: {b''.join(said[-20:]).decode()}")


@pytest.fixture
def mysql_url(mariadb: str) -> Iterator[str]:
    """A database whose texts compare without regard to case, as MariaDB makes it."""
    with _mysql_session(mariadb) as cursor:
        cursor.execute("CREATE DATABASE crm CHARACTER SET utf8mb4")
    yield mariadb.format(database="crm")
    with _mysql_session(mariadb) as cursor:
        cursor.execute("DROP DATABASE crm")


@contextlib.contextmanager
def _mysql_session(url: str) -> Iterator[Any]:
    with (
        contextlib.closing(pymysql.connect(unix_socket=url.rpartition("=")[2], user="root")) as session,
        session.cursor() as cursor,
    ):
        yield cursor


@pytest.fixture
def postgres_url(server_url: str) -> str:
    """A database without tables; the server is emptied before the next test."""
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute("CREATE DATABASE crm")
    return make_url(server_url).set(database="crm").render_as_string(hide_password=False)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A file without tables."""
    (tmp_path / "crm.db").touch()
    return f"sqlite:///{tmp_path}/crm.db"
