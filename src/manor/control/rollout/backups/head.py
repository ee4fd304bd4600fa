"""Which release a loaded database is at, and what is to become of that before a tenant gets it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from manor.control.catalog.records import DatabaseRecord, Lineage
from manor.control.engines.dumps import Photograph
from manor.control.migrate.cohort import Cohort, History, StepPlan
from manor.control.migrate.model import head_of_versions
from manor.control.migrate.plan import history_of
from manor.errors import RefusedError


class Heads(enum.StrEnum):
    """What to do where a restored database is at another release than its tenant."""

    REFUSE = "refuse"
    MIGRATE = "migrate"
    """Bring it to the tenant's release before the tenant gets it."""
    KEEP = "keep"
    """Leave it there; the next release takes it along."""


def head_of(found: Photograph) -> str:
    """The newest migration that a database has seen; empty where it has seen none."""
    return head_of_versions(row[0] for row in found.history)


def is_same_history(found: History, known: History) -> bool:
    """Whether a database has seen just those migrations, in whatever order; rows of other tools have no checksum."""
    checksums = {version: checksum for version, checksum, _ in known}
    versions = {version for version, _, _ in found}
    return versions == checksums.keys() and all(c in ("", checksums[v]) for v, c, _ in found)


def refuse_other_head(record: DatabaseRecord, golden: str, version: str, heads: Heads) -> None:
    """Raise ``RefusedError`` where what is to be restored is at another release than the tenant and nobody said what to do."""
    if golden == record.golden or heads is not Heads.REFUSE:
        return
    at, now = version or "no version", record.version or "no version"
    told = f"is at {at}, {record.tenant} at {now}" if at != now else f"is of an earlier schema of the same version ({now})"
    raise RefusedError(
        f"what is to be restored {told}",
        hint="--migrate brings it to the tenant's release before it is switched to, --keep-head leaves it where it is",
    )


def changed_by_hand(version: str) -> RefusedError:
    """The error for what is at a release, and has another schema or history than that."""
    return RefusedError(
        f"somebody had changed its schema by hand: it is not the one of {version or 'its template'}",
        hint="--keep-head restores it as it is; `manor tenant show TENANT --drift` tells the differences then",
    )


def way_to_head(record: DatabaseRecord, golden: str, found: Photograph, lineages: Mapping[str, Lineage]) -> Cohort:
    """What brings a loaded database to the tenant's release: the migrations that the tenant has had since.

    Raises ``RefusedError`` where no migrations lead there: another template, or one that was taken back since.
    """
    base, history = history_of(record, lineages)
    lineage = lineages.get(golden)
    base_then = lineage.base if lineage is not None else golden
    before = tuple(history[: len(found.history)])
    if base_then != base or not is_same_history(found.history, before):
        at, now = head_of(found) or "no version", record.version or "no version"
        raise RefusedError(
            f"no migrations lead from {at}, where the backup is, to {now}, where {record.tenant} is: its template was changed, "
            "or a migration taken back, since",
            hint="--keep-head restores it as it is; `manor tenant migrate` says what it needs then",
        )
    steps = tuple(StepPlan(version=v, checksum=c, name=n, kind="up") for v, c, n in history[len(before) :])
    return Cohort(
        number=0,
        source=record.source,
        template=record.template,
        server=record.server,
        base=base,
        golden_from=golden,
        before=before,
        steps=steps,
        fingerprint=record.fingerprint,
    )


def kept_head(
    record: DatabaseRecord, golden: str, found: Photograph, lineages: Mapping[str, Lineage], fingerprint: str
) -> DatabaseRecord:
    """The tenant's record at the release of a loaded database. ``fingerprint``: of the golden with that digest.

    Raises ``RefusedError`` where the catalog does not know that golden: no release could go on from there.
    """
    lineage = lineages.get(golden)
    if not golden or not is_same_history(found.history, lineage.history if lineage is not None else ()):
        raise RefusedError(
            f"this catalog does not know the release of what is to be restored ({head_of(found) or 'no version'})",
            hint="a later release could not go on from it; restore it into a fleet that has had that release",
        )
    return replace(record, version=head_of(found), golden=golden, fingerprint=fingerprint)


def head_json(record: DatabaseRecord) -> dict[str, Any]:
    """A record's release, for the marks of what it replaces."""
    return {"version": record.version, "golden": record.golden, "fingerprint": record.fingerprint}
