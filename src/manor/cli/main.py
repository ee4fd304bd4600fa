"""Entry point of the ``manor`` command.

Start-up is kept cheap: this module imports click and nothing else of weight, and every group is imported when it is named.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from manor import __version__
from manor.cli.options import with_global_options

_COMMANDS = {
    "audit": ("manor.cli.audit:audit", "Read and verify the audit log."),
    "catalog": ("manor.cli.catalog:catalog", "Keep the control-plane database."),
    "doctor": ("manor.cli.doctor:doctor", "Check what a deploy needs: rights, connections, disk."),
    "init": ("manor.cli.init:init", "Begin a project from a blueprint."),
    "multi-tenant": ("manor.cli.multi_tenant:multi_tenant", "Deploy and check the fleet that a registry declares."),
    "schema": ("manor.cli.schema:schema", "Print the JSON Schemas of the files that you write."),
    "server": ("manor.cli.server:server", "Start, stop and inspect the embedded PostgreSQL."),
    "tenant": ("manor.cli.tenant:tenant", "List, show and enter single tenants."),
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
    from manor.cli.failures import run

    # pydantic would look through all installed packages for plugins: nobody wants any, and it takes longer than click.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.exit(run(cli, arguments))


if __name__ == "__main__":
    main()
