"""Errors at the edge: one line, an exit code, and in JSON an object; never a traceback unless asked for."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from manor.errors import EXIT_BAD_INPUT, EXIT_CODES, EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED, InvalidInput, ManorError

if TYPE_CHECKING:
    from manor.cli.options import GlobalOptions


class Exit(Exception):
    """Ends a command that has already said everything."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


def run(command: click.Command, arguments: list[str] | None) -> int:
    """Run a click command; returns the exit code."""
    from manor.cli.options import GlobalOptions

    options = GlobalOptions()
    try:
        command.main(args=arguments, prog_name="manor", standalone_mode=False, obj=options)
        sys.stdout.flush()
    except Exit as end:
        return end.code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo("manor: interrupted", err=True)
        return EXIT_INTERRUPTED
    except ManorError as error:
        show_error(error, options)
        return EXIT_CODES[error.code]
    except BrokenPipeError:
        return _quiet_pipe()
    except Exception as error:  # a bug of ours: the user gets one line, and the traceback on request
        if options.verbose:
            raise
        click.echo(f"manor: internal error: {type(error).__name__}: {error}", err=True)
        click.echo("  this is a bug; run again with --verbose for the traceback and report it", err=True)
        return EXIT_SOME_FAILED
    return EXIT_OK


def show_error(error: ManorError, options: GlobalOptions) -> None:
    """Print one error the way the format wants it."""
    if options.format == "json":
        click.echo(json.dumps({"error": error_json(error)}, ensure_ascii=False))
        return
    if isinstance(error, InvalidInput):
        for finding in error.findings:
            click.echo(f"manor: {finding}", err=True)
        return
    click.echo(f"manor: {error}", err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)


def error_json(error: ManorError) -> dict[str, Any]:
    """An error as the JSON contract shows it."""
    document: dict[str, Any] = {"code": str(error.code), "message": str(error), "hint": error.hint}
    if isinstance(error, InvalidInput):
        document["findings"] = [
            {"file": f.place.file, "line": f.place.line, "column": f.place.column, "message": f.message, "hint": f.hint}
            for f in error.findings
        ]
    return document


def _quiet_pipe() -> int:
    # Python would complain once more while closing stdout at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_OK
