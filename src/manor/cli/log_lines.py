"""What happens as lines of a log on standard error, from the level on that ``multi_tenant.monitoring.log_level`` says."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping

from manor.telemetry import Event, Hook

LEVELS: Mapping[str, int] = {
    "catalog.away": logging.WARNING,
    "operation.interrupted": logging.WARNING,
    "source.disagreed": logging.WARNING,
    "wave.unclaimed": logging.WARNING,
    "worker.troubled": logging.WARNING,
    "audit.": logging.INFO,
    "batch.": logging.INFO,
    "operation.": logging.INFO,
    "schedule.": logging.INFO,
    "source.": logging.INFO,
    "wave.": logging.INFO,
    "window.": logging.INFO,
    "worker.": logging.INFO,
}
"""By the beginning of an event's kind; the longest one counts, and every step of every target is ``DEBUG``."""


def level_of(kind: str) -> int:
    """How much an event matters."""
    begun = max((begin for begin in LEVELS if kind.startswith(begin)), key=len, default="")
    return LEVELS.get(begun, logging.DEBUG)


def log_hook(level: str) -> Hook:
    """A hook that writes events of ``level`` and above. Nothing of other libraries gets into this log."""
    logger = logging.Logger("manor", level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)

    def write(event: Event) -> None:
        if logger.isEnabledFor(level_of(event.kind)):
            details = json.dumps(event.details, default=str, ensure_ascii=False) if event.details else ""
            words = (event.kind, event.operation, event.subject, details)
            logger.log(level_of(event.kind), "%s", " ".join(word for word in words if word))

    return write
