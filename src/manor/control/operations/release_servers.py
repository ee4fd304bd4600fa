"""Servers that a release needs and that are not there, or that are not there and it does not need."""

from __future__ import annotations

from collections import Counter

from manor.control.operations.release_draft import Draft
from manor.control.operations.tenants import server_of
from manor.control.rollout.release.capacity import needed_and_away
from manor.control.runtime import Runtime


def refuse_unknown_servers(runtime: Runtime, draft: Draft) -> None:
    """Raise ``NotFoundError`` where something is to be done on a server that the environment no longer names."""
    for target in draft.pending:
        server_of(runtime, draft.records[target.tenant])


def refuse_away(runtime: Runtime, draft: Draft) -> None:
    """Raise ``UnreachableError`` where a release to all or none needs a server that does not answer."""
    needed = Counter(target.server for target in draft.pending)
    for name, error in runtime.away.items():
        if needed[name]:
            raise needed_and_away(name, needed[name], error)


def not_needed(runtime: Runtime, draft: Draft) -> list[str]:
    """What to say about servers that do not answer and on which nothing is to be done."""
    needed = {target.server for target in draft.pending}
    return [
        f"server {name} does not answer; nothing was to be done there: {error.message}"
        for name, error in runtime.away.items()
        if name not in needed
    ]
