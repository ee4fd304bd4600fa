"""The search for what should be gone, without any server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.backup.scan import Finder, Term, Where, scan_data_folder, useful, wal_records

MARKER = Term(text="zebra-4711", label="marker")
NAME = Term(text="acme_t_1", label="name", is_name=True)


@given(before=st.binary(max_size=40), after=st.binary(max_size=40), size=st.integers(1, 25))
def test_a_marker_is_found_wherever_chunks_are_cut(before: bytes, after: bytes, size: int) -> None:
    data = before + b"zebra-4711" + after
    expected = sum(data.startswith(b"zebra-4711", at) for at in range(len(data)))
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert Finder([MARKER]).count(chunks) == {0: expected}


def test_a_name_that_goes_on_is_another_name() -> None:
    finder = Finder([NAME])
    assert finder.count([b"acme_t_10", b"acme_t_1-x", b"acme_t_1"]) == {0: 1}
    assert finder.count([b"..acme_t_", b"1", b"0.."]) == {}
    assert finder.count([b"..acme_t_", b"1", b"\0.."]) == {0: 1}


def test_what_is_short_or_part_of_what_others_are_called_proves_nothing() -> None:
    terms = [MARKER, Term(text="abc", label="isolation value"), Term(text="Acme Ltd", label="display name"), NAME]
    good, left = useful(terms, ["Acme Ltd, Tokyo", "acme_t_1"])
    assert [term.label for term in good] == ["marker", "name"]
    assert left == ["isolation value", "display name"]


def test_a_record_that_goes_over_a_page_of_wal_is_found(tmp_path: Path) -> None:
    """The header of the second page stands in the middle of the marker."""
    first = bytes([0x18, 0xD1, 0x02, 0x00]) + bytes(36) + b"." * (8192 - 40 - 5) + b"zebra"
    second = bytes([0x18, 0xD1, 0x01, 0x00]) + bytes(20) + b"-4711" + bytes(8192 - 29)
    (tmp_path / "pg_wal").mkdir()
    segment = tmp_path / "pg_wal" / "000000010000000000000001"
    segment.write_bytes(first + second)
    assert len(first) == len(second) == 8192
    assert b"zebra-4711" in b"".join(wal_records(segment))
    (hit,) = scan_data_folder(tmp_path, Finder([MARKER]), shown_as="server main")
    assert (hit.kind, hit.where, hit.count) == (Where.WAL, "server main: pg_wal", 1)


@pytest.mark.parametrize(("file", "kind"), [("base/5/1259", Where.DATA), ("log/today.log", Where.LOG)])
def test_files_are_told_by_what_they_are(tmp_path: Path, file: str, kind: Where) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"zebra-4711")
    (hit,) = scan_data_folder(tmp_path, Finder([MARKER]), shown_as="s")
    assert (hit.kind, hit.where) == (kind, f"s: {file}")
