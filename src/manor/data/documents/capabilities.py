"""What a driver can do, as data. A flag is worth something only because the conformance suite proves it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class Capability(enum.StrEnum):
    """What not every backend can do. Everything else in ``manor.testing.documents`` is demanded of all of them."""

    CONSISTENT_READS = "consistent_reads"
    """A consistent read of a table sees every write that was answered before it began."""
    ATOMIC_TRANSACTIONS = "atomic_transactions"
    """Transactions over several partitions and tables of one tenant: all or nothing."""
    IDEMPOTENT_TRANSACTIONS = "idempotent_transactions"
    """A transaction that is sent again with its token is done once."""
    FULL_NUMBER_RANGE = "full_number_range"
    """38 digits anywhere from 1E-130 to 9.99E+125, also as sort keys."""
    ANY_TEXT = "any_text"
    """Strings and keys with any character, U+0000 included."""
    BINARY_KEYS = "binary_keys"
    """Keys of type B."""
    LONG_KEYS = "long_keys"
    """Partition keys of 2048 bytes and sort keys of 1024."""
    LARGE_ITEMS = "large_items"
    """Items of 400 KiB."""
    SECONDARY_INDEXES = "secondary_indexes"
    """Declared indexes, in the order of their sort key, current when a write is answered."""
    EXAMINE_LIMIT = "examine_limit"
    """``examine``: a bound on the items that are read, and their exact number."""
    EXPIRY = "expiry"
    """Expired items are removed by ``expire`` or by the server."""


class Degree(enum.StrEnum):
    """How far."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Support:
    """A degree, and the reason where it is not full."""

    degree: Degree = Degree.FULL
    reason: str = ""


FULL = Support()


def capabilities(**exceptions: Support) -> Mapping[Capability, Support]:
    """Everything in full, but for the exceptions: ``capabilities(expiry=partly("within days"))``."""
    table = dict.fromkeys(Capability, FULL)
    table.update({Capability(name): support for name, support in exceptions.items()})
    return table


def partly(reason: str) -> Support:
    """In part: the suite's cases of the capability run and must pass; the reason says what is beyond them."""
    return Support(Degree.PARTIAL, reason)


def never(reason: str) -> Support:
    """Not at all: the suite's cases are skipped with the reason, and the driver raises ``UnsupportedError``."""
    return Support(Degree.NONE, reason)


def capability_rows(drivers: Iterable[tuple[str, Mapping[Capability, Support]]]) -> list[tuple[str, str, str, str]]:
    """Rows of (capability, driver, degree, reason) for a table to print."""
    return [
        (capability.value, name, table[capability].degree.value, table[capability].reason)
        for capability in Capability
        for name, table in drivers
    ]
