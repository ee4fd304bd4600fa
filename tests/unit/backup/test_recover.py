"""Which base backup and which range of the log reach a moment; the cases are in ``tests/data/recover.yaml``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from manor.control.backup.recover import Archive, Base, Mark, Recovery, Target, Unreachable, gap_after, plan_recovery, read_time
from manor.control.engines.wal import Timelines, segment_name
from manor.errors import InputError

SIZE = 1 << 24
DAY = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
CASES = yaml.safe_load((Path(__file__).parents[2] / "data" / "recover.yaml").read_text("utf-8"))


def at(clock: str) -> dt.datetime:
    hours, minutes = clock.split(":")
    return DAY + dt.timedelta(hours=int(hours), minutes=int(minutes))


def base_of(case: dict[str, Any]) -> Base:
    """``starts`` and ``ends`` are segment numbers, in halves."""
    return Base(
        id=case["id"],
        system=case.get("system", "7"),
        timeline=case.get("timeline", 1),
        start_lsn=int(case["starts"] * SIZE),
        stop_lsn=int(case["ends"] * SIZE),
        stopped_at=at(case["at"]),
        segment_bytes=SIZE,
    )


def archive_of(case: dict[str, Any]) -> Archive:
    """``segments``: number (or ``timeline/number``) → clock time."""
    segments = {}
    for key, clock in case["segments"].items():
        timeline, _, number = str(key).rpartition("/")
        segments[segment_name(int(timeline or 1), int(number), SIZE)] = at(clock)
    histories = {
        timeline: tuple((ancestor, int(left * SIZE)) for ancestor, left in ancestors)
        for timeline, ancestors in case.get("histories", {}).items()
    }
    live = case.get("live")
    return Archive(
        segments=segments, timelines=Timelines(histories=histories), live_lsn=None if live is None else int(live * SIZE)
    )


def target_of(case: dict[str, Any]) -> Target:
    if "time" in case:
        return Target(time=at(case["time"]))
    return Target(mark=case["mark"]) if "mark" in case else Target(lsn=int(case["lsn"] * SIZE))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_plan_says_what_is_used_or_why_the_moment_cannot_be_reached(case: dict[str, Any]) -> None:
    marks = [Mark(name=name, lsn=int(lsn * SIZE), at=at("12:00")) for name, lsn in case.get("marks", {}).items()]
    bases = [base_of(one) for one in case.get("bases", [])]
    found = plan_recovery(
        bases,
        archive_of(case),
        marks,
        target_of(case["target"]),
        now=at(case.get("now", "23:00")),
        system=case.get("system", "7"),
    )
    expected = case["expect"]
    if "base" in expected:
        assert isinstance(found, Recovery), found
        assert found.base.id == expected["base"]
        names = [name[:8].lstrip("0") + "/" + str(int(name[16:], 16)) for name in found.segments]
        assert [names[0], names[-1]] == expected["log"]
        assert found.timeline == expected.get("timeline", 1)
    else:
        assert isinstance(found, Unreachable), found
        assert expected["reason"] in found.reason
        assert found.earlier == (at(expected["earlier"]) if "earlier" in expected else None)
        assert found.later == (at(expected["later"]) if "later" in expected else None)
        assert expected.get("hint", "") in found.error("main").hint


def test_a_gap_is_named_by_its_first_segment() -> None:
    base = base_of({"id": "a", "starts": 3, "ends": 3.5, "at": "10:00"})
    whole = archive_of({"segments": {3: "10:01", 4: "11:00", 5: "12:00"}})
    assert gap_after(base, whole, DAY) == ""
    torn = archive_of({"segments": {3: "10:01", 5: "12:00"}})
    assert gap_after(base, torn, DAY) == segment_name(1, 4, SIZE)


@pytest.mark.parametrize("text", ["2026-11-20T14:05:00+09:00", "2026-11-20 05:05:00Z", "20261120T050500+0000"])
def test_times_with_a_zone_are_read(text: str) -> None:
    assert read_time(text) == dt.datetime(2026, 11, 20, 5, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize("text", ["2026-11-20T14:05:00", "2026-11-20", "yesterday", "", "before the import"])
def test_times_without_a_zone_and_other_words_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_time(text)
    assert "+09:00" in caught.value.hint


def test_what_is_no_time_may_have_been_a_mark() -> None:
    with pytest.raises(InputError) as caught:
        read_time("before the import")
    assert "--to-mark" in caught.value.hint


@pytest.mark.parametrize("words", [{}, {"mark": "a", "lsn": 1}, {"time": DAY, "mark": "a"}])
def test_exactly_one_kind_of_target_is_meant(words: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="which moment"):
        Target(**words)
