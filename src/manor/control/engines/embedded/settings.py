"""Settings of the embedded server and the three files that say them to PostgreSQL. Pure: text in, text out.

``manor.conf`` is included last by ``postgresql.conf``, so what it says wins; it is written anew at every start. Paths in it are
relative to the data directory wherever PostgreSQL allows it, so that a project can be moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from manor.errors import InputError

ADMIN = "manor_admin"
LOG_FOLDER = "pglog"
ARCHIVE_FOLDER = "archive"
_SIZE = re.compile(r"[1-9][0-9]{0,9}(kB|MB|GB)")

# Copy beside, make it durable, then rename: a killed copy never leaves a short file under a segment's name. The same segment
# may be offered again after a crash; it is accepted if the archive has the same bytes, and refused otherwise.
ARCHIVE_COMMAND = (
    'a="../archive/%f"; t="../archive/.%f.part"; if test -e "$a"; then cmp -s "%p" "$a"; '
    'else cp "%p" "$t" && sync "$t" && mv "$t" "$a" && sync "../archive"; fi'
)
# Never an empty command: with archive_mode=on that would keep every WAL segment for ever.
NO_ARCHIVE_COMMAND = "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """What a project can choose about its embedded PostgreSQL. Raises ``InputError`` for a value that cannot be meant.

    Sizes are PostgreSQL's: a whole number and ``kB``, ``MB`` or ``GB``. ``archive``, ``work_memory``, ``maintenance_memory``,
    ``max_wal_size`` and ``autovacuum_naptime_seconds`` take effect by ``start()`` on a running server; the others by its next
    start.
    """

    archive: bool = False
    """Copy every finished WAL segment to ``.manor/archive`` (needed for restoring to a point in time)."""
    shared_buffers: str = "128MB"
    """Shared cache. Touched on use only, so that an idle server stays small."""
    work_memory: str = "8MB"
    """``work_mem``: memory of one sort or hash."""
    maintenance_memory: str = "64MB"
    """``maintenance_work_mem``: memory of one index build or vacuum."""
    max_connections: int = 200
    max_prepared_transactions: int = 200
    """Slots for two-phase commit: the most tenants that one atomic release can hold at once."""
    max_wal_size: str = "4GB"
    """How much WAL may lie between two checkpoints; large, because checkpoints dominate mass provisioning."""
    autovacuum_naptime_seconds: int = 300
    """Pause between two rounds of autovacuum over all databases: 60 (PostgreSQL's own) keeps a laptop with hundreds awake."""
    start_timeout_seconds: float = 60
    stop_timeout_seconds: float = 60

    def __post_init__(self) -> None:
        for name in ("shared_buffers", "work_memory", "maintenance_memory", "max_wal_size"):
            _require(name, getattr(self, name), _SIZE.fullmatch(getattr(self, name)) is not None, "write a size such as 128MB")
        for name, least, most in (
            ("max_connections", 10, 10_000),
            ("max_prepared_transactions", 0, 10_000),
            ("autovacuum_naptime_seconds", 1, 86_400),
            ("start_timeout_seconds", 1, 3_600),
            ("stop_timeout_seconds", 1, 3_600),
        ):
            _require(name, getattr(self, name), least <= getattr(self, name) <= most, f"choose a value from {least} to {most}")


def _require(name: str, value: object, holds: bool, hint: str) -> None:
    if not holds:
        raise InputError(f"embedded PostgreSQL: {name} cannot be {value!r}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the machine decides, beside the user's settings."""

    cluster_name: str
    socket_directory: str
    major: int
    linux: bool
    clones_files: bool
    """The file system shares blocks between copies (Btrfs, XFS), so that cloning a database need not copy it."""


def render_settings(settings: EmbeddedSettings, around: Surroundings) -> str:
    """The text of ``manor.conf``."""
    lines = ["# Written by Manor at every start; changes here are lost. ALTER SYSTEM overrides it.", ""]
    lines += [f"{name} = {_quote(value)}" for name, value in _values(settings, around).items()]
    return "\n".join(lines) + "\n"


def _values(settings: EmbeddedSettings, around: Surroundings) -> dict[str, str]:
    return {
        **_identity(around),
        **_durability(settings, around),
        **_resources(settings, around),
        **_logging(),
    }


def _identity(around: Surroundings) -> dict[str, str]:
    return {
        "cluster_name": around.cluster_name,
        "listen_addresses": "",
        "unix_socket_directories": f'"{around.socket_directory}"',
        "unix_socket_permissions": "0777",  # who gets in is decided by pg_hba.conf
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
    }


def _durability(settings: EmbeddedSettings, around: Surroundings) -> dict[str, str]:
    return {
        "wal_level": "replica",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "max_wal_size": settings.max_wal_size,
        "recovery_init_sync_method": "syncfs" if around.linux else "fsync",  # 0.2 s instead of 10 s with 300 databases
        "archive_mode": "on",  # needs a restart to change, so the command is what is switched
        "archive_command": ARCHIVE_COMMAND if settings.archive else NO_ARCHIVE_COMMAND,
        # What incremental base backups need, from the full one on that they go on from.
        **({"summarize_wal": "on" if settings.archive else "off"} if around.major >= 17 else {}),
    }


def _resources(settings: EmbeddedSettings, around: Surroundings) -> dict[str, str]:
    values = {
        "max_connections": str(settings.max_connections),
        "max_prepared_transactions": str(settings.max_prepared_transactions),
        "shared_buffers": settings.shared_buffers,
        "work_mem": settings.work_memory,
        "maintenance_work_mem": settings.maintenance_memory,
        "huge_pages": "off",  # "try" is killed by SIGBUS in containers whose huge page quota is zero
        "autovacuum_naptime": f"{settings.autovacuum_naptime_seconds}s",
    }
    if around.major >= 18:
        values["file_copy_method"] = "clone" if around.clones_files else "copy"
    return values


def _logging() -> dict[str, str]:
    return {
        "logging_collector": "on",
        "log_destination": "stderr",
        "log_directory": f"../{LOG_FOLDER}",
        "log_filename": "postgresql-%Y%m%d-%H%M%S.log",
        "log_file_mode": "0600",
        "log_rotation_size": "10MB",
        "log_rotation_age": "0",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "log_checkpoints": "off",
        "log_lock_waits": "on",
        "log_min_error_statement": "panic",  # a failed CREATE ROLE … PASSWORD would put the password into the log
        "lc_messages": "C",
    }


def _quote(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


ACCESS = f"""# Written by Manor at every start. The first line that matches decides; who matches none is refused.
local all {ADMIN} peer map=manor
local replication {ADMIN} peer map=manor
local all all scram-sha-256
"""
"""The text of ``pg_hba.conf``."""


def render_identities(system_users: Iterable[str]) -> str:
    """The text of ``pg_ident.conf``: these users of the operating system are the administrator."""
    lines = [f'manor "{name.replace(chr(34), chr(34) * 2)}" {ADMIN}' for name in sorted(set(system_users))]
    return "# Written by Manor at every start.\n" + "\n".join(lines) + "\n"
