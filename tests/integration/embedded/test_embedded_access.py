"""Who gets in, who runs the server, and where its files may stand."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from manor.control.engines.embedded import binaries, sockets
from manor.control.engines.embedded.binaries import Binaries, find_binaries
from manor.control.engines.embedded.layout import Layout
from manor.control.engines.embedded.server import EmbeddedServer, EmbeddedSettings, ServerState
from manor.errors import Code, ConflictError, EngineError, InputError, NotFoundError, RefusedError

pytestmark = pytest.mark.server
only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it becomes other accounts")


@pytest.fixture
def private(folder: Path) -> Path:
    """A folder that only we can enter."""
    path = folder / "private"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def hidden(private: Path, environment: dict[str, str]) -> Iterator[EmbeddedServer]:
    """The server of a project that no other account can reach."""
    (private / "project").mkdir()
    server = EmbeddedServer(private / "project", EmbeddedSettings(), environment)
    yield server
    server.destroy()


def connect_as(server: EmbeddedServer, role: str, password: str = "") -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.url, user=role, password=password)


def ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def test_another_role_needs_its_password_and_does_not_get_into_the_databases_of_the_cluster(running: EmbeddedServer) -> None:
    with psycopg.connect(running.url, autocommit=True) as admin:
        admin.execute("CREATE ROLE tenant LOGIN PASSWORD 'sesame'")
        admin.execute("CREATE DATABASE house")
    for wrong in ("", "guess"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            connect_as(running, "tenant", wrong)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect_as(running, "tenant", "sesame")
    with psycopg.connect(running.url, dbname="house", user="tenant", password="sesame") as tenant:
        assert tenant.execute("SELECT current_user").fetchone() == ("tenant",)


def test_a_password_is_stored_as_scram(running: EmbeddedServer) -> None:
    with psycopg.connect(running.url) as admin:
        admin.execute("CREATE ROLE another PASSWORD 'sesame'")
        stored = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'another'").fetchone()
        admin.rollback()
    assert stored is not None
    assert str(stored[0]).startswith("SCRAM-SHA-256$")


def test_the_server_cannot_be_reached_over_the_network(running: EmbeddedServer) -> None:
    assert ask(running, "SELECT inet_server_addr()") is None
    assert ask(running, "SELECT current_setting('listen_addresses')") == ""


@only_as_root
def test_another_user_of_the_machine_is_not_the_administrator(
    running: EmbeddedServer, bundled_programs: Callable[[int], Path]
) -> None:
    stranger = pwd.getpwnam("daemon")
    done = subprocess.run(
        [bundled_programs(18) / "pg_isready", "-h", running.status().socket_directory],
        user=stranger.pw_uid,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, "strangers must be able to reach the socket, or their applications could not connect"
    done = subprocess.run(
        [bundled_programs(18) / "psql", "-Atc", "SELECT 1"],
        env=running.client_environment(),
        user=stranger.pw_uid,
        group=stranger.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 2
    assert "authentication failed" in done.stderr


@only_as_root
def test_as_root_the_server_runs_under_another_account_and_manor_stays_closed_to_others(
    make: Callable[..., EmbeddedServer], folder: Path
) -> None:
    server = make()
    status = server.start()
    assert status.data_directory == folder / "project" / ".manor" / "pgdata"
    assert Path(f"/proc/{status.pid}").stat().st_uid == status.data_directory.stat().st_uid != 0
    assert (folder / "project" / ".manor").stat().st_mode & 0o777 == 0o710


@only_as_root
def test_the_named_account_runs_the_server(make: Callable[..., EmbeddedServer], environment: dict[str, str]) -> None:
    environment = {**environment, "MANOR_SERVER_ACCOUNT": "nobody"}
    make()
    server = EmbeddedServer(make()._site.layout.project, EmbeddedSettings(), environment)
    status = server.start()
    assert status.data_directory.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert ask(server, "SELECT current_user") == "manor_admin"
    assert make().start().pid == status.pid, "existing data decides, not the variable"


@only_as_root
@pytest.mark.parametrize(("name", "complaint"), [("no-such-user", "not an account"), ("root", "is root")])
def test_a_wrong_account_is_refused(folder: Path, environment: dict[str, str], name: str, complaint: str) -> None:
    server = EmbeddedServer(folder, EmbeddedSettings(), {**environment, "MANOR_SERVER_ACCOUNT": name})
    with pytest.raises(InputError, match=complaint):
        server.start()
    assert not server.exists


@only_as_root
def test_a_project_that_the_account_cannot_reach_keeps_its_data_in_the_state_directory(
    hidden: EmbeddedServer, private: Path, state: Path
) -> None:
    status = hidden.start()
    home = state / Layout.of(private / "project").digest
    assert status.state is ServerState.RUNNING
    assert status.data_directory == home / "pgdata"
    assert (private / "project" / ".manor" / "pgdata").is_symlink()
    assert (private / "project" / ".manor").stat().st_mode & 0o777 == 0o700
    hidden.stop()
    assert hidden.ensure_running() == hidden.url
    hidden.destroy()
    assert not home.exists()
    assert [p.name for p in (private / "project" / ".manor").iterdir()] == ["server.lock"]


@only_as_root
def test_a_strict_umask_does_not_lock_the_account_out_of_the_state_directory(
    private: Path, folder: Path, environment: dict[str, str]
) -> None:
    server = EmbeddedServer(private, EmbeddedSettings(), {**environment, "MANOR_STATE_DIR": str(folder / "state")})
    mask = os.umask(0o077)
    try:
        assert server.start().state is ServerState.RUNNING
    finally:
        os.umask(mask)
        server.destroy()


@only_as_root
def test_a_state_directory_out_of_reach_is_said(private: Path, environment: dict[str, str]) -> None:
    (private / "project").mkdir()
    server = EmbeddedServer(private / "project", EmbeddedSettings(), {**environment, "MANOR_STATE_DIR": str(private / "state")})
    with pytest.raises(EngineError, match="cannot reach") as refused:
        server.start()
    assert refused.value.code is Code.DENIED
    server.destroy()


@only_as_root
def test_a_copied_project_does_not_drive_the_original_s_data(
    hidden: EmbeddedServer, private: Path, environment: dict[str, str]
) -> None:
    hidden.start()
    hidden.stop()
    shutil.copytree(private / "project", private / "copy", symlinks=True)
    copy = EmbeddedServer(private / "copy", EmbeddedSettings(), environment)
    with pytest.raises(ConflictError, match="is a copy of"):
        copy.start()
    with pytest.raises(ConflictError, match="is a copy of"):
        copy.destroy()
    assert hidden.exists


@only_as_root
def test_a_moved_project_takes_its_state_along(hidden: EmbeddedServer, private: Path, environment: dict[str, str]) -> None:
    hidden.start()
    hidden.stop()
    (private / "project").rename(private / "elsewhere")
    moved = EmbeddedServer(private / "elsewhere", EmbeddedSettings(), environment)
    assert moved.start().state is ServerState.RUNNING
    (private / "project").mkdir()
    with pytest.raises(ConflictError, match="already holds the data of"):
        hidden.start()
    moved.destroy()


@only_as_root
def test_lost_state_is_not_taken_for_an_empty_server(hidden: EmbeddedServer) -> None:
    home = hidden.start().data_directory.parent
    hidden.stop()
    shutil.rmtree(home)
    assert "which is gone" in hidden.status().problem
    with pytest.raises(NotFoundError, match="which is gone"):
        hidden.start()


@only_as_root
def test_programs_out_of_reach_are_copied_once_and_run_from_there(
    make: Callable[..., EmbeddedServer], private: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = find_binaries()
    (private / "site").symlink_to(original.tree.parent.parent)
    unreachable = Binaries(major=18, tree=private / "site" / original.tree.parent.name / original.tree.name)
    monkeypatch.setattr("manor.control.engines.embedded.launch.find_binaries", lambda _major: unreachable)
    for earlier in state.glob("postgresql-18-*"):  # where the checkout itself is out of reach
        shutil.rmtree(earlier)
    (state / ".copying-dead").mkdir()
    server = make()
    pid = server.start().pid
    copies = list(state.glob("postgresql-18-*"))
    assert len(copies) == 1
    assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(copies[0])
    assert not list(state.glob(".copying-*"))
    made = copies[0].stat().st_mtime_ns
    server.stop()
    server.start()
    assert copies[0].stat().st_mtime_ns == made
    shutil.rmtree(copies[0])


@only_as_root
def test_a_copy_of_somebody_else_s_is_not_run(private: Path, folder: Path) -> None:
    state = folder / "state"
    theirs = state / f"postgresql-18-{binaries._digest(find_binaries())}"
    theirs.mkdir(parents=True)
    os.chown(theirs, pwd.getpwnam("daemon").pw_uid, -1)
    with pytest.raises(EngineError, match="belongs to somebody else"):
        binaries._copy(find_binaries(), state)


@only_as_root
def test_a_socket_directory_of_somebody_else_s_is_refused(make: Callable[..., EmbeddedServer]) -> None:
    server = make()
    directory = server.status().socket_directory
    directory.mkdir()
    os.chown(directory, pwd.getpwnam("daemon").pw_uid, -1)
    with pytest.raises(RefusedError, match="not a directory that belongs to"):
        server.start()
    directory.rmdir()


def test_a_socket_directory_that_is_a_link_is_refused(make: Callable[..., EmbeddedServer], folder: Path) -> None:
    server = make()
    directory = server.status().socket_directory
    directory.symlink_to(folder)
    with pytest.raises(RefusedError, match="not a directory that belongs to"):
        server.start()
    directory.unlink()


def test_a_socket_in_an_untrusted_directory_is_never_asked(folder: Path) -> None:
    directory = folder / "open"
    directory.mkdir()
    directory.chmod(0o777)
    assert not sockets.is_trusted(directory, os.geteuid())


def test_data_that_was_linked_by_hand_is_used_but_not_destroyed(make: Callable[..., EmbeddedServer], folder: Path) -> None:
    server = make()
    server.start()
    server.stop()
    data = server.status().data_directory
    (folder / "disk").mkdir()
    data.rename(folder / "disk" / "pgdata")
    data.symlink_to(folder / "disk" / "pgdata")
    assert server.start().data_directory == folder / "disk" / "pgdata"
    with pytest.raises(RefusedError, match="Manor did not make"):
        server.destroy()
    server.stop()
    data.unlink()
    assert (folder / "disk" / "pgdata" / "PG_VERSION").exists()
