"""The ``manor`` command with a Ctrl-C at chosen events: ``stopped_command.py KIND OCCURRENCE TIMES ARGUMENT...``.

The signal comes at the n-th event of a kind, and with TIMES 2 once more at the one after it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from manor.cli import progress
from manor.cli.main import main
from manor.telemetry import Event


class Stopping(progress.Progress):
    """Presses Ctrl-C."""

    kind = ""
    moments: range = range(0)
    seen = 0

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if event.kind == self.kind:
            Stopping.seen += 1
            if Stopping.seen in self.moments:
                os.kill(os.getpid(), signal.SIGINT)


def run(arguments: list[str]) -> Any:
    """The command's own entry, with another progress display."""
    kind, occurrence, times, *rest = arguments
    Stopping.kind, Stopping.moments = kind, range(int(occurrence), int(occurrence) + int(times))
    progress.Progress = Stopping  # type: ignore[misc]
    sys.argv = ["manor", *rest]
    return main()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
