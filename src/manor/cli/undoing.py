"""The work of ``manor operation undo``: the tenants that a release changed, and those that it left half way with a snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manor.control.rollout.report import Report
    from manor.control.runtime import StopSignal
    from manor.wiring import Workplace


async def undo_all(workplace: Workplace, stop: StopSignal, operation: str, *, discard_writes: bool) -> Report:
    """Take a release back. What refuses the undo of the tenants that were changed comes first, so that none is put back for
    nothing."""
    from manor.control.operations.operation_log import recover_all
    from manor.control.operations.operation_put_back import NothingChanged, between_with_snapshot
    from manor.control.operations.operation_undo import undo
    from manor.wiring import open_runtime

    report = None
    async with open_runtime(workplace, stop=stop, some_away=True) as runtime:
        await recover_all(runtime)
        between = await between_with_snapshot(runtime, operation)
        try:
            report = await undo(runtime, workplace.project.folder, operation, discard_writes=discard_writes)
        except NothingChanged:
            if not between:
                raise
    if report is not None and not between:
        return report
    done = await put_back_all(workplace, stop, operation, between, discard_writes=discard_writes)
    if report is None:
        return done
    seconds = report.duration_seconds + done.duration_seconds
    outcomes, problems = (*report.outcomes, *done.outcomes), (*report.problems, *done.problems)
    return replace(report, outcomes=outcomes, problems=problems, duration_seconds=seconds)


async def put_back_all(
    workplace: Workplace, stop: StopSignal, operation: str, tenants: tuple[str, ...], *, discard_writes: bool
) -> Report:
    """Put tenants that a release left half way back to their snapshots, under the release's own id."""
    from manor.control.operations.operation_put_back import put_back
    from manor.wiring import open_runtime

    async with open_runtime(workplace, stop=stop, operation=operation, some_away=True) as runtime:
        return await put_back(runtime, workplace.project.folder, tenants, discard_writes=discard_writes)
