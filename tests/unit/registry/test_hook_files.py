"""Hooks must be files inside the project, whatever links say."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.control.registry.hook_files import look_at_paths
from manor.control.registry.model import Registry


def registry(*hooks: str, kind: str = "pre_update") -> Registry:
    value = {
        "registry_version": "2.0",
        "customer_info": {"customer_code": "a"},
        "database_groups": {},
        "hooks": {kind: list(hooks)},
    }
    return Registry.model_validate(value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "project" / "customer"
    (inside / "scripts").mkdir(parents=True)
    (inside / "scripts" / "good.sh").write_text("")
    (tmp_path / "outside.sh").write_text("")
    (inside / "escape.sh").symlink_to(tmp_path / "outside.sh")
    (inside / "gone.sh").symlink_to("nowhere")
    (inside / "loop.sh").symlink_to("loop.sh")
    (inside / "inside.sh").symlink_to("scripts/good.sh")
    (inside / "notes.txt").write_text("")
    (inside / "program").write_text("")
    (inside / "program").chmod(0o755)
    (inside / "asks.sh").write_text("#!/bin/sh\n# manor:needs TENANT_URL\n")
    (inside / "late.sh").write_text("#\n" * 20 + "# manor:needs ADMIN_URL\n")
    (inside / "wants.py").write_text("# manor:needs TENANT_URL ADMIN_URL\n")
    return inside


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ("./scripts/good.sh", None),
        ("inside.sh", None),
        ("program", None),
        ("asks.sh", None),
        ("late.sh", None),
        ("notes.txt", "is not executable (chmod +x makes it so; only .sh and .py files are run without)"),
        ("wants.py", "asks for ADMIN_URL, which no hook is given (only TENANT_URL can be asked for)"),
        ("escape.sh", "leads out of the project through a symbolic link"),
        ("gone.sh", "does not exist"),
        ("loop.sh", "does not exist"),
        ("scripts", "is not a file"),
        ("scripts/none.sh", "does not exist"),
        ("../../outside.sh", "leaves its folder with '..': only paths inside the project are allowed"),
        ("/bin/sh", "is absolute: only paths inside the project are allowed"),
    ],
)
def test_each_kind_of_path_gets_its_verdict(folder: Path, hook: str, problem: str | None) -> None:
    found = look_at_paths(registry(hook), folder=folder, project=folder.parent)
    assert found == ({hook: problem} if problem else {})


def test_a_hook_before_the_database_cannot_have_its_url(folder: Path) -> None:
    found = look_at_paths(registry("asks.sh", kind="pre_provision"), folder=folder, project=folder.parent)
    assert found == {"asks.sh": "asks for TENANT_URL, which a pre_provision hook cannot have (there is no database yet)"}


def test_a_hook_that_cannot_be_read_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    found = look_at_paths(registry("inside.sh"), folder=folder, project=folder.parent)
    assert found == {"inside.sh": "cannot be read: Permission denied"}
