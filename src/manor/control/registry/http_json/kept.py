"""Bodies that came with an ETag, so that the API can say that nothing changed. Bounded; the longest unused goes first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """One body and what belongs to it."""

    etag: str
    body: bytes
    headers: dict[str, str]


class Kept:
    """By address with all parameters."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: OrderedDict[str, KeptAnswer] = OrderedDict()

    def find(self, url: str) -> KeptAnswer | None:
        """What is kept of ``url``."""
        found = self._answers.get(url)
        if found is not None:
            self._answers.move_to_end(url)
        return found

    def keep(self, url: str, answer: KeptAnswer) -> None:
        """Instead of what was kept of ``url``; a body that would take more than a quarter of the room is not."""
        self.forget(url)
        if len(answer.body) > self._max_bytes // 4:
            return
        self._answers[url] = answer
        self._bytes += len(answer.body)
        while self._bytes > self._max_bytes:
            self.forget(next(iter(self._answers)))

    def forget(self, url: str) -> None:
        """Nothing is kept of ``url`` any more."""
        gone = self._answers.pop(url, None)
        if gone is not None:
            self._bytes -= len(gone.body)
