"""What becomes of one target where the answer is not plain: a lost COMMIT, a hook that cannot be run, a long migration."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from manor.control.catalog.records import TargetRecord
from manor.control.engines.releases import Change, Changed, ChangeStep, HistoryRow, ReleaseDriver, UnclearError
from manor.control.rollout.release import move
from manor.control.rollout.release.apart import Undecided
from manor.control.rollout.release.work import Work
from manor.control.steps import Status
from manor.errors import EngineError, Place, UnreachableError

CHANGE = Change(
    operation="op",
    token=1,
    before=(),
    steps=(
        ChangeStep(version="001", checksum="c", text="SELECT 1; SELECT 2; SELECT 3", statements=(Place("a.sql"),) * 3),
        ChangeStep(version="002", checksum="d"),
    ),
    statement_timeout_seconds=200.0,
    fingerprint="f",
)
TARGET = TargetRecord(
    tenant="acme/t/001",
    database="acme_001",
    server="main",
    group="t",
    template="small",
    status="success",
    duration_seconds=1.5,
    error=None,
    detail="none → 001",
    facts={"kept": "old"},
    cohort=1,
)


class Server:
    """A database whose COMMIT is never answered; ``rows``: its history afterwards, or an error."""

    def __init__(self, rows: list[str] | Exception) -> None:
        self.rows = rows
        self.asked = 0

    async def apply(self, _database: str, _change: Change) -> Changed:
        raise UnclearError("the connection was lost", transient=False)

    async def fence(self, _database: str, operation: str, token: int) -> tuple[HistoryRow, ...]:
        assert (operation, token) == ("op", 1)
        self.asked += 1
        if isinstance(self.rows, Exception):
            raise self.rows
        return tuple(HistoryRow(version=version) for version in self.rows)


async def _apply(server: Server) -> Changed:
    return await move._apply(cast(ReleaseDriver, server), "acme_001", CHANGE, 1)


async def test_a_commit_without_an_answer_is_looked_up() -> None:
    """Done is done; not done is the error that it was."""
    assert await _apply(Server(["001", "002"])) == Changed(ran=("001", "002"), fingerprint="f")
    server = Server(["001"])
    with pytest.raises(UnclearError):
        await _apply(server)
    assert server.asked == 1


async def test_a_commit_that_nobody_can_tell_of_needs_a_decision() -> None:
    """Neither done nor failed may be said."""
    with pytest.raises(Undecided, match="may be committed") as caught:
        await _apply(Server(EngineError("closed")))
    assert "operation resume" in caught.value.hint


def test_the_limit_is_for_each_statement() -> None:
    """Three statements of nearly 200 s each are no reason to give up."""
    assert move.longest_seconds(CHANGE) == 3 * 200 + move.NEVER_FINISHED
    assert move.longest_seconds(replace(CHANGE, steps=())) == 200 + move.NEVER_FINISHED


@pytest.mark.parametrize(("before", "after"), [("success", "error"), ("error", "error"), ("needs_decision", "needs_decision")])
async def test_a_hook_that_cannot_be_run_does_not_undo_what_was_done(
    monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """The tenant is known to be at its new version, with all that was noted about it."""

    async def unreachable(*_: Any, **__: Any) -> Any:
        raise UnreachableError("the catalog is away", hint="start it")

    monkeypatch.setattr(move, "run_hooks", unreachable)
    error = None if before == "success" else {"code": "timeout", "message": "as it was", "hint": ""}
    found = await move.after_hooks(cast(Work, SimpleNamespace()), replace(TARGET, status=before, error=error), [])
    assert found.status == after
    assert found.facts["kept"] == "old"
    assert move.is_moved(found) is (before == "success")
    assert found.error is not None
    assert found.error["message"] == ("the catalog is away" if before == "success" else "as it was")
    assert found.status != Status.SUCCESS
