"""The anchor file: append-only, in order, and robust against power cuts and damage."""

from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from manor.control.audit import Anchor, AnchorFile
from manor.errors import CatalogError

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)


def anchor(sequence: int, catalog: str = "aaaaaaaa") -> Anchor:
    return Anchor(catalog=catalog, sequence=sequence, mac=f"{sequence:064x}", at=NOW, operation="op")


@pytest.fixture
def anchors(tmp_path) -> AnchorFile:
    return AnchorFile(tmp_path / ".manor" / "audit.anchor")


def test_a_file_that_is_not_there_has_no_anchors(anchors):
    assert anchors.last("aaaaaaaa") is None
    assert list(anchors.read("aaaaaaaa")) == []
    assert not anchors.path.parent.exists()


def test_anchors_come_back_in_order_per_catalog(anchors):
    for written in (anchor(0), anchor(1), anchor(7, "bbbbbbbb"), anchor(5)):
        anchors.append(written)
    assert list(anchors.read("aaaaaaaa")) == [anchor(0), anchor(1), anchor(5)]
    assert anchors.last("aaaaaaaa") == anchor(5)
    assert anchors.last("bbbbbbbb") == anchor(7, "bbbbbbbb")
    assert anchors.last("cccccccc") is None


def test_the_last_anchor_is_found_in_a_long_file_whose_end_is_another_catalogs(anchors):
    anchors.append(anchor(1))
    line = anchors.path.read_bytes().replace(b"aaaaaaaa", b"bbbbbbbb")
    with anchors.path.open("ab") as file:
        file.write(line * 5_000)
    assert anchors.last("aaaaaaaa") == anchor(1)


def test_an_older_head_is_not_written_after_a_newer_one(anchors):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda sequence: anchors.append(anchor(sequence)), [5, 3, 9, 1, 9, 7, 2, 8]))
    sequences = [found.sequence for found in anchors.read("aaaaaaaa")]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == 9


@pytest.mark.parametrize("torn", [b'{"catalog":"aaaaaaaa","sequ', b"\0" * 70_000, b"{"])
def test_a_line_that_was_torn_by_a_power_cut_is_ignored_and_replaced(anchors, torn):
    anchors.append(anchor(1))
    with anchors.path.open("ab") as file:
        file.write(torn)
    assert list(anchors.read("aaaaaaaa")) == [anchor(1)]
    assert anchors.last("aaaaaaaa") == anchor(1)
    anchors.append(anchor(2))
    assert list(anchors.read("aaaaaaaa")) == [anchor(1), anchor(2)]


def test_a_file_that_is_nothing_but_a_torn_line_starts_anew(anchors):
    anchors.path.parent.mkdir()
    anchors.path.write_bytes(b'{"cat')
    assert anchors.last("aaaaaaaa") is None
    anchors.append(anchor(1))
    assert list(anchors.read("aaaaaaaa")) == [anchor(1)]


@pytest.mark.parametrize("line", ["garbage", "[]", '{"catalog": "a"}', '{"catalog":"a","sequence":"x","mac":"","at":""}', ""])
def test_a_damaged_line_is_an_error_with_its_place(anchors, line):
    anchors.append(anchor(1))
    with anchors.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(CatalogError, match=r"audit\.anchor:2:1: this line is not an anchor"):
        list(anchors.read("aaaaaaaa"))
    with pytest.raises(CatalogError, match="not an anchor"):
        anchors.last("aaaaaaaa")


def test_anchors_out_of_order_are_an_error(anchors):
    for sequence in (1, 2):
        anchors.append(anchor(sequence))
    lines = anchors.path.read_text().splitlines(keepends=True)
    anchors.path.write_text("".join(reversed(lines)))
    with pytest.raises(CatalogError, match="not in order"):
        list(anchors.read("aaaaaaaa"))


def test_each_line_is_shipped_once_after_it_was_written(tmp_path):
    shipped: list[str] = []
    anchors = AnchorFile(tmp_path / "audit.anchor", ship=shipped.append)
    for sequence in (1, 1, 2):
        anchors.append(anchor(sequence))
    assert [json.loads(line)["sequence"] for line in shipped] == [1, 2]
    assert "\n".join(shipped) + "\n" == anchors.path.read_text()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(CatalogError, match="cannot write the anchor"):
        AnchorFile(tmp_path / "taken" / "audit.anchor").append(anchor(1))


def test_anchors_that_cannot_be_read_are_told_with_their_place(anchors):
    """A folder in the file's place, or a file of somebody else's: one of our errors, with the path and what to do."""
    anchors.path.mkdir(parents=True)
    for read in (lambda: anchors.last("aaaaaaaa"), lambda: list(anchors.read("aaaaaaaa"))):
        with pytest.raises(CatalogError, match="cannot be read") as caught:
            read()
        assert caught.value.place is not None
        assert caught.value.place.file == str(anchors.path)
        assert caught.value.hint
