"""The manifest of a base backup: what it is of and what it is made of. Pure; written last, so that a base without one does not
exist."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from manor.control.backup.recover import Base
from manor.control.backup.tar_split import FIRST_ORDINARY_OID, SYSTEM
from manor.control.engines.bases import ServerShape
from manor.control.engines.driver import Marker
from manor.errors import CatalogError

FORMAT = 2
MANIFEST = "manifest.json"
_LAID_OUT_KINDS = frozenset({"golden", "warm", "building"})
_SYSTEM_NAMES = frozenset({"postgres", "template0", "template1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a base backup."""

    key: str
    bytes: int
    """As stored, compressed."""
    sha256: str
    """Of the stored bytes, hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseDatabase:
    """One database of the server, as it was around the backup."""

    oid: int
    name: str
    marker: Marker | None = None

    @property
    def always(self) -> bool:
        """Whether every recovery needs its files: copies of goldens may be in the log, and warm ones become tenants."""
        if self.oid < FIRST_ORDINARY_OID or self.name in _SYSTEM_NAMES:
            return True
        return self.marker is not None and self.marker.kind in _LAID_OUT_KINDS

    def belongs_to(self, tenant: str) -> bool:
        """Whether it is (or was, or is being made) a database of that tenant."""
        return self.marker is not None and self.marker.tenant == tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseManifest:
    """One base backup."""

    id: str
    server: str
    shape: ServerShape
    timeline: int
    start_lsn: int
    stop_lsn: int
    start_wal: str
    """The first segment that recovery reads."""
    started_at: dt.datetime
    stopped_at: dt.datetime
    """By the server's clock."""
    databases: tuple[BaseDatabase, ...]
    members: Mapping[str, Member]
    """By piece: ``system`` or the database's OID."""
    parent: str = ""
    """The base backup that this one is an increment of; empty: it is a full one."""
    file_list: Member | None = None
    """PostgreSQL's own manifest: the list of the files from which an increment goes on. None: before PostgreSQL 17."""
    made_by: str = ""
    operation: str = ""
    format: int = field(default=FORMAT)

    @property
    def bytes(self) -> int:
        """Of all members, as stored."""
        return sum(member.bytes for member in self.members.values()) + (self.file_list.bytes if self.file_list else 0)

    @property
    def base(self) -> Base:
        """What planning a recovery needs of it."""
        return Base(
            id=self.id,
            system=self.shape.system,
            timeline=self.timeline,
            start_lsn=self.start_lsn,
            stop_lsn=self.stop_lsn,
            stopped_at=self.stopped_at,
            segment_bytes=self.shape.segment_bytes,
        )

    def pieces_for(self, tenant: str, also: Iterable[int] = ()) -> tuple[str, ...]:
        """The members that restoring one tenant takes, ``system`` first; ``also``: OIDs that turned out to be needed."""
        wanted = {d.oid for d in self.databases if d.always or d.belongs_to(tenant)} | set(also)
        return (SYSTEM, *(str(oid) for oid in sorted(wanted) if str(oid) in self.members))

    def left_out(self, pieces: Iterable[str]) -> tuple[int, ...]:
        """OIDs of the databases whose files those pieces do not hold."""
        return tuple(sorted(int(piece) for piece in self.members.keys() - set(pieces)))

    def to_json(self) -> str:
        """Canonical text, with a digest over all the rest."""
        document = json.loads(json.dumps(dataclasses.asdict(self), default=_plain))
        return _canonical({**document, "digest": _digest(document)})

    @classmethod
    def from_json(cls, text: str, *, place: str) -> Self:
        """Read it; ``place`` says where it was found. Raises ``CatalogError`` (corrupt) for what is altered, incomplete or of a
        newer format."""
        try:
            document = json.loads(text)
            digest = document.pop("digest")
            if document["format"] > FORMAT:
                hint = "use the Manor that made it, or a newer one"
                raise CatalogError(
                    f"{place}: the manifest has format {document['format']}, this Manor reads {FORMAT}", hint=hint
                )
            if digest != _digest(document):
                raise CatalogError(f"{place}: the manifest was altered", hint="restore it, or use another base backup")
            return cls(**_typed(document))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CatalogError(
                f"{place}: the manifest is not whole ({type(error).__name__})", hint="use another base backup"
            ) from error


def _typed(document: dict[str, Any]) -> dict[str, Any]:
    return {
        **document,
        "shape": ServerShape(**document["shape"]),
        "started_at": dt.datetime.fromisoformat(document["started_at"]),
        "stopped_at": dt.datetime.fromisoformat(document["stopped_at"]),
        "databases": tuple(
            BaseDatabase(**{**d, "marker": Marker(**d["marker"]) if d["marker"] else None}) for d in document["databases"]
        ),
        "members": {piece: Member(**member) for piece, member in document["members"].items()},
        "file_list": Member(**document["file_list"]) if document.get("file_list") else None,
    }


def _plain(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(document).encode()).hexdigest()
