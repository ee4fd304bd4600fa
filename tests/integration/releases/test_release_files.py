"""A process that may open few files: a release raises its own limit as far as it may, and keeps what there is room for."""

from __future__ import annotations

from typing import Any


def test_an_atomic_release_raises_a_low_soft_limit(fleet: Any) -> None:
    """Six connections are kept open where only four more files might be: nobody says no for that."""
    fleet.release()
    ended = fleet.run("migrate", strategy="atomic", parallel=6, short_of_files_at=["release.rehearsed", 1])
    assert set(ended.statuses.values()) == {"success"}, ended.document
    fleet.finish()
