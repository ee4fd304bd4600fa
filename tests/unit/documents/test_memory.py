"""The memory driver: the meaning, held to the suite's expectations, which were written by hand."""

from __future__ import annotations

import pytest

from manor.data.documents.memory import MemoryDriver
from manor.testing.documents import DocumentSuite


@pytest.fixture
def driver() -> MemoryDriver:
    return MemoryDriver()


class TestMemoryDriver(DocumentSuite):
    """The suite, in a dict."""
