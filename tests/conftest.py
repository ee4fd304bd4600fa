"""What every test may ask for. Assumes nothing about the machine: a part that is not there is named, not guessed around.

A test that needs a part of the machine calls ``require("debian-postgresql")`` (a fixture). Where the part is missing the test
is skipped with its name, and the end of the run lists all missing parts; with ``CI=true`` the test fails instead, because there
nothing may be missing.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MISSING = "missing part: "


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something of the machine that some tests need."""

    description: str
    remedy: str
    find: Callable[[], Path | None]


def _debian_postgresql() -> Path | None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return programs[-1].parent if programs else None


PARTS = {
    "debian-postgresql": Part(
        description="a PostgreSQL server of the distribution, for TLS and logins that are not superusers",
        remedy="run tests/setup_machine.sh as root, or apt-get install postgresql",
        find=_debian_postgresql,
    ),
}


def require_part(name: str) -> Path:
    """The folder of a part of the machine; without it the calling test is skipped by name, or fails where ``CI=true``."""
    found = PARTS[name].find()
    if found is not None:
        return found
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{MISSING}{name} ({PARTS[name].remedy})", pytrace=False)
    pytest.skip(f"{MISSING}{name}")


@pytest.fixture(scope="session")
def require() -> Callable[[str], Path]:
    """``require_part`` for tests and other fixtures."""
    return require_part


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was missing, once for the whole run; reports carry it, so it works with several workers too."""
    missing = Counter(_missing_parts(terminalreporter))
    if not missing:
        return
    terminalreporter.section("missing parts")
    for name, count in sorted(missing.items()):
        part = PARTS[name]
        terminalreporter.write_line(f"{name}: {count} tests not run. It is {part.description}. To have it: {part.remedy}")


def _missing_parts(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    reports = [report for outcome in ("skipped", "failed", "error") for report in terminalreporter.stats.get(outcome, [])]
    for report in reports:
        match = re.search(rf"{MISSING}([\w-]+)", str(report.longrepr))
        if match and match[1] in PARTS:
            yield match[1]
