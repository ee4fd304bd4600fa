"""Servers that Manor does not run itself: their log comes by pg_receivewal."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from debian_server import Debian, debian_server
from pitr_site import Site, wait_until
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from manor.control.backup.recover import Target
from manor.errors import RefusedError


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


def test_an_increment_of_a_users_own_server_needs_summaries_that_its_owner_switches_on(own: Site) -> None:
    own.sql("postgres", "ALTER SYSTEM SET summarize_wal = off", "SELECT pg_reload_conf()")
    receiving = subprocess.Popen(own.command("backup", "archive", "receive"), cwd=own.project)
    try:
        wait_until(lambda: own.sql("postgres", "SELECT count(*) FROM pg_replication_slots WHERE active") == 1, "receiving")
        own.take_base()
        with pytest.raises(RefusedError, match="summarize_wal is off"):
            own.take_base(incremental=True)
        own.sql("postgres", "ALTER SYSTEM SET summarize_wal = on", "SELECT pg_reload_conf()")
        full = own.take_base()
        own.write("001", 10)
        assert own.take_base(incremental=True).parent == full.id
        moment = own.write("001", 10)
        then = list(own.written[own.database("001")])
        own.write("001", 5)
        assert own.ledger_at("001", Target(time=moment)) == then
    finally:
        own.sql("postgres", "ALTER SYSTEM RESET summarize_wal", "SELECT pg_reload_conf()")
        receiving.send_signal(signal.SIGINT)
        assert receiving.wait(20) == 0


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


@pytest.fixture
def debian(require: Callable[[str], Path]) -> Iterator[Debian]:
    with debian_server(require("debian-postgresql"), login="REPLICATION") as server:
        yield server


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
        with pytest.raises(RefusedError, match="PostgreSQL 15 takes no incremental base backups"):
            site.take_base(incremental=True)
    finally:
        receiving.send_signal(signal.SIGINT)
        assert receiving.wait(20) == 0
