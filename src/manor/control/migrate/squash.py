"""Several migrations folded into one file's text, and the version that such a file gets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from manor.control.migrate.model import Migration, version_key
from manor.control.migrate.squash_settings import taken_back
from manor.control.migrate.statements import split

_HEADER = re.compile(r"^[ \t]*--[ \t]*manor:squashes?\b[^\r\n]*(?:\r?\n|\Z)", re.MULTILINE)
_LAST_NUMBER = re.compile(r"\d+\Z")
_VERSIONS_PER_LINE = 6


def squash_text(migrations: Sequence[Migration]) -> str:
    """A file in dbmate's format that does what ``migrations`` do, in their order, and says that it stands for them.

    It has no down section: what several migrations did is taken back by restoring a copy. Assumes that all of them run in a
    transaction. What one sets for its session is reset before the next, as a release does; raises ``RefusedError`` where nobody
    can tell what that is.
    """
    resets = ["".join(f"{statement};\n" for statement in taken_back(migration)) for migration in migrations[:-1]]
    sections = [
        f"-- {migration.label}\n{_closed(migration)}{reset}" for migration, reset in zip(migrations, [*resets, ""], strict=True)
    ]
    return "\n".join([*_header([migration.version for migration in migrations]), "-- migrate:up", *sections])


def squash_version(last: str, following: str | None) -> str:
    """A version after ``last`` and before ``following``, the next one that there is: ``last`` counted up where there is room,
    else with a number more, such as ``20261121093000.1``."""
    found = _LAST_NUMBER.search(last)
    number = found[0] if found else ""
    candidate = f"{last[: len(last) - len(number)]}{int(number or 0) + 1:0{len(number)}}"
    between = ".1"
    while following is not None and version_key(candidate) >= version_key(following):
        candidate, between = last + between, f".0{between}"
    return candidate


def _header(versions: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(versions), _VERSIONS_PER_LINE):
        yield f"-- manor:squashes {' '.join(versions[start : start + _VERSIONS_PER_LINE])}"


def _closed(migration: Migration) -> str:
    """The up section, its last statement ended, without a header of its own: the new file's stands for it."""
    script = split(migration.up.text, migration.up.place)
    text = "".join(statement.before + statement.text for statement in script.statements)
    first = script.statements[0].before if script.statements else ""
    text = _HEADER.sub("", first) + text[len(first) :]
    rest = script.rest.lstrip()
    rest = rest.removeprefix(";").strip()
    return f"{text.strip()};\n" + (f"{rest}\n" if rest else "")
