"""When something is due, decided from the clock and the last run alone."""

from __future__ import annotations

import datetime as dt

import pytest

from manor.control.backup.schedule import LastRun, Schedule, due_moment, next_moment, previous_moment

NIGHTLY = Schedule(name="backup", cron="0 3 * * *")
TOKYO = Schedule(name="backup", cron="0 3 * * *", zone="Asia/Tokyo")
BERLIN = Schedule(name="backup", cron="30 2 * * *", zone="Europe/Berlin")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


SINCE = at("2026-11-20 12:00")


@pytest.mark.parametrize(
    ("now", "previous", "following"),
    [
        ("2026-11-20 02:59:59", "2026-11-19 03:00", "2026-11-20 03:00"),
        ("2026-11-20 03:00", "2026-11-20 03:00", "2026-11-21 03:00"),
        ("2026-11-20 03:00:00.000001", "2026-11-20 03:00", "2026-11-21 03:00"),
        ("2026-11-20 23:59", "2026-11-20 03:00", "2026-11-21 03:00"),
    ],
)
def test_the_moment_itself_counts_as_come(now: str, previous: str, following: str) -> None:
    assert previous_moment(NIGHTLY, at(now)) == at(previous)
    assert next_moment(NIGHTLY, at(now)) == at(following)


def test_times_are_those_of_the_schedules_zone() -> None:
    assert next_moment(TOKYO, at("2026-11-20 12:00")) == at("2026-11-20 18:00")
    assert previous_moment(TOKYO, at("2026-11-20 18:00")) == at("2026-11-20 18:00")


def test_an_hour_that_a_clock_leaves_out_is_run_all_the_same_and_one_that_comes_twice_once() -> None:
    """Europe/Berlin: 29 March 2026 has no 02:30, 25 October has two."""
    spring = next_moment(BERLIN, at("2026-03-28 12:00"))
    assert spring is not None
    assert spring.date() == dt.date(2026, 3, 29)
    autumn = next_moment(BERLIN, at("2026-10-24 12:00"))
    assert autumn is not None
    following = next_moment(BERLIN, autumn)
    assert following == at("2026-10-26 01:30")


def test_nothing_was_missed_before_a_schedule_was_first_seen() -> None:
    assert due_moment(NIGHTLY, LastRun(since=SINCE), at("2026-11-21 02:59")) is None
    assert due_moment(NIGHTLY, LastRun(since=SINCE), at("2026-11-21 03:00")) == at("2026-11-21 03:00")


def test_missed_runs_are_made_up_for_once() -> None:
    """Five nights without a worker are one run, for the newest of them; then the next one is due at its own time."""
    last = LastRun(since=SINCE, due=at("2026-11-21 03:00"), finished=True, attempts=1)
    now = at("2026-11-26 10:00")
    assert due_moment(NIGHTLY, last, now) == at("2026-11-26 03:00")
    made_up = LastRun(since=SINCE, due=at("2026-11-26 03:00"), finished=True, attempts=1)
    assert due_moment(NIGHTLY, made_up, now) is None
    assert due_moment(NIGHTLY, made_up, at("2026-11-27 03:01")) == at("2026-11-27 03:00")


def test_a_run_whose_worker_died_is_begun_once_more_and_no_third_time() -> None:
    due = at("2026-11-21 03:00")
    for attempts, expected in ((1, due), (2, None)):
        last = LastRun(since=SINCE, due=due, finished=False, attempts=attempts)
        assert due_moment(NIGHTLY, last, at("2026-11-21 04:00")) == expected
    died = LastRun(since=SINCE, due=due, finished=False, attempts=2)
    assert due_moment(NIGHTLY, died, at("2026-11-22 04:00")) == at("2026-11-22 03:00")
