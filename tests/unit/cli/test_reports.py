"""Reports and progress as people see them."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from manor.cli.options import GlobalOptions
from manor.cli.progress import Progress
from manor.cli.render import print_report
from manor.control.rollout.report import Report
from manor.control.steps import Outcome, Status, Target
from manor.telemetry import Event
from manor.tenancy import TenantId


def outcome(number: int, status: Status = Status.SUCCESS, detail: str = "11 rows") -> Outcome:
    tenant = TenantId("acme", "tenants", f"{number:03d}")
    target = Target(
        tenant=tenant, database=f"a{number}", group="tenants", kind="tenant_group", template="t", server="main", variables={}
    )
    return Outcome(target=target, status=status, detail=detail)


def shown(report: Report) -> str:
    @click.command()
    def command() -> None:
        print_report(report)

    return CliRunner().invoke(command, obj=GlobalOptions()).output


def test_what_became_of_a_single_tenant_is_told() -> None:
    """A restore says what came back, a dry run what would be done; no digest is named where there is none."""
    report = Report(operation="o", verb="restore", dry_run=True, outcomes=(outcome(1, Status.PENDING, "would load 11 rows"),))
    assert shown(report) == "○ acme/tenants/001: would load 11 rows\nrestore (dry run): 1 target: 1 pending\n"


def test_many_that_are_well_are_summed_up() -> None:
    """Nobody reads 200 lines."""
    report = Report(operation="o", verb="backup", outcomes=(outcome(1), outcome(2)))
    assert shown(report) == "backup: 2 targets: 2 success (operation o)\n"


def test_progress_says_nothing_twice_in_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """A command of two operations does not repeat the first one's end with each step of the second."""
    display = Progress(quiet=False)
    display(Event(kind="operation.planned", operation="o", subject="", details={"targets": 1}))
    display(Event(kind="target.ended", operation="o", subject="acme_1"))
    for _ in range(3):
        display(Event(kind="target.loaded", operation="o", subject="acme_1"))
    assert capsys.readouterr().err == "1/1 done\n"
