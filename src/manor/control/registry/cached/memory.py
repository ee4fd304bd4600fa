"""Answers of a source, kept in the memory of this process: the least recently used go first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from manor.control.registry.cached.answers import Look

MOST_BYTES = 32 * 1024 * 1024


class MemoryAnswers:
    """Keeps answers for ``ttl_seconds``, at most ``most_bytes`` of them. ``now`` counts seconds and never goes back."""

    def __init__(self, ttl_seconds: float, *, most_bytes: int = MOST_BYTES, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl_seconds = ttl_seconds
        self._most_bytes = most_bytes
        self._now = now
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self._mark = 0

    def __repr__(self) -> str:
        return f"<{len(self._kept)} answers in memory>"

    async def look(self, key: str) -> Look:
        """What is there."""
        mark = str(self._mark)
        if (found := self._kept.get(key)) is None:
            return Look(mark=mark)
        ends_at, text = found
        if ends_at <= self._now():
            self._drop(key)
            return Look(mark=mark)
        self._kept.move_to_end(key)
        return Look(mark=mark, text=text)

    async def put(self, key: str, text: bytes, look: Look) -> None:
        """Keep it, and let go of others for it."""
        if look.mark != str(self._mark) or len(key) + len(text) > self._most_bytes:
            return
        self._drop(key)
        self._kept[key] = (self._now() + self._ttl_seconds, text)
        self._bytes += len(key) + len(text)
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    async def forget(self) -> None:
        """Let go of all."""
        self._mark += 1
        self._kept.clear()
        self._bytes = 0

    async def aclose(self) -> None:
        """The same."""
        await self.forget()

    def _drop(self, key: str) -> None:
        if (dropped := self._kept.pop(key, None)) is not None:
            self._bytes -= len(key) + len(dropped[1])
