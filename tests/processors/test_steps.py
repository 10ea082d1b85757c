"""Counters, rates, amounts and levels: what lies between readings, by hand-computed truths, and the named events."""

from datetime import UTC, datetime

import polars as pl
import pytest

from processors.clean import clean
from processors.meters import attributes
from processors.steps import steps

N = 10**9
ZERO = datetime(2026, 3, 1, tzinfo=UTC)


def _second(name):
    return (pl.col(name) - pl.lit(ZERO)).dt.total_seconds()


@pytest.fixture
def way(works):
    """readings -> (steps as (start s, end s, amount), events as (second, event)), for one channel rule."""

    def go(readings, rule, **plant):
        meters = attributes(readings, works({"channel": "e", "unit": "kWh", "kind": "counter"} | rule, **plant))
        cleaned = clean(readings, meters)
        found = steps(cleaned.readings, meters)
        known = found.steps.select(_second("start"), _second("end"), pl.col("amount_n").cast(pl.Float64) / N).sort("start", "end")
        events = pl.concat([cleaned.events, found.events]).select(_second("at"), "event").sort("at", "event")
        return known.rows(), events.rows(), found.steps

    return go


@pytest.mark.parametrize(
    "values,rule,amounts,events",
    [
        ([10, 12, 15], {}, [2, 3], []),
        ([10, 3, 5], {}, [3, 2], ["reset"]),
        ([90, 3, 5], {"rollover_at": 100}, [13, 2], ["rollover"]),
        ([60, 3, 5], {"rollover_at": 50}, [3, 2], ["reset"]),  # the modular step, 43, is not below half of 50
        ([90, 3, 5], {"rollover_at": 100, "max_rate": "0.5 MW"}, [3, 2], ["reset"]),  # 13 kWh in a minute is 780 kW
        ([10, 9.9, 10.2, 10.3], {"jitter": "0.2"}, [0.2, 0.1], ["glitch"]),  # its successor is not below its predecessor
        ([10, 9.9, 9.95, 10.2], {"jitter": "0.2"}, [0, 0, 0.2], ["jitter"]),
        ([10, 9, 5, 7], {"decrease": "net"}, [-1, -4, 2], []),
        ([10, 500, 11, 12], {"max_rate": "1 MW"}, [1, 1], ["spike"]),
        ([10, 0, 11, 12], {}, [1, 1], ["glitch"]),
        ([10, 40, 41], {"max_rate": "1 MW"}, [1], ["too_fast"]),  # 30 kWh in a minute is 1.8 MW
        ([10, 9, 9], {}, [9, 0], ["reset"]),
        ([5], {}, [], []),
    ],
)
def test_counter(way, spoken, values, rule, amounts, events):
    known, named, _ = way(spoken([(60 * i, value) for i, value in enumerate(values)]), rule)
    assert [amount for *_, amount in known] == amounts
    assert [event for _, event in named] == events


def test_nothing_is_bridged_over_what_is_too_fast_but_readings_go_on(way, spoken):
    known, _, _ = way(spoken([(0, 0), (60, 100), (120, 101)]), {"max_rate": "100 kW"})
    assert known == [(60, 120, 1.0)]


def test_long_counter_gap_is_kept_and_estimated(way, spoken):
    _, named, frame = way(spoken([(0, 0), (60, 1), (4000, 50)]), {"max_gap": "15m"})
    assert frame["estimated"].to_list() == [False, True] and named == [(4000, "gap")]


def test_suspect_readings_mark_both_their_steps(way, spoken):
    _, _, frame = way(spoken([(0, 0), (60, 1, {"quality": "suspect"}), (120, 2), (180, 3)]), {})
    assert frame["suspect"].to_list() == [True, True, False]


OLD = {"feed": "f", "device": "m", "meter": "works/m", "valid_from": "2026-01-01", "last_reading": "105"}
NEW = {"feed": "f", "device": "x", "meter": "works/m", "valid_from": "2026-03-01T00:01:30Z", "first_reading": "7"}


def test_replacement_is_closed_by_the_stated_readings(way, spoken):
    """100 .. 104 on the old device, then it shows 105 when it goes; the new one shows 7 when it comes, then 8 and 10."""
    frame = spoken([(0, 100), (60, 104), (120, 8, {"device": "x"}), (180, 10, {"device": "x"})])
    known, named, found = way(frame, {}, meters=[OLD, NEW])
    assert known == [(0, 60, 4.0), (60, 90, 1.0), (90, 120, 1.0), (120, 180, 2.0)]
    assert named == [(90, "swap")]
    assert found["spans"].all() and found.sort("start")["received0"].null_count() == 1


@pytest.mark.parametrize(
    "old,new,expected",
    [
        ({"last_reading": None}, {}, [(0, 60, 4.0), (90, 120, 1.0), (120, 180, 2.0)]),
        ({}, {"first_reading": None}, [(0, 60, 4.0), (60, 90, 1.0), (120, 180, 2.0)]),
        ({"last_reading": None}, {"first_reading": None}, [(0, 60, 4.0), (120, 180, 2.0)]),
        ({"last_reading": "103"}, {}, [(0, 60, 4.0), (90, 120, 1.0), (120, 180, 2.0)]),  # below what it had shown: unknown
        ({"valid_to": "2026-03-01T00:01:20Z"}, {}, [(0, 60, 4.0), (60, 80, 1.0), (90, 120, 1.0), (120, 180, 2.0)]),
    ],
)
def test_replacement_with_less_stated(way, spoken, old, new, expected):
    frame = spoken([(0, 100), (60, 104), (120, 8, {"device": "x"}), (180, 10, {"device": "x"})])
    known, _, _ = way(frame, {}, meters=[OLD | old, NEW | new])
    assert known == expected


def test_replacement_by_a_higher_counter_is_no_consumption(way, spoken):
    frame = spoken([(0, 100), (120, 9000, {"device": "x"}), (180, 9001, {"device": "x"})])
    known, _, _ = way(frame, {}, meters=[OLD | {"last_reading": None}, NEW | {"first_reading": None}])
    assert known == [(120, 180, 1.0)]


def test_stated_readings_are_in_the_device_s_unit_and_scale(way, spoken):
    rows = [OLD | {"last_reading": "10500", "unit": "Wh", "scale": "10"}, NEW | {"first_reading": "0.007", "unit": "MWh"}]
    frame = spoken([(0, 104), (120, 8, {"device": "x", "unit": "MWh"})], unit="Wh")
    known, _, _ = way(frame, {}, meters=rows)
    assert known == [(0, 90, 1.0), (90, 120, 1.0)]


def test_a_device_that_never_spoke_counts_by_what_was_stated(way, spoken):
    silent = {
        "feed": "f",
        "device": "s",
        "meter": "works/m",
        "valid_from": "2026-03-01T00:01:30Z",
        "first_reading": "2",
        "last_reading": "5",
    }
    rows = [OLD, silent, NEW | {"valid_from": "2026-03-01T00:03:30Z"}]
    known, named, _ = way(spoken([(0, 100), (60, 104), (240, 8, {"device": "x"})]), {}, meters=rows)
    assert known == [(0, 60, 4.0), (60, 90, 1.0), (90, 210, 3.0), (210, 240, 1.0)]
    assert named == [(90, "swap"), (210, "swap")]


def test_replacement_in_enumerated_frames(way, spoken):
    frame = spoken([(0, 100), (60, 104), (120, 8, {"device": "x"})])
    frame = frame.with_columns(
        pl.col(name).cast(pl.Enum(frame[name].unique().sort())) for name in ("meter", "device", "feed", "unit")
    )
    assert way(frame, {}, meters=[OLD | {"device": "other"}, NEW])[0] == [(0, 60, 4.0), (60, 90, 1.0), (90, 120, 1.0)]


def test_a_swap_needs_readings_on_both_sides(way, spoken):
    """Nothing is extrapolated: before the new device speaks, the old one's last reading is not used."""
    assert way(spoken([(0, 100), (60, 104)]), {}, meters=[OLD, NEW])[:2] == ([(0, 60, 4.0)], [])


RATE = {"unit": "kW", "kind": "rate"}


@pytest.mark.parametrize(
    "values,rule,amounts",
    [
        ([60, 120], {}, [15]),  # (60 + 120) / 2 kW x 10 min
        ([60, 120], {"between": "previous"}, [10]),
        ([-60, 120], {}, [5]),
        ([-60, 120], {"direction": "import"}, [10]),  # (0 + 120) / 2 x 1/6 h
        ([-60, 120], {"direction": "export"}, [5]),
        ([60, 60, 60], {"max_gap": "5m"}, []),
    ],
)
def test_rate(way, spoken, values, rule, amounts):
    known, _, _ = way(spoken([(600 * i, value) for i, value in enumerate(values)], kind="rate", unit="kW"), RATE | rule)
    assert [amount for *_, amount in known] == amounts


def test_hole_in_a_rate_is_unknown_by_default_beyond_15_minutes(way, spoken):
    known, named, _ = way(spoken([(0, 60), (900, 60), (1801, 60)], kind="rate", unit="kW"), RATE)
    assert known == [(0, 900, 15.0)] and named == [(1801, "gap")]


AMOUNT = {"kind": "amount", "unit": "kg"}


def test_amounts_at_their_instant_or_over_their_period(way, spoken):
    rows = [(900, 5, {"period_start": 0, "period_end": 900}), (1000, 7, {"event": "T1"})]
    known, named, frame = way(spoken(rows, kind="amount", unit="kg"), AMOUNT)
    assert known == [(0, 900, 5.0), (1000, 1000, 7.0)] and not named
    assert frame["spans"].to_list() == [True, False] and frame["shape"].to_list() == ["even", "point"]


def test_overlapping_periods_are_named(way, spoken):
    rows = [(900, 5, {"period_start": 0, "period_end": 900}), (1500, 7, {"period_start": 600, "period_end": 1500})]
    known, named, _ = way(spoken(rows, kind="amount", unit="kg"), AMOUNT)
    assert len(known) == 2 and named == [(600, "overlap")]


def test_levels_give_no_activity(way, spoken):
    assert way(spoken([(0, 20), (60, 21)], kind="level", unit="degC"), {"kind": "level", "unit": "degC"})[:2] == ([], [])


def test_kinds_and_meters_in_one_frame(way, spoken):
    frame = pl.concat([spoken([(60, 3), (0, 1)]), spoken([(0, 9), (60, 9)], meter="works/b:e"), spoken([(5, 1)], kind="level")])
    assert way(frame, {})[0] == [(0, 60, 0.0), (0, 60, 2.0)] or way(frame, {})[0] == [(0, 60, 2.0), (0, 60, 0.0)]


def test_a_change_of_unit_dimension_starts_a_new_series(way, spoken):
    frame = spoken([(0, 5, {"unit": "m3"}), (60, 9, {"unit": "Nm3"}), (120, 10, {"unit": "Nm3"})])
    known, _, _ = way(frame, {"unit": {"path": "$.u", "allow": ["m3", "Nm3"]}})
    assert known == [(60, 120, 1.0)]
