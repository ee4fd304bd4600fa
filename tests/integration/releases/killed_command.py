"""Runs ``manor`` and kills its own process, as ``kill -9`` does, at the n-th event of a kind: KIND N ARGUMENTS…"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def main(kind: str, occurrence: int, arguments: list[str]) -> None:
    """Run the command; the kill comes on the thread that emits, so that nothing after the boundary has begun."""
    from manor import telemetry
    from manor.cli.main import main as manor

    emit, seen = telemetry.Telemetry.emit, 0

    def watched(self: telemetry.Telemetry, event: str, *told: Any, **details: Any) -> None:
        nonlocal seen
        emit(self, event, *told, **details)
        seen += event == kind
        if event == kind and seen == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    telemetry.Telemetry.emit = watched  # type: ignore[method-assign]
    manor(arguments)


def killed(folder: Path, kind: str, occurrence: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``manor`` in ``folder`` until that event; its return code is ``-SIGKILL`` where the event came."""
    command = [sys.executable, __file__, kind, occurrence, *arguments]
    return subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
