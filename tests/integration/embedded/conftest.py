"""Projects and servers of the embedded PostgreSQL, real ones. Everything is removed afterwards."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manor.control.engines.embedded.server import EmbeddedServer, EmbeddedSettings


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """A state directory that every account can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="manor-state-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "MANOR_STATE_DIR": str(state)}


def open_folder() -> Path:
    """A place for projects that every account can pass through (pytest's own is private to us)."""
    path = Path(tempfile.mkdtemp(prefix="manor-test-"))
    path.chmod(0o755)
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    path = open_folder()
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


@pytest.fixture
def make(folder: Path, environment: dict[str, str]) -> Iterator[Callable[..., EmbeddedServer]]:
    """Makes a server (not started) for a project below ``folder``; the servers are destroyed afterwards."""
    made: list[EmbeddedServer] = []

    def build(name: str = "project", **settings: object) -> EmbeddedServer:
        project = folder / name
        project.mkdir(exist_ok=True, parents=True)
        made.append(EmbeddedServer(project, EmbeddedSettings(**settings), environment))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for server in reversed(made):
        server.destroy()


@pytest.fixture
def server(make: Callable[..., EmbeddedServer]) -> EmbeddedServer:
    return make()


@pytest.fixture(scope="module")
def running(environment: dict[str, str]) -> Iterator[EmbeddedServer]:
    """One running server for the tests that leave it as it is."""
    project = open_folder()
    server = EmbeddedServer(project, EmbeddedSettings(), environment)
    server.start()
    yield server
    server.destroy()
    shutil.rmtree(project)


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits until a condition holds; fails after 30 seconds."""

    def wait(condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"waited 30 seconds in vain until {what}")
            os.sched_yield()

    return wait
