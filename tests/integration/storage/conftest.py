"""A real S3 server over HTTP (moto), in a process and an environment of its own: tests/setup_machine.sh installs it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-tests", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """Where it listens."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str) -> None:
        self._ask("PUT", f"/{name}")

    def uploads(self, bucket: str) -> str:
        """What the server says of uploads that were not finished."""
        return self._ask("GET", f"/{bucket}?uploads")

    def _ask(self, method: str, path: str) -> str:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return text
        finally:
            connection.close()


@pytest.fixture(scope="session")
def s3_server(require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    program = require("s3-server") / "moto_server"
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output)
    try:
        wait_for(process, port, log)
        yield S3Server(port=port)
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


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials where S3's own chain finds them."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
