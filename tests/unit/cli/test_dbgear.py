"""DBGear's command line with Manor's commands in it. ``DbgearCommandLine`` does what the loader of DBGear does."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
GROUP = "dbgear.commands"


def declared_plugins() -> list[EntryPoint]:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][GROUP]
    return [EntryPoint(name, value, GROUP) for name, value in declared.items()]


class DbgearCommandLine:
    """``--project``, subcommands, and plug-ins that are asked for their commands and called with (args, project)."""

    def __init__(self) -> None:
        self.parser = argparse.ArgumentParser(prog="dbgear")
        self.parser.add_argument("--project", default="database")
        subparsers = self.parser.add_subparsers(dest="command")
        subparsers.add_parser("apply").add_argument("deploy")
        self.plugins: dict[str, Any] = {}
        for entry_point in declared_plugins():
            plugin = entry_point.load()
            self.plugins.update(dict.fromkeys(plugin.register_commands(subparsers), plugin))

    def run(self, *arguments: str) -> Any:
        args = self.parser.parse_args(arguments)
        return self.plugins[args.command].execute(args, object())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    from manor.control.operations.scaffold import scaffold

    scaffold("saas", tmp_path / "a project")
    return tmp_path / "a project"


def test_its_groups_join_dbgears_own_commands() -> None:
    """The plug-in answers for batch, multi-tenant and tenant, and leaves apply alone."""
    assert set(DbgearCommandLine().plugins) == {"batch", "multi-tenant", "tenant"}


def test_a_command_runs_with_its_options_in_dbgears_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options behind the command's name are Manor's, DBGear's --project is the project, and success is reported as True."""
    registry = str(project / "customer_a" / "tenant_registry.yaml")
    done = DbgearCommandLine().run("--project", str(project), "multi-tenant", "preview", "--registry", registry, "--limit", "2")
    assert done is True
    assert "... and 151 more databases" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_is_manors_own(project: Path, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    """argparse does not answer for commands that it does not know."""
    assert DbgearCommandLine().run("--project", str(project), "tenant", asked) is True
    assert "rotate-password" in capsys.readouterr().out


def test_a_failure_ends_the_process_with_manors_exit_code(project: Path) -> None:
    """DBGear throws the plug-in's return value away, so the code must be raised."""
    with pytest.raises(SystemExit) as end:
        DbgearCommandLine().run("--project", str(project), "multi-tenant", "validate", "--registry", str(project / "none.yaml"))
    assert end.value.code == 2


def test_loading_the_plugin_imports_nothing_of_weight() -> None:
    """DBGear loads its plug-ins for every command, its own included."""
    script = "import sys, manor.cli.dbgear; print(*sorted({'click', 'pydantic', 'psycopg', 'yaml'} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.split() == []
