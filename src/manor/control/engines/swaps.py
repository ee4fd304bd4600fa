"""The engine port for swaps: closing one tenant's database, copying it, and putting another one in its place.

A database that a run closed says so itself: its marker's ``closed`` names the run (operation and fencing token). Only that run,
or the recovery of its operation, may switch or open it; so a runner that was taken for dead cannot open a tenant which its
successor is just copying. All of it is compare-and-set in one transaction on the server, and safe to repeat with the same
``by`` unless a docstring says otherwise.

To add an engine, implement ``SwapDriver`` and run ``tests/integration/engines/test_swaps.py`` against a real server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from manor.control.engines.driver import Marker

_COMPARABLE_TRANSACTIONS = 2**31
"""Rows carry 32 bits of their transaction's number: beyond this distance they tell nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One right on a database."""

    role: str
    """Empty: PUBLIC."""
    privilege: str
    grantable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What closing a database came upon."""

    marker: Marker
    """As it is now, closed."""
    grants: tuple[Grant, ...]
    sessions: int
    """How many were ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What a database holds, as far as it takes to prove later that nobody wrote."""

    transaction: int
    """The first transaction that it does not cover."""
    rows: Mapping[str, int]
    """By table; Manor's own tables, the history among them, are left out."""
    sequences: Mapping[str, int | None]
    newer: Mapping[str, int] = field(default_factory=dict)
    """By table, rows of transactions from ``since`` on, where that was asked."""

    def to_json(self) -> dict[str, Any]:
        """For the catalog."""
        return {"transaction": self.transaction, "rows": dict(self.rows), "sequences": dict(self.sequences)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        return cls(transaction=document["transaction"], rows=document["rows"], sequences=document["sequences"])


def writes_between(before: Census, now: Census) -> tuple[str, ...]:
    """What says that somebody wrote between the two, in words; empty only where nobody can have. Pure.

    ``now`` counted ``newer`` rows from ``before.transaction`` on. Where no row is newer and no table has lost any, each table
    holds the very rows that it held.
    """
    if not 0 <= now.transaction - before.transaction < _COMPARABLE_TRANSACTIONS:
        return ("too many transactions ago to be told",)
    found = [f"table {name} is new" for name in now.rows if name not in before.rows]
    found += [f"table {name} is gone" for name in before.rows if name not in now.rows]
    for name, rows in now.rows.items():
        newer, lost = now.newer.get(name, 0), before.rows.get(name, rows) - rows
        if newer:
            found.append(f"table {name} has {newer} new or changed rows")
        elif lost:
            found.append(f"table {name} has {lost} rows less")
    names = now.sequences.keys() | before.sequences.keys()
    moved = sorted(name for name in names if now.sequences.get(name) != before.sequences.get(name))
    return (*found, *(f"sequence {name} has moved" for name in moved))


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Two renames that happen together."""

    database: str
    """The tenant's name."""
    kept: str
    """The name that its old database gets."""
    incoming: str
    """What takes its place."""
    by: str


class SwapDriver(Protocol):
    """One server's databases as swaps see them. ``by`` names a run: operation and fencing token."""

    async def obstacles(self, database: str) -> tuple[str, ...]:
        """What keeps a database from being swapped, in words: prepared transactions, replication slots."""
        ...

    async def marker(self, database: str) -> Marker | None:
        """The marker of one database; None where there is no such database or none of ours."""
        ...

    async def close(self, database: str, *, catalog: str, tenant: str, by: str) -> Closed:
        """Let nobody in any more, Manor neither, and end all sessions. Raises ``EngineError``: ``conflict`` (not this tenant's,
        closed by another run, or an obstacle that only showed once it was closed: it stays closed), ``denied``."""
        ...

    async def copy(self, source: str, copy: str, marker: Marker) -> None:
        """Copy a closed database with its settings under a new name; the copy is closed, PUBLIC shut out. Not repeatable."""
        ...

    async def admit(self, database: str, grants: Sequence[Grant] = ()) -> None:
        """Let Manor into a copy, and those that hold ``grants``."""
        ...

    async def seclude(self, database: str, *, by: str) -> None:
        """Let Manor, and nobody else, into a database that ``by`` closed: all rights on it are taken away, and noted in its
        marker in the same transaction."""
        ...

    async def shut(self, database: str) -> None:
        """Let nobody into a copy (any more)."""
        ...

    async def switch(self, switch: Switch) -> None:
        """Rename both in one transaction. The tenant's name then leads to a database that only Manor may enter, still marked as
        closed by ``by``, with the old one's rights noted; the old one is shut and its marker's kind is ``kept``. Sessions in
        either are ended."""
        ...

    async def open(self, database: str, *, by: str, grants: Sequence[Grant] = ()) -> None:
        """Open what ``by`` closed, to those that have rights on it, to those whose rights ``by`` took away, as far as their
        roles are still there, and to ``grants``; no error where it is open."""
        ...

    async def open_counted(self, database: str, *, by: str, grants: Sequence[Grant], opened: Callable[[], None]) -> Census:
        """Open what ``switch`` put in place, and count what it held at that moment. ``opened`` is called once it is open:
        counting goes on while the tenant works."""
        ...

    async def census(self, database: str, *, since: int | None = None) -> Census:
        """Count what a database holds. ``since``: also the rows of transactions from that one on. Raises where it may not see
        all rows."""
        ...

    async def next_transaction(self) -> int:
        """The number of the server's next transaction."""
        ...
