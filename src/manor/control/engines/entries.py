"""The engine port for shutting tenants out: who may log in, and databases that nobody will enter any more.

To add an engine, implement ``EntryDriver`` and run ``tests/integration/engines/test_entries.py`` against a real server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from manor.control.engines.driver import Marker

ERASING = "erasing"
"""The marker's kind on a database that is about to be dropped for good: no recovery opens it."""


class EntryDriver(Protocol):
    """One server's doors."""

    async def shut_out(self, role: str, database: str) -> int:
        """Let a tenant's role log in no more, and end its sessions and all others in its ``database`` but Manor's own. Returns
        how many were ended. Safe to repeat; no error where role or database are gone. Raises ``EngineError``: ``conflict`` for
        a role that Manor did not make, ``denied``."""
        ...

    async def let_in(self, role: str) -> None:
        """Let a tenant's role log in again. Raises ``EngineError``: ``not_found``, ``conflict`` as above."""
        ...

    async def may_log_in(self, role: str) -> bool:
        """Whether it may; a role that is gone may not."""
        ...

    async def seal(self, database: str, marker: Marker) -> None:
        """Let nobody into a database any more, Manor neither, and write ``marker`` on it, in one transaction; then end all
        sessions in it. Safe to repeat; no error where it is gone."""
        ...

    async def foreign_possessions(self, role: str) -> Sequence[str]:
        """Databases, beside its own, that keep a role from being dropped: objects or rights of it are in them."""
        ...
