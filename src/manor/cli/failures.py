"""Errors at the edge: one line, an exit code, and in JSON and YAML an object; never a traceback unless asked for."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from manor.errors import (
    EXIT_BAD_INPUT,
    EXIT_CODES,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    InputError,
    InvalidInput,
    ManorError,
)

if TYPE_CHECKING:
    from manor.cli.options import GlobalOptions

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class Exit(Exception):
    """Ends a command that has already said everything."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


def run(command: click.Command, arguments: list[str] | None) -> int:
    """Run a click command; returns the exit code."""
    code = EXIT_OK
    try:
        code = _run(command, sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        _silence_stdout()
    except OSError as error:
        if not _is_full(error):
            raise
        _silence_stdout()
        _complain(f"manor: the output cannot be written: {error.strerror}")
        return code or EXIT_SOME_FAILED
    return code


def _run(command: click.Command, arguments: Sequence[str]) -> int:
    from manor.cli.options import GlobalOptions

    options = GlobalOptions()
    try:
        command.main(args=list(arguments), prog_name="manor", standalone_mode=False, obj=options)
    except Exit as end:
        return end.code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        _show_misuse(error, _format_of(arguments))
        return EXIT_BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        _complain("manor: interrupted")
        return EXIT_INTERRUPTED
    except ManorError as error:
        show_error(error, options)
        return EXIT_CODES[error.code]
    except BrokenPipeError:
        raise
    except Exception as error:  # a bug of ours: the user gets one line, and the traceback on request
        if options.verbose or _is_full(error):
            raise
        _complain(f"manor: internal error: {type(error).__name__}: {error}")
        _complain("  this is a bug; run again with --verbose for the traceback and report it")
        return EXIT_SOME_FAILED
    return EXIT_OK


def show_error(error: ManorError, options: GlobalOptions) -> None:
    """Print one error the way the format wants it."""
    if options.format != "table":
        _print_document({"error": error_json(error)}, options.format)
        return
    if isinstance(error, InvalidInput):
        for finding in error.findings:
            _complain(f"manor: {finding}")
        return
    _complain(f"manor: {error}")
    if error.hint:
        _complain(f"  hint: {error.hint}")


def error_json(error: ManorError) -> dict[str, Any]:
    """An error as the JSON contract shows it."""
    document: dict[str, Any] = {"code": str(error.code), "message": str(error), "hint": error.hint}
    if isinstance(error, InvalidInput):
        document["findings"] = [
            {"file": f.place.file, "line": f.place.line, "column": f.place.column, "message": f.message, "hint": f.hint}
            for f in error.findings
        ]
    return document


def _show_misuse(error: click.ClickException, how: str) -> None:
    """What click has to say about the words of the command line."""
    if how == "table":
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = "a command is missing" if isinstance(error, click.exceptions.NoArgsIsHelpError) else error.format_message()
    hint = f"{context.command_path} --help" if context is not None else ""
    _print_document({"error": error_json(InputError(message, hint=hint))}, how)


def _format_of(arguments: Sequence[str]) -> str:
    """The format that was asked for, from words that click could not make sense of; the last one counts."""
    from manor.cli.options import FORMATS

    found = "table"
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word == "--":
            break
        value = following if word == "--format" else word.removeprefix("--format=")
        if word.startswith("--format") and value in FORMATS:
            found = value
    return found


def _print_document(document: dict[str, Any], how: str) -> None:
    from manor.cli.render import to_text

    click.echo(json.dumps(document, ensure_ascii=False) if how == "json" else to_text(document, how))


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):  # there is nobody left to be told
        click.echo(text, err=True)


def _is_full(error: Exception) -> bool:
    """Whether this is what writing to stdout raises when its disk is full; errors of files that we opened have a name."""
    return isinstance(error, OSError) and error.filename is None and error.errno in _FULL


def _silence_stdout() -> None:
    # Python would complain once more while closing it at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
