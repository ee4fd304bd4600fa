"""Two DynamoDB emulators over HTTP, each in a process and an environment of its own: tests/setup_machine.sh installs them.

Each module of tests starts its own, because neither is known to stay well for long.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CREDENTIALS = {"access_key_id": "tester", "secret_access_key": "the-secret-of-the-tests"}


@pytest.fixture(scope="session")
def dynamodb_credentials() -> dict[str, str]:
    """Accepted by every emulator."""
    return CREDENTIALS


@pytest.fixture(scope="module")
def moto_url(require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store's URL."""
    program = require("s3-server") / "moto_server"
    port = free_port()
    yield from running([program, "-H", "127.0.0.1", "-p", str(port)], {}, port, tmp_path_factory.mktemp("moto"))


@pytest.fixture(scope="module")
def ministack_url(require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store's URL."""
    program = require("ministack") / "ministack"
    port = free_port()
    environment = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    yield from running([program], environment, port, tmp_path_factory.mktemp("ministack"))


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
    return port


def running(command: list[Path | str], environment: dict[str, str], port: int, folder: Path) -> Iterator[str]:
    """Start it, wait until it listens, and stop it at the end."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=output, stderr=output)
    try:
        wait_for(process, port, log)
        yield f"dynamodb://us-east-1?endpoint=http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it accepts connections; ``connect`` is what tells, so there is no other signal to wait for."""
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError(log.read_text())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A module's ``WRONG`` says what its emulator does otherwise than AWS's written rules: reason → parts of names of cases.
    A class's says what cannot be otherwise.

    Such a case must fail, so that the list shrinks when the emulator gets better; ``UNSTEADY`` may.
    """
    for item in items:
        for attribute, strict in (("WRONG", True), ("UNSTEADY", False)):
            for owner in (getattr(item, "module", None), getattr(item, "cls", None)):
                for reason, parts in getattr(owner, attribute, {}).items():
                    if any(part in item.name for part in parts):
                        item.add_marker(pytest.mark.xfail(reason=reason, strict=strict))
