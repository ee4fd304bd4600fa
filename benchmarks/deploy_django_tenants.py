"""Deploy against django-tenants, which makes a schema per tenant and runs its migrations in it: the same tables and rows."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.ground import Ground, open_ground
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Spread, Stopwatch, Verdict, alternate, sample_rows

TARGET = 4.5
TENANTS = 30
JUDGED = "django-tenants, same tables"
PEERS: dict[str, tuple[str, ...]] = {
    JUDGED: (),
    "django-tenants, with contenttypes": ("django.contrib.contenttypes",),
    "django-tenants, with auth": ("django.contrib.contenttypes", "django.contrib.auth"),
}
DATABASE = "django_peer"
PYTHON = os.environ.get("MANOR_BENCH_DJANGO_PYTHON", sys.executable)
"""Where Django is installed: `tools/set_up.sh bench` puts it into our own environment."""
METHOD = f"""\
*django-tenants*: {TENANTS} tenants in one database, one after the other as its `TenantMixin.save()` makes them: schema,
migrations (the four tables of the standard plan with their keys, indexes, view and trigger), the same eleven rows by
bulk_create. Three set-ups: with nothing but these tables; with contenttypes, which its documentation wants in every tenant;
with contenttypes and auth. Starting Python and migrating the shared tables are not timed. *First deploy*: all databases of
the reference registry, 50 of which have three tables more, by the whole command on a new server, catalog and goldens made in
it. Both count their final CHECKPOINT. The ratio is that of the rates, tenants per second, of one round."""


def run(settings: Settings) -> Result:
    """Two ways, alternating."""
    require_django()
    tenants = 5 if settings.quick else TENANTS
    with contextlib.ExitStack() as grounds:
        ground = grounds.enter_context(open_ground(settings))
        count = len(ground.fleet().targets)
        legs = {
            **{name: functools.partial(django, ground, tenants, apps) for name, apps in PEERS.items()},
            "first deploy": lambda: grounds.enter_context(open_ground(settings)).first_deploy(),
        }
        samples = alternate(legs, settings.rounds_or(3))
    faster = {name: _faster(samples[name], tenants, samples["first deploy"], count) for name in PEERS}
    verdict = Verdict(
        what="deploy against django-tenants, tenants per second",
        target=f"≥ {TARGET}×",
        measured=faster[JUDGED].show(),
        reached=faster[JUDGED].middle >= TARGET,
    )
    counts = {**dict.fromkeys(PEERS, tenants), "first deploy": count}
    return Result(
        title="Deploy against django-tenants",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=[row for name, taken in samples.items() for row in sample_rows({name: taken}, count=counts[name])],
        verdicts=[verdict],
        remarks=[f"first deploy / {name}, tenants per second: {spread.show()}" for name, spread in faster.items()],
    )


def _faster(theirs: Sequence[Sample], their_count: int, ours: Sequence[Sample], our_count: int) -> Spread:
    pairs = zip(theirs, ours, strict=True)
    return Spread.of([(our_count / mine.seconds) / (their_count / other.seconds) for other, mine in pairs])


def require_django() -> None:
    """Raise ``SystemExit`` where the rival is missing."""
    if sys.executable == PYTHON and importlib.util.find_spec("django_tenants") is None:
        raise SystemExit("django-tenants is not installed: run `make bench`, or `tools/set_up.sh bench` once")


def django(ground: Ground, tenants: int, apps: Sequence[str]) -> Sample:
    """A fresh database each time. The rival times itself; the checkpoint after it is added."""
    ground.wipe()
    with psycopg.connect(ground.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        connection.execute("CHECKPOINT")
    where = conninfo_to_dict(ground.url)
    command = [PYTHON, "-m", "benchmarks.django_peer", str(where["host"]), str(where["user"]), DATABASE, str(tenants), *apps]
    watch = Stopwatch(ground.postmaster)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    told = json.loads(done.stdout)
    left = _checkpoint(ground)
    return Sample(seconds=told["seconds"] + left.seconds, server_cpu=watch.read().server_cpu, client_cpu=told["client_cpu"])


def _checkpoint(ground: Ground) -> Sample:
    watch = Stopwatch(ground.postmaster)
    asyncio.run(ground.checkpoint())
    return watch.read()
