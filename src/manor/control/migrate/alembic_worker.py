"""Runs in a process of its own: an Alembic environment's revisions as SQL, without a database.

Reads one JSON document from standard input (``folder``, ``ini``) and writes one to standard output; whatever the user's own
code prints goes to standard error. The only module that imports Alembic.

Everything is written down in one offline run of ``env.py``: the function that Alembic hands its revisions to calls each of
them by itself, so that neither the version table nor the transactions around them are in the text.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

OFFLINE_URL = "postgresql://offline"


class Unreadable(Exception):
    """What is wrong with the environment as a whole."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def read(folder: str, ini: str | None) -> dict[str, Any]:
    """``{"revisions": […]}`` in order, or ``{"error": …}``."""
    try:
        return {"revisions": _revisions(folder, ini)}
    except Unreadable as error:
        return {"error": {"message": str(error), "hint": error.hint}}
    except (Exception, SystemExit) as error:
        return {"error": _failure(error, folder)}


def _revisions(folder: str, ini: str | None) -> list[dict[str, Any]]:
    buffer = io.StringIO()
    config = Config(ini, output_buffer=buffer)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", OFFLINE_URL)
    directory = ScriptDirectory.from_config(config)
    scripts = _in_line(directory)
    found: list[dict[str, Any]] = []

    def collect(_: object, context: MigrationContext) -> list[Any]:
        _check(context, buffer)
        found.extend(_revision(script, context, buffer, folder) for script in scripts)
        return []

    with EnvironmentContext(config, directory, fn=collect, as_sql=True, literal_binds=True):
        directory.run_env()
    if len(found) != len(scripts):
        raise Unreadable("env.py does not run the revisions when it is offline", "call context.run_migrations() there")
    return found


def _in_line(directory: ScriptDirectory) -> list[Script]:
    """The revisions from the first to the last. Raises ``Unreadable`` where they are not one line."""
    scripts = list(directory.walk_revisions())
    hint = "rebase one branch on the other: its first revision's down_revision names the other's last"
    for script in scripts:
        if script.is_merge_point:
            raise Unreadable(f"{script.revision} merges branches, and a tenant's history is one line", hint)
    for what, names in (("last", directory.get_heads()), ("first", directory.get_bases())):
        if len(names) > 1:
            message = f"there are several {what} revisions ({', '.join(sorted(names))}), and a tenant's history is one line"
            raise Unreadable(message, hint)
    return scripts[::-1]


def _check(context: MigrationContext, buffer: TextIO) -> None:
    if context.dialect.name != "postgresql":
        raise Unreadable(f"env.py asks for {context.dialect.name}, and the tenants are on PostgreSQL")
    if context.output_buffer is not buffer:
        raise Unreadable("env.py sends the SQL elsewhere", "leave output_buffer and output_encoding out")


def _revision(script: Script, context: MigrationContext, buffer: io.StringIO, folder: str) -> dict[str, Any]:
    document: dict[str, Any] = {"revision": script.revision, "file": script.path, "doc": script.doc, "down": None}
    try:
        document["up"] = _sql(script.module.upgrade, context, buffer)
    except (Exception, SystemExit) as error:
        document["error"] = _failure(error, folder)
        return document
    try:
        document["down"] = _sql(script.module.downgrade, context, buffer)
    except Unreadable as error:
        document["error"] = _failure(error, folder)
    except (Exception, SystemExit):
        document["down"] = None  # as good as none: many revisions only raise here
    return document


def _sql(function: Callable[[], object], context: MigrationContext, buffer: io.StringIO) -> str:
    buffer.seek(0)
    buffer.truncate()
    function()
    text = buffer.getvalue()
    if "%%" in text and context.dialect.paramstyle in ("format", "pyformat"):
        hint = "give context.configure in env.py dialect_opts={'paramstyle': 'named'} when it is offline"
        raise Unreadable("its percent signs would be doubled", hint)
    return text


def _failure(error: BaseException, folder: str) -> dict[str, Any]:
    """The error with the last line of the user's own code that it passed through."""
    message = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)]
    document: dict[str, Any] = {"message": message, "hint": getattr(error, "hint", "")}
    if frames and not isinstance(error, Unreadable):
        document |= {"file": frames[-1].filename, "line": frames[-1].lineno}
    return document


def main() -> None:
    """Read, work, write."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    with answer:
        json.dump(read(request["folder"], request["ini"]), answer)


if __name__ == "__main__":
    main()
