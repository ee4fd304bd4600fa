"""The bounds of one release. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How a release goes about its targets."""

    parallel: int = 10
    """Sessions per server."""
    attempts: int = 3
    lock_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 300.0
    max_failures: int | None = None
    """More failures than this stop it; None: every target is tried."""
    atomic_connections: int | None = None
    """Connections that stay open between the phases of an atomic release, per server; None: one per target."""
    prepare_deadline_seconds: float = 300.0
    grace_period_seconds: float = 86_400.0
    """How long blue-green keeps the old databases."""
    snapshot: bool = False
    """Whether each target is copied before it is changed (``--backup-first``)."""
