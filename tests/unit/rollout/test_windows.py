"""When a maintenance window is open, over midnight, over weeks and over changes of summer time."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.registry.model import DAYS, MaintenanceWindow
from manor.control.rollout.windows import Window, closes_at, is_open, opens_at, windows_about

BERLIN, NEW_YORK, APIA = "Europe/Berlin", "America/New_York", "Pacific/Apia"


def window(opens: str, closes: str, zone: str = "UTC", days: str = "", **more: Any) -> Window:
    named = {"days": days.split()} if days else {}
    return Window.of(MaintenanceWindow.model_validate({"opens": opens, "closes": closes, "timezone": zone, **named, **more}))


def at(text: str) -> dt.datetime:
    """``2026-03-29 01:00`` in UTC, or with an offset of its own."""
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def test_without_windows_it_is_always_open() -> None:
    """There is nothing to wait for, and no end."""
    now = at("2026-01-01 00:00")
    assert is_open(now, ())
    assert opens_at(now, ()) is None
    assert closes_at(now, ()) is None


def test_a_window_is_open_from_its_first_moment_to_before_its_last() -> None:
    """Its end belongs to the time after it."""
    found = [window("10:00", "11:00")]
    assert not is_open(at("2026-01-01 09:59:59"), found)
    assert opens_at(at("2026-01-01 09:59:59"), found) == at("2026-01-01 10:00")
    assert is_open(at("2026-01-01 10:00"), found)
    assert opens_at(at("2026-01-01 10:00"), found) is None
    assert closes_at(at("2026-01-01 10:00"), found) == at("2026-01-01 11:00")
    assert not is_open(at("2026-01-01 11:00"), found)
    assert opens_at(at("2026-01-01 11:00"), found) == at("2026-01-02 10:00")


def test_days_are_those_on_which_it_begins() -> None:
    """Friday's window goes on into Saturday; there is none in Friday's early hours."""
    found = [window("22:00", "04:00", days="fri")]
    assert not is_open(at("2026-01-02 03:00"), found)  # Friday
    assert is_open(at("2026-01-02 23:00"), found)
    assert is_open(at("2026-01-03 03:59"), found)
    assert not is_open(at("2026-01-03 23:00"), found)
    assert opens_at(at("2026-01-03 04:00"), found) == at("2026-01-09 22:00")


def test_its_days_are_days_of_its_own_zone() -> None:
    """Sunday night in Tokyo is Sunday afternoon in UTC."""
    found = [window("22:00", "04:00", "Asia/Tokyo", days="sun")]
    assert is_open(at("2026-01-04 13:00"), found)
    assert closes_at(at("2026-01-04 13:00"), found) == at("2026-01-04 19:00")
    assert not is_open(at("2026-01-04 22:00"), found)
    assert is_open(at("2026-01-05 02:00+09:00"), found)


def test_equal_times_are_a_whole_day() -> None:
    """From one to the other takes 24 hours."""
    found = [window("06:00", "06:00", days="sat")]
    assert not is_open(at("2026-01-03 05:59"), found)
    assert is_open(at("2026-01-04 05:59"), found)
    assert not is_open(at("2026-01-04 06:00"), found)


def test_windows_that_touch_are_one() -> None:
    """The end is that of the last one without a break."""
    found = [window("22:00", "00:00"), window("00:00", "02:00"), window("01:00", "03:00"), window("03:30", "04:00")]
    assert closes_at(at("2026-01-01 23:00"), found) == at("2026-01-02 03:00")
    assert closes_at(at("2026-01-01 21:00"), found) is None
    assert opens_at(at("2026-01-02 03:10"), found) == at("2026-01-02 03:30")


def test_a_window_may_be_about_some_tenants() -> None:
    """A tenant that no window is about may be changed at any time."""
    gold, everyone = window("01:00", "02:00", where="tier = 'gold'"), window("03:00", "04:00")
    assert windows_about([gold, everyone], "x".startswith) == (everyone,)
    assert windows_about([gold, everyone], "tier = 'gold'".startswith) == (gold, everyone)
    assert is_open(at("2026-01-01 12:00"), windows_about([gold], "x".startswith))


def test_a_time_without_a_zone_is_a_mistake_of_the_caller() -> None:
    """It would be read in the zone of whatever machine this runs on."""
    for ask in (is_open, opens_at, closes_at):
        with pytest.raises(ValueError, match="zone"):
            ask(dt.datetime(2026, 1, 1), ())  # noqa: DTZ001 - the mistake


# Summer time. Berlin: 2026-03-29 01:00Z the clock jumps from 02:00 to 03:00, 2026-10-25 01:00Z from 03:00 back to 02:00.
# New York: 2026-03-08 07:00Z from 02:00 to 03:00, 2026-11-01 06:00Z from 02:00 back to 01:00.

CHANGES = [
    pytest.param(BERLIN, "02:30", "04:00", "2026-03-28 12:00", "2026-03-29 01:00", "2026-03-29 02:00", id="begins in the gap"),
    pytest.param(BERLIN, "01:00", "02:30", "2026-03-28 12:00", "2026-03-29 00:00", "2026-03-29 01:00", id="ends in the gap"),
    pytest.param(BERLIN, "02:10", "02:50", "2026-03-28 12:00", "2026-03-30 00:10", "2026-03-30 00:50", id="within the gap"),
    pytest.param(BERLIN, "22:00", "06:00", "2026-03-28 12:00", "2026-03-28 21:00", "2026-03-29 04:00", id="over the gap"),
    pytest.param(BERLIN, "02:00", "03:00", "2026-03-28 12:00", "2026-03-30 00:00", "2026-03-30 01:00", id="the gap itself"),
    pytest.param(BERLIN, "02:30", "04:00", "2026-10-24 12:00", "2026-10-25 00:30", "2026-10-25 03:00", id="begins in the fold"),
    pytest.param(BERLIN, "01:00", "02:30", "2026-10-24 12:00", "2026-10-24 23:00", "2026-10-25 00:30", id="ends in the fold"),
    pytest.param(BERLIN, "02:10", "02:50", "2026-10-24 12:00", "2026-10-25 00:10", "2026-10-25 00:50", id="within the fold"),
    pytest.param(BERLIN, "22:00", "06:00", "2026-10-24 12:00", "2026-10-24 20:00", "2026-10-25 05:00", id="over the fold"),
    pytest.param(NEW_YORK, "02:30", "05:00", "2026-03-08 00:00", "2026-03-08 07:00", "2026-03-08 09:00", id="gap, New York"),
    pytest.param(NEW_YORK, "01:15", "01:45", "2026-11-01 00:00", "2026-11-01 05:15", "2026-11-01 05:45", id="fold, New York"),
    pytest.param(NEW_YORK, "23:00", "01:30", "2026-10-31 12:00", "2026-11-01 03:00", "2026-11-01 05:30", id="into the fold"),
]


@pytest.mark.parametrize(("zone", "opens", "closes", "now", "begin", "end"), CHANGES)
def test_summer_time(zone: str, opens: str, closes: str, now: str, begin: str, end: str) -> None:
    """A time that is left out is the moment of the jump, one that comes twice is its first coming."""
    found = [window(opens, closes, zone)]
    assert opens_at(at(now), found) == at(begin)
    assert is_open(at(begin), found)
    assert not is_open(at(begin) - dt.timedelta(seconds=1), found)
    assert closes_at(at(begin), found) == at(end)
    assert not is_open(at(end), found)


def test_a_weekly_window_that_falls_into_the_gap_opens_a_week_later() -> None:
    """The search for the next opening goes further than one week."""
    found = [window("02:00", "02:30", BERLIN, days="sun")]
    assert opens_at(at("2026-03-28 12:00"), found) == at("2026-04-05 00:00")


def test_a_day_that_a_country_left_out() -> None:
    """Samoa went from 29 December 2011 to the 31st: Friday's window did not open, Thursday's ended at midnight."""
    assert opens_at(at("2011-12-29 12:00"), [window("10:00", "11:00", APIA, days="fri")]) == at("2012-01-05 20:00")
    assert closes_at(at("2011-12-30 09:00"), [window("22:00", "04:00", APIA, days="thu")]) == at("2011-12-30 10:00")


zones = st.sampled_from([BERLIN, NEW_YORK, "UTC", "Asia/Tokyo", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca"])
times = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
some_days = st.sets(st.sampled_from(DAYS), min_size=1).map(" ".join)
some_windows = st.lists(st.builds(window, times, times, zones, some_days), min_size=1, max_size=3)
moments = st.datetimes(dt.datetime(2025, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001


@given(moments, some_windows)
def test_it_is_open_when_it_is_said_to_open_and_closed_when_it_is_said_to_close(now: dt.datetime, found: list[Window]) -> None:
    """The three questions never contradict each other, in any zone and on any day."""
    opening, closing = opens_at(now, found), closes_at(now, found)
    assert is_open(now, found) is (opening is None) is (closing is not None)
    if opening:
        assert opening > now
        assert is_open(opening, found)
        assert not is_open(opening - dt.timedelta(seconds=1), found) or opening - now < dt.timedelta(seconds=1)
    if closing:
        assert is_open(closing - dt.timedelta(seconds=1), found)
        assert not is_open(closing, found) or closing - now > dt.timedelta(days=13)


@given(moments, times, times, zones)
def test_away_from_changes_the_clock_on_the_wall_decides(now: dt.datetime, opens: str, closes: str, zone: str) -> None:
    """On days of 24 hours a window is open exactly while the clock shows a time within it."""
    local = now.astimezone(ZoneInfo(zone))
    around = {(local + dt.timedelta(days=days)).utcoffset() for days in (-2, -1, 0, 1, 2)}
    shown = f"{local:%H:%M}"
    inside = opens <= shown < closes if opens < closes else shown >= opens or shown < closes
    assert len(around) > 1 or is_open(now, [window(opens, closes, zone)]) is inside
