"""``manor doctor``: what a deploy needs, looked at before it is needed. It changes no database and no catalog; an embedded
server is started for it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manor.control.catalog.catalog import Catalog
from manor.control.engines.driver import ServerDriver, ServerFacts, StrayFolder
from manor.control.operations.rights import missing_rights, rights_hint
from manor.control.operations.survey import look
from manor.control.provision.plan import ServerLook
from manor.control.rollout.recover import leftovers
from manor.errors import ManorError

BYTES_PER_DATABASE = 9_000_000
FILES_PER_DATABASE = 320
"""Of a small tenant, measured (facts/postgres): a forecast, not a promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """One thing that was looked at. ``verdict``: ``ok``, ``warning`` or ``problem``."""

    server: str
    subject: str
    verdict: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """For ``--format json``."""
        return {
            "server": self.server,
            "subject": self.subject,
            "verdict": self.verdict,
            "message": self.message,
            "hint": self.hint,
        }


async def examine(
    servers: Iterable[ServerDriver], catalog: Catalog | ManorError | None, *, declared: Mapping[str, str], parallel: int
) -> list[Examination]:
    """Every server in turn. ``catalog``: None where there is none yet, or why it cannot be read; ``declared``: tenant ids
    that a deploy would look at, with their server; ``parallel``: its connections."""
    found: list[Examination] = []
    catalog_id, pooled, deployed = "", set[str](), set[str]()
    if isinstance(catalog, ManorError):
        found.append(_finding("", "catalog", "problem", str(catalog), catalog.hint))
    elif catalog is not None:
        catalog_id, pooled = catalog.id, {warm.database for warm in await catalog.pool_list()}
        deployed = {str(record.tenant) for record in await catalog.databases(state="ready")}
    planned = Counter(server for tenant, server in declared.items() if tenant not in deployed)
    for server in servers:
        try:
            facts, seen, strays = await server.facts(), await look(server), await server.stray_folders()
        except ManorError as error:
            found.append(_problem(server, "connection", str(error), error.hint))
            continue
        found += _rights(server, facts)
        found += _connections(server, facts, parallel)
        found += _disk(server, facts, planned[server.name])
        found += _cleanliness(server, seen, catalog_id, pooled)
        found += stray_files(server.name, strays)
    return found


def stray_files(server: str, strays: Sequence[StrayFolder] | None) -> list[Examination]:
    """One warning per folder that no database refers to, with its size."""
    if strays is None:
        return []
    found = [
        _finding(
            server,
            "files",
            "warning",
            f"{stray.path}: {stray.bytes / 1e6:.1f} MB that no database refers to, left by a crash of the server",
            "after a backup, stop the server and remove the folder from its data directory",
        )
        for stray in strays
    ]
    return found or [_finding(server, "files", "ok", "every folder belongs to a database")]


def _finding(server: str, subject: str, verdict: str, message: str, hint: str = "") -> Examination:
    return Examination(server=server, subject=subject, verdict=verdict, message=message, hint=hint)


def _ok(server: ServerDriver, subject: str, message: str) -> Examination:
    return _finding(server.name, subject, "ok", message)


def _warning(server: ServerDriver, subject: str, message: str, hint: str = "") -> Examination:
    return _finding(server.name, subject, "warning", message, hint)


def _problem(server: ServerDriver, subject: str, message: str, hint: str = "") -> Examination:
    return _finding(server.name, subject, "problem", message, hint)


def _rights(server: ServerDriver, facts: ServerFacts) -> list[Examination]:
    found = [_ok(server, "version", f"{facts.engine} {facts.version}")]
    missing = missing_rights(facts)
    if missing:
        message = f"{facts.user} lacks {' and '.join(missing)}"
        found.append(_problem(server, "privileges", message, rights_hint(facts)))
    else:
        kind = "superuser" if facts.superuser else "CREATEDB and CREATEROLE"
        found.append(_ok(server, "privileges", f"{facts.user}: {kind}"))
    if facts.pooler:
        found.append(
            _problem(server, "pooler", f"{facts.pooler} is in the way", "use the server's own address for the deployment")
        )
    if facts.max_prepared_transactions == 0:
        hint = "set max_prepared_transactions to the number of tenants of one release, and restart"
        found.append(_warning(server, "two-phase commit", "max_prepared_transactions is 0: no atomic releases", hint))
    return found


def _connections(server: ServerDriver, facts: ServerFacts, parallel: int) -> list[Examination]:
    free = facts.max_connections - facts.used_connections
    message = f"{facts.used_connections} of {facts.max_connections} connections in use"
    if free < parallel + 2:
        hint = f"lower max_parallel (now {parallel}) or raise max_connections"
        return [_problem(server, "connections", message, hint)]
    return [_ok(server, "connections", message)]


def _disk(server: ServerDriver, facts: ServerFacts, planned: int) -> list[Examination]:
    if facts.data_directory is None:
        return [_warning(server, "disk", "the server's disk cannot be seen with this login")]
    try:
        disk = os.statvfs(facts.data_directory)
    except OSError:
        return [_warning(server, "disk", "the server's disk is on another machine")]
    free_bytes, free_files = disk.f_bavail * disk.f_frsize, disk.f_favail
    need_bytes, need_files = planned * BYTES_PER_DATABASE, planned * FILES_PER_DATABASE
    message = (
        f"{free_bytes / 1e9:.1f} GB and {free_files:,} files free; {planned} databases need about {need_bytes / 1e9:.1f} GB"
    )
    # Some file systems make inodes as they go and report none free.
    if need_bytes > free_bytes or (disk.f_files and need_files > free_files):
        return [_problem(server, "disk", f"{message} and {need_files:,} files", "free space, or deploy fewer with --limit")]
    return [_ok(server, "disk", message)]


def _cleanliness(server: ServerDriver, seen: ServerLook, catalog: str, pooled: set[str]) -> list[Examination]:
    left = leftovers(seen.databases, catalog, pooled)
    broken = sorted(d.name for d in seen.databases.values() if d.broken)
    found = []
    if left:
        found.append(_warning(server, "leftovers", f"unfinished databases: {', '.join(left)}", "the next deploy drops them"))
    if broken:
        found.append(_problem(server, "broken", f"half-dropped databases: {', '.join(broken)}", "DROP DATABASE them again"))
    return found or [_ok(server, "leftovers", "none")]
