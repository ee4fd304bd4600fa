"""Restores where something is not as it was: another installation, a disk that is full."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from restore_fixtures import build

from manor.control.engines.embedded.server import EmbeddedServer

Outcome = Callable[[Any], dict[str, Any]]
MAY_CREATE = "SELECT has_schema_privilege('acme_t_001', 'public', 'CREATE')"


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


def test_a_backup_of_a_tenant_that_is_not_there_becomes_anothers(fleet: Any, elsewhere: Any, outcome: Outcome) -> None:
    """The role that it names is none of this server: who gets it has the rights of its golden, and not one more."""
    fleet.write_entries(3, "of the third")
    backup = fleet.back_up(3)
    done = elsewhere.restore(3, "--backup-file", backup, "--as", elsewhere.tenant(1))
    assert outcome(done)["status"] == "success"
    assert elsewhere.entries(1) == ["of the third"]
    assert elsewhere.ask(MAY_CREATE, elsewhere.databases[0]) == [(False,)]
    assert elsewhere.ask("SELECT rolname FROM pg_roles WHERE rolname ~ '^(manor_green_|acme_t_003)'") == []
    elsewhere.check()


def test_an_encrypted_backup_of_another_installation_cannot_be_read(fleet: Any, elsewhere: Any) -> None:
    """Its key is in the other catalog, and that is said."""
    backup = fleet.back_up(1, "--encrypt")
    for words in ([], ["--dry-run"], ["--as", "copy", "--dry-run"], ["--as", "copy"]):
        said = elsewhere.refused(1, "--backup-file", backup, *words, code=2)
        assert said.startswith("[not_found]")
        assert "key" in said
    elsewhere.check()


@pytest.fixture
def small_disk(fleet: Any) -> Iterator[Path]:
    """A file system of 20 MB, on which all databases are made that begin empty: those that dumps are loaded into."""
    folder = Path(tempfile.mkdtemp(prefix="manor-disk-"))
    (data_directory,) = fleet.ask("SHOW data_directory")[0]
    owner = Path(data_directory).stat()
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size=20m,mode=700,uid={owner.st_uid},gid={owner.st_gid}", "tmpfs"]
    if subprocess.run([*command, str(folder)], capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("needs the right to mount a small tmpfs")
    fleet.ask(f"CREATE TABLESPACE small LOCATION '{folder}'")
    fleet.ask("ALTER DATABASE template0 SET TABLESPACE small")
    yield folder
    fleet.ask("ALTER DATABASE template0 SET TABLESPACE pg_default")
    fleet.ask("DROP TABLESPACE small")
    subprocess.run(["/bin/umount", folder], check=True)
    folder.rmdir()


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_full_while_loading_changes_nothing(fleet: Any) -> None:
    """The tenant and its neighbour go on, what was loaded is dropped, and its space is free again."""
    fleet.ask("INSERT INTO ledger (entry) SELECT repeat('x', 700) FROM generate_series(1, 20000)", fleet.databases[0])
    backup = fleet.back_up(1)
    fleet.ask("DELETE FROM ledger", fleet.databases[0])
    fleet.write_entries(1, "after")
    for _ in range(2):
        said = fleet.refused(1, "--backup-file", backup, code=1)
        assert said.startswith("[exhausted]"), said
        assert "a disk is full" in said
    fleet.write_entries(2, "goes on")
    fleet.check()
