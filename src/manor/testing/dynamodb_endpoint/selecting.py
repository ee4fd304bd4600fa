"""``Select``, ``Segment`` and what may stand beside them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manor.testing.dynamodb_endpoint.faults import invalid

_SELECTS = ["SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"]
_LARGEST = 1_000_000


def check_select(request: Mapping[str, Any]) -> None:
    """Raise ``WireError`` where the choice contradicts the rest of the request."""
    select = request.get("Select")
    if select is None:
        return
    if select not in _SELECTS:
        raise _one(
            f"Value '{select}' at 'select' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(_SELECTS)}]"
        )
    wanted = next((name for name in ("AttributesToGet", "ProjectionExpression") if request.get(name)), None)
    if select == "SPECIFIC_ATTRIBUTES":
        if not wanted:
            raise _one("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
    elif wanted:
        told = "only the Count" if select == "COUNT" else select
        raise _one(f"Cannot specify the {wanted} when choosing to get {told}")
    if select == "ALL_PROJECTED_ATTRIBUTES" and not request.get("IndexName"):
        raise _one("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")


def _one(problem: str) -> Exception:
    return invalid(f"1 validation error detected: {problem}")


def check_segments(request: Mapping[str, Any]) -> None:
    """Raise ``WireError`` unless both or none are given, and fit."""
    segment, total = request.get("Segment"), request.get("TotalSegments")
    if total is None and segment is not None:
        raise invalid(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present"
        )
    if segment is None and total is not None:
        raise invalid(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present"
        )
    if segment is None or total is None:
        return
    if not 1 <= total <= _LARGEST:
        raise _one(
            f"Value '{total}' at 'totalSegments' failed to satisfy constraint: Member must have value "
            f"{'less than or equal to 1000000' if total > _LARGEST else 'greater than or equal to 1'}"
        )
    if segment >= total:
        raise invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments")
