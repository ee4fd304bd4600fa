"""The journal of releases: who may move what, from which state, and that a loser of a race records nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.records import OperationRecord, TargetRecord
from manor.control.rollout.states import REOPENED, Event, State, states_before, states_with
from manor.errors import ConflictError

Begin = Callable[..., Any]


def _target(number: int, status: str = "pending") -> TargetRecord:
    return TargetRecord(
        tenant=f"acme/standard/{number:03}",
        database=f"acme_{number:03}",
        server="local",
        group="standard",
        template="standard",
        status=status,
        duration_seconds=0.0,
        error=None,
        detail="",
        facts={},
        position=number,
        wave=1,
        cohort=1,
    )


@pytest.fixture
def begin(catalog: Catalog, operation: Callable[..., OperationRecord]) -> Begin:
    """Begins a release of some tenants; returns its token."""

    async def start(identity: str, numbers: Sequence[int] = (1, 2), parent: str = "") -> int:
        record = operation(identity, verb="migrate")
        targets = [_target(number) for number in numbers]
        return await catalog.begin_release(record, lock=f"operation {identity}", plan={}, targets=targets, parent=parent)

    return start


async def _end(catalog: Catalog, identity: str, state: State, *, token: int | None = None) -> None:
    await catalog.end_release(identity, state, {}, states=states_before(state), detail="left", token=token)


async def _statuses(catalog: Catalog, identity: str) -> list[str]:
    return [target.status for target in await catalog.operation_targets(identity)]


async def test_two_releases_of_one_tenant_exclude_each_other(catalog: Catalog, begin: Begin) -> None:
    """The second one is refused whole, and says by name whom it met; two of different tenants run side by side."""
    await begin("one", [1, 2])
    with pytest.raises(
        ConflictError, match=r"held by operation one \(migrate, running, by ann@desk \(77\)\): acme/standard/002"
    ):
        await begin("two", [2, 3])
    assert await catalog.running_releases() == ["one"]
    await begin("three", [3])
    assert sorted(await catalog.running_releases()) == ["one", "three"]
    await _end(catalog, "one", State.ABORTED)
    await begin("four", [2])


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
async def test_a_release_moves_only_as_the_table_says(catalog: Catalog, begin: Begin, state: State) -> None:
    """From every state to every other: what is not in the table is refused, and nothing is recorded."""
    token = await begin("one")
    await _end(catalog, "one", state, token=token)
    for to in (State.PAUSED, State.INTERRUPTED, State.SUCCEEDED, State.FAILED, State.NEEDS_DECISION):
        if to is state:
            await _end(catalog, "one", to, token=token)  # its answer was lost, and it says so again
            continue
        with pytest.raises(ConflictError, match="taken over operation one"):
            await _end(catalog, "one", to, token=token)
        assert await catalog.state_of("one") == state
    resumed = await catalog.take_over("one", actor="bob", states=states_with(Event.RESUME), reopen=REOPENED)
    assert (resumed is not None) is (state in states_with(Event.RESUME))
    assert await catalog.state_of("one") == (State.RUNNING if resumed else state)


async def test_a_runner_that_was_replaced_records_nothing(catalog: Catalog, begin: Begin) -> None:
    """Neither outcomes nor a decision nor an end; and it gets no more targets."""
    old = await begin("one")
    assert await catalog.take_targets("one", old, ["acme/standard/001"]) == {"acme/standard/001"}
    new = await catalog.take_over("one", actor="bob", states=[State.RUNNING], reopen=())
    assert new is not None
    assert new > old
    done = replace(_target(1), status="success")
    with pytest.raises(ConflictError, match="taken over"):
        await catalog.record_moves("one", [done], token=old)
    with pytest.raises(ConflictError, match="taken over"):
        await _end(catalog, "one", State.SUCCEEDED, token=old)
    assert await catalog.decide("one", old, "commit") is None
    assert await catalog.take_targets("one", old, ["acme/standard/002"]) == frozenset()
    await catalog.give_back_targets("one", old, ["acme/standard/001"])
    assert await _statuses(catalog, "one") == ["in_progress", "pending"]
    await catalog.record_moves("one", [done], token=new)
    assert await _statuses(catalog, "one") == ["success", "pending"]


async def test_a_decision_is_made_once(catalog: Catalog, begin: Begin) -> None:
    """Said again it is the same one; turned round it is refused; whoever asked for an abort before was in time."""
    token = await begin("one")
    at = await catalog.decide("one", token, "commit", heads=[("r.yaml", "standard", "001")])
    assert at is not None
    assert await catalog.decide("one", token, "commit") is not None
    assert await catalog.decide("one", token, "rollback") is None
    assert not await catalog.want("one", "abort")
    assert await catalog.heads() == {("r.yaml", "standard"): "001"}
    token = await begin("two", [3])
    assert await catalog.want("two", "abort")
    assert await catalog.decide("two", token, "commit") is None
    assert await catalog.decide("two", token, "rollback") is not None


async def test_every_target_ends_by_name(catalog: Catalog, begin: Begin) -> None:
    """What was not begun is not started, with the reason; who needs a decision stays held until somebody decides."""
    token = await begin("one", [1, 2, 3])
    await catalog.take_targets("one", token, ["acme/standard/001", "acme/standard/002"])
    open_ended = replace(_target(1), status="needs_decision", error={"code": "interrupted", "message": "?", "hint": ""})
    await catalog.record_moves("one", [open_ended], token=token)
    await _end(catalog, "one", State.NEEDS_DECISION, token=token)
    targets = await catalog.operation_targets("one")
    assert [(t.status, t.detail) for t in targets] == [("needs_decision", ""), ("not_started", "left"), ("not_started", "left")]
    assert [claim.tenant for claim in await catalog.claims([t.tenant for t in targets])] == ["acme/standard/001"]


async def test_no_target_is_taken_once_too_many_failed(catalog: Catalog, begin: Begin) -> None:
    """The count and the claim are one statement, so that no worker is a moment late."""
    token = await begin("one", [1, 2, 3])
    await catalog.take_targets("one", token, ["acme/standard/001"], max_failures=0)
    await catalog.record_moves("one", [replace(_target(1), status="error")], token=token)
    assert await catalog.take_targets("one", token, ["acme/standard/002"], max_failures=0) == frozenset()
    assert await catalog.take_targets("one", token, ["acme/standard/002"], max_failures=1) == {"acme/standard/002"}


async def test_who_does_it_again_takes_over_the_undecided(catalog: Catalog, begin: Begin) -> None:
    """Only from the operation that it names, and only once that has ended."""
    token = await begin("one")
    with pytest.raises(ConflictError, match="held by operation one"):
        await begin("again", [1], parent="one")
    await catalog.take_targets("one", token, ["acme/standard/001"])
    await catalog.record_moves("one", [replace(_target(1), status="needs_decision")], token=token)
    await _end(catalog, "one", State.NEEDS_DECISION, token=token)
    with pytest.raises(ConflictError, match="held by operation one"):
        await begin("stranger", [1], parent="two")
    await begin("again", [1], parent="one")
    assert [claim.operation for claim in await catalog.claims(["acme/standard/001"])] == ["again"]
