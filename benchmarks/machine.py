"""What the measurements were made on: without these facts the numbers mean nothing."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg

from manor import __version__

_SETTINGS = (
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "wal_level",
    "file_copy_method",
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
    "autovacuum_naptime",
    "archive_mode",
    "data_checksums",
)


def machine_facts() -> list[tuple[str, str]]:
    """Name and value, in the order in which they are shown."""
    memory = psutil.virtual_memory()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        ("date", f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"),
        ("Manor", f"{__version__}, commit {commit()}"),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{memory.total / 2**30:.0f} GiB, {memory.available / 2**30:.0f} GiB free at the start"),
        (
            "temporary folder",
            f"{_file_system(tempfile.gettempdir())}; write + fsync of 8 kB: {_fsync_milliseconds():.2f} ms (median)",
        ),
        ("system", f"{platform.system()} {platform.release()} ({platform.machine()})"),
        ("Python", f"{platform.python_version()}, psycopg {psycopg.__version__} ({psycopg.pq.__impl__})"),
        ("load before the start (1, 5, 15 min)", load),
    ]


def server_facts(url: str) -> list[tuple[str, str]]:
    """Version and the settings that matter here."""
    query = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)"
    with psycopg.connect(url) as connection:
        found: dict[str, str] = dict(connection.execute(query, [list(_SETTINGS)]).fetchall())
        version = connection.execute("SELECT current_setting('server_version')").fetchone()
    values = ", ".join(f"{name} {found[name]}" for name in _SETTINGS if name in found)
    return [("PostgreSQL", f"{version[0] if version else '?'} (embedded): {values}")]


def commit() -> str:
    """The short name of the commit that is measured."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", "src", "benchmarks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (" and uncommitted changes" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()  # noqa: S607


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _file_system(path: str) -> str:
    real = os.path.realpath(path)
    mounts = [
        m for m in psutil.disk_partitions(all=True) if real == m.mountpoint or real.startswith(m.mountpoint.rstrip("/") + "/")
    ]
    if not mounts:
        return "unknown file system"
    nearest = max(mounts, key=lambda m: len(m.mountpoint))
    return f"{nearest.fstype}, {psutil.disk_usage(real).total / 2**30:.0f} GiB"


def _fsync_milliseconds() -> float:
    with tempfile.TemporaryFile() as file:
        return statistics.median(_fsync_once(file.fileno()) for _ in range(40))


def _fsync_once(descriptor: int) -> float:
    began = time.perf_counter()
    os.write(descriptor, b"x" * 8192)
    os.fsync(descriptor)
    return (time.perf_counter() - began) * 1000
