"""``--report F``: what may stand where the report is to go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manor.cli.failures import run
from manor.cli.main import cli
from manor.cli.render import to_text
from manor.cli.report_file import check_report_file
from manor.control.operations.scaffold import scaffold
from manor.control.rollout.report import Report
from manor.errors import InputError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    scaffold("saas", tmp_path / "a project")
    return tmp_path / "a project"


@pytest.mark.parametrize("verb", ["deploy", "healthcheck"])
@pytest.mark.parametrize("name", ["customer_a/tenant_registry.yaml", "project.yaml", "schema.yaml", "linked.json"])
def test_a_file_that_is_no_report_is_not_overwritten(
    project: Path, capfd: pytest.CaptureFixture[str], verb: str, name: str
) -> None:
    """The registry, a file that it needs, a link to one: exit code 2 with a hint, before a server is started."""
    (project / "linked.json").symlink_to(project / "project.yaml")
    before = {file: file.read_bytes() for file in project.rglob("*") if file.is_file()}
    registry = project / "customer_a" / "tenant_registry.yaml"
    assert run(cli, ["multi-tenant", verb, "--registry", str(registry), "--report", str(project / name)]) == 2
    told = capfd.readouterr().err
    assert "is not an earlier report" in told
    assert "hint:" in told
    assert {file: file.read_bytes() for file in project.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("how", ["json", "yaml"])
@pytest.mark.parametrize("operation", ["20260101T000000-00000000", ""], ids=["deploy", "dry run"])
def test_an_earlier_report_and_an_empty_file_are_replaced(tmp_path: Path, how: str, operation: str) -> None:
    """Neither is lost: the one is what is replaced, the other has nothing to lose."""
    path = tmp_path / f"report.{how}"
    check_report_file(path)
    path.touch()
    check_report_file(path)
    path.write_text(to_text(Report(operation=operation, verb="deploy").to_json(), how), encoding="utf-8")
    check_report_file(path)


def test_a_folder_is_no_place_and_a_pipe_is_not_read(tmp_path: Path) -> None:
    """The first is told; the second has nothing in it that could be lost, and reading it would wait for ever."""
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InputError, match="this is a folder"):
        check_report_file(tmp_path / "folder.json")
    os.mkfifo(tmp_path / "pipe.json")
    check_report_file(tmp_path / "pipe.json")
