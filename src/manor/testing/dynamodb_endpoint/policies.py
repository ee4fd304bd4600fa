"""Resource policies: kept and versioned as the service does, never enforced: who reaches the endpoint may do everything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from manor.testing.dynamodb_endpoint.definitions import Definition
from manor.testing.dynamodb_endpoint.describing import Place
from manor.testing.dynamodb_endpoint.faults import WireError
from manor.testing.dynamodb_endpoint.store import Definitions
from manor.testing.dynamodb_endpoint.tables import NOT_FOUND

Request = Mapping[str, Any]
Answer = dict[str, Any]


async def put_resource_policy(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Store a policy; the same one again keeps its revision."""
    definition = await definitions.find(request["ResourceArn"], NOT_FOUND)
    there = definition.document.get("Policy")
    _check_revision(definition, there, request.get("ExpectedRevisionId"))
    if there is None or there["Policy"] != request["Policy"]:
        there = {"Policy": request["Policy"], "RevisionId": str(time.time_ns() // 1000)}
        await definitions.save(definition.changed(Policy=there))
    return {"RevisionId": there["RevisionId"]}


async def get_resource_policy(definitions: Definitions, request: Request, place: Place) -> Answer:
    """The policy and its revision."""
    definition = await definitions.find(request["ResourceArn"], NOT_FOUND)
    there = definition.document.get("Policy")
    if there is None:
        raise _not_found(request["ResourceArn"])
    return dict(there)


async def delete_resource_policy(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Forget it."""
    definition = await definitions.find(request["ResourceArn"], NOT_FOUND)
    there = definition.document.get("Policy")
    _check_revision(definition, there, request.get("ExpectedRevisionId"))
    if there is None:
        return {}
    await definitions.save(definition.changed(Policy=None))
    return {"RevisionId": there["RevisionId"]}


def _check_revision(definition: Definition, there: Request | None, expected: str | None) -> None:
    if expected is None:
        return
    if expected == "NO_POLICY":
        if there is not None:
            raise _not_found(
                f"Requested policy update expecting none to be present for table {definition.name}, "
                f"but a policy exists with revision id {there['RevisionId']}."
            )
    elif there is None or there["RevisionId"] != expected:
        found = there["RevisionId"] if there else "none"
        raise _not_found(
            f"Requested update for policy with revision id {expected}, but the policy associated to target table "
            f"{definition.name} has revision id {found}."
        )


def _not_found(what: str) -> WireError:
    return WireError("PolicyNotFoundException", f"Resource-based policy not found for the provided ResourceArn: {what}")
