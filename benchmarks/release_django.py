"""django-tenants over as many schemas of one database: ``migrate_schemas``, its standard executor, the same statements."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.deploy_django_tenants import PYTHON, require_django
from benchmarks.measure import Sample, Stopwatch
from benchmarks.release_ground import STATEMENTS, ReleaseGround

DATABASE = "django_release"
_MIGRATION = """
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("shop", {before!r})]
    operations = [migrations.RunSQL({text!r})]
"""


class DjangoTenants:
    """One database, a schema per tenant, and the releases that they have seen; tenants are made before anything is measured."""

    def __init__(self, fleet: ReleaseGround) -> None:
        require_django()
        self._fleet = fleet
        self._folder = tempfile.TemporaryDirectory(prefix="manor-bench-django-")
        self._migrations = Path(self._folder.name) / "peer_releases"
        self._migrations.mkdir()
        (self._migrations / "__init__.py").touch()
        for own in sorted((Path(__file__).parent / "django_peer" / "shop" / "migrations").glob("0*.py")):
            (self._migrations / own.name).write_bytes(own.read_bytes())
        self._before = max(path.stem for path in self._migrations.glob("0*.py"))
        self._released = 0
        with psycopg.connect(fleet.ground.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        self._run("create", str(len(fleet.databases)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: tuple[type[BaseException], BaseException, TracebackType]) -> None:
        self._folder.cleanup()

    def release(self) -> Sample:
        """The next one. The rival times itself: starting Python and Django is not counted."""
        self._released += 1
        name = f"{1000 + self._released}_release"
        text = _MIGRATION.format(before=self._before, text=STATEMENTS.format(number=self._released))
        (self._migrations / f"{name}.py").write_text(text, encoding="utf-8")
        self._before = name
        with psycopg.connect(self._fleet.ground.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        watch = Stopwatch(self._fleet.ground.postmaster)
        told = self._run("release")
        return Sample(seconds=told["seconds"], server_cpu=watch.read().server_cpu, client_cpu=told["client_cpu"])

    def _run(self, *what: str) -> dict[str, float]:
        where = conninfo_to_dict(self._fleet.ground.url)
        server = [str(where["host"]), str(where["user"]), DATABASE, self._folder.name]
        command = [PYTHON, "-m", "benchmarks.django_peer.release", *server, *what]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
        told: dict[str, float] = json.loads(done.stdout)
        return told
