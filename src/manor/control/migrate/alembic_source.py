"""A folder of migrations that is an Alembic environment: its revisions as SQL, each a migration.

The SQL is what ``alembic upgrade --sql`` would print; the user's ``env.py`` and revisions run in a process of their own with a
time limit, without keys or passwords of ours. Assumes one line of revisions: the n-th from the first is version ``n``. Its id
stands in the name and, as a comment, in the text, so that a line which was put together anew is an edited history.

An environment is read once as long as its files do not change.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manor.control.migrate.file_names import Misnamed, read_name
from manor.control.migrate.model import Migration, Section
from manor.control.migrate.psql_only import sql_findings
from manor.control.migrate.statements import split
from manor.control.templates.folders import OUTSIDE, Folders
from manor.errors import Finding, InputError, Place
from manor.settings import redact_url

LIMIT_SECONDS = 60.0
"""For reading all revisions of one environment."""
INI = "alembic.ini"

_WORKER = "manor.control.migrate.alembic_worker"
_WITHHELD = re.compile(r"MANOR_|PGPASS")
"""Variables that the user's code is not given by accident: keys and passwords. Offline it needs none."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://\S+")
_ASIDE = frozenset({"BEGIN", "COMMIT"})
"""What Alembic's autocommit_block writes around statements that refuse a transaction."""


def is_environment(folder: Path) -> bool:
    """Whether Alembic, not Manor, keeps the migrations of ``folder``."""
    return (folder / "env.py").is_file() and (folder / "versions").is_dir()


def read_environment(folder: Path, *, shown_as: str, folders: Folders) -> tuple[tuple[Migration, ...], list[Finding]]:
    """The migrations of an Alembic environment, which findings call ``shown_as``, and what is wrong with it."""
    source = _Source(folder=folder, shown_as=shown_as, folders=folders)
    if problems := list(source.problems()):
        return (), problems
    try:
        document = _read(_Request.of(folder))
    except InputError as error:
        return (), [Finding(message=error.message, place=Place(shown_as), hint=error.hint)]
    if "error" in document:
        return (), [source.failure(document["error"])]
    migrations: list[Migration] = []
    for position, revision in enumerate(document["revisions"], start=1):
        migration, problems = source.migration(f"{position:04d}", revision)
        source.findings.extend(problems)
        migrations.extend([migration] if migration is not None else [])
    return tuple(migrations), source.findings


@dataclass(frozen=True, slots=True)
class _Request:
    """One environment at one state of its files: what a result is remembered by."""

    folder: Path
    ini: Path | None
    digest: str

    @classmethod
    def of(cls, folder: Path) -> _Request:
        ini = next((path for path in (folder / INI, folder.parent / INI) if path.is_file()), None)
        seen = hashlib.sha256()
        for path in [*_code(folder), *([ini] if ini else [])]:
            seen.update(f"{path}\0{len(content := path.read_bytes())}\0".encode() + content)
        return cls(folder, ini, seen.hexdigest())


class _Source:
    """Turns what the worker says into migrations and findings."""

    def __init__(self, *, folder: Path, shown_as: str, folders: Folders) -> None:
        self._folder = folder
        self._shown_as = shown_as
        self._folders = folders
        self.findings: list[Finding] = []

    def problems(self) -> Iterator[Finding]:
        """Why the environment is not run at all."""
        place = Place(self._shown_as)
        if importlib.util.find_spec("alembic") is None:
            message = "this is an Alembic environment, and Alembic is not installed"
            yield Finding(message=message, place=place, hint="pip install 'manor[alembic]'")
        for path in _code(self._folder):
            if not self._folders.contains(path):
                yield Finding(message=f"{path.name} {OUTSIDE}", place=self.place(path), hint="copy the file in")
        for path in sorted(self._folder.glob("*.sql")):
            if not isinstance(read_name(path.name), Misnamed):
                hint = "make a revision of it: op.execute runs SQL as it stands"
                yield Finding(
                    message="this file stands in an Alembic environment, which keeps the migrations here",
                    place=self.place(path),
                    hint=hint,
                )

    def place(self, path: Path | str, line: int = 1) -> Place:
        """How findings name a file of the environment."""
        inside = Path(path).is_relative_to(self._folder)
        shown = f"{self._shown_as}/{Path(path).relative_to(self._folder).as_posix()}" if inside else str(path)
        return Place(shown, line, 1)

    def failure(self, error: Mapping[str, Any], file: str = "") -> Finding:
        """An error of the user's code, or of the worker, with the place nearest to it."""
        where = error.get("file") or file
        place = self.place(where, error.get("line", 1)) if where else Place(self._shown_as)
        return Finding(message=_one_line(error["message"]), place=place, hint=error.get("hint", ""))

    def migration(self, version: str, revision: Mapping[str, Any]) -> tuple[Migration | None, list[Finding]]:
        """One revision; None where it cannot be used."""
        if "error" in revision:
            finding = self.failure(revision["error"], revision["file"])
            hint = finding.hint or "write what it does as SQL, with op.execute: no database can be asked here"
            return None, [Finding(message=f"this revision is no SQL: {finding.message}", place=finding.place, hint=hint)]
        place = self.place(revision["file"])
        if not self._folders.contains(Path(revision["file"])):
            return None, [Finding(message=f"the revision {OUTSIDE}", place=place, hint="copy the file in")]
        try:
            up = _section(revision["up"], f"-- alembic revision {revision['revision']}\n", place)
            down = _section(revision["down"] or "", "", place)
        except InputError as error:
            return None, [Finding(message=error.message, place=error.place or place, hint=error.hint)]
        findings = [finding for section in (up, down) for finding in sql_findings(section)]
        migration = Migration(
            version=version,
            name=_name(revision["revision"], revision["doc"] or ""),
            up=up,
            down=down if split(down.text).statements else None,
            place=place,
        )
        return (None if findings else migration), findings


def _code(folder: Path) -> list[Path]:
    """The files that an environment is made of."""
    return sorted(path for path in folder.rglob("*.py") if path.is_file())


def _name(revision: str, doc: str) -> str:
    words = re.sub(r"\W+", "_", doc.splitlines()[0] if doc else "").strip("_").lower()
    return f"{revision}_{words}" if words else revision


def _section(text: str, head: str, place: Place) -> Section:
    """The SQL of one direction. Places in it are lines of the SQL, since nobody knows which line of Python wrote it."""
    begins = Place(f"{place.file} (as SQL)", 1, 1)
    statements = split(text, begins).statements
    if not any(statement.normal in _ASIDE for statement in statements):
        return Section(text=f"{head}{text.strip()}\n", place=begins)
    kept = [f"{_comments(s.before)}{s.text};\n" for s in statements if s.normal not in _ASIDE]
    return Section(text=head + "\n".join(kept), place=begins, transaction=False)


def _comments(before: str) -> str:
    lines = before.lstrip(";").strip()
    return f"{lines}\n" if lines else ""


def _one_line(message: str) -> str:
    """The first line, without passwords of URLs."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return _URL.sub(lambda match: redact_url(match[0]), lines[0] if lines else "it failed without a word")


@functools.lru_cache(maxsize=32)
def _read(request: _Request) -> Mapping[str, Any]:
    """What the worker says about an environment. Raises ``InputError`` where it says nothing, which is not remembered."""
    given = {"folder": str(request.folder), "ini": str(request.ini) if request.ini else None}
    home = request.ini.parent if request.ini else request.folder.parent
    variables = {name: value for name, value in os.environ.items() if not _WITHHELD.match(name)}
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER],
            cwd=home,
            env={**variables, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        ) as process,
    ):
        try:
            answer, _ = process.communicate(json.dumps(given).encode(), timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired as error:
            message = f"reading the revisions did not end within {LIMIT_SECONDS:g} s and was killed"
            raise InputError(message, hint="what does env.py wait for?") from error
        finally:
            _kill_group(process.pid)
        said.seek(0)
        return _document(process.returncode, answer, said.read().decode("utf-8", "replace"))


def _kill_group(group: int) -> None:
    """Nothing that the user's code started outlives the reading; a group in which nobody is left is what is wanted."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _document(code: int, answer: bytes, said: str) -> Mapping[str, Any]:
    try:
        document: dict[str, Any] = json.loads(answer)
    except ValueError as error:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        raise InputError(_one_line(f"reading the revisions ended with exit code {code}: {last}")) from error
    return document
