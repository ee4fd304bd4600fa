"""Searches for what should be gone: marker bytes in files, in streams, in WAL with its page headers taken out.

A search finds bytes as they lie there. What is compressed or encrypted must be opened by whoever asks (dumps: ``pg_restore``;
compressed page images: ``pg_waldump``). Values that PostgreSQL itself compressed (TOAST) are found by their neighbours only.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHUNK_BYTES = 1 << 20
SHORTEST = 6
"""Bytes of the shortest text worth searching for: anything shorter is found everywhere."""
_WAL_PAGE = 8192
_WAL_LONG, _WAL_SHORT = 40, 24
_LONG_HEADER = 0x0002
_SEGMENT = re.compile(r"[0-9A-F]{24}(\.partial)?")


class Where(enum.StrEnum):
    """The kinds of place that are searched."""

    DATA = "data"
    """Files of a server, WAL and logs aside."""
    LOG = "log"
    WAL = "wal"
    WAL_ARCHIVE = "wal_archive"
    BASE_BACKUP = "base_backup"
    DUMP = "dump"
    STORAGE = "storage"
    CATALOG = "catalog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One text that is searched for."""

    text: str = field(repr=False)
    label: str
    """How results call it: the text itself may be personal data."""
    is_name: bool = False
    """A name of Manor's own (database, role, tenant id), which journal and audit log keep on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What was found in one place."""

    kind: Where
    where: str
    label: str
    is_name: bool
    count: int

    def to_json(self) -> dict[str, object]:
        """For a certificate."""
        return {"kind": str(self.kind), "where": self.where, "term": self.label, "count": self.count}


class Finder:
    """Counts occurrences of terms in streams. A name counts only where it does not go on: ``t_1`` is not in ``t_10``."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)

    def count(self, chunks: Iterable[bytes]) -> dict[int, int]:
        """By position of the term, how often it is in one stream; terms that are not in it are left out."""
        counter = _Counter(self.terms)
        for chunk in chunks:
            counter.feed(chunk)
        return counter.finish()

    async def count_stream(self, chunks: AsyncIterator[bytes]) -> dict[int, int]:
        """The same of an asynchronous stream."""
        counter = _Counter(self.terms)
        async for chunk in chunks:
            counter.feed(chunk)
        return counter.finish()

    def hits(self, kind: Where, where: str, found: Mapping[int, int]) -> list[Hit]:
        """Counts as hits of one place."""
        return [
            Hit(kind=kind, where=where, label=self.terms[n].label, is_name=self.terms[n].is_name, count=count)
            for n, count in sorted(found.items())
        ]


class _Counter:
    """Counts over the edges of chunks: the end of each is looked at again with the next."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = [(term.text.encode(), term.is_name) for term in terms]
        # One byte more than a cut term has: it says whether a name goes on.
        self._keep = max((len(text) for text, _ in self._terms), default=0)
        self._rest = b""
        self._found: dict[int, int] = {}

    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk
        edge = max(0, len(data) - self._keep)
        self._count(data, edge)
        self._rest = data[edge:]

    def finish(self) -> dict[int, int]:
        self._count(self._rest, len(self._rest))
        return self._found

    def _count(self, data: bytes, edge: int) -> None:
        """Occurrences that begin before ``edge``; those behind it are counted with the next chunk."""
        for number, (text, is_name) in enumerate(self._terms):
            count = sum(1 for at in _places(data, text, edge) if not (is_name and _goes_on(data, at + len(text))))
            if count:
                self._found[number] = self._found.get(number, 0) + count


def _places(data: bytes, text: bytes, edge: int) -> Iterator[int]:
    at = data.find(text)
    while 0 <= at < edge:
        yield at
        at = data.find(text, at + 1)


def _goes_on(data: bytes, end: int) -> bool:
    following = data[end : end + 1]
    return following.isalnum() or following in (b"_", b"-")


def useful(terms: Iterable[Term], others: Iterable[str]) -> tuple[list[Term], list[str]]:
    """The terms that prove something, and the labels of those that do not: too short, or part of what ``others`` are called."""
    good: dict[str, Term] = {}
    left: list[str] = []
    known = "\n".join(others)
    for term in terms:
        if len(term.text.encode()) < SHORTEST or (not term.is_name and term.text in known):
            left.append(term.label)
        else:
            good.setdefault(term.text, term)
    return list(good.values()), left


def scan_data_folder(folder: Path, finder: Finder, *, shown_as: str) -> list[Hit]:
    """Search a server's data folder: its files, its WAL (also with page headers taken out, so that no record is cut), its logs.
    Files that vanish meanwhile are passed over. Blocks."""
    found: dict[tuple[Where, str], dict[int, int]] = {}
    for path in _files(folder):
        relative = path.relative_to(folder)
        kind = _kind(relative)
        counts = _count_file(path, finder, kind)
        for number, count in counts.items():
            place = f"{shown_as}: {_place(relative, kind, finder.terms[number])}"
            into = found.setdefault((kind, place), {})
            into[number] = into.get(number, 0) + count
    return [hit for (kind, place), counts in sorted(found.items()) for hit in finder.hits(kind, place, counts)]


def scan_files(folder: Path, finder: Finder, kind: Where, *, shown_as: str) -> list[Hit]:
    """Search all files below a folder, WAL segments as such; one place per file. Blocks."""
    hits = []
    for path in _files(folder):
        counts = _count_file(path, finder, Where.WAL if _SEGMENT.fullmatch(path.name) else kind)
        hits += finder.hits(kind, f"{shown_as}/{path.relative_to(folder)}", counts)
    return hits


def scan_path(path: Path, finder: Finder, kind: Where) -> list[Hit]:
    """Search a file, or all files below a folder; what goes meanwhile is not missed. Blocks."""
    if path.is_dir():
        return scan_files(path, finder, kind, shown_as=str(path))
    return finder.hits(kind, str(path), _count_file(path, finder, kind))


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, followlinks=True):  # pg_wal and tablespaces may be links
        for name in sorted(names):
            yield Path(parent, name)


def _kind(relative: Path) -> Where:
    if relative.parts[0] == "pg_wal":
        return Where.WAL
    return Where.LOG if relative.parts[0] == "log" or relative.suffix == ".log" else Where.DATA


def _place(relative: Path, kind: Where, term: Term) -> str:
    """WAL is one place, and names are told by database: nobody needs to know in which of its files they are."""
    if kind is Where.WAL:
        return "pg_wal"
    return str(relative.parent if term.is_name else relative)


def _count_file(path: Path, finder: Finder, kind: Where) -> dict[int, int]:
    try:
        counts = finder.count(_chunks(path))
        if kind is Where.WAL and _SEGMENT.fullmatch(path.name):
            for number, count in finder.count(wal_records(path)).items():
                counts[number] = max(count, counts.get(number, 0))
    except OSError:  # gone meanwhile, or a socket
        return {}
    return counts


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def wal_records(path: Path) -> Iterator[bytes]:
    """A WAL segment without its page headers: a record that goes over pages is in one piece (``xlog_internal.h``)."""
    with path.open("rb") as file:
        while page := file.read(_WAL_PAGE):
            info = int.from_bytes(page[2:4], "little")
            yield page[_WAL_LONG if info & _LONG_HEADER else _WAL_SHORT :]
