"""The project's frame: what is locked, explained and shipped. Needs the checkout, no server and no network."""

from __future__ import annotations

import os
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=; ]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_package_with_hashes_and_names_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)(?:\[[\w, -]+\])?(==\S+)?.*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert entries
    assert all(version for _, version in entries)
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("run", ["build"]), ("test", ["build", "test"]), ("bench", ["build", "bench"])],
    ids=lambda value: str(value),
)
def test_a_lock_holds_all_that_pyproject_asks_for(lock: str, groups: list[str]) -> None:
    wanted = names(PROJECT["project"]["dependencies"]) | names([r for g in groups for r in PROJECT["dependency-groups"][g]])
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)(?:\[[\w, -]+\])?==", text, re.MULTILINE))
    assert {name.replace(".", "-") for name in wanted} <= locked


def test_every_dependency_has_a_row_in_the_record_of_dependencies() -> None:
    record = (ROOT / "docs" / "decisions" / "0003-dependencies.md").read_text(encoding="utf-8").lower()
    tools = [r for group in PROJECT["dependency-groups"].values() for r in group]
    missing = {
        name for name in names([*PROJECT["project"]["dependencies"], *tools]) if name.removeprefix("pytest-") not in record
    }
    assert missing == set()


@pytest.mark.parametrize("path", [".ci/run", "examples/demo.sh", "tests/setup_machine.sh", "tools/set_up.sh", "tools/lint.sh"])
def test_what_make_calls_can_be_executed(path: str) -> None:
    assert os.access(ROOT / path, os.X_OK)


@pytest.mark.parametrize(
    "path",
    [
        "py.typed",
        "blueprints/saas/project.yaml",
        "blueprints/saas/customer_a/tenant_type1/main@users.dat",
        "control/catalog/queries.sql",
        "control/templates/environment.j2",
        "control/catalog/migrations/0001_pre_fleet.sql",
    ],
)
def test_the_package_carries_its_data_files(path: str) -> None:
    assert files("manor").joinpath(path).is_file()


def test_both_readmes_show_the_same_commands() -> None:
    english, japanese = (
        re.findall(r"manor [a-z-]+ [a-z-]+", (ROOT / n).read_text(encoding="utf-8")) for n in ("README.md", "README.ja.md")
    )
    assert english == japanese
