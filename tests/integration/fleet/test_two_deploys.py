"""Two deploys at once, and a deploy that is stopped by hand."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

import psycopg
import pytest

FOLDER = Path(__file__).parent
REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
Manor = Callable[..., "CompletedProcess[str]"]
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Held:
    """A deploy in another process that stands still at an event."""

    def __init__(self, registry: Path, kind: str, occurrence: int) -> None:
        arguments = ["--pause-at", kind, "--occurrence", occurrence]
        command = [sys.executable, FOLDER / "deploy_driver.py", registry, *arguments]
        self.process: Popen[str] = Popen(
            [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("paused "):
            raise AssertionError(line + self.process.communicate()[1])
        self.operation = line.split()[1]

    def release(self) -> tuple[str, str]:
        """Let it go on and wait for its end; its output."""
        return self.process.communicate("\n", timeout=120)

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def held(registry: Path) -> Iterator[Callable[[str, int], Held]]:
    """Start deploys that stand still; they are ended with the test."""
    started: list[Held] = []

    def start(kind: str, occurrence: int = 1) -> Held:
        started.append(Held(registry, kind, occurrence))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def lock_wait(registry: Path, seconds: int) -> None:
    """How long commands wait for another one."""
    environ = registry.parent / "environ.yaml"
    environ.write_text(environ.read_text(encoding="utf-8") + f"settings:\n  lock_wait_seconds: {seconds}\n", encoding="utf-8")


def until_somebody_waits(url: str) -> None:
    """Return when a session waits for an advisory lock; the test's own time limit is the end of patience."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(WAITING).fetchone() == (0,):
            pass


@pytest.mark.parametrize("kind", ["operation.planned", "target.cloned", "operation.recorded"])
def test_a_second_deploy_is_refused_and_names_the_one_that_is_at_work(
    held: Callable[[str], Held], manor: Manor, registry: Path, fleet_check: Any, kind: str
) -> None:
    """Exit code 3, one line with the holder's operation; the first one is not disturbed."""
    lock_wait(registry, 1)
    first = held(kind)
    second = manor("multi-tenant", "deploy", *REGISTRY)
    assert second.returncode == 3
    assert first.operation in second.stderr
    assert "Traceback" not in second.stderr
    output, errors = first.release()
    assert "'success': 5" in output, errors
    assert fleet_check.problems() == []


def test_a_second_deploy_waits_its_turn_and_then_finds_everything_done(
    held: Callable[[str], Held], manor: Manor, registry: Path, server_url: str, fleet_check: Any
) -> None:
    """It looks at the fleet only once it is alone."""
    lock_wait(registry, 60)
    first = held("target.cloned")
    second = start_deploy(registry)
    until_somebody_waits(server_url)
    output, errors = first.release()
    assert "'success': 5" in output, errors
    document = json.loads(second.communicate(timeout=120)[0])
    assert document["summary"] == {"skipped": 5}
    assert fleet_check.problems() == []


def test_a_deploy_that_waits_gets_its_turn_when_the_one_before_it_is_killed(
    held: Callable[[str], Held], registry: Path, server_url: str, fleet_check: Any
) -> None:
    """A lock goes with its process, and what the dead one left is cleaned up."""
    lock_wait(registry, 60)
    first = held("target.published")
    second = start_deploy(registry)
    until_somebody_waits(server_url)
    first.kill()
    document = json.loads(second.communicate(timeout=120)[0])
    assert document["summary"] == {"success": 5}
    assert fleet_check.problems() == []
    assert (first.operation, "interrupted") in fleet_check.recorded().operations


@pytest.mark.parametrize("kind", ["target.intent", "target.cloned", "target.restricted", "target.filled", "target.recorded"])
def test_a_deploy_whose_lock_was_lost_in_a_server_restart_does_not_build_beside_another_one(
    held: Callable[[str, int], Held], driver: Any, registry: Path, embedded_server: Any, fleet_check: Any, kind: str
) -> None:
    """A restart ends the session that is the lock, so a second deploy may start while the first one still believes to be alone.
    Wherever the second one stands, the first publishes nothing of it, and nothing is loaded twice."""
    first = held("target.filled", 5)
    embedded_server.stop(mode="immediate")
    embedded_server.start()
    second = held(kind, 5)
    output = first.release()
    output += second.release()
    driver.deploy_once(registry)
    assert fleet_check.problems() == [], "".join(output)


def start_deploy(registry: Path) -> Popen[str]:
    """The command, not waited for."""
    command = [sys.executable, "-m", "manor.cli.main", "--format", "json", "multi-tenant", "deploy", *REGISTRY]
    return Popen(command, cwd=registry.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stopped(registry: Path, kind: str, occurrence: int, times: int, *arguments: str) -> CompletedProcess[str]:
    """The command with Ctrl-C at an event."""
    command = [sys.executable, str(FOLDER / "stopped_command.py"), kind, str(occurrence), str(times), "--format", "json"]
    command += ["multi-tenant", "deploy", *REGISTRY, *arguments]
    return subprocess.run(command, cwd=registry.parent.parent, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("kind", "finished"), [("target.cloned", 1), ("golden.built", 0), ("operation.started", 0)])
def test_ctrl_c_finishes_what_is_under_way_and_says_what_was_not_started(
    driver: Any, registry: Path, fleet_check: Any, kind: str, finished: int
) -> None:
    """Exit code 130; every target has an outcome; the next deploy does the rest."""
    ended = stopped(registry, kind, 1, 1, "--parallel", "1")
    assert ended.returncode == 130, ended.stderr
    assert "stopping" in ended.stderr
    document = json.loads(ended.stdout)
    summary = document["summary"]
    assert set(summary) <= {"success", "not_started"}, document
    assert sum(summary.values()) == 5
    assert finished <= summary.get("success", 0) < 5
    again = driver.deploy_once(registry)
    assert again.summary == {"success": summary["not_started"]} | (
        {"skipped": summary["success"]} if "success" in summary else {}
    )
    assert fleet_check.problems() == []


@pytest.mark.parametrize("kind", ["target.cloned", "target.filled"])
def test_a_second_ctrl_c_ends_at_once_and_the_next_deploy_cleans_up(
    driver: Any, registry: Path, fleet_check: Any, kind: str
) -> None:
    """Exit code 130, no traceback."""
    ended = stopped(registry, kind, 1, 2, "--parallel", "2")
    assert ended.returncode == 130, ended.stderr
    assert "cancelled" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert driver.deploy_once(registry).exit_code == 0
    assert fleet_check.problems() == []


def test_sigterm_is_as_good_as_ctrl_c(held: Callable[[str], Held], registry: Path, driver: Any, fleet_check: Any) -> None:
    """What a process manager sends stops the command as cleanly."""
    command = [sys.executable, "-c", TERMINATED, "multi-tenant", "deploy", *REGISTRY, "--parallel", "1"]
    ended = subprocess.run(command, cwd=registry.parent.parent, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 130, ended.stderr
    assert driver.deploy_once(registry).exit_code == 0
    assert fleet_check.problems() == []


TERMINATED = f"""
import sys, os, signal
sys.path.insert(0, {str(FOLDER)!r})
os.kill = lambda pid, number, kill=os.kill: kill(pid, signal.{signal.SIGTERM.name})
import stopped_command
sys.exit(stopped_command.run(["target.cloned", "1", "1", *sys.argv[1:]]))
"""
