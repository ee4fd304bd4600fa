"""What happens is told as frozen events to hooks; logs, progress bars, metrics, traces subscribe. The core calls no library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    ``kind`` is ``operation.planned|started|recorded|ended``, ``audit.anchored``; ``operation.interrupted`` (a dead one was
    found), ``leftover.dropped`` and ``entry.forgotten``; ``golden.sealed|built|dropped|retired``, ``wave.started``,
    ``roles.created``, ``server.moved``; ``target.<step>`` with the steps ``intent``, ``taken`` (from the pool), ``cloned``,
    ``restricted``, ``filled``, ``published``, ``unlocked`` (its role has the recorded password), ``recorded``, ``ended``;
    of what is loaded beside a tenant's database ``loaded`` and ``verified``;
    of a swap ``target.closed|cloned|moved|checked|switched|opened|marked`` (what will prove that nobody wrote is recorded) and
    ``kept.dropped``;
    ``hook.ended`` (one of the user's, with ``hook``, ``hook_kind``, ``exit`` and ``seconds``);
    ``pool.cloned|restricted|filled|dropped``; ``catalog.away`` (it is waited for); or ``cache.away|back`` (of a source: it is
    asked itself meanwhile). Of releases: ``release.rehearsed|voted|decided|settled``, ``golden.copied|migrated``,
    ``wave.ended``, ``wave.unclaimed`` (no worker takes it), ``gate.looked``,
    ``window.awaited``, and of their targets ``prepared``, ``refused``, ``committed``, ``rolled_back`` and ``moved``; of workers
    ``batch.begun|ended`` and ``worker.ready|troubled``. Of errands ``target.begun``; of backups ``backup.photographed|stored``
    (its dump) ``|sealed`` (its manifest) ``|recorded|verified|removed|forgotten|swept``; of a rebuilt catalog
    ``catalog.begun``, ``golden.recorded``, ``stock.recorded`` and of its targets ``unlocked``; ``schedule.begun|ended``; of
    drills ``drill.proved``; of syncs ``sync.read`` (so many tenants) ``|planned|recorded``; of sources of tenants
    ``source.filtered_here`` (its ``conditions`` that the source cannot be asked for, ``operation`` is empty). Each is told
    after the fact, so that a test can kill at every boundary.
    """

    kind: str
    operation: str
    subject: str = ""
    """The tenant, server or file that it is about."""
    details: Mapping[str, Any] = field(default_factory=dict)


Hook = Callable[[Event], None]


class Telemetry:
    """Passes events on. A hook that raises stops the operation: a broken progress bar should not go unnoticed in tests."""

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = hooks

    def emit(self, kind: str, operation: str, subject: str = "", **details: Any) -> None:
        """Tell every hook, in order, on the caller's thread."""
        event = Event(kind=kind, operation=operation, subject=subject, details=details)
        for hook in self._hooks:
            hook(event)
