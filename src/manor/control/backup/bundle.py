"""What a bundle holds: one tenant, complete, for a server that never heard of Manor. Pure: names, texts and rules of its files.

::

    README.md  restore.sh  verify.sql  SHA256SUMS
    <backup>.manifest.json  <backup>.dump          the tenant's database and what is in it
    tenant.json                                    who it is, and the migrations that it has seen
    release/<version>_<name>.sql                   those migrations
    objects/<n>/…                                  its objects in storage, location by location
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from manor.control.backup.manifest import Manifest
from manor.errors import Code, ManorError

FORMAT = 1
SUMS = "SHA256SUMS"
TENANT = "tenant.json"
OBJECTS = "objects"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_HINT = "have it made again, or copied again: nothing was changed"

README = """# {name}

The database of one tenant, as it was at {taken_at} (UTC): {rows} rows, {version}, PostgreSQL {server}.

To restore it on any PostgreSQL of the same or a newer major version, with its client programs in the PATH and a login that may
create databases (libpq's variables `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, … say which):

    ./restore.sh NAME_OF_THE_NEW_DATABASE

The script checks all files against `{sums}`, makes the database, loads the dump in one transaction, and counts the rows of
every table. Whoever runs it owns what is made; give your application's role its rights afterwards.

`release/` holds the migrations that the database has seen (its table `schema_migrations` lists them), `objects/` the tenant's
files. Another installation of Manor takes the whole bundle in: `manor tenant import --bundle FILE --group G`.
"""

RESTORE = """#!/bin/sh
# Restores this bundle into a new database with PostgreSQL's own programs. Usage: ./restore.sh NAME
set -eu
if [ $# -ne 1 ]; then echo "usage: $0 NAME_OF_THE_NEW_DATABASE" >&2; exit 2; fi
cd "$(dirname "$0")"
if command -v sha256sum >/dev/null 2>&1; then sha256sum --quiet -c {sums}; else shasum -a 256 -c {sums} >/dev/null; fi
createdb --template=template0 --encoding=UTF8 "$1"
pg_restore --single-transaction --exit-on-error --no-owner --no-privileges --dbname="$1" {dump}
if psql --no-psqlrc -At -v ON_ERROR_STOP=1 --dbname="$1" --file=verify.sql | grep -v '|t$'; then
    echo "the tables above do not hold the rows that they should" >&2
    exit 1
fi
echo "restored into $1: {rows} rows in {tables} tables, as written down"
"""


def texts(manifest: Manifest) -> dict[str, str]:
    """The files that people read and run, by name."""
    photograph, values = manifest.photograph, {"sums": SUMS, "rows": str(manifest.photograph.total_rows)}
    readme = README.format(
        name=manifest.name or manifest.tenant,
        taken_at=f"{photograph.taken_at:%Y-%m-%d %H:%M:%S}",
        version=f"version {photograph.version}" if photograph.version else "no migrations",
        server=photograph.server_version,
        **values,
    )
    script = RESTORE.format(dump=manifest.dump.key, tables=len(photograph.rows), **values)
    return {"README.md": readme, "restore.sh": script, "verify.sql": _counts(photograph.rows)}


def _counts(rows: Mapping[str, int]) -> str:
    return "".join(f"SELECT {_literal(name)}, count(*) = {count:d} FROM {_quoted(name)};\n" for name, count in rows.items())  # noqa: S608 - quoted


def _quoted(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split(".", 1))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def release_file(version: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """Name and text of a migration that was run, as it is recorded, in dbmate's format."""
    safe = re.sub(r"[^A-Za-z0-9]+", "_", str(body["name"])).strip("_")
    name = "_".join(filter(None, (re.sub(r"[^A-Za-z0-9.]+", "_", version), safe)))
    sections = [_section("up", body["up"])] + ([_section("down", body["down"])] if body.get("down") else [])
    return f"release/{name}.sql", "\n".join(sections)


def _section(direction: str, section: Mapping[str, Any]) -> str:
    option = "" if section.get("transaction", True) else " transaction:false"
    return f"-- migrate:{direction}{option}\n{str(section['text']).strip()}\n"


def write_sums(sums: Mapping[str, str]) -> str:
    """The file of checksums, as ``sha256sum`` reads it. ``sums``: hex by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def read_sums(text: str) -> dict[str, str]:
    """What ``write_sums`` wrote. Raises ``ManorError`` (``corrupt``)."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise corrupt(f"{SUMS} has a line that is none")
        found[match[2]] = match[1]
    return found


def compare_sums(written: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raise ``ManorError`` (``corrupt``) unless the files are exactly those that were written down. ``found`` without SUMS."""
    for name in sorted(written.keys() | found.keys()):
        if name not in found:
            raise corrupt(f"{name} is missing")
        if written.get(name) != found[name]:
            raise corrupt(f"{name} was altered" if name in written else f"{name} was put in")


def is_safe(name: str) -> bool:
    """Whether a member's name leads nowhere but below the folder that it is unpacked into."""
    return "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def corrupt(why: str) -> ManorError:
    """The error for a bundle that is not what was made."""
    return ManorError(f"the bundle cannot be trusted: {why}", hint=_HINT, code=Code.CORRUPT)
