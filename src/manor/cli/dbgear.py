"""DBGear's command line gains ``batch``, ``multi-tenant`` and ``tenant`` where Manor is installed beside it.

DBGear loads this module (entry point ``dbgear.commands``) whenever it starts, calls ``register_commands`` with its argparse
subparsers, and later ``execute`` for the commands that were named. An exception here would cost its users a warning, so nothing
is imported before it is needed. Everything behind the command's name goes to Manor's own parser: docs/decisions/0007.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

COMMANDS = {
    "batch": "do one thing for many tenants (Manor)",
    "multi-tenant": "deploy and check the fleet that a registry declares (Manor)",
    "tenant": "list, show and enter single tenants (Manor)",
}

_NO_PREFIX = "\0"
"""No argument begins with it, so argparse takes ``--registry`` as a plain word and leaves it to Manor."""


def register_commands(subparsers: _SubParsersAction[ArgumentParser]) -> list[str]:
    """Add Manor's commands to DBGear's; returns their names."""
    for name, line in COMMANDS.items():
        parser = subparsers.add_parser(name, help=line, add_help=False, prefix_chars=_NO_PREFIX)
        parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return list(COMMANDS)


def execute(args: Namespace, project: Any) -> bool:  # noqa: ARG001 - DBGear's contract; Manor reads the project itself
    """Run one of the commands in DBGear's project folder. Returns True; a failure ends the process with Manor's exit code."""
    from manor.cli.failures import run
    from manor.cli.main import cli

    code = run(cli, ["--project", str(args.project), args.command, *args.arguments])
    if code:
        sys.exit(code)
    return True
