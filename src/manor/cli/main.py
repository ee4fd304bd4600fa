"""Entry point of the ``manor`` command.

Start-up is kept cheap: this module imports click and nothing else of weight, and every group is imported when it is named.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from manor import __version__
from manor.cli.options import with_global_options
from manor.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from types import FrameType

_COMMANDS = {
    "audit": ("manor.cli.audit:audit", "Read and verify the audit log."),
    "backup": ("manor.cli.backup:backup", "List, verify, hold and prune backups."),
    "batch": ("manor.cli.batch:batch", "Do one thing for many tenants."),
    "catalog": ("manor.cli.catalog:catalog", "Keep the control-plane database."),
    "data": ("manor.cli.data:data", "Serve documents as a local DynamoDB; show what each backend can do."),
    "doctor": ("manor.cli.doctor:doctor", "Check what a deploy needs: rights, connections, disk."),
    "init": ("manor.cli.init:init", "Begin a project from a blueprint."),
    "migration": ("manor.cli.migration:migration", "Write, check, baseline and squash migrations; show who has seen which."),
    "multi-tenant": ("manor.cli.multi_tenant:multi_tenant", "Deploy and check the fleet that a registry declares."),
    "operation": ("manor.cli.operation:operation", "List and watch operations; stop, resume, retry or undo releases."),
    "schema": ("manor.cli.schema:schema", "Print the JSON Schemas of the files that you write."),
    "server": ("manor.cli.server:server", "Start, stop and inspect the embedded PostgreSQL."),
    "tenant": ("manor.cli.tenant:tenant", "List, show and enter single tenants."),
    "worker": ("manor.cli.worker:worker", "Carry out batches of releases that other machines coordinate; keep the schedules."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used; their help lines stand in a table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="manor")
@with_global_options
def cli() -> None:
    """Manor runs the databases of multi-tenant products.

    \b
    Exit codes: 0 all well, 1 some targets failed, 2 bad input,
    3 refused for safety, 4 service unreachable, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; every error is one line with place, cause and hint, never a traceback."""
    # pydantic would look through all installed packages for plugins: nobody wants any, and it takes longer than click.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    _open_closed_streams()
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        from manor.cli.failures import run

        code = run(cli, arguments)
        _ignore_signals()
    except KeyboardInterrupt:  # before or after `run` could catch it
        _ignore_signals()
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _open_closed_streams() -> None:
    """Python has no stdout or stderr where the caller closed it (``>&-``); what we print then goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _ignore_signals() -> None:
    """All is said and done, only the interpreter's own end is left, which a signal would turn into a death of ours."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM is Ctrl-C: whoever handles that now (asyncio, while it runs) is given it, otherwise the command ends here."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in a shell's background jobs
        raise KeyboardInterrupt
    handler(number, frame)


if __name__ == "__main__":
    main()
