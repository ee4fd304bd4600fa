"""The engine port for restores: what a loaded dump lacks to be a tenant's database, and how it becomes another tenant's.

All of it happens in a database that nobody but Manor enters. Every method is safe to repeat.

To add an engine, implement ``RestoreDriver`` and run ``tests/integration/engines/test_restores.py`` against a real server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from manor.control.engines.driver import IsolatedColumn


class RestoreDriver(Protocol):
    """One server's databases as restores see them. Errors name the database."""

    async def furnish(self, database: str, *, like: str) -> None:
        """Give a loaded database what no dump brings along: settings, connection limit and owner of ``like``, statistics for
        the planner, and a fence that no runner of its former life has raised."""
        ...

    async def regrant(self, database: str) -> None:
        """Grant what a golden database grants: for a dump that was made without rights."""
        ...

    async def fingerprint_as(self, database: str, isolation: Sequence[IsolatedColumn], roles: Mapping[str, str]) -> str:
        """The fingerprint that the database would have if its rights were those of other roles. ``roles``: by the role that has
        them, the one that is taken for it."""
        ...

    async def hand_over(
        self, database: str, before: Sequence[IsolatedColumn], after: Sequence[IsolatedColumn]
    ) -> Mapping[str, int]:
        """Make isolated columns hold another tenant's value, in their rows too, all or nothing; returns the rows by table.
        Triggers of the user's do not fire.

        Raises ``EngineError``: ``conflict`` where a row holds another value than ``before`` says, or where something else hangs
        on the values.
        """
        ...
