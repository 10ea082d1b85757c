"""Amounts by base interval: exact parts, coverage, estimation, lateness, windows."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from processors.clean import clean
from processors.meters import attributes
from processors.split import split
from processors.steps import steps
from schemas.frames import AMOUNTS, STEPS, empty

N = 10**9
MINUTE = 60_000_000
ZERO = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def amounts(works):
    def go(readings, rule=None, base_us=MINUTE, window=None):
        meters = attributes(readings, works({"channel": "e", "unit": "kWh", "kind": "counter"} | (rule or {})))
        return split(steps(clean(readings, meters).readings, meters).steps, base_us, window)

    return go


def test_empty():
    found = split(empty(STEPS), MINUTE)
    assert found.is_empty() and found.schema == pl.Schema(AMOUNTS)


def test_counter_by_minute(amounts, spoken):
    found = amounts(spoken([(30, 0), (90, 2), (150, 8)]))
    assert (found["amount_n"] / N).to_list() == [1, 4, 3]
    assert found["covered_us"].to_list() == [MINUTE // 2, MINUTE, MINUTE // 2]


def test_trapezoid_is_cut_by_its_area(amounts, spoken):
    """0 to 60 kW in 2 minutes: after one minute a quarter of the kWh."""
    found = amounts(spoken([(0, 0), (120, 60)], kind="rate", unit="kW"), {"unit": "kW", "kind": "rate"})
    assert (found["amount_n"] / N).to_list() == [0.25, 0.75]


def test_hold_is_even(amounts, spoken):
    rule = {"unit": "kW", "kind": "rate", "between": "previous"}
    found = amounts(spoken([(0, 60), (120, 0)], kind="rate", unit="kW"), rule)
    assert (found["amount_n"] / N).to_list() == [1, 1]


def test_event_belongs_to_the_interval_that_starts_at_it_and_has_no_coverage(amounts, spoken):
    found = amounts(spoken([(59, 1), (60, 2), (61, 4)], kind="amount", unit="kg"), {"kind": "amount", "unit": "kg"})
    assert found.select(pl.col("amount_n") // N, "covered_us").rows() == [(1, None), (6, None)]


def test_overlapping_periods_add_and_cover_their_union_once(amounts, spoken):
    rows = [
        (60, 6, {"period_start": 0, "period_end": 60}),
        (59, 3, {"period_start": 10, "period_end": 40}),
        (90, 6, {"period_start": 30, "period_end": 90}),
        (105, 1, {"period_start": 100, "period_end": 105}),
    ]
    found = amounts(spoken(rows, kind="amount", unit="kg"), {"kind": "amount", "unit": "kg"})
    assert found.select(pl.col("amount_n") // N, "covered_us").rows() == [(12, MINUTE), (4, 35_000_000)]


def test_estimated_part_is_what_lies_in_a_long_gap(amounts, spoken):
    found = amounts(spoken([(0, 0), (30, 1), (150, 13)]), {"max_gap": "1m"})
    assert (found["amount_n"] / N).to_list() == [4, 6, 3] and (found["estimated_n"] / N).to_list() == [3, 6, 3]


def test_lag_is_the_latest_reading_against_interval_end_and_own_time(amounts, spoken):
    found = amounts(spoken([(0, 0, {"received_at": 500}), (90, 3, {"received_at": 91}), (180, 6, {"received_at": 1000})]))
    assert [lag // 1_000_000 for lag in found["lag_us"]] == [440, 820, 820]


def test_suspect_touches_the_intervals_of_its_steps(amounts, spoken):
    found = amounts(spoken([(0, 0), (60, 1), (120, 2, {"quality": "suspect"}), (180, 3), (240, 4)]))
    assert found["suspect"].to_list() == [False, True, True, False]


def test_negative_parts_telescope_too(amounts, spoken):
    found = amounts(spoken([(30, 10), (200, 9.999999999)]), {"decrease": "net"})
    assert found["amount_n"].sum() == -1


def test_a_long_step_is_not_exploded_outside_the_window(amounts, spoken):
    """10 years between two readings, a window of two minutes: two rows, equal to those of any longer window."""
    frame = spoken([(0, 0), (315_360_000, 5_256_000)])
    window = (ZERO + timedelta(days=1000), ZERO + timedelta(days=1000, minutes=2))
    found = amounts(frame, window=window)
    assert found["interval_start"].to_list() == [window[0], window[0] + timedelta(minutes=1)]
    wide = amounts(frame, window=(window[0] - timedelta(hours=5), window[1] + timedelta(hours=5)))
    assert wide.filter(pl.col("interval_start").is_between(*window, closed="left")).equals(found)


def test_a_window_keeps_only_intervals_that_start_inside(amounts, spoken):
    frame = spoken([(30, 0), (90, 2), (150, 8)])
    found = amounts(frame, window=(ZERO + timedelta(seconds=1), ZERO + timedelta(seconds=121)))
    assert (found["amount_n"] / N).to_list() == [4, 3]
    assert amounts(frame, window=(ZERO + timedelta(seconds=61), ZERO + timedelta(seconds=119))).is_empty()


def test_huge_rates_take_the_slow_way_with_the_same_meaning(amounts, spoken):
    """1e15 kW for a day: 128 bits do not hold the quadratic form, the parts are exact all the same."""
    rule = {"unit": "kW", "kind": "rate", "max_gap": "2d"}
    found = amounts(spoken([(0, 10**15), (86_400, 0)], kind="rate", unit="kW"), rule, base_us=3_600_000_000)
    assert found["amount_n"].sum() == 12 * 10**15 * N
    hours = [10**15 * N * (47 - 2 * hour) for hour in range(24)]  # x 1/48
    assert all(abs(48 * part - exact) < 48 for part, exact in zip(found["amount_n"], hours, strict=True))


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_chunks_change_nothing(amounts, spoken, monkeypatch, chunk):
    frame = pl.concat([spoken([(7 * i, i * i) for i in range(60)]), spoken([(90 * i, i) for i in range(9)], meter="works/b:e")])
    whole = amounts(frame)
    monkeypatch.setattr("processors.split._CHUNK", chunk)
    assert amounts(frame).equals(whole)
