"""Where a message of PostgreSQL's protocol ends and what it says. Pure: bytes in, packets out, the bytes unchanged.

Follows "Frontend/Backend Protocol, Message Formats" of the PostgreSQL manual. What does not look like it, such as TLS,
becomes packets of type ``encrypted`` in whatever pieces it arrives.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ENCRYPTED = "encrypted"
STARTUP = "startup"
_LENGTH = 4
_HEADER = 1 + _LENGTH
_LEAST_FIRST = 8
_FIRST = {80877102: "cancel_request", 80877103: "ssl_request", 80877104: "gssenc_request"}
_ANSWERS = b"SNG"
_YES = b"SG"


class Direction(enum.StrEnum):
    """Which way a message goes."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One message as it is on the wire."""

    type: str
    data: bytes
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What the recorder keeps of a packet.

    ``type`` is the letter of the protocol, or for what has none ``startup``, ``ssl_request``, ``gssenc_request``,
    ``cancel_request``, ``encryption_answer``. ``text`` is the SQL of Query and Parse and of what refers to it (Bind,
    Describe, Execute, Close), the tag of CommandComplete, the status of ReadyForQuery (``I``, ``T`` or ``E``), SQLSTATE and
    message of an error or a notice; else empty.
    """

    connection: int
    """Counts from 1, in the order in which connections were accepted."""
    database: str
    """Empty until the startup message, and for a cancel request."""
    application: str
    """``application_name`` of the startup message."""
    direction: Direction
    type: str
    text: str


class Session:
    """What both directions of one connection must know to read it."""

    def __init__(self) -> None:
        self.database = ""
        self.application = ""
        self._started = False
        self._encrypted = False
        self._answer_due = False
        self._statements: dict[str, str] = {}
        self._portals: dict[str, str] = {}

    def client_size(self, buffer: bytearray) -> int | None:
        """Bytes of the client's next message; None where too little of it is here."""
        if not self._encrypted and not self._started:
            if buffer[0] != 0:
                self._encrypted = True  # a startup message is shorter than 16 MB; this is TLS without asking first
            elif len(buffer) >= _LENGTH:
                return self._checked(0, buffer, least=_LEAST_FIRST)
        return len(buffer) if self._encrypted else self._headed_size(buffer, self._started)

    def server_size(self, buffer: bytearray) -> int | None:
        """Bytes of the server's next message; None where too little of it is here."""
        if self._encrypted:
            return len(buffer)
        if self._answer_due and buffer[0] in _ANSWERS:
            return 1
        return self._headed_size(buffer, True)

    def client_packet(self, data: bytes) -> Packet:
        """Read a whole message of the client."""
        if self._encrypted:
            return Packet(type=ENCRYPTED, data=data)
        if not self._started:
            return Packet(type=self._begin(data), data=data)
        letter = chr(data[0])
        return Packet(type=letter, data=data, text=self._client_text(letter, data[_HEADER:]))

    def server_packet(self, data: bytes) -> Packet:
        """Read a whole message of the server."""
        if self._encrypted:
            return Packet(type=ENCRYPTED, data=data)
        if self._answer_due:
            self._answer_due = False
            if len(data) == 1:
                self._encrypted = data in _YES
                return Packet(type="encryption_answer", data=data, text=data.decode())
        letter = chr(data[0])
        return Packet(type=letter, data=data, text=_server_text(letter, data[_HEADER:]))

    def _headed_size(self, buffer: bytearray, whole: bool) -> int | None:
        return self._checked(1, buffer, least=_LENGTH) if whole and len(buffer) >= _HEADER else None

    def _checked(self, start: int, buffer: bytearray, *, least: int) -> int:
        length = int.from_bytes(buffer[start : start + _LENGTH])
        if length < least:
            self._encrypted = True  # whatever it is, it is not for us to judge
            return len(buffer)
        return start + length

    def _begin(self, data: bytes) -> str:
        known = _FIRST.get(int.from_bytes(data[4:8]))
        if known is None:
            self._start(data[8:])
            return STARTUP
        self._answer_due = known != "cancel_request"
        return known

    def _start(self, body: bytes) -> None:
        words = [_text(word) for word in body.split(b"\0")]
        parameters = dict(zip(words[::2], words[1::2], strict=False))
        self._started = True
        self.database = parameters.get("database", parameters.get("user", ""))
        self.application = parameters.get("application_name", "")

    def _client_text(self, letter: str, body: bytes) -> str:
        first, second = _strings(body)
        match letter:
            case "Q":
                return first
            case "P":
                self._statements[first] = second
                return second
            case "B":
                self._portals[first] = self._statements.get(second, "")
                return self._portals[first]
            case "D" | "C":
                known = self._statements if first[:1] == "S" else self._portals
                return (known.get if letter == "D" else known.pop)(first[1:], "")
            case "E":
                return self._portals.get(first, "")
        return ""


def _server_text(letter: str, body: bytes) -> str:
    if letter in ("C", "Z"):
        return _strings(body)[0]
    if letter in ("E", "N"):
        fields = {field[:1]: _text(field[1:]) for field in body.split(b"\0")}
        return f"{fields.get(b'C', '')} {fields.get(b'M', '')}"
    return ""


def _strings(body: bytes) -> tuple[str, str]:
    """The first two strings of a message; what is not there is empty."""
    first, _, rest = body.partition(b"\0")
    return _text(first), _text(rest.partition(b"\0")[0])


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


class Framer:
    """Cuts one direction's bytes into packets, in whatever pieces they come."""

    def __init__(self, size: Callable[[bytearray], int | None], read: Callable[[bytes], Packet]) -> None:
        self._size, self._read = size, read
        self._buffer = bytearray()

    @classmethod
    def of(cls, session: Session, direction: Direction) -> Framer:
        """The framer of one direction of a session."""
        if direction is Direction.TO_SERVER:
            return cls(session.client_size, session.client_packet)
        return cls(session.server_size, session.server_packet)

    @property
    def rest(self) -> bytes:
        """The beginning of a message whose end has not come."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The messages that are whole with ``data``. Lazy: what one message changes is known when the next one is read."""
        self._buffer += data
        while self._buffer and (size := self._size(self._buffer)) is not None and size <= len(self._buffer):
            packet = self._read(bytes(self._buffer[:size]))
            del self._buffer[:size]
            yield packet
