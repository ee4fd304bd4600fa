"""Walking all tenants of a source against the bare driver that reads the same rows.

``python -m benchmarks.source_walk WAY WHERE`` is the process that is measured.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks.measure import Result, Settings, Spread, Verdict
from benchmarks.processes import launch
from manor.control.engines.embedded.server import EmbeddedServer
from manor.control.registry.provider import TenantRegistryProvider
from manor.settings import find_project
from manor.testing.sources import SourceSuite
from manor.wiring import open_source

TENANTS = 100_000
TARGET_RATE = 0.7
TARGET_MEGABYTES = 150
PAGE = 1_000
METHOD = f"""\
{TENANTS:,} tenants with all fields of the reference, two thirds of them with two JSON documents, in a table of the embedded
PostgreSQL, in a CSV file, and behind a REST API of another process on loopback (pages of {PAGE} by offset). *Manor*:
`iter_tenants` of the source as `project.yaml` describes it, every tenant checked. *Bare driver*: psycopg with a
server-side cursor, {PAGE} rows at a time, as dictionaries, in the order of ids; `csv.DictReader`; httpx with one
connection and `response.json()`. Each walk is a process of its own that measures itself, imports not counted; the two
alternate. Memory is the growth of the resident set's peak from just before the walk."""


def run(settings: Settings) -> Result:
    """SQL, CSV and REST."""
    tenants = TENANTS // 20 if settings.quick else TENANTS
    rows, verdicts = [], []
    with tempfile.TemporaryDirectory(prefix="manor-bench-") as name, _ground(Path(name), tenants) as places:
        for kind, place in places.items():
            walks: dict[str, list[tuple[float, float]]] = {"manor": [], "bare": []}
            for number in range(settings.rounds_or(5)):
                for way in ("manor", "bare") if number % 2 else ("bare", "manor"):
                    walks[way].append(_walk(f"{way}-{kind}", place, tenants))
            rows += [_row(f"{kind}, {way}", taken, tenants) for way, taken in walks.items()]
            verdicts += _verdicts(kind, walks["manor"], walks["bare"])
    return Result(
        title="Walking all tenants of a source",
        method=METHOD,
        header=("source, way", "seconds (min / median / max)", "tenants/s", "peak MB above start"),
        rows=rows,
        verdicts=verdicts,
    )


def _row(name: str, taken: Sequence[tuple[float, float]], tenants: int) -> list[str]:
    seconds = Spread.of([one for one, _ in taken])
    return [name, seconds.show(), f"{tenants / seconds.middle:,.0f}", f"{max(memory for _, memory in taken):.0f}"]


def _verdicts(kind: str, manor: Sequence[tuple[float, float]], bare: Sequence[tuple[float, float]]) -> list[Verdict]:
    rate = Spread.of([theirs[0] / ours[0] for ours, theirs in zip(manor, bare, strict=True)])
    memory = max(one for _, one in manor)
    return [
        Verdict(
            what=f"walking tenants from {kind}: rate against the bare driver",
            target=f"≥ {TARGET_RATE}",
            measured=rate.show(),
            reached=rate.middle >= TARGET_RATE,
        ),
        Verdict(
            what=f"walking tenants from {kind}: resident memory above start",
            target=f"≤ {TARGET_MEGABYTES} MB",
            measured=f"{memory:.0f} MB",
            reached=memory <= TARGET_MEGABYTES,
        ),
    ]


def _walk(way: str, place: str, tenants: int) -> tuple[float, float]:
    _, answer = launch([sys.executable, "-m", "benchmarks.source_walk", way, place])
    seconds, megabytes, seen = json.loads(answer)
    assert seen == tenants, f"{way} saw {seen} tenants of {tenants}"
    print(f"    {way}: {seconds:.2f} s, {megabytes:.0f} MB", flush=True)
    return seconds, megabytes


# Where the tenants are


@contextmanager
def _ground(folder: Path, tenants: int) -> Iterator[dict[str, str]]:
    """By kind: the project's folder, or what the bare driver needs with it."""
    (folder / "server").mkdir()
    server = EmbeddedServer(folder / "server")
    server.start()
    try:
        url = server.ensure_running()
        _fill_table(url, tenants)
        _fill_csv(folder / "tenants.csv", tenants)
        with _api(tenants) as address:
            project = {
                "sql": {"provider": "database", "config": {"database": {"url": url}}},
                "csv": {"provider": "csv", "config": {"csv": {"csv_path": "tenants.csv"}}},
                "rest": {"provider": "api", "config": {"api": {"api_base_url": address, "pagination": {"size": PAGE}}}},
            }
            (folder / "project.yaml").write_text(json.dumps({"multi_tenant": {"sources": project}}), encoding="utf-8")
            yield {"sql": f"{folder}|{url}", "csv": f"{folder}|{folder}/tenants.csv", "rest": f"{folder}|{address}"}
    finally:
        server.destroy()


def _rows(tenants: int) -> Iterator[Mapping[str, Any]]:
    return (SourceSuite.row(number) for number in range(tenants))


COLUMNS = (
    "tenant_id text PRIMARY KEY, customer_code text, customer_name text, region text, tier text, status text,"
    " created_at timestamptz, updated_at timestamptz, isolation_strategy text, database_prefix text, schema_suffix text,"
    " table_prefix text, instances text[], billing_info jsonb, contract_info jsonb"
)


def _fill_table(url: str, tenants: int) -> None:
    names = [column.split()[0] for column in COLUMNS.split(", ")]
    with psycopg.connect(url) as session, session.cursor() as cursor:
        cursor.execute(f"CREATE TABLE tenants ({COLUMNS})".encode())
        copy = sql.SQL("COPY tenants ({}) FROM STDIN").format(sql.SQL(", ").join(map(sql.Identifier, names)))
        with cursor.copy(copy) as into:
            for row in _rows(tenants):
                into.write_row([Jsonb(value) if isinstance(value, dict) else value for value in map(row.get, names)])


def _fill_csv(file: Path, tenants: int) -> None:
    names = [column.split()[0] for column in COLUMNS.split(", ")]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for row in _rows(tenants):
            writer.writerow([_cell(row.get(name)) for name in names])


def _cell(value: Any) -> Any:
    return ";".join(value) if isinstance(value, list) else json.dumps(value) if isinstance(value, dict) else value


@contextmanager
def _api(tenants: int) -> Iterator[str]:
    """In a thread of this process, which has nothing else to do; answers are made before anybody asks."""
    rows = [json.dumps(row) for row in _rows(tenants)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = dict(part.split("=") for part in self.path.partition("?")[2].split("&") if "=" in part)
            offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", PAGE))
            body = f'{{"items": [{", ".join(rows[offset : offset + limit])}]}}'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


# The process that is measured


async def _count(provider: TenantRegistryProvider) -> int:
    seen = 0
    async for _ in provider.iter_tenants():
        seen += 1
    return seen


def _manor(kind: str) -> Callable[[str], Callable[[], int]]:
    def opened(place: str) -> Callable[[], int]:
        provider = open_source(find_project(Path(place.partition("|")[0])), kind)
        return lambda: asyncio.run(_count(provider))

    return opened


def _bare_sql(place: str) -> Callable[[], int]:
    def walk() -> int:
        with (
            psycopg.connect(place.partition("|")[2]) as session,
            session.cursor("walk", row_factory=psycopg.rows.dict_row) as cursor,
        ):
            cursor.itersize = PAGE
            cursor.execute("SELECT * FROM tenants ORDER BY tenant_id")
            return sum(1 for _ in cursor)

    return walk


def _bare_csv(place: str) -> Callable[[], int]:
    def walk() -> int:
        with Path(place.partition("|")[2]).open(encoding="utf-8", newline="") as stream:
            return sum(1 for _ in csv.DictReader(stream))

    return walk


def _bare_rest(place: str) -> Callable[[], int]:
    import httpx

    def walk() -> int:
        seen = 0
        with httpx.Client(base_url=place.partition("|")[2]) as client:
            while found := client.get("/tenants", params={"offset": seen, "limit": PAGE}).json()["items"]:
                seen += len(found)
        return seen

    return walk


WAYS: dict[str, Callable[[str], Callable[[], int]]] = {
    **{f"manor-{kind}": _manor(kind) for kind in ("sql", "csv", "rest")},
    "bare-sql": _bare_sql,
    "bare-csv": _bare_csv,
    "bare-rest": _bare_rest,
}


def _memory(line: str) -> float:
    """MB of this process, from Linux."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(line)[2].split()[0]) / 1024


def main() -> None:
    """Walk once and say how long it took and how far memory grew."""
    walk = WAYS[sys.argv[1]](sys.argv[2])
    start = _memory("VmRSS:")
    began = time.perf_counter()
    seen = walk()
    print(json.dumps([time.perf_counter() - began, max(0.0, _memory("VmHWM:") - start), seen]))


if __name__ == "__main__":
    main()
