"""Which targets are handled together. Pure.

Copying by file forces a checkpoint per database, and every dirty page of that moment makes it dearer. A wave therefore
copies all its databases first and fills them afterwards; it is bounded, so that a killed run builds at most one wave again.
"""

from __future__ import annotations

from collections.abc import Sequence

from manor.control.steps import Step

WAVE_SIZE = 200


def waves(steps: Sequence[Step], *, size: int = WAVE_SIZE) -> list[list[Step]]:
    """Steps in order, cut into waves of at most ``size`` targets of one server each."""
    by_server: dict[str, list[Step]] = {}
    for step in steps:
        by_server.setdefault(step.target.server, []).append(step)
    return [group[i : i + size] for group in by_server.values() for i in range(0, len(group), size)]
