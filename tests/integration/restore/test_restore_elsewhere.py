"""Restores where something is not as it was: another installation, a disk that is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from restore_fixtures import build

from manor.control.engines.embedded.server import EmbeddedServer

Outcome = Callable[[Any], dict[str, Any]]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Any]:
    """Another installation: a server, a catalog and a fleet of its own, declared by the same files."""
    server = EmbeddedServer(tmp_path / "another server")
    try:
        (tmp_path / "another server").mkdir()
        server.start()
        yield build(tmp_path / "another project", server.url, tenants=1)
    finally:
        server.destroy()


def test_a_backup_is_restored_in_another_installation(fleet: Any, elsewhere: Any, outcome: Outcome) -> None:
    """The file and its manifest are enough: nothing of the first installation is asked."""
    fleet.write_entries(1, "before")
    backup = fleet.back_up(1)
    assert outcome(elsewhere.restore(1, "--backup-file", backup))["status"] == "success"
    assert elsewhere.entries(1) == ["before"]
    elsewhere.check()


def test_an_encrypted_backup_of_another_installation_cannot_be_read(fleet: Any, elsewhere: Any) -> None:
    """Its key is in the other catalog, and that is said."""
    said = elsewhere.refused(1, "--backup-file", fleet.back_up(1, "--encrypt"), code=1)
    assert said.startswith("[not_found]")
    assert "key" in said
    elsewhere.check()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a file system of 250 MB of its own."""
    folder = Path(tempfile.mkdtemp(prefix="manor-disk-"))
    folder.chmod(0o755)
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=250m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["/bin/umount", folder], check=True)
    folder.rmdir()


@pytest.fixture
def cramped(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A fleet whose server has the small disk to itself."""
    monkeypatch.setenv("MANOR_STATE_DIR", str(small_disk / "state"))
    home = small_disk / "server"
    home.mkdir()
    server = EmbeddedServer(home)
    try:
        server.start()
        yield build(small_disk / "project", server.url, tenants=2)
    finally:
        server.destroy()


def test_a_disk_that_is_full_while_loading_changes_nothing(cramped: Any, small_disk: Path, tmp_path: Path) -> None:
    """The tenant and its neighbour go on; what was loaded is dropped; with room again the same command succeeds."""
    with cramped.enter(1) as connection:
        rows = "SELECT md5(i::text) || repeat(md5((-i)::text), 20) FROM generate_series(1, 20000) AS i"
        connection.execute(f"INSERT INTO ledger (entry) {rows}")
    backup = cramped.back_up(1)
    for file in (backup, backup.with_name(backup.name.removesuffix(".dump") + ".manifest.json")):
        shutil.move(file, tmp_path)
    cramped.ask("TRUNCATE ledger; CHECKPOINT", cramped.databases[0])
    with (small_disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, shutil.disk_usage(small_disk).free - (24 << 20))
    said = cramped.refused(1, "--backup-file", tmp_path / backup.name, code=1)
    assert said.startswith("[exhausted]"), said
    (small_disk / "ballast").unlink()
    cramped.write_entries(2, "goes on")
    cramped.restore(1, "--backup-file", tmp_path / backup.name)
    assert len(cramped.entries(1)) == 20000
    cramped.check()
