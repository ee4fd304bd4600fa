"""One database in UTF-8 for all tests of documents on PostgreSQL."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def documents_url(embedded_server) -> str:
    """Its URL."""
    url: str = embedded_server.ensure_running()
    return url
