"""The files that make a data directory of a base backup into a side instance. Pure: text out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manor.control.engines.bases import ServerShape
from manor.control.engines.sides import Replay

_MEMORY = {"shared_buffers": "128MB", "maintenance_work_mem": "64MB", "huge_pages": "off"}
# Nothing on it has to survive, and nobody else may be told of it.
_THROWAWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "archive_mode": "off",
    "autovacuum": "off",
    "jit": "off",
    "max_logical_replication_workers": "0",  # subscriptions of the tenant would fetch what is the live database's
    "max_wal_size": "64GB",
    "checkpoint_timeout": "1d",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "shared_preload_libraries": "",
}
_LOGGING = {
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_messages": "info",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}
_LIMIT = re.compile(r"^(max_\w+) setting:\s+(\d+)$", re.MULTILINE)
# A missing file is not the same as an unreadable one, which the exit code 126 turns into a stop.
_RESTORE = 'if test -e "../archive/%f"; then cp "../archive/%f" "%p" || exit 126; else exit 1; fi'


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the machine decides."""

    socket_directory: str
    cluster_name: str


def render_settings(shape: ServerShape, replay: Replay, around: Surroundings) -> str:
    """The text of ``postgresql.conf``."""
    values = {
        **_MEMORY,
        **_THROWAWAY,
        **_LOGGING,
        **_newer(shape.major),
        **{name: str(value) for name, value in shape.limits.items()},
        **_recovery(replay),
        "cluster_name": around.cluster_name,
        "unix_socket_directories": f'"{around.socket_directory}"',
    }
    return "".join(f"{name} = '{_quoted(value)}'\n" for name, value in values.items())


def _newer(major: int) -> Mapping[str, str]:
    return {"event_triggers": "off"} if major >= 17 else {}


def _recovery(replay: Replay) -> dict[str, str]:
    return {
        # Nobody enters before the moment is reached. With hot standby on, a setting that the primary raised after the base
        # backup would pause the replay for ever.
        "hot_standby": "off",
        "restore_command": replay.restore_command or _RESTORE,
        replay.setting: replay.value,
        "recovery_target_inclusive": "on",
        "recovery_target_action": "promote",
        "recovery_target_timeline": str(replay.timeline),
        # Pages of the databases that are left out are not there. Those of the tenant are, or the log of this server says so.
        "ignore_invalid_pages": "off" if replay.whole else "on",
    }


def raised_limits(limits: Mapping[str, int], control: str) -> dict[str, int]:
    """The limits, at least as high as those in what pg_controldata says. A limit that it does not know stays."""
    # It says xact where the settings say transaction.
    found = {name.replace("xact", "transaction"): int(value) for name, value in _LIMIT.findall(control)}
    return {name: max(value, found.get(name, value)) for name, value in limits.items()}


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


ACCESS = "local all all peer map=side\n"
"""The text of ``pg_hba.conf``."""


def render_identities(system_users: Iterable[str], superuser: str) -> str:
    """The text of ``pg_ident.conf``: these users of the operating system are the superuser."""
    return "".join(f'side "{_doubled(name)}" "{_doubled(superuser)}"\n' for name in sorted(set(system_users)))


def _doubled(name: str) -> str:
    return name.replace('"', '""')
