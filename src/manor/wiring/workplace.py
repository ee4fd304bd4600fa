"""Where a command works: one environment of one project, its keys, and the files that Manor keeps beside it."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from manor.settings import Environment, Project
from manor.telemetry import Telemetry

if TYPE_CHECKING:
    from manor.control.audit import AnchorFile
    from manor.control.catalog.secrets import KeyRing, SecretBox
    from manor.control.catalog.tombstones import TombstoneFile

STATE_FOLDER = ".manor"
ANCHOR_FILE = "audit.anchor"
TOMBSTONE_FILE = "erased.tombstones"


def new_operation_id(now: dt.datetime) -> str:
    """Sorts by time; short enough for PostgreSQL's application_name."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def current_actor() -> str:
    """Who runs this: user, host and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without an account, as containers have
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """One environment of one project, and how this command wants to be run."""

    project: Project
    environment: Environment
    telemetry: Telemetry
    sessions: int = 20
    """Most connections per server."""
    engine: str | None = None
    """Of jobs: ``inline`` or ``pgqueuer``; None: as the environment says."""

    @property
    def state(self) -> Path:
        """The folder of everything that Manor keeps beside the project's own files."""
        return self.project.folder / STATE_FOLDER

    @property
    def anchor(self) -> AnchorFile:
        """Where the heads of the audit log are anchored."""
        from manor.control.audit import AnchorFile

        return AnchorFile(self.state / ANCHOR_FILE)

    @property
    def tombstones(self) -> TombstoneFile:
        """Where it is written who was erased."""
        from manor.control.catalog.tombstones import TombstoneFile

        return TombstoneFile(self.state / TOMBSTONE_FILE)


def open_key_ring(project: Project) -> KeyRing:
    """The keys of the catalog (``MANOR_KEY``, ``MANOR_KEY_FILE``, or the project's own key file, which a new catalog makes)."""
    from manor.control.catalog.secrets import KeyRing

    return KeyRing.load(project.folder, os.environ)


def open_secrets(project: Project) -> SecretBox:
    """The keys, ready to encrypt."""
    from manor.control.catalog.secrets import SecretBox

    return SecretBox(open_key_ring(project))
