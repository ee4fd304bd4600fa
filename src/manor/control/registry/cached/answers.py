"""The port of what keeps the answers of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found under a key, and when that was: ``mark`` is the time since all was let go of, None where nothing can be
    kept now."""

    mark: str | None
    text: bytes | None = None


class Answers(Protocol):
    """Where the answers of one source are kept, each for a limited time. No method fails: what cannot be asked is not there.

    An answer that was asked of the source before all were let go of must not be found afterwards, whenever it is put.
    """

    async def look(self, key: str) -> Look:
        """What is there."""
        ...

    async def put(self, key: str, text: bytes, look: Look) -> None:
        """Keep an answer that was asked for because ``look`` found none."""
        ...

    async def forget(self) -> None:
        """Let go of all."""
        ...

    async def aclose(self) -> None:
        """Give back what is held open."""
        ...
