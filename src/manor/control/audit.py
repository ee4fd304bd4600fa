"""The audit log: append-only, chained, and anchored outside the database.

The catalog refuses UPDATE, DELETE and TRUNCATE and chains entries by HMAC with a key that it does not hold (see
``catalog.chain``). That finds changes by anybody without the key. Against somebody who has both the key and the table there are
anchors: after every operation the head (sequence and MAC) is written to a file outside the database,
``<project>/.manor/audit.anchor``, and from there wherever ``ship`` sends it. Keep a copy where the administrators of the
database cannot write: an object store with retention, a log collector, another team's machine. What was anchored there can no
longer be rewritten unseen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.chain import Anchor, ChainCheck, Head, SealedEntry, genesis
from manor.control.catalog.line_file import LineFile
from manor.control.catalog.records import AuditEntry, AuditEvent
from manor.errors import CatalogError, Place

__all__ = ["Anchor", "AnchorFile", "AuditEntry", "AuditEvent", "AuditLog", "AuditVerdict", "anchor_head", "verify"]

_PAGE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """What ``verify`` found. ``anchored_through``: the highest sequence that an anchor vouches for."""

    ok: bool
    entries: int
    problems: tuple[str, ...]
    anchored_through: int
    breaks: tuple[str, ...] = ()
    """Entries that are lost and of which the log itself says so: the catalog was rebuilt, or restored from a backup. They are
    no contradiction, but nobody can say any more what they held."""


class AnchorFile:
    """Heads of the log as JSON lines in a ``LineFile``; several catalogs may share it."""

    def __init__(self, path: Path, *, ship: Callable[[str], None] | None = None) -> None:
        """``ship`` is called with each line (JSON, no newline) once it is safe here, to send a copy elsewhere; what it raises
        reaches the caller, the line stays."""
        self.path = path
        self._file = LineFile(path)
        self._ship = ship

    def read(self, catalog: str) -> Iterator[Anchor]:
        """Anchors of one catalog, ascending, streamed. Raises ``CatalogError`` with a place for a line that is none, and for a
        file that cannot be read."""
        newest = 0
        with self._reading():
            for number, line in enumerate(self._file.lines(), start=1):
                anchor = self._parse(line, number)
                if anchor.catalog != catalog:
                    continue
                if anchor.sequence < newest:
                    raise CatalogError("the anchors are not in order", place=Place(str(self.path), number, 1))
                newest = anchor.sequence
                yield anchor

    def last(self, catalog: str) -> Anchor | None:
        """The newest anchor of one catalog, read from the file's end. Raises like ``read``."""
        with self._reading(), contextlib.closing(self._file.backwards()) as lines:
            found = (self._parse(line, 0) for line in lines)
            return next((anchor for anchor in found if anchor.catalog == catalog), None)

    def append(self, anchor: Anchor) -> None:
        """Write one anchor and wait until it is on disk; nothing is written where a newer one of its catalog is there.

        Raises ``CatalogError`` where the file cannot be written.
        """
        values = {
            "catalog": anchor.catalog,
            "sequence": anchor.sequence,
            "mac": anchor.mac,
            "at": anchor.at.astimezone(dt.UTC).isoformat(),
            "operation": anchor.operation,
        }
        line = json.dumps(values, separators=(",", ":"))
        try:
            with self._file.locked() as handle:
                newest = self.last(anchor.catalog)
                if newest is not None and newest.sequence >= anchor.sequence:
                    return
                self._file.append(handle, line)
        except OSError as error:
            raise CatalogError(f"cannot write the anchor {self.path}: {error.strerror}") from error
        if self._ship is not None:
            self._ship(line)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CatalogError(
                f"the anchors cannot be read: {error.strerror}",
                place=Place(str(self.path)),
                hint="make it a file that the account running manor can read, or restore it from its copy",
            ) from error

    def _parse(self, line: bytes, number: int) -> Anchor:
        try:
            values = json.loads(line)
            return Anchor(
                catalog=str(values["catalog"]),
                sequence=int(values["sequence"]),
                mac=str(values["mac"]),
                at=dt.datetime.fromisoformat(values["at"]),
                operation=str(values.get("operation", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            place = Place(str(self.path), number, 1 if number else 0)
            raise CatalogError("this line is not an anchor", place=place, hint="restore the file from its copy") from error


class AuditLog:
    """The audit log of one catalog together with its anchors: what ``manor audit`` and every operation use."""

    def __init__(self, catalog: Catalog, anchors: AnchorFile) -> None:
        self._catalog = catalog
        self._anchors = anchors

    async def append(self, operation_id: str, events: Sequence[AuditEvent]) -> None:
        """Append entries in a transaction of their own; ``Catalog.record_results`` appends together with results."""
        await self._catalog.append_audit(operation_id, events)

    async def anchor(self, operation_id: str = "") -> Anchor:
        """Anchor the head; every operation ends with it. Raises like ``anchor_head``."""
        return await anchor_head(self._catalog, self._anchors, operation_id=operation_id)

    async def verify(self) -> AuditVerdict:
        """See ``verify``."""
        return await verify(self._catalog, self._anchors)

    async def list(
        self, limit: int = 100, subject: str | None = None, since: dt.datetime | None = None
    ) -> tuple[AuditEntry, ...]:
        """The newest entries, newest first; ``since`` is an aware time."""
        return tuple(await self._catalog.audit_entries(limit=limit, subject=subject, since=since))


async def verify(catalog: Catalog, anchors: AnchorFile | None) -> AuditVerdict:
    """Check the whole log, entry by entry in bounded memory, against its chain, its head and its anchors.

    Finds an edited, inserted or deleted entry, a cut tail, a rewrite without the key, and up to the last anchor a rewrite with
    it. Without anchors (None) only chain and head are checked.
    """
    check = ChainCheck(
        start=(0, genesis(catalog.id)), key_of=catalog.audit_key, anchors=anchors.read(catalog.id) if anchors else ()
    )
    check.finish(await _feed(catalog, check))
    if anchors and check.sequence and not check.anchors and not check.problems:
        check.report(f"no anchor in {anchors.path} vouches for catalog {catalog.id}: the next operation here writes one")
    problems = check.problems
    return AuditVerdict(
        ok=not problems,
        entries=check.entries,
        problems=problems,
        anchored_through=check.anchored_through,
        breaks=tuple(check.breaks),
    )


async def declare_break(catalog: Catalog, anchors: AnchorFile, event: AuditEvent, *, operation_id: str = "") -> Anchor:
    """Let the log of a catalog that came back (rebuilt, or from a backup) go on from the last anchor, with an entry that says
    what is lost in between; that entry is anchored at once."""
    await catalog.append_break(operation_id, event, anchors.last(catalog.id))
    return await anchor_break(catalog, anchors, operation_id=operation_id)


async def anchor_break(catalog: Catalog, anchors: AnchorFile, *, operation_id: str = "") -> Anchor:
    """Anchor the head of a log whose newest entry is such a one: ``anchor_head`` would miss what is lost before it."""
    head = await catalog.audit_head()
    anchor = Anchor(catalog=catalog.id, sequence=head.sequence, mac=head.mac, at=head.at, operation=operation_id)
    anchors.append(anchor)
    return anchor


async def anchor_head(catalog: Catalog, anchors: AnchorFile, *, operation_id: str = "") -> Anchor:
    """Anchor the current head once it is known to extend the last anchor; returns the anchor that stands then.

    Checks only the entries since the last anchor, those of an operation that died before it could anchor included. Raises
    ``CatalogError`` where they do not hang together, and anchors nothing then.
    """
    last = anchors.last(catalog.id)
    after = last.sequence if last else 0
    check = ChainCheck(start=(after, last.mac if last and after else genesis(catalog.id)), key_of=catalog.audit_key)
    entries, head = await catalog.audit_page(after=max(0, after - 1), limit=_PAGE)
    if last is not None and after:
        anchored = entries.pop(0) if entries else None
        if anchored is None or (anchored.sequence, anchored.mac) != (after, last.mac):
            check.report(f"entry {after} is not the one that was anchored at {last.at:%Y-%m-%d %H:%M:%S} UTC")
    head = await _feed(catalog, check, entries, head)
    check.finish(head)
    if check.problems or head is None:
        raise CatalogError(f"the audit log was tampered with: {check.problems[0]}", hint="manor audit verify shows everything")
    anchor = Anchor(catalog=catalog.id, sequence=head.sequence, mac=head.mac, at=head.at, operation=operation_id)
    if last is None or head.sequence > after:
        anchors.append(anchor)
    return anchor


async def _feed(
    catalog: Catalog, check: ChainCheck, entries: Sequence[SealedEntry] | None = None, head: Head | None = None
) -> Head | None:
    """Feed all entries from where ``check`` stands, page by page; returns the head as of the last page."""
    while True:
        if entries is None:
            entries, head = await catalog.audit_page(after=check.sequence, limit=_PAGE)
        for entry in entries:
            check.feed(entry)
        if len(entries) < _PAGE - 1:
            return head
        entries = None
