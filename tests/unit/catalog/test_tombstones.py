"""Tombstones beside the catalog: what a line means, and what a damaged file does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from manor.control.catalog.tombstones import Tombstone, TombstoneFile
from manor.errors import CatalogError

AT = dt.datetime(2026, 11, 28, 9, 30, tzinfo=dt.UTC)


def grave(tenant: str, state: str, catalog: str = "one") -> Tombstone:
    return Tombstone(catalog=catalog, tenant=tenant, state=state, at=AT, operation="op")


def test_the_newest_line_counts_and_the_end_is_final(tmp_path: Path) -> None:
    file = TombstoneFile(tmp_path / ".manor" / "erased.tombstones")
    assert file.of("one") == {}
    for tenant, state in (("a/b/1", "erasing"), ("a/b/1", "erased"), ("a/b/1", "erasing"), ("a/b/2", "erasing")):
        file.append(grave(tenant, state))
    file.append(grave("a/b/1", "erasing", catalog="two"))
    assert file.of("one") == {"a/b/1": grave("a/b/1", "erased"), "a/b/2": grave("a/b/2", "erasing")}


def test_a_last_line_without_its_end_counts_for_nothing_and_is_written_over(tmp_path: Path) -> None:
    file = TombstoneFile(tmp_path / "erased.tombstones")
    file.append(grave("a/b/1", "erased"))
    with file.path.open("ab") as handle:
        handle.write(b'{"catalog": "one", "ten')
    assert set(file.of("one")) == {"a/b/1"}
    file.append(grave("a/b/2", "erased"))
    assert set(file.of("one")) == {"a/b/1", "a/b/2"}


@pytest.mark.parametrize("line", ["no JSON", "[]", '{"catalog": "one"}', '{"catalog": 1, "at": "x"}'])
def test_a_line_that_is_none_is_named_and_nothing_is_believed(tmp_path: Path, line: str) -> None:
    """Else an erased tenant would come back."""
    file = TombstoneFile(tmp_path / "erased.tombstones")
    file.append(grave("a/b/1", "erased"))
    with file.path.open("a", encoding="utf-8") as handle:
        handle.write(f"{line}\n")
    with pytest.raises(CatalogError, match="not a tombstone") as caught:
        file.of("one")
    assert caught.value.place is not None
    assert caught.value.place.line == 2
