"""Who was erased, beside the catalog: a rebuilt or restored one must not let a deploy make an erased tenant again.

One JSON line per erasure that began and one per erasure that ended, appended and fsynced, in the project's
``.manor/erased.tombstones``; several catalogs may share it. The tenant's id is all that it says of a tenant.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manor.control.catalog.line_file import LineFile
from manor.errors import CatalogError, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """One erasure, as far as it came."""

    catalog: str
    """Id of the catalog."""
    tenant: str
    state: str
    """``erasing`` or ``erased``."""
    at: dt.datetime
    operation: str


class TombstoneFile:
    """The file; there need not be one yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = LineFile(path)

    def append(self, tombstone: Tombstone) -> None:
        """Write one line and wait until it is on disk. Safe to repeat. Raises ``CatalogError`` where it cannot be written."""
        values = {
            "catalog": tombstone.catalog,
            "tenant": tombstone.tenant,
            "state": tombstone.state,
            "at": tombstone.at.astimezone(dt.UTC).isoformat(),
            "operation": tombstone.operation,
        }
        try:
            with self._file.locked() as handle:
                self._file.append(handle, json.dumps(values, separators=(",", ":")))
        except OSError as error:
            raise CatalogError(
                f"tenant {tombstone.tenant}: cannot write the tombstone {self.path}: {error.strerror}",
                hint="make room, or let the account running manor write there; then run the command again",
            ) from error

    def of(self, catalog: str) -> dict[str, Tombstone]:
        """By tenant, how far the newest line of one catalog says that its erasure came; ``erased`` is final.

        Raises ``CatalogError`` with a place for a line that is none, and for a file that cannot be read.
        """
        found: dict[str, Tombstone] = {}
        for tombstone in self._read():
            known = found.get(tombstone.tenant)
            if tombstone.catalog == catalog and (known is None or known.state != "erased"):
                found[tombstone.tenant] = tombstone
        return found

    def _read(self) -> Iterator[Tombstone]:
        try:
            for number, line in enumerate(self._file.lines(), start=1):
                yield self._parse(line, number)
        except OSError as error:
            hint = "make it a file that the account running manor can read, or restore it from its copy"
            message = f"the tombstones cannot be read: {error.strerror}"
            raise CatalogError(message, place=Place(str(self.path)), hint=hint) from error

    def _parse(self, line: bytes, number: int) -> Tombstone:
        try:
            values = json.loads(line)
            return Tombstone(
                catalog=str(values["catalog"]),
                tenant=str(values["tenant"]),
                state=str(values["state"]),
                at=dt.datetime.fromisoformat(values["at"]),
                operation=str(values["operation"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            place = Place(str(self.path), number, 1)
            raise CatalogError("this line is not a tombstone", place=place, hint="restore the file from its copy") from error
