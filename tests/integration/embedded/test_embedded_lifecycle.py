"""A server's normal life: made, started, used, stopped, moved, destroyed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from manor.control.engines.embedded import launch
from manor.control.engines.embedded.server import EmbeddedServer, ServerState
from manor.errors import InputError, NotFoundError

pytestmark = pytest.mark.server
START = """
import sys, pathlib
from manor.control.engines.embedded.server import EmbeddedServer
print(EmbeddedServer(pathlib.Path(sys.argv[1])).start().pid)
"""


def ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def write(server: EmbeddedServer, statement: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)


def start_elsewhere(project: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START, str(project)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_a_server_is_made_started_asked_stopped_and_each_state_is_told(server: EmbeddedServer) -> None:
    assert server.status().state is ServerState.ABSENT
    started = server.start()
    assert started.state is ServerState.RUNNING
    assert started.version.startswith("18.")
    assert started.started_at is not None
    assert started.problem == ""
    assert ask(server, "SELECT current_user") == "manor_admin"
    server.stop()
    stopped = server.status()
    assert (stopped.state, stopped.pid, stopped.version, stopped.problem) == (ServerState.STOPPED, None, "18", "")
    assert server.exists


def test_starting_a_running_server_changes_nothing(server: EmbeddedServer) -> None:
    first, second = server.start(), server.start()
    assert (first.pid, first.started_at) == (second.pid, second.started_at)


def test_ensure_running_starts_what_is_stopped_and_keeps_its_data(server: EmbeddedServer) -> None:
    assert server.ensure_running() == server.url
    write(server, "CREATE TABLE kept AS SELECT 7 AS value")
    server.stop()
    assert ask_after(server.ensure_running()) == 7


def ask_after(url: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
    return row[0] if row else None


def test_two_commands_that_start_it_at_once_end_with_one_server(
    server: EmbeddedServer, folder: Path, environment: dict[str, str]
) -> None:
    commands = [start_elsewhere(folder / "project", environment) for _ in range(2)]
    answers = {command.communicate(timeout=60)[0] for command in commands}
    assert answers == {f"{server.status().pid}\n"}


def test_the_server_outlives_the_command_and_the_terminal_that_started_it(
    server: EmbeddedServer, folder: Path, environment: dict[str, str]
) -> None:
    command = start_elsewhere(folder / "project", environment)
    output, _ = command.communicate(timeout=60)
    pid = int(output)
    assert os.getsid(pid) != command.pid
    assert os.getpgid(pid) != command.pid
    with pytest.raises(ProcessLookupError):
        os.killpg(command.pid, signal.SIGINT)
    assert server.status().pid == pid


def test_the_server_holds_none_of_our_files_and_none_of_our_secrets(
    make: Callable[..., EmbeddedServer], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(environment, "MANOR_SECRET_KEY", "hush")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    pid = make().start().pid
    os.close(writer)
    assert os.read(reader, 1) == b"", "the server still holds the pipe"
    os.close(reader)
    if Path("/proc/self/environ").exists():
        assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_umask_and_a_vanished_working_directory_do_not_matter(server: EmbeddedServer, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    before, mask = Path.cwd(), os.umask(0o777)
    try:
        os.chdir(gone)
        gone.rmdir()
        assert server.start().state is ServerState.RUNNING
    finally:
        os.chdir(before)
        os.umask(mask)


@pytest.mark.parametrize(
    "name",
    ["with space", "名前 試験 é", "a'b\"c $(touch pwned) `touch pwned` \\d", "long/" + "/".join(["x" * 40] * 4)],
    ids=["space", "unicode", "shell", "160 characters"],
)
def test_any_project_path_will_do(make: Callable[..., EmbeddedServer], name: str) -> None:
    server = make(name)
    status = server.start()
    assert status.state is ServerState.RUNNING
    assert len(str(status.socket_directory)) < 60
    assert ask(server, "SELECT 1") == 1


def test_a_project_can_be_moved_while_its_server_is_stopped(make: Callable[..., EmbeddedServer], folder: Path) -> None:
    server = make("before")
    first = server.start().socket_directory
    write(server, "CREATE TABLE kept AS SELECT 7 AS value")
    server.stop()
    (folder / "before").rename(folder / "after")
    assert ask_after(make("after").ensure_running()) == 7
    assert not first.exists()


def test_a_copied_project_leaves_the_original_s_running_server_alone(make: Callable[..., EmbeddedServer], folder: Path) -> None:
    original = make("original")
    original.start()
    without_data = shutil.ignore_patterns("pgdata", "pglog", "archive")
    shutil.copytree(folder / "original", folder / "copy", symlinks=True, ignore=without_data)
    copy = make("copy")
    assert copy.start().pid != original.status().pid
    copy.destroy()
    assert original.status().state is ServerState.RUNNING


def logged(server: EmbeddedServer, pattern: str) -> str:
    """The end of the log once it has such a line: a collector writes it, a moment after the answer has come."""
    deadline = time.monotonic() + 10
    while re.search(pattern, text := server.logs(20)) is None:
        assert time.monotonic() < deadline, text
    return text


def test_logs_are_the_last_lines_that_the_server_wrote(running: EmbeddedServer) -> None:
    with psycopg.connect(running.url, application_name="somebody") as connection, pytest.raises(psycopg.Error):
        connection.execute("SELECT nonsense FROM nowhere")
    assert logged(running, r"manor_admin@postgres somebody ERROR: .*nowhere")
    assert len(running.logs(3).splitlines()) == 3
    assert running.status().log_file is not None


def test_a_failed_statement_does_not_put_its_text_into_the_log(running: EmbeddedServer) -> None:
    with psycopg.connect(running.url) as connection, pytest.raises(psycopg.Error):
        connection.execute("CREATE ROLE manor_admin PASSWORD 'sesame'")
    assert logged(running, "already exists")
    assert "sesame" not in running.logs(200)


def test_client_programs_run_without_arguments(running: EmbeddedServer) -> None:
    psql = running.client_binary("psql")
    done = subprocess.run(
        [psql, "-Atc", "SELECT current_user"], env=running.client_environment(), capture_output=True, text=True
    )
    assert done.stdout == "manor_admin\n"
    with pytest.raises(NotFoundError, match="no program 'pg_magic'"):
        running.client_binary("pg_magic")


def test_a_server_is_made_with_what_every_feature_needs(running: EmbeddedServer) -> None:
    wanted = {
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": "true",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "max_prepared_transactions": "200",
        "password_encryption": "scram-sha-256",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    with psycopg.connect(running.url) as connection:
        found = {name: connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in wanted}
        locale = connection.execute("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'template1'").fetchone()
    assert found == {name: (value,) for name, value in wanted.items()}
    assert locale == ("b", "C.UTF-8")


def test_archiving_is_switched_without_a_restart_and_copies_whole_segments(
    make: Callable[..., EmbeddedServer], folder: Path, until: Callable[..., None]
) -> None:
    off = make()
    pid = off.start().pid
    archive = off.status().data_directory.parent / "archive"
    write(off, "SELECT pg_create_restore_point('x')")
    assert make(archive=True).start().pid == pid
    segment = ask(off, "SELECT pg_walfile_name(pg_switch_wal())")
    until(lambda: ask(off, "SELECT last_archived_wal FROM pg_stat_archiver") == segment, "the segment is archived")
    assert [p.stat().st_size for p in archive.iterdir() if p.name == segment] == [16 * 1024 * 1024]
    assert not list(archive.glob(".*"))
    off.start()
    write(off, "SELECT pg_create_restore_point('y')")
    later = ask(off, "SELECT pg_walfile_name(pg_switch_wal())")
    until(lambda: ask(off, "SELECT last_archived_wal FROM pg_stat_archiver") == later, "the segment is passed over")
    assert not (archive / str(later)).exists()


def test_a_setting_that_needs_a_restart_is_named(make: Callable[..., EmbeddedServer]) -> None:
    make().start()
    assert make(max_connections=77).start().problem == "waiting for a restart: max_connections"


def test_an_unknown_way_to_stop_is_refused(running: EmbeddedServer) -> None:
    with pytest.raises(InputError, match="gently"):
        running.stop(mode="gently")


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
def test_every_way_to_stop_ends_the_server(make: Callable[..., EmbeddedServer], mode: str) -> None:
    server = make()
    server.start()
    server.stop(mode=mode)
    assert server.status().state is ServerState.STOPPED
    server.stop(mode=mode)


def test_an_older_data_directory_is_driven_by_its_own_programs(
    make: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(launch, "LATEST", 16)
        make().start()
        make().stop()
    server = make()
    assert server.start().version.startswith("16.")
    assert "pginstall/" in str(server.client_binary("pg_dump"))


def test_destroy_leaves_nothing_and_may_be_repeated(server: EmbeddedServer, folder: Path) -> None:
    status = server.start()
    server.destroy()
    assert server.status().state is ServerState.ABSENT
    assert not status.socket_directory.exists()
    assert not status.data_directory.parent.joinpath("pglog").exists()
    assert [p.name for p in (folder / "project" / ".manor").iterdir()] == ["server.lock"]
    server.destroy()
    assert server.start().pid != status.pid


def test_destroying_what_never_was_makes_nothing(server: EmbeddedServer, folder: Path) -> None:
    server.destroy()
    server.stop()
    assert server.logs() == ""
    assert not (folder / "project" / ".manor").exists()
