"""Whether the embedded server archives its WAL where the settings leave that open: while there are base backups.

A file in the project's ``.manor`` says so, so that it outlives commands and restarts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.embedded.failures import translated
from manor.control.engines.embedded.server import EmbeddedServer

_MARK = "archiving"


def is_on(state: Path) -> bool:
    """Whether it was switched on. ``state``: the project's ``.manor``."""
    return (state / _MARK).exists()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSwitch:
    """The switch of one project."""

    state: Path
    forced: bool | None
    """What the settings say; None: nothing."""
    server: Callable[[], EmbeddedServer]
    """The server with the settings as they are after switching."""

    def turn(self, *, on: bool) -> None:
        """Switch it durably, and tell the running server. Raises ``EngineError``."""
        if self.forced is None and on != is_on(self.state):
            with translated("switching archiving", self.state):
                self._write(on=on)
        self.server().start()

    def _write(self, *, on: bool) -> None:
        if on:
            (self.state / _MARK).touch(mode=0o600)
        else:
            (self.state / _MARK).unlink()
        descriptor = os.open(self.state, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
