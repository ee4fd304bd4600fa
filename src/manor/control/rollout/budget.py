"""How many failures a release puts up with. Pure.

A budget is a number of tenants, or a share of them as text such as "5%". A share of a small fleet is less than one tenant and
then allows none: nobody who writes 5 % means one of three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

from manor.control.steps import Status

FAILED = frozenset({Status.ERROR, Status.NEEDS_DECISION})
"""Statuses that a budget counts."""


def count_failures(statuses: Iterable[Status]) -> int:
    """How many targets count against the budget."""
    return sum(status in FAILED for status in statuses)


def allowed_failures(total: int, max_failures: int | str | None) -> int | None:
    """The most tenants of ``total`` that may fail; None where there is no budget and every tenant is tried."""
    if max_failures is None or isinstance(max_failures, int):
        return max_failures
    return math.floor(Decimal(max_failures.removesuffix("%")) * total / 100)


def over_budget(failures: int, total: int, max_failures: int | str | None) -> bool:
    """Whether no further tenant may be begun. ``total`` counts all tenants of the release, not only those tried so far."""
    allowed = allowed_failures(total, max_failures)
    return allowed is not None and failures > allowed


def over_error_rate(unhealthy: int, checked: int, max_error_rate: Decimal) -> bool:
    """Whether a health gate closes: more than ``max_error_rate`` percent of the ``checked`` tenants are unhealthy."""
    return unhealthy * 100 > max_error_rate * checked
