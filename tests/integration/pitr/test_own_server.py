"""Servers that Manor does not run itself: their log comes by pg_receivewal."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pitr_site import Site, wait_until
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from manor.control.backup.recover import Target
from manor.control.engines.embedded.account import account_of


@pytest.fixture
def own(tmp_path: Path, server_url: str, make_project: Callable[..., Path]) -> Iterator[Site]:
    """A fleet on a server that is somebody else's, as far as this project knows."""
    site = Site(project=make_project(tmp_path / "a project", server_url), server="main")
    site.deploy()
    yield site
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")


def test_a_tenant_of_a_users_own_server_is_restored_from_the_log_that_was_received(own: Site) -> None:
    receiving = subprocess.Popen(own.command("backup", "archive", "receive"), cwd=own.project)
    try:
        wait_until(lambda: own.sql("postgres", "SELECT count(*) FROM pg_replication_slots WHERE active") == 1, "receiving")
        own.take_base()
        moment = own.write("001", 20)
        then = list(own.written[own.database("001")])
        own.write("001", 5)
        assert own.ledger_at("001", Target(time=moment)) == then
        second = own.manor("backup", "archive", "receive")
        assert second.returncode == 3, second.stderr
    finally:
        receiving.send_signal(signal.SIGINT)
        assert receiving.wait(20) == 0
    assert own.manor("backup", "archive", "status").returncode == 0


def test_without_anybody_receiving_a_base_backup_fails_in_time(own: Site) -> None:
    done = own.manor("backup", "base", "--archive-timeout", "1")
    assert done.returncode == 1
    assert "pg_receivewal not running" in done.stderr
    assert not (own.backups / "bases").exists()


def test_a_login_without_replication_is_refused_with_the_reason(own: Site, server_url: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN CREATEDB CREATEROLE PASSWORD 'secret'")
    parameters: dict[str, Any] = {**conninfo_to_dict(server_url), "user": "plain", "password": "secret"}
    host = str(parameters["host"]).replace("/", "%2F")
    environ = own.project / "customer_a" / "environ.yaml"
    environ.write_text(
        f"deployments:\n  main: 'postgresql://plain:secret@/postgres?host={host}'\ncatalog_url: {server_url!r}\n",
        encoding="utf-8",
    )
    with psycopg.connect(make_conninfo(server_url), autocommit=True) as connection:
        connection.execute("GRANT CONNECT ON DATABASE postgres TO plain")
    done = own.manor("backup", "base")
    assert done.returncode == 3, done.stderr
    assert "may not stream base backups" in done.stderr
    assert "REPLICATION" in done.stderr


@dataclass(frozen=True, kw_only=True)
class Debian:
    """The distribution's PostgreSQL as its packages make it: no checksums of pages, and an ordinary login for Manor."""

    url: str
    outside: str


@pytest.fixture
def debian(require: Callable[[str], Path], tmp_path: Path) -> Iterator[Debian]:
    """Started for one test, listening on this machine only, and thrown away."""
    programs = require("debian-postgresql")
    account = account_of(pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else os.geteuid())
    folder = Path(tempfile.mkdtemp(prefix="manor-debian-"))
    account.own(folder)
    data = folder / "data"

    def run(*command: object) -> None:
        done = account.run([str(part) for part in command], {})
        assert done.returncode == 0, done.stdout

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = folder / "password"
    password.write_text("outside", encoding="utf-8")
    account.own(password)
    run(
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "scram-sha-256",
        "--pwfile",
        password,
        "-E",
        "UTF8",
        "--no-locale",
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c max_prepared_transactions=20 -c max_connections=60"
    try:
        run(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        outside = f"postgresql://postgres:outside@127.0.0.1:{port}/postgres"
        with psycopg.connect(outside, autocommit=True) as connection:
            connection.execute("CREATE ROLE platform LOGIN CREATEDB CREATEROLE REPLICATION PASSWORD 'platform'")
            connection.execute("GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_create_restore_point(text) TO platform")
        yield Debian(url=outside.replace("postgres:outside", "platform:platform"), outside=outside)
    finally:
        account.run([str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"], {})
        shutil.rmtree(folder)


def test_a_tenant_of_debians_server_is_restored_with_an_ordinary_login_and_without_checksums_of_pages(
    debian: Debian, tmp_path: Path, make_project: Callable[..., Path]
) -> None:
    site = Site(project=make_project(tmp_path / "a project", debian.url), server="main")
    site.deploy()
    site.write("002", 300)
    receiving = subprocess.Popen(site.command("backup", "archive", "receive"), cwd=site.project)
    try:
        wait_until(lambda: site.sql("postgres", "SELECT count(*) FROM pg_replication_slots WHERE active") == 1, "receiving")
        site.take_base()
        # Without checksums VACUUM marks pages of a neighbour in the log whose contents stand nowhere in it.
        site.sql(site.database("002"), "VACUUM ledger")
        moment = site.write("001", 20)
        then = list(site.written[site.database("001")])
        with site.connect(site.database("001")) as connection:
            connection.execute("DELETE FROM ledger")
        assert site.ledger_at("001", Target(time=moment)) == then
        assert site.manor("backup", "mark", "here").returncode == 0
        assert site.ledger_at("001", Target(mark="here")) == []
    finally:
        receiving.send_signal(signal.SIGINT)
        assert receiving.wait(20) == 0
