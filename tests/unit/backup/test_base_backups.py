"""The pieces of a base backup: the split of one stream, its manifest, positions in the log, what a side instance's log says."""

from __future__ import annotations

import datetime as dt
import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.backup.base_manifest import FORMAT, BaseDatabase, BaseManifest, Member
from manor.control.backup.tar_split import END, SYSTEM, TarSplitter, member_of
from manor.control.engines.bases import ServerShape
from manor.control.engines.driver import Marker
from manor.control.engines.side.log import failure, incomplete_databases, read_end
from manor.control.engines.side.settings import Surroundings, render_identities, render_settings
from manor.control.engines.sides import Replay
from manor.control.engines.wal import number_at, read_history, read_lsn, segment_name, segment_number, show_lsn
from manor.errors import CatalogError, Code, EngineError, InputError

FILES = {
    "backup_label": b"START WAL LOCATION",
    "base/1/1259": b"template1",
    "base/16390/PG_VERSION": b"18\n",
    "base/16390/2601": bytes(3000),
    "base/16400/PG_VERSION": b"18\n",
    "base/16400/empty": b"",
    "global/pg_control": bytes(8192),
    "PG_VERSION": b"18\n",
}


def tar_of(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def files_of(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r|") as opened:
        return {entry.name: (opened.extractfile(entry) or io.BytesIO()).read() for entry in opened}


@given(st.lists(st.integers(1, 5000), max_size=12))
def test_a_stream_is_split_into_one_tar_per_database_however_it_arrives(cuts: list[int]) -> None:
    content, pieces, splitter = tar_of(FILES), dict[str, bytes](), TarSplitter()
    sizes = [*cuts, len(content)]
    start = 0
    for size in sizes:
        for member, data in splitter.feed(content[start : start + size]):
            pieces[member] = pieces.get(member, b"") + data
        start += size
    assert splitter.finished
    found = {member: files_of(data + END) for member, data in pieces.items()}
    assert set(found) == {SYSTEM, "16390", "16400"}
    assert {name: data for one in found.values() for name, data in one.items()} == FILES
    assert all(name.startswith("base/16390/") for name in found["16390"])


def test_a_stream_that_was_cut_short_is_not_finished() -> None:
    splitter = TarSplitter()
    list(splitter.feed(tar_of(FILES)[:5000]))
    assert not splitter.finished


def test_a_stream_that_is_no_tar_is_refused() -> None:
    with pytest.raises(EngineError, match="no tar"):
        list(TarSplitter().feed(b"pg_basebackup: error" + bytes(1000)))


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("base/16384/1259", "16384"),
        ("./base/16384", "16384"),
        ("base/5/1259", SYSTEM),
        ("base/pgsql_tmp/x", SYSTEM),
        ("global/1", SYSTEM),
        ("base", SYSTEM),
    ],
)
def test_databases_that_somebody_made_are_pieces_of_their_own(path: str, member: str) -> None:
    assert member_of(path) == member


def database(oid: int, kind: str = "", tenant: str = "", name: str = "x") -> BaseDatabase:
    return BaseDatabase(oid=oid, name=name, marker=Marker(catalog="c", kind=kind, tenant=tenant) if kind else None)


MANIFEST = BaseManifest(
    id="20261120T000000Z-aa",
    server="main",
    shape=ServerShape(system="7", major=18, segment_bytes=1 << 24, limits={"max_connections": 100}, superuser="postgres"),
    timeline=1,
    start_lsn=1 << 24,
    stop_lsn=(1 << 24) + 400,
    start_wal="000000010000000000000001",
    started_at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
    stopped_at=dt.datetime(2026, 11, 20, 0, 1, tzinfo=dt.UTC),
    databases=(
        database(1, name="template1"),
        database(16390, "golden"),
        database(16391, "warm"),
        database(16392, "tenant", "a/b/1"),
        database(16393, "kept", "a/b/1"),
        database(16394, "tenant", "a/b/2"),
        database(16395),
    ),
    members={
        piece: Member(key=f"bases/main/x/{piece}.tar.zst", bytes=5, sha256="00")
        for piece in (SYSTEM, "16390", "16391", "16392", "16393", "16394", "16395", "16396")
    },
    made_by="somebody",
    operation="o",
)


def test_a_tenant_takes_the_system_the_goldens_and_its_own_databases_and_no_neighbour() -> None:
    assert MANIFEST.pieces_for("a/b/1") == (SYSTEM, "16390", "16391", "16392", "16393")
    assert MANIFEST.pieces_for("a/b/1", [16395]) == (SYSTEM, "16390", "16391", "16392", "16393", "16395")


def test_databases_that_the_manifest_does_not_name_are_left_out_too() -> None:
    assert MANIFEST.left_out(MANIFEST.pieces_for("a/b/1")) == (16394, 16395, 16396)


def test_a_manifest_survives_being_written() -> None:
    assert BaseManifest.from_json(MANIFEST.to_json(), place="there") == MANIFEST


@pytest.mark.parametrize("change", ["altered", "short", "newer", "list"])
def test_a_manifest_that_is_not_what_was_written_is_refused(change: str) -> None:
    text = MANIFEST.to_json()
    if change == "altered":
        text = text.replace('"timeline":1', '"timeline":2')
    elif change == "newer":
        text = json.dumps({**json.loads(text), "format": FORMAT + 1})
    else:
        text = text[:-10] if change == "short" else "[]"
    with pytest.raises(CatalogError, match="there: the manifest"):
        BaseManifest.from_json(text, place="there")


@given(st.integers(0, (1 << 64) - 1))
def test_positions_are_read_as_they_are_shown(lsn: int) -> None:
    assert read_lsn(show_lsn(lsn)) == lsn


@given(st.integers(0, 1 << 30), st.sampled_from([1 << 20, 1 << 24, 1 << 30]))
def test_segments_have_the_numbers_of_their_names(number: int, size: int) -> None:
    assert segment_number(segment_name(3, number, size), size) == number
    assert number_at(number * size, size) == number


@pytest.mark.parametrize("text", ["", "16B3748", "0/", "0/16B374812", "x/1"])
def test_other_words_are_no_positions(text: str) -> None:
    with pytest.raises(InputError, match="no position"):
        read_lsn(text)


def test_a_history_names_ancestors_and_where_they_were_left() -> None:
    text = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000028\tbefore 2026-11-20 00:00:00\n"
    assert read_history(text) == ((1, 0x3000000), (2, 0x5000028))


BEYOND = "FATAL:  recovery ended before configured recovery target was reached"


@pytest.mark.parametrize(
    ("text", "damaged"),
    [
        (f"LOG:  incorrect resource manager data checksum in record at 0/50001A8\n{BEYOND}", "0/50001A8"),
        (f"LOG:  invalid record length at 0/50001A8: expected at least 24, got 7\n{BEYOND}", "0/50001A8"),
        (
            f"LOG:  invalid magic number 0000 in WAL segment 000000010000000000000005, LSN 0/5004000\n{BEYOND}",
            "000000010000000000000005",
        ),
        (
            f"LOG:  unexpected pageaddr 0/1 in WAL segment 000000010000000000000005, LSN 0/5, offset 0\n{BEYOND}",
            "000000010000000000000005",
        ),
        ('FATAL:  archive file "000000010000000000000005" has wrong size: 5 instead of 16777216', "000000010000000000000005"),
        (f"LOG:  redo done at 0/50001A8\n{BEYOND}", ""),
        ("LOG:  invalid record length at 0/50001A8: expected at least 24, got 0\nLOG:  archive recovery complete", ""),
    ],
)
def test_a_side_instances_log_names_the_piece_of_log_that_is_damaged(text: str, damaged: str) -> None:
    assert read_end(text).damaged == damaged


def test_a_target_beyond_the_log_is_told_with_the_last_transaction() -> None:
    text = f"LOG:  last completed transaction was at log time 2026-11-20 05:05:00.5+00\n{BEYOND}"
    error = failure(text, target="2026-11-21", segment="", segments=["000000010000000000000005"])
    assert error.code is Code.NOT_FOUND
    assert "2026-11-20 05:05:00.5+00" in error.hint


def test_a_target_before_the_end_of_the_base_is_told() -> None:
    text = "FATAL:  requested recovery stop point is before consistent recovery point"
    assert failure(text, target="x", segment="", segments=[]).code is Code.REFUSED


def test_pages_that_a_tenant_lacks_are_seen_and_those_of_neighbours_do_not_count() -> None:
    text = "WARNING:  page 3 of relation base/16400/1259 does not exist\n"
    text += "WARNING:  page 3 of relation base/16401/1259 is uninitialized\n"
    assert incomplete_databases(text, [16401, 16402]) == (16401,)


def settings_of(**changes: Any) -> str:
    replay = Replay(setting="recovery_target_name", value=changes.pop("value", "a mark"), timeline=1, segments=[])
    return render_settings(MANIFEST.shape, replay, Surroundings(socket_directory="/tmp/x", cluster_name="side"))


def test_a_side_instance_archives_nothing_listens_nowhere_and_has_one_target() -> None:
    lines = dict(line.split(" = ", 1) for line in settings_of().splitlines())
    assert lines["archive_mode"] == "'off'"
    assert lines["listen_addresses"] == "''"
    assert lines["max_connections"] == "'100'"
    assert lines["max_logical_replication_workers"] == "'0'"
    assert [name for name in lines if name.startswith("recovery_target_")] == [
        "recovery_target_name",
        "recovery_target_inclusive",
        "recovery_target_action",
        "recovery_target_timeline",
    ]


def test_names_with_quotes_stay_names() -> None:
    assert "recovery_target_name = 'it''s'" in settings_of(value="it's")
    assert render_identities(["root"], 'a"b') == 'side "root" "a""b"\n'
