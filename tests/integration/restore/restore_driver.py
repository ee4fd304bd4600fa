"""Runs one ``manor`` command that dies, or stands still until its input ends, at the first event of a kind."""

from __future__ import annotations

import os
import signal
import sys

from manor import telemetry
from manor.cli.failures import run
from manor.cli.main import cli


def main() -> int:
    """``restore_driver.py EVENT die|wait ARGUMENTS…``"""
    kind, what, *arguments = sys.argv[1:]
    emit, seen = telemetry.Telemetry.emit, []

    def watched(self: telemetry.Telemetry, event: str, operation: str, subject: str = "", **details: object) -> None:
        emit(self, event, operation, subject, **details)
        if event == kind and not seen:
            seen.append(event)
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            print("waiting", flush=True)
            sys.stdin.read()

    telemetry.Telemetry.emit = watched  # type: ignore[method-assign]
    return run(cli, arguments)


if __name__ == "__main__":
    sys.exit(main())
