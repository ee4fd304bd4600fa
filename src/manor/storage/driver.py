"""The port: what a kind of storage must be able to do. ``Store`` is what everybody else uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

INCOMING = ".incoming"
"""The folder of a folder store that holds what its writers have not finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object that is there; ``size`` in bytes, ``modified`` in UTC."""

    key: str
    size: int
    modified: datetime


class Driver(Protocol):
    """One kind of storage.

    The next driver: implement these methods for keys that are valid already (``keys.check_key``), raise the errors of
    ``manor.storage.faults`` and nothing else, never hold more than a few parts of an object in memory, and subclass
    ``manor.testing.storage.StoreSuite``. What ``chunks`` raises passes through, and leaves nothing under the key.
    """

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, overwrite: bool) -> None:
        """Store all of ``chunks``, or nothing. Raises ``ConflictError`` for a key that is there, unless ``overwrite``."""
        ...

    def get(self, key: str) -> AsyncIterator[bytes]:
        """The object in pieces. Raises ``NotFoundError`` when the first one is asked for."""
        ...

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """At most ``length`` bytes from ``start``; empty at and behind the end. Raises ``NotFoundError``."""
        ...

    async def head(self, key: str) -> Found | None:
        """What is known about an object, None if it is not there."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Found]:
        """All objects below ``prefix`` (whole parts; empty means all), in the order of their keys' bytes."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove them; what is not there is not missed."""
        ...

    async def sweep(self) -> int:
        """Remove what dead writers left outside of any key; the number of files. 0 where the server does that itself."""
        ...
