"""Syncs or provisions one project in a process that kills itself, as ``kill -9`` does, at the n-th event of a kind or after a
time. Run as a program by the kill tests."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from manor.telemetry import Event, Hook

sys.path.insert(0, str(Path(__file__).parent))

from conftest import Site, tenant


def die() -> None:
    """SIGKILL to this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def killer(kind: str) -> Hook:
    """Dies at the first event of ``kind``."""

    def look(event: Event) -> None:
        if event.kind == kind:
            die()

    return look


def main() -> None:
    """The clock of ``--after-ms`` starts when the sync is planned."""
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("verb", choices=("sync", "provision"))
    parser.add_argument("--tenants", type=int, default=3)
    parser.add_argument("--tier", default="standard")
    parser.add_argument("--at", default="")
    parser.add_argument("--after-ms", type=float, default=0)
    options = parser.parse_args()
    site = Site(project=options.project)

    def clock(event: Event) -> None:
        if options.after_ms and event.kind == "sync.planned":
            timer = threading.Timer(options.after_ms / 1000, die)
            timer.daemon = True
            timer.start()

    hooks = (killer(options.at), clock)
    if options.verb == "provision":
        site.provision("tenant_id LIKE 't%'", *hooks)
        return
    tenants = [tenant(number, tier=options.tier) for number in range(options.tenants)]
    site.sync(tenants, hooks=hooks)


if __name__ == "__main__":
    main()
