"""The memory driver agrees with the meaning it is made of: what is tested here is paging, storing and the layer above."""

from __future__ import annotations

from manor.data.documents.memory import MemoryDriver
from manor.testing.documents.fuzzing import FuzzSuite


class TestMemoryFuzz(FuzzSuite):
    """The suite, in a dict."""

    async def new_driver(self) -> MemoryDriver:
        return MemoryDriver()
