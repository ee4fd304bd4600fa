"""Bundles: restored by PostgreSQL's own programs, taken in by another installation, refused when they are not what was made."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import killed_command
import psycopg
import pytest
from psycopg import conninfo


@pytest.fixture
def bundle(fleet: fixtures.Fleet, tmp_path: Path) -> Path:
    """The second tenant, with 200 orders."""
    path = tmp_path / "second.tar"
    report = fleet.json("tenant", "export", "--tenant-id", "acme/tenants/002", "--bundle", path)
    assert report["outcomes"][0]["facts"]["rows"] == 201
    return path


@pytest.fixture
def other(tmp_path: Path) -> Iterator[fixtures.Fleet]:
    """Another installation with a server and keys of its own, with the same template and migrations, and one tenant."""
    from manor.control.engines.embedded.server import EmbeddedServer

    home = tmp_path / "another server"
    home.mkdir()
    server = EmbeddedServer(home)
    try:
        server.start()
        fleet = fixtures.build_fleet(tmp_path / "another project", server.ensure_running(), tenants=1)
        fleet.write("1", "CREATE TABLE orders (id integer PRIMARY KEY, what text);", "DROP TABLE orders;")
        fleet.migrate()
        yield fleet
    finally:
        server.destroy()


def unpacked(bundle: Path, folder: Path) -> Path:
    folder.mkdir()
    with tarfile.open(bundle) as tar:
        tar.extractall(folder, filter="data")
    return folder


def repacked(folder: Path, bundle: Path) -> Path:
    with tarfile.open(bundle, "w") as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            tar.add(path, arcname=path.relative_to(folder).as_posix())
    return bundle


def environment(fleet: fixtures.Fleet, programs: Path) -> dict[str, str]:
    """What somebody with plain PostgreSQL has: its programs, and libpq's variables."""
    found = conninfo.conninfo_to_dict(fleet.url)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": str(found["host"]),
        "PGUSER": str(found["user"]),
    }


def test_the_script_restores_without_manor(
    fleet: fixtures.Fleet, bundle: Path, tmp_path: Path, bundled_programs: Callable[[int], Path]
) -> None:
    """createdb, pg_restore and psql: rows and history are there, and running it twice changes nothing."""
    folder = unpacked(bundle, tmp_path / "unpacked")
    (migration,) = (folder / "release").iterdir()
    assert "CREATE TABLE orders" in migration.read_text()
    env = environment(fleet, bundled_programs(18))
    words: dict[str, Any] = {"env": env, "capture_output": True, "text": True, "check": False, "cwd": "/"}
    done = subprocess.run([str(folder / "restore.sh"), "on_premises"], **words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "restored into on_premises: 201 rows" in done.stdout
    assert fleet.ask("SELECT count(*) FROM orders", "on_premises") == [(200,)]
    assert fleet.history("on_premises") == ["1"]
    again = subprocess.run([str(folder / "restore.sh"), "on_premises"], **words)
    assert again.returncode != 0
    assert fleet.ask("SELECT count(*) FROM orders", "on_premises") == [(200,)]


def test_the_script_refuses_what_was_altered(
    fleet: fixtures.Fleet, bundle: Path, tmp_path: Path, bundled_programs: Callable[[int], Path]
) -> None:
    folder = unpacked(bundle, tmp_path / "unpacked")
    (dump,) = folder.glob("*.dump")
    content = bytearray(dump.read_bytes())
    content[-10] ^= 1
    dump.write_bytes(bytes(content))
    env = environment(fleet, bundled_programs(18))
    done = subprocess.run([str(folder / "restore.sh"), "on_premises"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert fleet.ask("SELECT count(*) FROM pg_database WHERE datname = 'on_premises'") == [(0,)]


def test_another_installation_takes_a_bundle_in(bundle: Path, other: fixtures.Fleet) -> None:
    """With its rows, under a role and a password of that installation; the next release takes it along."""
    report = other.json("tenant", "import", "--bundle", bundle, "--group", "tenants", "--as", "moved")
    assert report["operation"]["verb"] == "import"
    assert set(fixtures.statuses(report).values()) == {"success"}, report
    url = other.json("tenant", "url", "acme/tenants/moved")["url"]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*), max(what) FROM orders").fetchone() == (200, "order 99")
    health = other.json("multi-tenant", "healthcheck", "--registry", other.registry)
    assert fixtures.statuses(health) == {"acme_t_001": "success", "acme_t_moved": "success"}
    other.write("2", "ALTER TABLE orders ADD COLUMN at date;", "ALTER TABLE orders DROP COLUMN at;")
    assert set(fixtures.statuses(other.migrate()).values()) == {"success"}
    assert other.json("audit", "verify")["ok"] is True
    error = other.json("tenant", "import", "--bundle", bundle, "--group", "tenants", "--as", "moved", code=3)["error"]
    assert "there is a tenant" in error["message"]


def test_a_bundle_of_an_earlier_version_is_brought_to_the_head(fleet: fixtures.Fleet, bundle: Path) -> None:
    """On the same installation, beside the tenant that it was made of."""
    fleet.write("2", "ALTER TABLE orders ADD COLUMN at date;", "ALTER TABLE orders DROP COLUMN at;")
    fleet.migrate()
    fleet("tenant", "import", "--bundle", bundle, "--group", "tenants", "--as", "copy")
    assert fleet.ask("SELECT count(*), count(at) FROM orders", "acme_t_copy") == [(200, 0)]
    assert fleet.history("acme_t_copy") == ["1", "2"]
    assert fleet.ask("SELECT count(*) FROM orders", "acme_t_002") == [(200,)]


def test_a_bundle_whose_schema_was_changed_by_hand_needs_a_word(
    fleet: fixtures.Fleet, other: fixtures.Fleet, tmp_path: Path
) -> None:
    """Before anything is made; with it, what was changed comes along, and is told as drift."""
    fleet.ask("CREATE INDEX by_hand ON orders (what)", "acme_t_002")
    bundle = tmp_path / "changed.tar"
    fleet("tenant", "export", "--tenant-id", "acme/tenants/002", "--bundle", bundle)
    for where in (fleet, other):
        words = ("tenant", "import", "--bundle", bundle, "--group", "tenants", "--as", "copy")
        everything = where.everything()
        error = where.json(*words, code=3)["error"]
        assert "somebody had changed the schema of acme/tenants/002 by hand" in error["message"]
        assert "--keep-head" in error["hint"]
        assert where.everything() == everything
        assert set(fixtures.statuses(where.json(*words, "--keep-head")).values()) == {"success"}
        assert where.ask("SELECT to_regclass('by_hand')::text, count(*) FROM orders", "acme_t_copy") == [("by_hand", 200)]
        assert "by_hand" in where("tenant", "show", "acme/tenants/copy", "--drift", code=1).stdout


@pytest.mark.parametrize("how", ["cut", "end", "bit", "pad", "zeros", "dump", "more", "less", "path", "text"])
def test_what_is_not_the_bundle_that_was_made_is_refused_before_anything_changes(
    fleet: fixtures.Fleet, bundle: Path, tmp_path: Path, how: str
) -> None:
    spoil(bundle, tmp_path, how)
    everything = fleet.everything()
    error = fleet.json("tenant", "import", "--bundle", bundle, "--group", "tenants", "--as", "copy", code=1)["error"]
    assert error["code"] == "corrupt"
    assert fleet.everything() == everything
    assert not list((fleet.folder / ".manor").glob("import-*"))


def spoil(bundle: Path, tmp_path: Path, how: str) -> None:
    content = bytearray(bundle.read_bytes())
    if how == "cut":
        bundle.write_bytes(content[: len(content) // 2])
    elif how == "end":
        bundle.write_bytes(content[:-1])
    elif how in ("pad", "zeros"):
        bundle.write_bytes(content + {"pad": b"pad\n", "zeros": bytes(tarfile.RECORDSIZE)}[how])
    elif how == "bit":
        content[content.index(b"PGDMP") + 300] ^= 1
        bundle.write_bytes(content)
    elif how == "text":
        bundle.write_bytes(b"no tar at all" * 100)
    elif how == "path":
        with tarfile.open(bundle, "a") as tar:
            tar.add(__file__, arcname="../outside")
    else:
        folder = unpacked(bundle, tmp_path / "unpacked")
        (dump,) = folder.glob("*.dump")
        if how == "more":
            (folder / "more.sql").write_text("SELECT 1;")
        elif how == "less":
            (folder / "restore.sh").unlink()
        else:  # with its checksum put right: the manifest still knows better
            sums = (folder / "SHA256SUMS").read_text()
            import hashlib

            old = hashlib.sha256(dump.read_bytes()).hexdigest()
            dump.write_bytes(dump.read_bytes() + b"x")
            (folder / "SHA256SUMS").write_text(sums.replace(old, hashlib.sha256(dump.read_bytes()).hexdigest()))
        repacked(folder, bundle)


@pytest.mark.parametrize(("kind", "occurrence"), [("target.published", 1), ("operation.ended", 1), ("target.verified", 1)])
def test_an_import_that_was_killed_is_gone_on_with(fleet: fixtures.Fleet, bundle: Path, kind: str, occurrence: int) -> None:
    """While its tenant is made, just after, and before the switch: the same words again bring it to its end."""
    words = ("tenant", "import", "--bundle", bundle, "--group", "tenants", "--as", "copy")
    done = killed_command.killed(fleet.folder, kind, occurrence, *words)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    fleet(*words)
    assert fleet.ask("SELECT count(*) FROM orders", "acme_t_copy") == [(200,)]
    assert "there is a tenant" in fleet.json(*words, code=3)["error"]["message"]
    leftover = "SELECT datname FROM pg_database WHERE datname LIKE 'manor_green_%' OR datname LIKE 'manor_new_%'"
    assert fleet.ask(leftover) == []


OBJECTS = """
settings:
  erasure:
    storage: ["files/{tenant_id}"]
"""


def test_objects_in_storage_go_along(fleet: fixtures.Fleet, tmp_path: Path) -> None:
    """Those below the tenant's own prefix, and no neighbour's; they arrive below the prefix of the new one."""
    with (fleet.environment / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write(OBJECTS)
    for number in (1, 2):
        folder = fleet.folder / "files" / "acme" / "tenants" / f"00{number}" / "letters"
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text(f"of {number}", encoding="utf-8")
    bundle = tmp_path / "with objects.tar"
    report = fleet.json("tenant", "export", "--tenant-id", "acme/tenants/002", "--bundle", bundle)
    assert report["outcomes"][0]["facts"]["objects"] == 1
    assert (unpacked(bundle, tmp_path / "u") / "objects" / "0" / "letters" / "a.txt").read_text() == "of 2"
    fleet("tenant", "import", "--bundle", bundle, "--group", "tenants", "--as", "copy")
    arrived = fleet.folder / "files" / "acme" / "tenants" / "copy"
    assert [path.relative_to(arrived).as_posix() for path in arrived.rglob("*") if path.is_file()] == ["letters/a.txt"]


def test_no_file_is_written_over(fleet: fixtures.Fleet, bundle: Path) -> None:
    before = bundle.read_bytes()
    fleet("tenant", "export", "--tenant-id", "001", "--bundle", bundle, code=3)
    assert bundle.read_bytes() == before


def test_nobody_else_may_read_a_bundle(bundle: Path) -> None:
    """Its dump is not encrypted."""
    assert bundle.stat().st_mode & 0o077 == 0


def test_a_suspended_tenant_can_be_taken_along(fleet: fixtures.Fleet, tmp_path: Path) -> None:
    """A customer who leaves is often suspended first."""
    fleet("tenant", "suspend", "--tenant-id", "acme/tenants/001")
    fleet("tenant", "export", "--tenant-id", "acme/tenants/001", "--bundle", tmp_path / "first.tar")
    assert (tmp_path / "first.tar").is_file()


def test_what_a_killed_export_left_is_removed_by_the_next(fleet: fixtures.Fleet, tmp_path: Path) -> None:
    """Half a bundle is the tenant in plain; one that is being made is nobody's to remove."""
    words = ("tenant", "export", "--tenant-id", "acme/tenants/001", "--bundle")
    done = killed_command.killed(fleet.folder, "backup.sealed", 1, *words, tmp_path / "first.tar")
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    (left,) = tmp_path.glob(".manor-export-*")
    alive = tmp_path / ".manor-export-alive"
    alive.mkdir()
    handle = os.open(alive, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    fleet(*words, tmp_path / "second.tar")
    os.close(handle)
    assert (left.exists(), alive.exists()) == (False, True)
