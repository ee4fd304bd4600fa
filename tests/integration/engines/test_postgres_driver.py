"""The engine suite against the embedded PostgreSQL, entered as its superuser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from manor.testing.engines import ServerBench, ServerDriverSuite


@pytest.fixture(scope="module")
def bench(wiped_server: Callable[[], str], postgres_bench: Callable[..., ServerBench]) -> ServerBench:
    url = wiped_server()
    return postgres_bench(url=url, outside=url, dead_url="postgresql://manor:secret@/postgres?host=/nowhere")


class TestEmbeddedPostgres(ServerDriverSuite):
    """Every promise of the port."""
