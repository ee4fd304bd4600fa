"""The end of a command in a process of its own: signals at any moment, and an output that cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started in the background by a shell ignores it
from manor.cli import failures, main
{patch}
main.main(["schema", "registry"])
"""
WAITS = """
def run(*_):
    print("begun", flush=True)
    sys.stdin.read()
failures.run = run
"""
WAITS_IN_ASYNCIO = """
import asyncio
def run(*_):
    async def work():
        print("begun", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("tidied up", flush=True)
    asyncio.run(work())
failures.run = run
"""
WAITS_AT_THE_END = """
import atexit
atexit.register(lambda: (print("begun", flush=True), sys.stdin.read()))  # the signal comes while Python ends
failures.run = lambda *_: 7
"""
STOPPABLE = """
from manor.cli.progress import run_stoppable
async def work(stop):
    print("begun", flush=True)
    while not stop.requested:
        await asyncio.sleep(0.01)
    return 7
def run(*_):
    code = run_stoppable(work)
    assert signal.getsignal(signal.SIGTERM) is main._interrupt
    return code
import asyncio
failures.run = run
"""
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)


def signalled(patch: str, number: signal.Signals) -> tuple[int, str, str]:
    """Run ``main`` with something else in the place of its work, and send it a signal when that has begun."""
    command = [sys.executable, "-c", SCRIPT.format(patch=patch)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        told, complaint = process.communicate(timeout=30)
    return process.returncode, told, complaint


@SIGNALS
def test_a_signal_before_the_work_is_an_interruption(number: signal.Signals) -> None:
    """While modules are imported and files are read, too."""
    assert signalled(WAITS, number) == (130, "", "")


@SIGNALS
def test_a_signal_while_asyncio_runs_lets_it_tidy_up(number: signal.Signals) -> None:
    """SIGTERM is what Ctrl-C is there: the task is cancelled, not torn."""
    assert signalled(WAITS_IN_ASYNCIO, number) == (130, "tidied up\n", "")


@SIGNALS
def test_a_signal_after_all_is_said_changes_nothing(number: signal.Signals) -> None:
    """The exit code is that of the work."""
    assert signalled(WAITS_AT_THE_END, number) == (7, "", "")


@SIGNALS
def test_stoppable_work_is_asked_and_the_handlers_come_back(number: signal.Signals) -> None:
    """The first signal stops it cleanly; afterwards nothing is left to the system."""
    code, _, complaint = signalled(STOPPABLE, number)
    assert code == 7
    assert "stopping" in complaint
    assert "Traceback" not in complaint


def manor(*words: str, output: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "manor.cli.main", *words]
    with Path(output).open("w", encoding="utf-8") as file:
        return subprocess.run(
            command, stdout=file, stderr=subprocess.PIPE, text=True, check=False, timeout=60, env={**os.environ, **variables}
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("schema", "registry"), ("--format", "json", "nonsense"), ("--help",)], ids=" ".join)
def test_a_full_disk_under_the_output_is_one_line(words: tuple[str, ...], unbuffered: str) -> None:
    """Nobody is told of a bug, and the exit code is not that of success."""
    done = manor(*words, output="/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "manor: the output cannot be written: No space left on device\n"


def test_a_closed_output_is_no_error() -> None:
    """`>&-` says that nobody wants to read it."""
    command = f"exec '{sys.executable}' -m manor.cli.main schema registry >&-"
    done = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_psycopg_logs_reaches_no_terminal(tmp_path: Path) -> None:
    """A connection that breaks while it is closed is reported by us, once."""
    script = (
        "import logging; from manor.cli.main import cli; from manor.cli.options import open_workplace\n"
        "with cli.make_context('manor', ['--project', '.', 'init', 'x'], resilient_parsing=True): open_workplace()\n"
        "logging.getLogger('psycopg').warning('error ignored terminating %s', 'x')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
