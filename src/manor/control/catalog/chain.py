"""The audit chain as pure rules: how an entry is sealed, and whether a run of entries hangs together.

``mac = HMAC-SHA256(audit key, previous mac + canonical JSON of the entry)``. The first entry hangs on the catalog's id, so a
chain cannot be moved to another catalog. No I/O: entries come from the catalog, anchors from outside.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manor.control.catalog.records import AuditEntry, AuditEvent
from manor.errors import CatalogError

MAX_PROBLEMS = 100
_PASSWORD_IN_URL = re.compile(r"(://[^\s/:@\"]*:)[^\s/\"]+@")
_SECRET_WORDS = ("password", "passwd", "secret", "token")
REBUILT = "catalog.rebuild"
RESTORED = "catalog.restore"
_BREAKS = {REBUILT: "rebuilt from its servers", RESTORED: "restored from a backup"}
"""Actions of the entries that say so themselves where the log before them is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest entry's sequence and MAC; sequence 0 is the empty log."""

    sequence: int
    mac: str
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A head that was written down outside the database."""

    catalog: str
    sequence: int
    mac: str
    at: dt.datetime
    operation: str = ""


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """One row of the log, ``details`` as the very text that the MAC covers."""

    sequence: int
    at: dt.datetime
    actor: str
    action: str
    subject: str
    operation: str
    details: str
    key_id: str
    mac: str = field(default="", compare=False)

    def expected_mac(self, key: bytes, previous: str) -> str:
        """The MAC that this entry has after an entry whose MAC is ``previous``; hex."""
        values = [
            self.sequence,
            self.at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
            self.actor,
            self.action,
            self.subject,
            self.operation,
            self.details,
            self.key_id,
        ]
        text = f"{previous}\n{json.dumps(values, separators=(',', ':'))}"
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def entry(self) -> AuditEntry:
        """The same for readers."""
        return AuditEntry(
            sequence=self.sequence,
            at=self.at,
            actor=self.actor,
            action=self.action,
            subject=self.subject,
            operation=self.operation,
            details=json.loads(self.details),
            mac=self.mac,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """What an entry says of entries that are lost before it. The log goes on where the last anchor left it."""

    kept_through: int
    """The last entry before the lost ones; 0 where all of them are."""
    sequence: int
    """The last one that was anchored: it is what the entry hangs on."""
    mac: str

    def to_json(self) -> dict[str, Any]:
        """For the entry's details."""
        return {"kept_through": self.kept_through, "continues": self.sequence, "mac": self.mac}

    @classmethod
    def of(cls, entry: SealedEntry) -> Break | None:
        """What ``to_json`` wrote; None where an entry speaks of none, or not as we do."""
        if entry.action not in _BREAKS:
            return None
        try:
            told = json.loads(entry.details)
            return cls(kept_through=int(told["kept_through"]), sequence=int(told["continues"]), mac=str(told["mac"]))
        except (ValueError, KeyError, TypeError):
            return None


def genesis(catalog: str) -> str:
    """What the first entry of a catalog hangs on."""
    return f"catalog:{catalog}"


def seal(
    events: Sequence[AuditEvent], *, operation: str, head: Head, catalog: str, key_id: str, key: bytes
) -> list[SealedEntry]:
    """Entries that follow ``head``, all at its time."""
    previous = head.mac or genesis(catalog)
    entries = []
    for sequence, event in enumerate(events, start=head.sequence + 1):
        texts = (_plain(event.actor), _plain(event.action), _plain(event.subject), _plain(operation), safe_json(event.details))
        draft = SealedEntry(sequence, head.at, *texts, key_id)
        previous = draft.expected_mac(key, previous)
        entries.append(SealedEntry(sequence, head.at, *texts, key_id, previous))
    return entries


def safe_json(value: Any) -> str:
    """JSON that PostgreSQL can hold, with values of secret-sounding keys and passwords inside URLs masked."""
    text = json.dumps(_masked(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return _PASSWORD_IN_URL.sub(r"\1***@", text).encode("utf-8", "replace").decode()


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, Mapping):
        return {str(key): "***" if _sounds_secret(str(key), item) else _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item) for item in value]
    return value


def _sounds_secret(key: str, item: Any) -> bool:
    return isinstance(item, str) and bool(item) and any(word in key.lower() for word in _SECRET_WORDS)


def _plain(text: str) -> str:
    """Text that PostgreSQL can hold: file names may have bytes that are not UTF-8, and a NUL fits nowhere."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


class ChainCheck:
    """Checks entries as they stream by, in bounded memory: at most ``MAX_PROBLEMS`` problems are kept, the rest counted.

    ``start`` is the sequence and MAC that the first entry must follow; ``anchors`` come in ascending sequence.
    """

    def __init__(
        self, *, start: tuple[int, str], key_of: Callable[[str], bytes | None], anchors: Iterable[Anchor] = ()
    ) -> None:
        self._sequence, mac = start
        self._previous: str | None = mac
        self._last_mac = mac if self._sequence else ""
        self._key_of = key_of
        self._anchors = iter(anchors)
        self._problems: list[str] = []
        self.breaks: list[str] = []
        """Losses that entries of the log declare themselves, in words."""
        self._uncounted = 0
        self.entries = 0
        self.anchors = 0
        self.anchored_through = 0
        self._anchor = self._next_anchor()

    @property
    def sequence(self) -> int:
        """Of the last entry that was fed."""
        return self._sequence

    @property
    def problems(self) -> tuple[str, ...]:
        more = (f"and {self._uncounted} more problems",) if self._uncounted else ()
        return (*self._problems, *more)

    def feed(self, entry: SealedEntry) -> None:
        """The next entry by sequence."""
        self.entries += 1
        if not self._crosses_break(entry) and entry.sequence != self._sequence + 1:
            self.report(_span("missing", self._sequence + 1, entry.sequence - 1))
            self._previous = None
        self._check_mac(entry)
        self._check_anchors(entry.sequence, entry.mac)
        self._sequence, self._previous, self._last_mac = entry.sequence, entry.mac, entry.mac

    def finish(self, head: Head | None) -> None:
        """No more entries: compare with the head of the same snapshot, and with the anchors beyond it."""
        if head is None:
            self.report("the head of the log is missing")
        elif head.sequence > self._sequence:
            self.report(f"the log was cut: its head is entry {head.sequence}, it ends with entry {self._sequence}")
        elif (head.sequence, head.mac) != (self._sequence, self._last_mac):
            self.report(f"the head of the log (entry {head.sequence}) is not its last entry ({self._sequence})")
        while self._anchor is not None:
            self._check_beyond(self._anchor)
            self._anchor = self._next_anchor()

    def report(self, problem: str) -> None:
        """Note one more problem."""
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._uncounted += 1

    def _crosses_break(self, entry: SealedEntry) -> bool:
        """Whether an entry declares that what is missing before it is lost, and goes on from there. Whoever has no key cannot
        say so: the entry's MAC is checked like any other's, against what it says that it hangs on."""
        found = Break.of(entry)
        if found is None or found.kept_through != self._sequence or found.sequence != entry.sequence - 1:
            return False
        if found.sequence > self._sequence:
            self._check_anchors(found.sequence, found.mac)
            self._previous = found.mac
        self.breaks.append(f"{self._lost_until(found.sequence)}: entry {entry.sequence} says that {_how(entry)}")
        return True

    def _lost_until(self, sequence: int) -> str:
        if sequence > self._sequence:
            return _span("lost", self._sequence + 1, sequence)
        return f"entries after {sequence} may be lost" if sequence else "all entries before are lost"

    def _check_mac(self, entry: SealedEntry) -> None:
        key = self._key_of(entry.key_id)
        if key is None:
            self.report(f"entry {entry.sequence} is signed with key {entry.key_id!r}, which is not in the key ring")
        elif self._previous is not None and entry.expected_mac(key, self._previous) != entry.mac:
            self.report(f"entry {entry.sequence} was changed: its MAC does not fit it and its predecessor")

    def _check_anchors(self, sequence: int, mac: str) -> None:
        while self._anchor is not None and self._anchor.sequence <= sequence:
            if self._anchor.sequence == sequence and self._anchor.mac != mac:
                self.report(f"entry {sequence} is not the one that was anchored at {self._anchor.at:%Y-%m-%d %H:%M:%S} UTC")
            self.anchored_through = max(self.anchored_through, self._anchor.sequence)
            self._anchor = self._next_anchor()

    def _next_anchor(self) -> Anchor | None:
        try:
            anchor = next(self._anchors, None)
        except CatalogError as error:
            self.report(f"the anchors cannot be used from here on: {error}")
            return None
        self.anchors += anchor is not None
        return anchor

    def _check_beyond(self, anchor: Anchor) -> None:
        if anchor.sequence > self._sequence:
            self.report(
                f"the log was cut: entry {anchor.sequence} was anchored at {anchor.at:%Y-%m-%d %H:%M:%S} UTC, "
                f"the log ends with entry {self._sequence}"
            )


def _how(entry: SealedEntry) -> str:
    return f"the catalog was {_BREAKS[entry.action]} at {entry.at:%Y-%m-%d %H:%M:%S} UTC by {entry.actor}"


def _span(what: str, first: int, last: int) -> str:
    return f"entry {first} is {what}" if first == last else f"entries {first} to {last} are {what}"
