"""Annotations of the dashboards: restated hours, and instants at which a source is priced by another factor."""

from datetime import timedelta

import polars as pl

from schemas.frames import FIGURE_KEY
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster.annotate import factors, restated
from scopeline.cluster.replica import Replica


def _priced(world, folder, other_from):
    """A replica whose counter is priced by one factor, and from an interval on by another, as the data file would hold it."""
    of = world.plant()
    replica = Replica(folder / "a.duckdb", pipeline.configure(of, catalogue(), {}))
    times = [world.START + timedelta(minutes=minute) for minute in range(0, 120, 5)]
    rows = [world.message("t/a", at, at, plain=n) for n, at in enumerate(times)]
    replica.apply(world.frame(rows).drop("message"), {"raw": 1})
    key = ", ".join(FIGURE_KEY)
    replica.log.write.execute(
        "UPDATE figures SET factor_version = 'other' WHERE source = 'plain' AND interval_start >= ?",
        [(world.START + timedelta(minutes=other_from)).replace(tzinfo=None)],
    )
    changed = replica.log.asked(f"SELECT {key} FROM figures WHERE source = 'plain'")
    times = pl.col("interval_start").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return replica, changed.with_columns(times, lost=pl.lit(False))


def test_a_change_of_factor_is_one_event_at_its_instant(world, tmp_path):
    replica, changed = _priced(world, tmp_path, 60)
    try:
        found = factors(replica.log, changed)
        assert found["at"].to_list() == [world.START + timedelta(minutes=60)]
        assert found.row(0, named=True)["event"] == "factor" and "->" in found["detail"][0] and "other" in found["detail"][0]
        after = changed.filter(pl.col("interval_start") > world.START + timedelta(minutes=60))
        assert factors(replica.log, after).is_empty(), "what changed later is compared with what stood before it"
    finally:
        replica.close()


def test_one_factor_is_no_event(world, tmp_path):
    replica, changed = _priced(world, tmp_path, 600)
    try:
        assert changed.height > 3 and factors(replica.log, changed).is_empty()
    finally:
        replica.close()


def test_restated_hours_are_counted(world):
    start = world.START
    output = pl.DataFrame(
        {
            "site": ["s", "s", "s"],
            "source": ["a", "a", "b"],
            "interval_start": [start, start + timedelta(minutes=15), start],
            "status": ["restated", "restated", "final"],
        }
    )
    found = restated(output)
    assert found.select("meter", "event", "detail").rows() == [("a", "restated", "2 figures restated by late readings")]
