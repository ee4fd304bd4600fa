"""A server that fails in the middle of a deploy, or never answers: what is said, and the next deploy mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest

from manor.errors import EXIT_CODES, ManorError
from manor.telemetry import Event

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
SECRET = "s3cret-of-a-kind"
Manor = Callable[..., "CompletedProcess[str]"]


class Once:
    """A telemetry hook that runs ``work`` in a thread of its own at the n-th event of a kind, while the deploy goes on."""

    def __init__(self, kind: str, occurrence: int, work: Callable[[], None]) -> None:
        self.kind, self.occurrence, self.work = kind, occurrence, work
        self.seen = 0
        self.thread = threading.Thread(target=self.run)
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # carried into the test's own thread
            self.failure = error

    def __call__(self, event: Event) -> None:
        if event.kind == self.kind:
            self.seen += 1
            if self.seen == self.occurrence:
                self.thread.start()

    def end(self) -> None:
        """Wait until the work is done; what it raised is raised here."""
        self.thread.join()
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize(
    ("kind", "occurrence"),
    [("operation.started", 1), ("golden.built", 1), ("target.intent", 1), ("target.cloned", 2), ("target.filled", 2)],
)
def test_a_deploy_lives_through_a_server_restart(
    driver: Any, registry: Path, embedded_server: Any, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """The server loses all sessions without warning, recovers, and every target succeeds in the same run."""

    def restart() -> None:
        embedded_server.stop(mode="immediate")
        embedded_server.start()

    hook = Once(kind, occurrence, restart)
    report = driver.deploy_once(registry, hook)
    hook.end()
    assert report.summary == {"success": 5}, [o.detail for o in report.outcomes]
    assert fleet_check.problems() == []


def test_a_session_that_is_ended_in_the_middle_of_a_fill_is_tried_again(
    driver: Any, registry: Path, server_url: str, fleet_check: Any
) -> None:
    """The copy whose fill was cut is thrown away and built anew, so that nothing is in it twice."""
    settings = registry.parent / "tenant_type1" / "main@settings.dat"
    slow = settings.read_text(encoding="utf-8").replace("!sql NOW()", '!sql "(SELECT NOW() FROM pg_sleep(0.3))"')
    settings.write_text(slow, encoding="utf-8")
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname LIKE 'manor\\_new\\_%' AND wait_event = 'PgSleep' LIMIT 1"
    )

    def end_one() -> None:
        with psycopg.connect(server_url, autocommit=True) as connection:
            while connection.execute(query).fetchone() is None:
                pass

    hook = Once("target.restricted", 5, end_one)
    report = driver.deploy_once(registry, hook)
    hook.end()
    assert report.summary == {"success": 5}, [o.detail for o in report.outcomes]
    assert sorted(o.detail for o in report.outcomes) == ["", "", "", "", "after 2 tries"]
    assert fleet_check.problems() == []


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A project folder on a file system of 200 MB of its own: the server's whole disk."""
    folder = Path(tempfile.mkdtemp(prefix="manor-disk-"))
    folder.chmod(0o755)
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["/bin/umount", folder], check=True)
    folder.rmdir()


@dataclass(frozen=True, kw_only=True)
class SmallDisk:
    """The small project on a disk of its own, with the embedded server that is made there on demand."""

    folder: Path
    registry: Path
    server: Any

    def fill(self, *, leave_bytes: int) -> None:
        """Take the space away."""
        with (self.folder / "ballast").open("wb") as handle:
            os.posix_fallocate(handle.fileno(), 0, shutil.disk_usage(self.folder).free - leave_bytes)

    def clear(self) -> None:
        """Give it back."""
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(small_disk: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """The project on the small disk; its server is destroyed afterwards."""
    from manor.control.engines.embedded.server import EmbeddedServer

    monkeypatch.setenv("MANOR_STATE_DIR", str(small_disk / "state"))
    shutil.copytree(project, small_disk, dirs_exist_ok=True)
    registry = small_disk / "customer_a" / "tenant_registry.yaml"
    (registry.parent / "environ.yaml").write_text("description: a small disk\n", encoding="utf-8")
    server = EmbeddedServer(small_disk)
    yield SmallDisk(folder=small_disk, registry=registry, server=server)
    server.destroy()


def test_targets_that_find_no_room_on_the_disk_fail_and_are_made_once_there_is_some(
    disk: SmallDisk, driver: Any, inspect_fleet: Callable[[Path, str], Any]
) -> None:
    """A real full disk (a tmpfs) with room left in the WAL: copies fail with code ``exhausted``, exit code 1."""

    def take_space(event: Event) -> None:
        if event.kind == "wave.started":
            with psycopg.connect(disk.server.url, autocommit=True) as connection:
                connection.execute("SELECT pg_switch_wal()")
                connection.execute("CHECKPOINT")  # the next WAL segment is there before the disk is full
            disk.fill(leave_bytes=12 << 20)

    full = driver.deploy_once(disk.registry, take_space)
    failed = [o for o in full.outcomes if o.status == "error"]
    assert full.exit_code == 1
    assert {str(o.failure.code) for o in failed} == {"exhausted"}, [o.detail for o in failed]
    assert "free space" in failed[0].failure.hint
    assert full.summary.keys() <= {"error", "success"}
    disk.clear()
    again = driver.deploy_once(disk.registry)
    expected = {"success": len(failed), "skipped": 5 - len(failed)}
    assert again.summary == {status: count for status, count in expected.items() if count}
    assert inspect_fleet(disk.registry, disk.server.url).problems() == []


def test_a_server_that_dies_of_a_full_disk_is_said_and_a_deploy_after_it_was_cleared_makes_the_fleet(
    disk: SmallDisk, driver: Any, inspect_fleet: Callable[[Path, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for the WAL PostgreSQL stops altogether: code ``unreachable`` (exit code 4), and nothing is lost."""
    monkeypatch.setattr("manor.control.rollout.retry.RECORDING_SECONDS", 3.0)

    def take_space(event: Event) -> None:
        if event.kind == "wave.started":
            disk.fill(leave_bytes=0)

    with pytest.raises(ManorError) as caught:
        driver.deploy_once(disk.registry, take_space)
    assert EXIT_CODES[caught.value.code] in {1, 4}
    disk.clear()
    assert driver.deploy_once(disk.registry).exit_code == 0
    assert inspect_fleet(disk.registry, disk.server.url).problems() == []


def test_trying_again_is_not_heard_on_stderr() -> None:
    """The library that retries would print a line for each try."""
    program = (
        "import asyncio\nfrom manor.control.rollout.retry import retrying\nfrom manor.errors import UnreachableError\n"
        "tries = []\n"
        "async def work():\n    tries.append(1)\n    if len(tries) < 2: raise UnreachableError('gone', transient=True)\n"
        "asyncio.run(retrying(work, attempts=2))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == ""


def deployment(registry: Path, url: str) -> None:
    (registry.parent / "environ.yaml").write_text(f"deployments:\n  tokyo: {url!r}\n", encoding="utf-8")


@pytest.mark.parametrize(
    "command", [("multi-tenant", "deploy"), ("multi-tenant", "deploy", "--dry-run"), ("multi-tenant", "healthcheck")]
)
def test_a_server_that_does_not_answer_is_one_line_that_names_the_deployment(
    manor: Manor, registry: Path, command: tuple[str, ...]
) -> None:
    """Exit code 4, without the password."""
    deployment(registry, f"postgresql://admin:{SECRET}@127.0.0.1:1/postgres")
    result = manor(*command, *REGISTRY)
    assert result.returncode == 4, result.stderr
    assert_one_line(result, "tokyo")


def test_a_wrong_password_is_one_line_that_names_the_deployment(manor: Manor, registry: Path, server_url: str) -> None:
    """Exit code 4, without the password."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN CREATEDB CREATEROLE PASSWORD 'right'")
    place = server_url.partition("@")[2]
    deployment(registry, f"postgresql://clerk:{SECRET}@{place}")
    result = manor("multi-tenant", "deploy", *REGISTRY)
    assert result.returncode == 4, result.stderr
    assert_one_line(result, "tokyo")
    assert "password" in result.stderr


def test_a_login_without_the_rights_is_one_line_that_names_what_is_missing(
    manor: Manor, registry: Path, server_url: str
) -> None:
    """Before anything was made, and with a pointer to the doctor."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN PASSWORD 'right'")
    deployment(registry, f"postgresql://clerk:right@{server_url.partition('@')[2]}")
    result = manor("multi-tenant", "deploy", *REGISTRY)
    assert result.returncode == 4, result.stderr
    assert "permission denied" in result.stderr
    assert "Traceback" not in result.stderr


def assert_one_line(result: CompletedProcess[str], name: str) -> None:
    """One line for the error and at most one for the hint."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) <= 2, result.stderr
    assert lines[0].startswith("manor: ")
    assert name in result.stderr
    assert SECRET not in result.stdout + result.stderr
