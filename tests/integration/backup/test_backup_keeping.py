"""Verifying, listing, holding and pruning: storage is the truth, and nothing that is damaged goes unnoticed."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manor.control.backup.manifest import canonical


def flip(path: Path, place: int, bit: int = 3) -> None:
    """Flip one bit of a file; a negative place counts from its end."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def bad(fleet: Any) -> list[tuple[str, str]]:
    """(tenant, code) of what verifying finds, once for the whole fleet; the summary must agree."""
    found = fleet.json("backup", "verify", "--all", code=None)
    problems = [(one["tenant_id"], one["error"]["code"]) for one in found["backups"] if not one["ok"]]
    assert found["summary"]["bad"] == len(problems)
    return problems


@pytest.mark.parametrize("how", [(), ("--plain",), ("--encrypt",)])
@pytest.mark.parametrize("place", [0, 5, 200, -1])
def test_a_flipped_bit_in_a_dump_is_found(fleet: Any, backups: Any, how: tuple[str, ...], place: int) -> None:
    """Wherever it is; the others are sound."""
    backups.take(*how)
    flip(backups.of(2)[1], place)
    assert [tenant for tenant, _ in bad(fleet)] == [fleet.tenant(2)]
    assert bad(fleet)[0][1] in ("corrupt", "denied")


@pytest.mark.parametrize("damage", ["cut", "longer", "empty"])
@pytest.mark.parametrize("how", [(), ("--encrypt",)])
def test_a_dump_of_another_length_is_found(fleet: Any, backups: Any, how: tuple[str, ...], damage: str) -> None:
    """Also where bytes were added behind its end."""
    backups.take(*how)
    dump = backups.of(1)[1]
    content = dump.read_bytes()
    dump.write_bytes({"cut": content[:-1], "longer": content + b"\0", "empty": b""}[damage])
    assert bad(fleet) == [(fleet.tenant(1), "corrupt")]
    listed = {one["tenant_id"]: one for one in fleet.json("backup", "list")}
    assert listed[fleet.tenant(1)]["state"] == "dump has another size"
    assert listed[fleet.tenant(1)]["usable"] is False


@pytest.mark.parametrize("place", [3, 400, -10])
def test_a_flipped_bit_in_a_manifest_is_found(fleet: Any, backups: Any, place: int) -> None:
    """The digest over the manifest tells."""
    backups.take()
    flip(backups.manifests()[0], place)
    assert [code for _, code in bad(fleet)] == ["corrupt"]


def test_a_manifest_that_was_written_anew_is_found(fleet: Any, backups: Any) -> None:
    """Even one that is sound in itself: the catalog knows the digest of the one that was made."""
    import hashlib

    backups.take()
    path = backups.manifests()[0]
    document = json.loads(path.read_text(encoding="utf-8"))
    document.pop("digest")
    document["photograph"]["rows"] = {}
    document["digest"] = hashlib.sha256(canonical(document)).hexdigest()
    path.write_text(json.dumps(document), encoding="utf-8")
    assert [code for _, code in bad(fleet)] == ["corrupt"]


def test_two_dumps_that_changed_places_are_found(fleet: Any, backups: Any) -> None:
    """Each is sound in itself, and not the one that its manifest is about."""
    backups.take()
    (_, first), (_, second) = backups.of(1), backups.of(2)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert {tenant for tenant, _ in bad(fleet)} == {fleet.tenant(1), fleet.tenant(2)}


def test_what_is_gone_is_named(fleet: Any, backups: Any) -> None:
    """A dump, or a manifest: without one the backup does not exist."""
    backups.take()
    backups.of(1)[1].unlink()
    next(path for path in backups.manifests() if path.parent.name == "002").unlink()
    assert bad(fleet) == [(fleet.tenant(1), "not_found"), (fleet.tenant(2), "not_found")]
    states = {one["tenant_id"]: one["state"] for one in fleet.json("backup", "list")}
    assert states == {fleet.tenant(1): "dump gone", fleet.tenant(2): "manifest gone", fleet.tenant(3): "complete"}


def test_a_backup_that_only_the_storage_knows_is_listed_verified_and_recorded_by_pruning(fleet: Any, backups: Any) -> None:
    """The catalog is an index and can be made anew."""
    backups.take()
    fleet.ask("TRUNCATE manor.backups", "manor_catalog")
    assert {one["state"] for one in fleet.json("backup", "list")} == {"not in the catalog"}
    assert fleet.json("backup", "verify", "--tenant-id", "001")["summary"] == {"ok": 1, "bad": 0}
    assert len(fleet.json("backup", "prune")["recorded"]) == 3
    assert {one["state"] for one in fleet.json("backup", "list")} == {"complete"}


def test_pruning_keeps_what_the_rules_say_and_writes_the_rest_down(fleet: Any, backups: Any) -> None:
    """``keep_last: 2``; a dry run changes nothing; each removal has its audit entry."""
    for _ in range(3):
        backups.take()
    oldest = {path.name.partition(".")[0] for path in backups.manifests()[:3]}
    files = backups.dumps()
    would = fleet.json("backup", "prune", "--dry-run")
    assert (backups.dumps(), {one["backup"] for one in would["removed"]}) == (files, oldest)
    pruned = fleet.json("backup", "prune")
    assert {one["backup"] for one in pruned["removed"]} == oldest
    assert (len(backups.manifests()), len(backups.dumps()), len(pruned["kept"])) == (6, 6, 6)
    entries = fleet.json("audit", "list")
    assert {e["details"]["backup"] for e in entries if e["action"] == "backup.remove"} >= oldest
    assert fleet.json("backup", "prune")["removed"] == []
    assert fleet.json("audit", "verify")["ok"]


def test_a_damaged_backup_is_not_taken_for_the_newest_one(fleet: Any, backups: Any) -> None:
    """It protects nobody, and is left for somebody to look at."""
    for _ in range(3):
        backups.take()
    dump = backups.of(1)[1]
    dump.write_bytes(dump.read_bytes()[:-1])
    pruned = fleet.json("backup", "prune", code=1)
    kept = [one for one in pruned["kept"] if one["tenant_id"] == fleet.tenant(1)]
    assert (len(kept), dump.exists()) == (2, True)
    assert [one["state"] for one in pruned["problems"]] == ["dump has another size"]


def test_a_legal_hold_keeps_a_backup_until_it_is_taken_off(fleet: Any, backups: Any) -> None:
    """Both are in the audit log, with their reasons."""
    backups.take()
    held = backups.of(1)[0]["id"]
    fleet("backup", "hold", held, "--reason", "case 4711")
    assert "case 4711" in fleet("backup", "hold", held, "--reason", "case 9", code=3).stderr
    for _ in range(2):
        backups.take()
    kept = {one["backup"]: one["reason"] for one in fleet.json("backup", "prune")["kept"]}
    assert kept[held] == "legal hold"
    assert next(one["hold"] for one in fleet.json("backup", "list") if one["backup"] == held) == "case 4711"
    fleet("backup", "release", held, "--reason", "settled")
    fleet("backup", "release", held, "--reason", "again", code=3)
    assert [one["backup"] for one in fleet.json("backup", "prune")["removed"]] == [held]
    reasons = {e["action"]: e["details"].get("reason") for e in fleet.json("audit", "list")}
    assert (reasons["backup.hold"], reasons["backup.release"]) == ("case 4711", "settled")
    fleet("backup", "hold", held, "--reason", "too late", code=2)


def test_only_old_leftovers_are_swept(fleet: Any, backups: Any) -> None:
    """A dump that waits for its manifest is left alone; both kinds of leftovers go in the end."""
    assert backups.killed("backup.stored") == -signal.SIGKILL
    orphans = backups.orphans()
    assert fleet.json("backup", "prune")["swept"] == []
    assert backups.orphans() == orphans != []
    for orphan in orphans:
        os.utime(orphan, (time.time() - 90_000,) * 2)
    assert len(fleet.json("backup", "prune")["swept"]) == len(orphans)
    assert backups.orphans() == []


@pytest.mark.parametrize(("kind", "occurrence"), [("backup.removed", 1), ("backup.removed", 2), ("backup.forgotten", 2)])
def test_a_killed_pruning_is_finished_by_the_next(fleet: Any, backups: Any, kind: str, occurrence: int) -> None:
    """What stays is whole, and the catalog says what the storage says."""
    for _ in range(2):
        backups.take()
    assert backups.killed(kind, occurrence, "--prune") == -signal.SIGKILL
    listed = fleet.json("backup", "list")
    assert all(one["usable"] for one in listed if one["state"] != "manifest gone")
    assert fleet.json("backup", "prune")["problems"] == []
    assert {one["state"] for one in fleet.json("backup", "list")} == {"complete"}
    assert {path.parent.name for path in backups.manifests()} == {"001", "002", "003"}
    assert fleet.json("backup", "verify", "--all")["summary"]["bad"] == 0
    assert fleet.json("audit", "verify")["ok"]


def test_backups_elsewhere_are_listed_and_left_alone(fleet: Any, backups: Any, tmp_path: Path) -> None:
    """Where they are is said; pruning here does not miss them."""
    report = backups.take("--output", tmp_path / "elsewhere")
    assert {Path(o["facts"]["file"]).parents[2] for o in report["outcomes"]} == {tmp_path / "elsewhere" / "acme"}
    assert {one["state"] for one in fleet.json("backup", "list")} == {"in another store"}
    assert fleet.json("backup", "prune")["forgotten"] == []
    assert fleet.json("backup", "verify", "--all", "--location", tmp_path / "elsewhere")["summary"] == {"ok": 3, "bad": 0}
    there = fleet.json("backup", "list", "--location", tmp_path / "elsewhere", "--tenant-id", "002")
    assert [(one["tenant_id"], one["state"]) for one in there] == [(fleet.tenant(2), "complete")]


def test_commands_without_a_catalog_say_so(tmp_path: Path) -> None:
    """Nothing is made."""
    from fleet_fixtures import Fleet

    empty = Fleet(folder=tmp_path, url="", tenants=0)
    for arguments in (("list",), ("verify", "--all"), ("prune",)):
        assert "no catalog" in empty("backup", *arguments, code=2).text
    assert not (tmp_path / ".manor" / "backups").exists()


def give_away(backups: Any, number: int) -> str:
    """Make the newest backup of the n-th tenant one of another installation; returns its id."""
    from manor.control.backup.manifest import Manifest

    found = backups.of(number)[0]["id"]
    path = next(path for path in backups.manifests() if path.name.startswith(found))
    path.write_bytes(replace(Manifest.from_json(path.read_bytes()), installation="another").to_json())
    backups.fleet.ask(f"DELETE FROM manor.backups WHERE id = '{found}'", "manor_catalog")
    return str(found)


def test_backups_of_another_installation_are_neither_counted_nor_removed(fleet: Any, backups: Any) -> None:
    """Two installations on one location: each prunes, verifies and holds its own."""
    backups.take()
    theirs = give_away(backups, 1)
    for _ in range(2):
        backups.take()
    newest = give_away(backups, 2)
    backups.take()
    states = {one["backup"]: one["state"] for one in fleet.json("backup", "list")}
    assert {states[theirs], states[newest]} == {"of another installation"}
    pruned = fleet.json("backup", "prune")
    assert {one["backup"] for one in pruned["foreign"]} == {theirs, newest}
    assert pruned["problems"] == []
    assert [one["tenant_id"] for one in pruned["kept"]].count(fleet.tenant(2)) == 2
    left = {path.name.partition(".")[0] for path in backups.manifests()}
    assert {theirs, newest} <= left
    assert fleet.json("backup", "verify", "--all")["summary"] == {"ok": 6, "bad": 0}
    assert "another installation" in fleet("backup", "hold", theirs, "--reason", "case 1", code=3).stderr
