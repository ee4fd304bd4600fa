"""What pgBackRest says, read: its lists of backups and of files, and its errors. Pure; assumes the JSON of ``info`` and
``repo-ls`` as versions from 2.37 on write it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

from manor.control.engines.repositories import Held, HeldBackup
from manor.control.engines.wal import is_history, read_lsn, timeline_of
from manor.errors import Code, EngineError, ManorError, NotFoundError, UnsupportedError

_SEGMENT = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}(?:\.[a-z0-9]+)?")
_ERROR = re.compile(r"ERROR: \[(\d+)\]: (.+)")
_HINT = re.compile(r"HINT: (.+)")
_FOUND = {0, 2, 4}
"""Status codes of a stanza that is there: fine, without a backup, differing between repositories."""
_MISSING = {1, 3}
_UNKNOWN_VERSION = ("is this version of PostgreSQL supported", "invalid PostgreSQL version")


def read_held(text: str, stanza: str, system: str) -> Held:
    """What ``info`` says of the cluster with that identifier: the backups of the first repository that has any, no log.

    Raises ``NotFoundError`` where there is no such stanza, ``EngineError`` for one that is not in order.
    """
    found = next((entry for entry in json.loads(text) if entry["name"] == stanza), None)
    status = found["status"] if found else {"code": 1, "message": "nothing is known of it"}
    if found is None or status["code"] in _MISSING:
        raise NotFoundError(
            f"pgBackRest has no stanza {stanza} ({status['message']})",
            hint="`pgbackrest info` lists those that are there; settings.backup.pgbackrest names the server's",
        )
    if status["code"] not in _FOUND:
        hint = f"`pgbackrest --stanza={stanza} check` shows more"
        raise EngineError(f"pgBackRest's stanza {stanza} is not in order: {status['message']}", hint=hint)
    clusters = [entry for entry in found["db"] if str(entry["system-id"]) == system]
    if not clusters:
        raise NotFoundError(
            f"pgBackRest's stanza {stanza} is of another cluster, not of the one that this server is",
            hint="settings.backup.pgbackrest names the server's stanza; after an upgrade: pgbackrest stanza-upgrade",
        )
    return _of_cluster(found, clusters)


def _of_cluster(found: Mapping[str, Any], clusters: list[Any]) -> Held:
    entries = [(_place(entry["database"]), entry) for entry in found["backup"]]
    places = {(cluster["repo-key"], cluster["id"]): f"{cluster['version']}-{cluster['id']}" for cluster in clusters}
    place = min([where for where, _ in entries if where in places] or places)
    ours = [entry for where, entry in entries if where == place]
    problems = [
        f"backup {entry['label']} of pgBackRest was taken of a stopped server, or by a version before 2.37"
        for entry in ours
        if not entry.get("lsn")
    ]
    problems += [
        f"backup {entry['label']} of pgBackRest has pages with wrong checksums" for entry in ours if entry.get("error")
    ]
    return Held(
        number=place[0],
        archive=places[place],
        backups=[_backup(entry) for entry in ours if entry.get("lsn")],
        problems=tuple(problems),
    )


def _place(database: Mapping[str, int]) -> tuple[int, int]:
    return database["repo-key"], database["id"]


def _backup(entry: Mapping[str, Any]) -> HeldBackup:
    # Times are whole seconds, rounded down.
    stopped_at = dt.datetime.fromtimestamp(entry["timestamp"]["stop"] + 1, dt.UTC)
    return HeldBackup(
        label=entry["label"],
        timeline=timeline_of(entry["archive"]["start"]),
        start_lsn=read_lsn(entry["lsn"]["start"]),
        stop_lsn=read_lsn(entry["lsn"]["stop"]),
        stopped_at=stopped_at,
    )


def read_tablespaces(text: str) -> tuple[str, ...]:
    """Names of the tablespaces of the one backup that ``info --set`` was asked for."""
    backups = [entry for found in json.loads(text) for entry in found["backup"]]
    return tuple(space["name"] for entry in backups for space in entry["tablespace"] or ())


def read_segments(text: str) -> dict[str, dt.datetime]:
    """When each whole segment was stored, of what ``repo-ls`` says."""
    names = ((_SEGMENT.fullmatch(path.rpartition("/")[2]), entry) for path, entry in json.loads(text).items())
    return {match[1]: dt.datetime.fromtimestamp(entry["time"], dt.UTC) for match, entry in names if match}


def read_histories(text: str) -> list[str]:
    """Names of the histories of timelines, of what ``repo-ls`` says."""
    return [path for path in json.loads(text) if is_history(path)]


def failure(where: str, doing: str, code: int, said: str) -> ManorError:
    """A failure of pgBackRest in our words."""
    text, hint = _told(said) or (f"it ended with code {code}", "")
    if any(words in said for words in _UNKNOWN_VERSION):
        return UnsupportedError(
            f"{where}: the pgBackRest of this machine does not know the server's version ({text})",
            hint="install a newer pgBackRest; or `manor backup base` and no settings.backup.pgbackrest for this server",
        )
    message = f"{where}: pgBackRest failed {doing}: {text}"
    if "Permission denied" in said or "not permitted" in said:
        advice = "the account that runs side instances must be able to read the repository and its configuration"
        return EngineError(message, code=Code.DENIED, hint=advice)
    if "No space left on device" in said:
        return EngineError(message, code=Code.EXHAUSTED, hint="the whole cluster is restored beside: make room for all of it")
    return EngineError(message, code=Code.NOT_FOUND if "missing file" in said else Code.INTERNAL, hint=hint)


def _told(said: str) -> tuple[str, str] | None:
    errors, hints = _ERROR.findall(said), _HINT.findall(said)
    return (f"[{errors[-1][0]}] {errors[-1][1]}", hints[-1] if hints else "") if errors else None
