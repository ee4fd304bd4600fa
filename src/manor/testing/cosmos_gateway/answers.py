"""What the gateway can say, apart from success."""

from __future__ import annotations

from typing import Any

Json = Any


class Answer(Exception):
    """An answer that ends a request: ``status``, and ``sub`` for the header of the sub-status."""

    def __init__(self, status: int, message: str, *, sub: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.sub = sub


class NotKnown(Answer):
    """The gateway does not do this."""

    def __init__(self, what: str) -> None:
        super().__init__(501, f"this gateway does not know {what}")


def bad(message: str) -> Answer:
    """400."""
    return Answer(400, message)


def not_found(what: str) -> Answer:
    """404 for the thing itself."""
    return Answer(404, f"{what} does not exist")


def owner_missing(what: str) -> Answer:
    """404 for what should hold it."""
    return Answer(404, f"{what} does not exist", sub=1003)


def conflict(what: str) -> Answer:
    """409."""
    return Answer(409, f"{what} exists already")


def changed() -> Answer:
    """412."""
    return Answer(412, "the precondition does not hold")
