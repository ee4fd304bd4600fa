"""Starts a process and tells what it took: wall time and the peak of its resident memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

# A process inherits the peak of the one that started it (on Linux until exec), so a small one must start it.
_LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
output = process.stdout.read().decode()
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(json.dumps([time.perf_counter() - began, process.returncode, usage.ru_maxrss, output]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one process took."""

    seconds: float
    megabytes: float


def launch(command: Sequence[str]) -> tuple[Usage, str]:
    """Run to the end; its usage and what it wrote. Raises ``RuntimeError`` where it fails."""
    done = subprocess.run([sys.executable, "-S", "-c", _LAUNCHER, *command], check=True, stdout=subprocess.PIPE, text=True)
    seconds, status, peak, output = json.loads(done.stdout)
    if status:
        raise RuntimeError(f"{command} ended with {status}: {output[-2000:]}")
    divisor = 1024 * 1024 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kB elsewhere
    return Usage(seconds=seconds, megabytes=peak / divisor), output
