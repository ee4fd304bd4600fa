"""One exception tree for the whole project.

Every error has a code (what kind), a message (what happened), and where known a place (file:line:column) and a hint (what
to do next). Vendors' exceptions are translated in one place per driver; edges map codes to exit codes and HTTP statuses by
the tables here. A message never contains a password: whoever builds it redacts first.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Code(enum.StrEnum):
    """The kinds of failure that a caller can tell apart; stable, part of the JSON contract."""

    BAD_INPUT = "bad_input"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    DENIED = "denied"
    EXHAUSTED = "exhausted"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    DRIFT = "drift"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"


EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3
EXIT_UNREACHABLE = 4
EXIT_INTERRUPTED = 130

EXIT_CODES: dict[Code, int] = {
    Code.BAD_INPUT: EXIT_BAD_INPUT,
    Code.NOT_FOUND: EXIT_BAD_INPUT,
    Code.UNSUPPORTED: EXIT_BAD_INPUT,
    Code.CONFLICT: EXIT_REFUSED,
    Code.REFUSED: EXIT_REFUSED,
    Code.UNREACHABLE: EXIT_UNREACHABLE,
    Code.DENIED: EXIT_UNREACHABLE,
    Code.EXHAUSTED: EXIT_SOME_FAILED,
    Code.TIMEOUT: EXIT_SOME_FAILED,
    Code.DRIFT: EXIT_SOME_FAILED,
    Code.CORRUPT: EXIT_SOME_FAILED,
    Code.INTERNAL: EXIT_SOME_FAILED,
    Code.INTERRUPTED: EXIT_INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something is; line and column count from 1, 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


def counted(number: int, noun: str) -> str:
    """``1 tenant``, ``2 tenants``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class ManorError(Exception):
    """The root of every error that Manor raises on purpose."""

    code: Code = Code.INTERNAL

    def __init__(
        self, message: str, *, hint: str = "", place: Place | None = None, code: Code | None = None, transient: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place
        self.transient = transient
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class InputError(ManorError):
    """What the user wrote cannot be used."""

    code = Code.BAD_INPUT


class NotFoundError(ManorError):
    """A named thing does not exist."""

    code = Code.NOT_FOUND


class ConflictError(ManorError):
    """Somebody else owns the name or holds the lock."""

    code = Code.CONFLICT


class RefusedError(ManorError):
    """Doing this would be unsafe; the hint names the explicit word that allows it, if there is one."""

    code = Code.REFUSED


class UnreachableError(ManorError):
    """A server does not answer. Transient unless told otherwise."""

    code = Code.UNREACHABLE


class UnsupportedError(ManorError):
    """The thing is understood, but this engine, server or version cannot do it."""

    code = Code.UNSUPPORTED


class EngineError(ManorError):
    """A database server refused or failed; ``code`` and ``transient`` say what kind."""


class CatalogError(ManorError):
    """The control-plane database is not as it must be."""

    code = Code.CORRUPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that ``validate`` has to say about one place."""

    message: str
    place: Place
    hint: str = ""
    severity: str = "error"
    """``error`` stops a deploy; ``notice`` is said and passed over."""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {self.message}{hint}"


class InvalidInput(InputError):
    """Several findings at once; ``str`` is the first one and the number of the others."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        first = self.findings[0]
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        super().__init__(f"{first.message}{more}", hint=first.hint, place=first.place)
