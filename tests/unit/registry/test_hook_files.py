"""Hooks must be files inside the project, whatever links say."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.control.registry.hook_files import look_at_paths
from manor.control.registry.model import Registry


def registry(*hooks: str) -> Registry:
    value = {
        "registry_version": "2.0",
        "customer_info": {"customer_code": "a"},
        "database_groups": {},
        "hooks": {"pre_update": list(hooks)},
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
    return inside


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ("./scripts/good.sh", None),
        ("inside.sh", None),
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
