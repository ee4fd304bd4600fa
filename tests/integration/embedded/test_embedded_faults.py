"""What earlier commands, crashes and full disks leave behind, and that the next start ends well."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from manor.control.engines.embedded import cluster, probe, processes
from manor.control.engines.embedded.server import EmbeddedServer, EmbeddedSettings, ServerState
from manor.errors import Code, ConflictError, EngineError, NotFoundError, UnsupportedError

pytestmark = pytest.mark.server
START = """
import sys, pathlib
from manor.control.engines.embedded.server import EmbeddedServer
print(EmbeddedServer(pathlib.Path(sys.argv[1])).start().pid)
"""


@pytest.fixture
def stopped(server: EmbeddedServer) -> EmbeddedServer:
    """A server that ran and was stopped, so that its data directory is there."""
    server.start()
    server.stop()
    return server


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A project on a file system of 96 MB."""
    project = folder / "small"
    project.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "tmpfs", project], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield project
    subprocess.run(["/bin/umount", project], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left on the file system; returns the file that holds it."""
    ballast = folder / "ballast"
    with ballast.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, shutil.disk_usage(folder).free)
    return ballast


def pid_of(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def leave_pid_file(server: EmbeddedServer, pid: int) -> None:
    data = server.status().data_directory
    text = f"{pid}\n{data}\n1700000000\n5432\n/nowhere\n\n  1 1\nready\n"
    (data / "postmaster.pid").write_text(text)
    owner = data.stat()
    os.chown(data / "postmaster.pid", owner.st_uid, owner.st_gid)


def finished_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_stale_pid_file_of_a_dead_process_is_told_and_passed_over(stopped: EmbeddedServer) -> None:
    leave_pid_file(stopped, finished_process())
    assert stopped.status().state is ServerState.STOPPED
    assert "was killed" in stopped.status().problem
    assert stopped.start().state is ServerState.RUNNING


def test_a_stale_pid_file_whose_number_is_somebody_else_s_now_is_passed_over(stopped: EmbeddedServer) -> None:
    leave_pid_file(stopped, os.getpid())
    assert stopped.status().state is ServerState.STOPPED
    stopped.stop()
    started = stopped.start()
    assert started.state is ServerState.RUNNING
    assert started.pid != os.getpid()


def test_a_stale_pid_file_whose_number_is_another_server_s_is_passed_over(
    stopped: EmbeddedServer, running: EmbeddedServer
) -> None:
    other = pid_of(running)
    leave_pid_file(stopped, other)
    assert stopped.start().pid != other
    assert pid_of(running) == other


@pytest.mark.parametrize("content", [b"", b"\0" * 64], ids=["empty", "zeros"])
def test_a_pid_file_that_a_power_cut_emptied_is_told_and_passed_over(stopped: EmbeddedServer, content: bytes) -> None:
    (stopped.status().data_directory / "postmaster.pid").write_bytes(content)
    assert "went down" in stopped.status().problem
    assert stopped.start().state is ServerState.RUNNING


def test_a_server_whose_pid_file_was_emptied_does_not_share_its_data_with_another(server: EmbeddedServer) -> None:
    server.start()
    first = pid_of(server)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    (server.status().data_directory / "postmaster.pid").write_bytes(b"")
    assert server.start().pid != first
    assert not processes.is_alive(first)
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)


def test_a_zombie_is_not_a_server(stopped: EmbeddedServer, until: Callable[..., None]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        until(lambda: not processes.is_alive(process.pid), "the child has ended and is not yet reaped")
        leave_pid_file(stopped, process.pid)
        assert stopped.start().state is ServerState.RUNNING


@pytest.mark.parametrize("taken_by", ["a stranger", "another server"])
def test_a_stale_lock_of_the_socket_is_passed_over(stopped: EmbeddedServer, running: EmbeddedServer, taken_by: str) -> None:
    directory = stopped.status().socket_directory
    pid = os.getpid() if taken_by == "a stranger" else pid_of(running)
    (directory / ".s.PGSQL.5432.lock").write_text(f"{pid}\n/elsewhere\n1700000000\n5432\n{directory}\n")
    assert stopped.start().state is ServerState.RUNNING


def test_a_killed_postmaster_is_started_again_and_loses_nothing(server: EmbeddedServer) -> None:
    server.start()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    assert processes.wait_until_ended([pid], 10)
    assert server.status().state is ServerState.STOPPED
    with psycopg.connect(server.ensure_running()) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)


def test_backends_that_outlive_a_killed_postmaster_are_ended(server: EmbeddedServer) -> None:
    server.start()
    connection = psycopg.connect(server.url, autocommit=True)
    busy = connection.info.backend_pid
    connection.pgconn.send_query(b"DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$")
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    assert processes.wait_until_ended([pid], 10)
    assert processes.is_alive(busy), "the test needs a backend that does not notice"
    assert server.start().pid != pid
    assert not processes.is_alive(busy)
    connection.close()


def test_a_project_that_was_removed_under_its_running_server_can_be_made_anew(
    make: Callable[..., EmbeddedServer], folder: Path
) -> None:
    old = make().start().pid
    assert old is not None
    shutil.rmtree(folder / "project")
    (folder / "project").mkdir()
    assert make().status().state is ServerState.ABSENT
    assert make().start().pid != old
    assert not processes.is_alive(old)


def test_a_half_made_data_directory_is_removed(stopped: EmbeddedServer) -> None:
    home = stopped.status().data_directory.parent
    for name in ("pgdata.new-00000000", "pgdata.old-00000000"):
        (home / name / "base").mkdir(parents=True)
    stopped.start()
    assert not list(home.glob("pgdata.*"))


def test_a_start_that_is_killed_in_initdb_is_finished_by_the_next(
    server: EmbeddedServer, folder: Path, environment: dict[str, str], until: Callable[..., None]
) -> None:
    manor = folder / "project" / ".manor"
    command = subprocess.Popen([sys.executable, "-c", START, str(folder / "project")], env=environment)
    until(lambda: list(manor.glob("pgdata.new-*/base")), "initdb is at work")
    command.kill()
    command.wait()
    assert not server.exists
    assert server.status().state is ServerState.ABSENT
    assert server.start().state is ServerState.RUNNING
    server.stop()
    server.start()
    assert [p.name for p in manor.glob("pgdata*")] == ["pgdata"]


def test_a_disk_too_small_for_a_new_server_is_said_and_nothing_is_left(small_disk: Path, environment: dict[str, str]) -> None:
    server = EmbeddedServer(small_disk, EmbeddedSettings(), environment)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(80 * 1024 * 1024))
    with pytest.raises(EngineError, match="the disk is full") as full:
        server.start()
    assert full.value.code is Code.EXHAUSTED
    assert str(small_disk) in full.value.hint
    assert not server.exists
    ballast.unlink()
    assert server.start().state is ServerState.RUNNING
    server.destroy()


def test_a_disk_that_filled_up_is_said_and_start_works_once_there_is_space(
    small_disk: Path, environment: dict[str, str]
) -> None:
    server = EmbeddedServer(small_disk, EmbeddedSettings(), environment)
    server.start()
    server.stop()
    ballast = fill(small_disk)
    with pytest.raises(EngineError, match="the disk is full") as full:
        server.start()
    assert full.value.code is Code.EXHAUSTED
    ballast.unlink()
    assert server.start().state is ServerState.RUNNING
    server.destroy()


def test_an_initdb_that_reports_a_full_disk_is_understood(
    server: EmbeddedServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = folder / "fake"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "initdb").write_text(
        '#!/bin/sh\necho "initdb: error: could not write: No space left on device" >&2\nexit 1\n'
    )
    (tree / "bin" / "initdb").chmod(0o755)
    monkeypatch.setattr(
        "manor.control.engines.embedded.launch.place_binaries", lambda *_: cluster.Binaries(major=18, tree=tree)
    )
    with pytest.raises(EngineError, match="No space left on device") as full:
        server.start()
    assert full.value.code is Code.EXHAUSTED
    assert not server.exists


def test_a_server_that_cannot_start_says_why(server: EmbeddedServer) -> None:
    server.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
    server.stop()
    with pytest.raises(EngineError, match="no_such_library"):
        server.start()


def test_a_server_that_does_not_answer_in_time_is_said(
    make: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_CONNECT_SECONDS", 2)
    make().start()
    server = make(start_timeout_seconds=1, stop_timeout_seconds=1)
    pid = pid_of(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert server.status().state is ServerState.STARTING
        with pytest.raises(EngineError, match="does not accept connections") as late:
            server.start()
        assert late.value.code is Code.TIMEOUT
        with pytest.raises(EngineError, match="did not stop within 1 seconds"):
            server.stop()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_socket_that_was_cleaned_away_is_made_again(server: EmbeddedServer) -> None:
    first = server.start()
    shutil.rmtree(first.socket_directory)
    assert server.status().state is ServerState.STARTING
    second = server.start()
    assert (second.state, second.socket_directory) == (ServerState.RUNNING, first.socket_directory)


def test_a_command_that_holds_the_lock_too_long_is_named(make: Callable[..., EmbeddedServer]) -> None:
    server = make(start_timeout_seconds=1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with make()._changing("testing"):
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    with pytest.raises(ConflictError, match="too long"):
        server.start()
    done.set()
    holder.join()


def test_a_folder_that_is_no_data_directory_is_not_touched(server: EmbeddedServer, folder: Path) -> None:
    strange = folder / "project" / ".manor" / "pgdata"
    strange.mkdir(parents=True)
    (strange / "thesis.txt").write_text("precious")
    if os.geteuid() == 0:
        os.chown(strange, 65534, 65534)
        (folder / "project" / ".manor").chmod(0o755)
    with pytest.raises(EngineError, match="is not a data directory"):
        server.start()
    with pytest.raises(EngineError, match="is not a data directory"):
        server.destroy()
    assert (strange / "thesis.txt").read_text() == "precious"
    shutil.rmtree(strange)


def test_data_of_a_version_without_programs_is_refused(stopped: EmbeddedServer) -> None:
    (stopped.status().data_directory / "PG_VERSION").write_text("15\n")
    with pytest.raises(UnsupportedError, match="PostgreSQL 15"):
        stopped.start()


def test_a_project_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a folder"):
        EmbeddedServer(folder / "nowhere").start()


def test_old_log_files_are_removed(stopped: EmbeddedServer) -> None:
    log = stopped.status().log_file
    assert log is not None
    for day in range(10, 30):
        (log.parent / f"postgresql-200001{day}-000000.log").write_text("old\n")
    stopped.start()
    assert len(list(log.parent.glob("postgresql-*.log"))) <= 11
