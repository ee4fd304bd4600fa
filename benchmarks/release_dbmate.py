"""dbmate over a fleet: four processes side by side, each database in its turn. The binary of its npm package, without node."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from benchmarks.measure import Sample
from benchmarks.release_ground import ReleaseGround, write_migration

PROCESSES = 4


class Missing(Exception):
    """Why dbmate cannot be measured here."""


@contextlib.contextmanager
def installed() -> Iterator[Path]:
    """dbmate from the configured npm registry, in a temporary folder. Raises ``Missing``."""
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is not installed")
    with tempfile.TemporaryDirectory(prefix="manor-bench-npm-") as name:
        command = [npm, "install", "--prefix", name, "--no-audit", "--no-fund", "--loglevel=error", "dbmate"]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True)
        found = [path for path in Path(name).glob("node_modules/@dbmate/*/bin/dbmate*") if os.access(path, os.X_OK)]
        if done.returncode or not found:
            raise Missing(
                f"npm install dbmate failed: {(done.stderr.strip() or 'no binary for this machine').splitlines()[-1]}"
            )
        yield found[0]


class Dbmate:
    """Databases of its own, and the releases that they have seen."""

    def __init__(self, fleet: ReleaseGround, program: Path, folder: Path) -> None:
        self._fleet = fleet
        self._program = program
        self._folder = folder
        self._databases = fleet.copies("dbmate")
        self._released = 0

    def version(self) -> str:
        """As it tells it."""
        return subprocess.run([self._program, "--version"], check=True, capture_output=True, text=True).stdout.strip()

    def release(self) -> Sample:
        """The next one. Its processes' processor time is not ours and is not counted."""
        self._released += 1
        write_migration(self._folder, self._released)

        async def everything() -> None:
            with ThreadPoolExecutor(PROCESSES) as pool:
                list(pool.map(self._migrate, self._databases))

        return self._fleet.timed(everything)

    def _migrate(self, database: str) -> None:
        where = ["--url", self._url(database), "--migrations-dir", str(self._folder), "--no-dump-schema"]
        done = subprocess.run([self._program, *where, "migrate"], capture_output=True, text=True, cwd=self._folder)
        if done.returncode:
            raise RuntimeError(f"dbmate failed on {database}: {done.stderr or done.stdout}")

    def _url(self, database: str) -> str:
        where = conninfo_to_dict(self._fleet.ground.url)
        folder = quote(str(where["host"]), safe="")
        return f"postgres://{where['user']}@/{database}?host={folder}&port={where.get('port') or 5432}&sslmode=disable"
