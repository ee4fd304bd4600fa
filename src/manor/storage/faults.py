"""The errors of storage, worded once. Drivers see what happened and raise one of these; the object is always named."""

from __future__ import annotations

from manor.errors import Code, ConflictError, ManorError, NotFoundError, UnreachableError


def missing(place: str) -> NotFoundError:
    """There is no such object."""
    return NotFoundError(f"{place} does not exist in storage", hint="look at what is there; it may have been pruned")


def no_container(place: str) -> NotFoundError:
    """The bucket or container itself is not there."""
    return NotFoundError(
        f"the bucket of {place} does not exist", hint="Manor makes no buckets: create it, or correct the location"
    )


def exists(place: str) -> ConflictError:
    """The key is taken, and nobody allowed to overwrite it."""
    return ConflictError(f"{place} is there already", hint="what is stored is not overwritten; use another key")


def in_the_way(place: str) -> ConflictError:
    """A folder stands where a file should, or the other way round."""
    return ConflictError(f"{place} cannot be stored: a key of that name is there, above or below it", hint="use another key")


def denied(place: str, reason: str = "") -> ManorError:
    """Storage answers and does not let us."""
    return ManorError(
        f"storage refuses {place}{_because(reason)}",
        code=Code.DENIED,
        hint="check the rights of the folder, or the credentials: docs/reference/storage.md",
    )


def full(place: str) -> ManorError:
    """No space, or no quota, is left."""
    return ManorError(
        f"{place} could not be written: the disk is full",
        code=Code.EXHAUSTED,
        hint="free space there; nothing was left under the key",
    )


def unreachable(place: str, reason: str = "") -> UnreachableError:
    """No answer, or one that says to come back later."""
    return UnreachableError(
        f"storage does not answer for {place}{_because(reason)}",
        hint="check network and endpoint, then run it again",
        transient=True,
    )


def failed(place: str, reason: str) -> ManorError:
    """Anything else."""
    return ManorError(
        f"storage failed for {place}{_because(reason)}", hint="check the location and the storage server's own log"
    )


def too_large(place: str, limit: int) -> ManorError:
    """An object that should be small is not."""
    return ManorError(
        f"{place} is larger than the {limit} bytes that are read at once",
        code=Code.EXHAUSTED,
        hint="it is not what it should be",
    )


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
