"""What is written down about one backup: beside its dump, last, and in plain. A backup without a manifest does not exist.

The manifest proves itself by a digest over all of it, and its dump by two: of the file as it is stored, and of the plain dump
inside. Its JSON has one spelling, so that whoever has it can check it with a few lines. Pure.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.dumps import DumpForm, Photograph
from manor.errors import Code, ManorError, UnsupportedError

__all__ = ["FORMAT", "KINDS", "DumpFile", "Manifest", "Photograph"]

FORMAT = 1
KINDS = ("logical", "final_export", "before_change", "bundle", "catalog")
_LONGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpFile:
    """The dump of a backup."""

    key: str
    """Where it is in the storage, relative to the manifest: a file name."""
    bytes: int
    """As it is stored."""
    sha256: str
    """Hex, of the file as it is stored."""
    plain_sha256: str
    """Hex, of the dump before it was encrypted; the same as ``sha256`` where it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One backup. Holds no secrets and no rows; names of tables, row counts and settings are readable without a key."""

    id: str
    kind: str
    """One of ``KINDS``."""
    tenant: str
    group: str
    template: str
    database: str
    server: str
    form: DumpForm
    photograph: Photograph
    dump: DumpFile
    role: str = ""
    """The tenant's role when it was made."""
    name: str = ""
    """The tenant's display name."""
    golden: str = ""
    isolation: tuple[IsolatedColumn, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    encrypted: str = ""
    """The recipient that the dump is encrypted for; empty: it is not."""
    made_by: str = ""
    made_at: dt.datetime
    operation: str = ""
    manor_version: str = ""
    installation: str = ""
    """The catalog that it belongs to; empty: it was made before manifests said so."""

    def is_of(self, installation: str) -> bool:
        """Whether it is that installation's to count, prune and erase; one that does not say whose it is is everybody's."""
        return self.installation in ("", installation)

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the canonical JSON of everything else."""
        return hashlib.sha256(canonical(self._content())).hexdigest()

    def to_json(self) -> bytes:
        """The file: one line per field, the digest last."""
        document = self._content()
        document["digest"] = hashlib.sha256(canonical(document)).hexdigest()
        lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in document.items()]
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()

    @classmethod
    def from_json(cls, content: bytes, *, named: str = "the manifest") -> Self:
        """What ``to_json`` wrote. ``named``: how errors call it.

        Raises ``ManorError`` (``corrupt``) for what is altered or incomplete, ``UnsupportedError`` for a newer format.
        """
        document = _document(content, named)
        stated = document.pop("digest", None)
        try:
            if stated != hashlib.sha256(canonical(document)).hexdigest():
                raise _corrupt(named, "its digest does not match: it was altered or cut")
            return cls(**_arguments(document))
        except (KeyError, TypeError, ValueError) as error:
            raise _corrupt(named, f"it is incomplete ({type(error).__name__}: {error})") from error

    def _content(self) -> dict[str, Any]:
        document: dict[str, Any] = {"format": FORMAT, **_fields(self)}
        if not self.installation:  # as it was written, so that its digest stays
            del document["installation"]
        photograph = _fields(self.photograph)
        photograph["taken_at"] = self.photograph.taken_at.isoformat()
        photograph["rows"] = dict(sorted(self.photograph.rows.items()))
        return document | {
            "form": str(self.form),
            "photograph": photograph,
            "dump": _fields(self.dump),
            "isolation": [_fields(column) for column in self.isolation],
            "made_at": self.made_at.isoformat(),
        }


def _fields(record: Any) -> dict[str, Any]:
    """A dataclass's own fields; ``asdict`` would copy all that is in them, which takes ten times as long."""
    return {name: getattr(record, name) for name in record.__slots__}


def canonical(document: Any) -> bytes:
    """The one spelling of a JSON document that digests are taken of: keys sorted, no spaces, UTF-8."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _document(content: bytes, named: str) -> dict[str, Any]:
    if len(content) > _LONGEST:
        raise _corrupt(named, "it is too long")
    try:
        document = json.loads(str(content, "utf-8"))  # bytes would be read with lone surrogates, which UTF-8 has not
    except (ValueError, RecursionError) as error:
        raise _corrupt(named, "it is not JSON: it was altered or cut") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise _corrupt(named, "it says no format")
    if document["format"] > FORMAT:
        raise UnsupportedError(
            f"{named} has format {document['format']}, this Manor reads up to {FORMAT}", hint="use the Manor that wrote it"
        )
    return document


def _arguments(document: Mapping[str, Any]) -> dict[str, Any]:
    document = {"installation": "", **document}
    arguments = {f.name: document[f.name] for f in fields(Manifest)}
    if arguments["kind"] not in KINDS:
        raise ValueError(f"there is no kind {arguments['kind']!r}")
    photograph = dict(arguments["photograph"])
    photograph["taken_at"] = _moment(photograph["taken_at"])
    photograph["history"] = tuple((v, c, n) for v, c, n in photograph["history"])
    return arguments | {
        "form": DumpForm(arguments["form"]),
        "photograph": Photograph(**photograph),
        "dump": DumpFile(**arguments["dump"]),
        "isolation": tuple(IsolatedColumn(**column) for column in arguments["isolation"]),
        "made_at": _moment(arguments["made_at"]),
    }


def _moment(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return found.astimezone(dt.UTC)


def _corrupt(named: str, why: str) -> ManorError:
    hint = "restore another backup; `manor backup verify` reads all of them"
    return ManorError(f"{named} cannot be trusted: {why}", hint=hint, code=Code.CORRUPT)
