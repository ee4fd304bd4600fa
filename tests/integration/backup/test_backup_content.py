"""What is in a backup: all that the tenant held at one moment, restored with PostgreSQL's own programs."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fleet_fixtures import statuses

MANY_THINGS = """
CREATE TYPE mood AS ENUM ('so', 'so-so');
CREATE TABLE IF NOT EXISTS things (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, feeling mood, at timestamptz, data bytea, doc jsonb,
    twice bigint GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO things (name, feeling, at, data, doc)
    SELECT
        'n' || n || E'\\t\\\\.\\n日本', 'so', '2026-11-20 14:05+09', '\\x00ff', '{"a": [1, null]}'
    FROM generate_series(1, 50) AS n;
CREATE INDEX things_name ON things (name);
CREATE VIEW few AS SELECT * FROM things WHERE id < 3;
CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO parts VALUES (1, '2026-05-05');
SELECT lo_from_bytea(0, 'a large object');
"""
EVERYTHING = (
    "SELECT * FROM things ORDER BY id",
    "SELECT * FROM few ORDER BY id",
    "SELECT * FROM items ORDER BY id",
    "SELECT * FROM parts",
    "SELECT last_value, is_called FROM things_id_seq",
    "SELECT convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
)


@pytest.fixture(scope="module")
def filled(fleet: Any) -> Any:
    """The first tenant holds one of everything."""
    fleet.ask(MANY_THINGS, fleet.databases[0])
    return fleet


@pytest.mark.parametrize("how", [(), ("--plain",)])
def test_what_plain_programs_restore_is_what_the_tenant_held(filled: Any, backups: Any, how: tuple[str, ...]) -> None:
    """Row by row, with sequences, large objects, partitions, and what looks like the end of a COPY."""
    assert statuses(backups.take(*how)) == dict.fromkeys(filled.databases, "success")
    manifest, dump = backups.of(1)
    backups.restore(dump, "restored")
    for query in EVERYTHING:
        assert filled.ask(query, "restored") == filled.ask(query, filled.databases[0]), query
    rows = manifest["photograph"]["rows"]
    assert (rows["public.things"], rows["public.parts_1"], rows["public.items"]) == (50, 1, 1)
    assert rows["pg_catalog.pg_largeobject_metadata"] == 1


def test_a_manifest_says_what_there_is_to_say(filled: Any, backups: Any) -> None:
    """Whose it is, of which release, how large, and the digests that the file really has."""
    report = backups.take()
    manifest, dump = backups.of(2)
    content = dump.read_bytes()
    facts = next(o["facts"] for o in report["outcomes"] if o["database"] == filled.databases[1])
    assert facts == {
        "backup": manifest["id"],
        "file": str(dump),
        "bytes": len(content),
        "rows": 1,
        "version": "",
        "encrypted": False,
    }
    digest = hashlib.sha256(content).hexdigest()
    assert manifest["dump"] == {"key": dump.name, "bytes": len(content), "sha256": digest, "plain_sha256": digest}
    assert (manifest["tenant"], manifest["database"], manifest["server"]) == (filled.tenant(2), filled.databases[1], "main")
    assert (manifest["kind"], manifest["form"], manifest["operation"]) == ("logical", "custom", report["operation"]["id"])
    recorded = filled.ask("SELECT fingerprint FROM manor.databases WHERE database = 'acme_t_002'", "manor_catalog")
    assert recorded == [(manifest["photograph"]["fingerprint"],)]


def test_an_encrypted_backup_holds_nothing_readable_and_opens_with_its_own_tenants_key(filled: Any, backups: Any) -> None:
    """Each tenant has a key of its own, in the catalog, encrypted there; backups are told apart by their recipient."""
    filled.ask("INSERT INTO items VALUES (77, 'unmistakable', 1) ON CONFLICT DO NOTHING", filled.databases[2])
    backups.take("--encrypt", "--plain")
    manifest, dump = backups.of(3)
    assert b"unmistakable" not in dump.read_bytes()
    assert (dump.suffixes[-2:], manifest["encrypted"][:4]) == ([".sql", ".age"], "age1")
    assert len({backups.of(number)[0]["encrypted"] for number in (1, 2, 3)}) == 3
    assert filled.ask("SELECT count(*) FROM manor.tenant_keys WHERE secret NOT LIKE 'gAAAA%'", "manor_catalog") == [(0,)]
    assert filled.json("backup", "verify", "--all")["summary"] == {"ok": 3, "bad": 0}
    # A key that was destroyed takes its tenant's backups with it, and nobody else's.
    filled.ask(f"DELETE FROM manor.tenant_keys WHERE tenant = '{filled.tenant(3)}'", "manor_catalog")
    verified = filled.json("backup", "verify", "--all", code=1)
    assert [one["tenant_id"] for one in verified["backups"] if not one["ok"]] == [filled.tenant(3)]


def test_keys_of_backups_move_to_a_new_key_of_the_catalog(filled: Any, backups: Any) -> None:
    """Backups made before can still be read."""
    backups.take("--encrypt")
    filled("catalog", "rotate-key", "--retire")
    assert filled.json("backup", "verify", "--all")["summary"] == {"ok": 3, "bad": 0}


LEDGER = """
CREATE TABLE IF NOT EXISTS one (id int PRIMARY KEY, amount int);
CREATE TABLE IF NOT EXISTS other (id int PRIMARY KEY, amount int);
CREATE TABLE IF NOT EXISTS moves (id bigserial PRIMARY KEY, amount int);
TRUNCATE one, other, moves;
INSERT INTO one SELECT n, 1000 FROM generate_series(1, 20) AS n;
INSERT INTO other SELECT n, 0 FROM generate_series(1, 20) AS n;
"""
TRUE_ALWAYS = """
SELECT (SELECT sum(amount) FROM one) + (SELECT sum(amount) FROM other) = 20000,
    (SELECT sum(amount) FROM other) = (SELECT coalesce(sum(amount), 0) FROM moves),
    (SELECT count(*) FROM moves)
"""


def keep_moving(url: str, database: str, stop: threading.Event) -> None:
    """Amounts from one table to the other, and a row for each move, in one transaction each."""
    with psycopg.connect(url, dbname=database, autocommit=True) as connection:
        number = 0
        while not stop.is_set():
            number += 1
            with connection.transaction():
                connection.execute("UPDATE one SET amount = amount - 1 WHERE id = %s", [number % 20 + 1])
                connection.execute("INSERT INTO moves (amount) VALUES (1)")
                connection.execute("UPDATE other SET amount = amount + 1 WHERE id = %s", [number % 20 + 1])


def test_a_backup_of_a_tenant_that_is_written_to_shows_one_moment(fleet: Any, backups: Any) -> None:
    """Its dump keeps the invariant of the ledger, and its manifest counts the very rows that are in the dump."""
    database = fleet.databases[1]
    fleet.ask(LEDGER, database)
    stop = threading.Event()
    writer = threading.Thread(target=keep_moving, args=(fleet.url, database, stop))
    writer.start()
    try:
        for _ in range(5):
            backups.take()
    finally:
        stop.set()
        writer.join()
    moved = []
    for manifest in [path for path in backups.manifests() if path.parent.name == "002"]:
        moved.append(check_ledger(fleet, backups, manifest))
    assert moved == sorted(moved)
    assert moved[-1] > 0


def check_ledger(fleet: Any, backups: Any, path: Path) -> int:
    """The number of moves in one backup, whose invariant holds."""
    import json

    manifest = json.loads(path.read_text(encoding="utf-8"))
    backups.restore(path.parent / manifest["dump"]["key"], "restored")
    ((balanced, agreed, moves),) = fleet.ask(TRUE_ALWAYS, "restored")
    assert (balanced, agreed, moves) == (True, True, manifest["photograph"]["rows"]["public.moves"])
    return int(moves)
