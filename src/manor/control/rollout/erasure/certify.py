"""The end of an erasure: the search, and the certificate, signed and written down."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from manor import __version__
from manor.control.backup.certificate import Erased, ScanResult, certificate
from manor.control.backup.scan import Finder, Hit
from manor.control.catalog.certificates import SIGNATURE
from manor.control.catalog.records import AuditEvent, DatabaseRecord, ErasureRecord
from manor.control.rollout.erasure.graves import engrave
from manor.control.rollout.erasure.places import Surroundings
from manor.control.rollout.erasure.remains import of_others, remaining
from manor.control.rollout.erasure.search import Search, terms_of
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime


async def searched(
    runtime: Runtime,
    record: DatabaseRecord,
    around: Surroundings,
    steps: Mapping[str, Mapping[str, Any]],
    others: Sequence[DatabaseRecord],
    asked: Sequence[str],
) -> ScanResult:
    """What is found of a tenant now. ``asked``: texts beyond its names and values; ``others``: all other tenants."""
    terms, left_out = terms_of(record, asked, others)
    objects = tuple(steps.get("objects", {}).get("objects", ()))
    search = Search(runtime=runtime, around=around, finder=Finder(terms), objects=objects)
    result = await search.run(str(record.tenant), left_out=left_out)
    runtime.telemetry.emit("erase.searched", runtime.operation, str(record.tenant))
    return result


def unsearched(runtime: Runtime) -> ScanResult:
    """Where nobody wanted a search."""
    return ScanResult(at=runtime.now(), terms=(), searched=(), unsearched=("nothing was searched: --no-search",))


async def certify(
    runtime: Runtime,
    record: DatabaseRecord,
    found: ErasureRecord,
    steps: Mapping[str, Mapping[str, Any]],
    scan: ScanResult,
    *,
    keep_days: int,
    stanza: str = "",
) -> tuple[dict[str, Any], list[Hit]]:
    """Sign it and write it down: from then on nothing else is known of the tenant. Returns the certificate, and what was found
    in places that it does not name."""
    tenant, now = str(record.tenant), runtime.now()
    export = {key: value for key, value in steps.get("exported", {}).items() if key != "at"} or None
    rest = await remaining(runtime, record, export, keep_days=keep_days, stanza=stanza)
    rest += of_others(steps.get("backups", {}).get("foreign", ()))
    document = certificate(
        tenant=tenant,
        database={"name": record.database, "server": record.server},
        installation=runtime.catalog.id,
        operation=runtime.operation,
        actor=found.actor,
        reason=found.reason,
        begun_at=found.begun_at,
        erased_at=now,
        erased=_erased(steps),
        remaining=rest,
        scan=scan,
        final_export=export,
        manor_version=__version__,
    )
    signed = runtime.catalog.signer.sign(document)
    text = json.dumps(signed, ensure_ascii=False, indent=2)
    details = {"certificate": signed[SIGNATURE]["value"], "key": signed[SIGNATURE]["fingerprint"]}
    event = AuditEvent(actor=runtime.actor, action="tenant.erased", subject=tenant, details=details)
    finish = functools.partial(runtime.catalog.finish_erasure, tenant, text, now, operation_id=runtime.operation, audit=[event])
    engrave(runtime, tenant, "erased")  # before: the catalog alone must not be the one that knows
    await until_recorded(runtime, finish)
    runtime.telemetry.emit("erase.certified", runtime.operation, tenant)
    return signed, scan.unexplained(rest)


def _erased(steps: Mapping[str, Mapping[str, Any]]) -> list[Erased]:
    """What the steps say, as lines of the certificate."""
    at = {name: str(facts.get("at", "")) for name, facts in steps.items()}
    lines = [
        Erased(kind="database", where=f"server {server}: {name}", at=at["databases"])
        for server, name in steps.get("databases", {}).get("databases", ())
    ]
    role = steps.get("role", {})
    if role.get("server"):
        lines.append(Erased(kind="role", where=f"server {role['server']}: {role['role']}", at=at["role"]))
    for location, number in steps.get("objects", {}).get("objects", {}).items():
        lines.append(Erased(kind="objects", where=location, at=at["objects"], facts={"objects": number}))
    backups = steps.get("backups", {})
    for location in backups.get("locations", ()):
        lines.append(Erased(kind="backups", where=location, at=at["backups"], facts={"backups": backups["backups"]}))
    keys = steps.get("keys", {}).get("keys", ())
    if keys:
        lines.append(Erased(kind="keys", where="catalog", at=at["keys"], facts={"recipients": list(keys)}))
    what = {"what": "connection URL, display name, variables, settings", **_note(steps)}
    return [*lines, Erased(kind="entries", where="catalog", at=at.get("entries", ""), facts=what)]


def _note(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    note = steps.get("entries", {}).get("note")
    return {"note": str(note)} if note else {}
