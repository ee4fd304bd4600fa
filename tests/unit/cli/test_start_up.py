"""What a command imports before it does anything: most of the time of a command that finds nothing to do."""

from __future__ import annotations

import subprocess
import sys

ACTS = (
    "manor.control.operations.deploy",
    "manor.control.operations.release_run",
    "manor.control.migrate.lint",
    "manor.control.rollout.provision",
    "manor.control.templates.loader",
)
VENDORS = ("alembic", "openpyxl", "pgqueuer", "rich", "ruamel", "sqlalchemy")


def test_a_release_that_finds_nothing_to_do_imports_nothing_of_what_acts() -> None:
    """Nor libraries that only other sources or engines need."""
    modules = ("operations.migrate", "catalog.catalog", "engines.postgres.driver")
    names = ", ".join(["manor.cli.tenant", "manor.wiring", *(f"manor.control.{name}" for name in modules)])
    script = f"import sys, {names}; print(*sorted({{{', '.join(map(repr, ACTS + VENDORS))}}} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.split() == []
