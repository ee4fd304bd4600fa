"""Chains of base backups: what an increment needs, what it goes on from, what must not be removed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.backup.base_chain import chain_of, choose_parent, keeping, missing_parent, with_parents
from manor.control.backup.base_manifest import BaseManifest, Member
from manor.control.engines.bases import LogFacts, ServerShape
from manor.errors import RefusedError

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
LIST = Member(key="bases/main/x/backup_manifest.tar.zst", bytes=5, sha256="00")


def base(name: str, parent: str = "", *, system: str = "7", file_list: Member | None = LIST) -> BaseManifest:
    return BaseManifest(
        id=name,
        server="main",
        shape=ServerShape(system=system, major=18, segment_bytes=1 << 24, limits={}, superuser="postgres"),
        timeline=1,
        start_lsn=1 << 24,
        stop_lsn=(1 << 24) + 400,
        start_wal="000000010000000000000001",
        started_at=NOW,
        stopped_at=NOW,
        databases=(),
        members={"system": Member(key=f"bases/main/{name}/system.tar.zst", bytes=7, sha256="00")},
        parent=parent,
        file_list=file_list,
    )


FACTS = LogFacts(
    system="7",
    major=18,
    timeline=1,
    segment_bytes=1 << 24,
    lsn=1,
    at=NOW,
    limits={},
    superuser="postgres",
    full_page_writes=True,
    wal_level="replica",
    tablespaces=(),
    replication=True,
    switch=True,
    mark=True,
    control_version=1,
    catalog_version=1,
    archiving=True,
    summarizing=True,
)
CHAIN = [base("a"), base("b", "a"), base("c", "b"), base("d"), base("e", "d")]


def test_an_increment_needs_all_that_it_goes_on_from_down_to_the_full_one() -> None:
    assert [one.id for one in chain_of(CHAIN[2], CHAIN)] == ["a", "b", "c"]
    assert [one.id for one in chain_of(CHAIN[3], CHAIN)] == ["d"]


def test_what_is_missing_of_a_chain_is_named() -> None:
    assert [missing_parent(one, CHAIN) for one in CHAIN] == [""] * 5
    assert [missing_parent(one, CHAIN[1:]) for one in CHAIN[1:]] == ["a", "a", "", ""]
    assert missing_parent(CHAIN[2], [CHAIN[0], CHAIN[2]]) == "b"


def test_an_increment_of_another_clusters_base_backup_is_not_whole() -> None:
    assert missing_parent(base("b", "a"), [base("a", system="8"), base("b", "a")]) == "a"


def test_a_chain_that_goes_round_is_not_whole() -> None:
    round_about = [base("a", "b"), base("b", "a"), base("c", "c")]
    assert all(missing_parent(one, round_about) for one in round_about)


@given(st.sets(st.integers(0, 4)))
def test_whatever_is_kept_stays_whole(kept: set[int]) -> None:
    found = with_parents([CHAIN[index] for index in kept], CHAIN)
    assert {CHAIN[index].id for index in kept} <= {one.id for one in found}
    assert not any(missing_parent(one, found) for one in found)


def test_an_increment_goes_on_from_the_newest_base_backup() -> None:
    assert choose_parent("main", FACTS, CHAIN, where="there").id == "e"
    assert choose_parent("main", FACTS, [CHAIN[0], base("z", system="8")], where="there").id == "a"


@pytest.mark.parametrize(
    ("facts", "manifests", "reason"),
    [
        ({"major": 16}, CHAIN, "PostgreSQL 16 takes no incremental base backups"),
        ({}, [], "there has no base backup"),
        ({"system": "8"}, CHAIN, "there has no base backup"),
        ({"summarizing": False}, CHAIN, "summarize_wal is off"),
        ({}, [base("old", file_list=None)], "base backup old was stored without"),
    ],
)
def test_what_keeps_an_increment_from_being_taken_is_said_with_the_alternative(
    facts: dict[str, object], manifests: list[BaseManifest], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        choose_parent("main", dataclasses.replace(FACTS, **facts), manifests, where="there")  # type: ignore[arg-type]
    assert "take a full base backup" in caught.value.hint


def test_the_list_of_files_counts_as_part_of_a_base_backup() -> None:
    assert CHAIN[1].bytes == 12
    assert BaseManifest.from_json(CHAIN[1].to_json(), place="there") == CHAIN[1]


def test_manifests_of_before_there_were_increments_are_read() -> None:
    document = json.loads(base("old", file_list=None).to_json())
    for name in ("parent", "file_list", "digest"):
        del document[name]
    document["format"] = 1
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    document["digest"] = hashlib.sha256(text.encode()).hexdigest()
    found = BaseManifest.from_json(json.dumps(document), place="there")
    assert (found.parent, found.file_list, found.format) == ("", None, 1)


OLD, OLDER_INCREMENT = base("old", system="6"), base("old plus", "old", system="6")
FULL, PLUS, LATER = base("full"), base("plus", "full"), base("later")
ALL = [OLD, OLDER_INCREMENT, FULL, PLUS, LATER]


@pytest.mark.parametrize(
    ("keep_bases", "kept", "gone", "others"),
    [
        (None, [FULL, PLUS, LATER], [], [OLD, OLDER_INCREMENT]),
        (1, [LATER], [FULL, PLUS], [OLD, OLDER_INCREMENT]),
        (2, [FULL, PLUS, LATER], [], [OLD, OLDER_INCREMENT]),
        (9, [FULL, PLUS, LATER], [], [OLD, OLDER_INCREMENT]),
        (0, [], ALL, []),
    ],
)
def test_base_backups_of_a_cluster_that_was_replaced_are_neither_counted_nor_removed(
    keep_bases: int | None, kept: list[BaseManifest], gone: list[BaseManifest], others: list[BaseManifest]
) -> None:
    found = keeping(ALL, system="7", keep_bases=keep_bases)
    assert [list(found.kept), list(found.gone), list(found.others)] == [kept, gone, others]
    assert list(found.needed) == kept


def test_without_a_base_backup_of_the_present_cluster_the_log_of_the_former_one_stays() -> None:
    assert keeping([OLD], system="7", keep_bases=1).needed == [OLD]
