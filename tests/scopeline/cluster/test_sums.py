"""The roll-ups beside the figures are their exact sums, in the days of their site; what is silent counts as expected."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from processors.output import SHOWN
from schemas.frames import FIGURE_KEY, GASES
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster.replica import Replica
from scopeline.cluster.sums import sums

ZONES = {"works": "Europe/Berlin", "far": "Australia/Lord_Howe"}


@pytest.fixture
def filled(world, tmp_path):
    """A replica with five days around two changes of the clock: Berlin on 29 March, Lord Howe on 5 April 2026."""
    one = Replica(tmp_path / "r.duckdb", pipeline.configure(world.plant(), catalogue(), {}))
    one.start(0, None)
    rows = []
    for n in range(0, 24 * 11, 3):
        at = world.START + timedelta(hours=n)
        rows += [world.message(topic, at, at, plain=n) for topic in ("t/a", "t/b", "g/a")]
    one.apply(world.frame(rows).drop("message"), {"raw": len(rows)})
    yield one
    one.close()


def test_roll_ups_are_the_exact_sums_of_the_figures(world, filled):
    changed = filled.log.changes(0)
    figures = world.figures(filled)
    found = {one.interval: one for one in sums(filled.log, changed, {}, filled.configuration.plan, ZONES)}
    assert found.keys() == {"1h", "1d"}  # 15m is the base interval
    for interval, one in found.items():
        assert one.gone.is_empty()
        for row in one.rows.iter_rows(named=True):
            zone = ZoneInfo(ZONES[row["site"]])
            start = row["interval_start"].astimezone(zone if interval == "1d" else ZoneInfo("UTC"))
            assert (start.hour == 0 or interval == "1h") and start.minute == 0
            day = datetime(start.year, start.month, start.day, tzinfo=zone) + timedelta(days=1)
            end = day.astimezone(UTC) if interval == "1d" else row["interval_start"] + timedelta(hours=1)
            same = [pl.col(name).eq_missing(pl.lit(row[name])) for name in FIGURE_KEY if name != "interval_start"]
            inside = figures.filter(*same, pl.col("interval_start") >= row["interval_start"], pl.col("interval_start") < end)
            assert row["known"] == inside.height
            for gas in GASES:
                values = [n for n in inside[f"{gas}_n"] if n is not None]
                assert row[SHOWN[gas]] == (sum(values) / 10**9 if values else None), (interval, row, gas)
            assert row["covered_s"] == (inside["covered_us"].sum() or 0) / 1e6
    days = found["1d"].rows.filter(source="far")["interval_start"].sort()
    lengths = {round((b - a).total_seconds() / 3600, 1) for a, b in pairwise(days)}
    assert lengths == {24.0, 24.5}


def test_a_vanished_figure_empties_its_sum_and_a_silent_hour_counts_as_expected(world, filled):
    plan = filled.configuration.plan
    last = world.figures(filled).filter(source="far").sort("interval_start").tail(1)
    filled.log.remove("figures", "source", ["far"])
    gone = last.select(FIGURE_KEY).with_columns(lost=pl.lit(True))
    hour = next(one for one in sums(filled.log, gone, {}, plan, ZONES) if one.interval == "1h")
    assert hour.gone.height == 1 and hour.rows.is_empty()
    newest = world.START + timedelta(hours=24 * 11)
    passed = {"works": (newest - timedelta(hours=2), newest + timedelta(hours=2))}
    silent = next(one for one in sums(filled.log, gone.clear(), passed, plan, ZONES) if one.interval == "1h")
    after = silent.rows.filter(pl.col("interval_start") >= newest, pl.col("source") == "net")
    assert after.height == 2
    assert after["known"].to_list() == [0.0, 0.0] and after["expected_s"].to_list() == [3600.0, 3600.0]
    assert after["co2e_kg"].null_count() == 2
