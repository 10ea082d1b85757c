"""Periods of the local calendar and clock, against zoneinfo asked minute by minute."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.periods import day_start, periods

MINUTE = timedelta(minutes=1)
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Cairo", "UTC"]


def hours(zone, day, interval="1d"):
    start = day_start(day, zone)
    found = periods(interval, zone, start, start + timedelta(hours=1))
    return [(end - begin) / timedelta(hours=1) for _, begin, end in found.rows()][-1]


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("Asia/Kathmandu", date(2026, 3, 29), 24),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight is skipped
        ("America/Sao_Paulo", date(2018, 2, 17), 25),  # 23:00 comes twice
        ("Africa/Cairo", date(2026, 4, 24), 23),
    ],
)
def test_days_are_as_long_as_they_are(zone, day, length):
    assert hours(zone, day) == length


@given(st.sampled_from(ZONES), st.dates(date(1990, 1, 1), date(2035, 12, 31)))
def test_a_day_is_the_minutes_with_its_date(zone, day):
    place, start = ZoneInfo(zone), day_start(day, zone)
    assert start.astimezone(place).date() == day
    assert (start - MINUTE).astimezone(place).date() < day


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1)),
    st.sampled_from(["15m", "1h", "1d", "1mo", "1y"]),
)
def test_periods_join_without_gap_and_hours_make_days(zone, at, interval):
    start = at.replace(tzinfo=UTC)
    end = start + timedelta(days=3)
    found = periods(interval, zone, start, end).rows()
    assert found[0][1] <= start and found[-1][2] >= end and found[0][2] > start and found[-1][1] < end
    assert all(a[2] == b[1] for a, b in pairwise(found))
    assert len({name for name, _, _ in found}) == len(found)
    if interval in ("15m", "1h"):
        begun = {begin for _, begin, _ in found}
        assert {begin for _, begin, _ in periods("1d", zone, start, end).rows()[1:]} <= begun


def test_names_are_local_and_say_their_offset():
    berlin = datetime(2026, 10, 24, 23, tzinfo=UTC)
    names = [name for name, _, _ in periods("1h", "Europe/Berlin", berlin, berlin + timedelta(hours=3)).rows()]
    assert names == ["2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]
    quarter = periods("15m", "Asia/Kathmandu", berlin, berlin + MINUTE).row(0)
    assert quarter[0] == "2026-10-25T04:45:00+05:45" and quarter[1] == berlin
    west = periods("1h", "America/New_York", berlin, berlin + MINUTE).row(0)
    assert west[0] == "2026-10-24T19:00:00-04:00"
    spans = {i: periods(i, "Europe/Berlin", berlin, berlin + MINUTE).row(0)[0] for i in ("1d", "1mo", "1y", "all")}
    assert spans == {"1d": "2026-10-25", "1mo": "2026-10", "1y": "2026", "all": "all"}


def test_half_hour_change_cuts_an_hour():
    start = datetime(2026, 4, 4, 14, tzinfo=UTC)  # Lord Howe: at 02:00 +11:00 the clock goes back to 01:30 +10:30
    found = periods("1h", "Australia/Lord_Howe", start, start + timedelta(hours=2)).rows()
    assert [(n, (e - b) / MINUTE) for n, b, e in found] == [
        ("2026-04-05T01:00:00+11:00", 60),
        ("2026-04-05T01:30:00+10:30", 30),
        ("2026-04-05T02:00:00+10:30", 60),
    ]


def test_a_day_that_did_not_happen_has_no_period():
    """Samoa had no 30 December 2011."""
    found = periods("1d", "Pacific/Apia", datetime(2011, 12, 29, 12, tzinfo=UTC), datetime(2011, 12, 31, 12, tzinfo=UTC))
    assert found["period"].to_list() == ["2011-12-29", "2011-12-31", "2012-01-01"]
    assert not len(periods("1d", "UTC", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)))
