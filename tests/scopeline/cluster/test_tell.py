"""A Teller alone: what it finds different, what InfluxDB refuses, and how many meters of a feed it writes."""

from datetime import timedelta

import polars as pl
import pytest

from schemas.frames import FIGURE_KEY
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster import tell
from scopeline.cluster.replica import Replica
from scopeline.cluster.tell import Teller, readings_since

HOUR = timedelta(hours=1)


@pytest.fixture
def filled(world, tmp_path):
    """A replica with a day of three meters."""
    one = Replica(tmp_path / "r.duckdb", pipeline.configure(world.plant(), catalogue(), {}))
    one.start(0, None)
    at = [world.START + n * HOUR for n in range(24)]
    rows = [world.message(topic, t, t, plain=n) for n, t in enumerate(at) for topic in ("t/a", "t/b", "g/a")]
    one.apply(world.frame(rows).drop("message"), {"raw": len(rows)})
    yield one
    one.close()


@pytest.fixture
def store(world, monkeypatch):
    monkeypatch.setattr(tell, "Reader", world.Reader)
    return world.Store()


@pytest.fixture
def told(world, filled, store):
    """A Teller that has told everything."""
    teller = Teller(store, world.INFLUX)
    teller.figures(filled, changed(filled))
    return teller


def changed(replica):
    return replica.log.changes(0)


def compared(teller, replica, world, sources=("plain", "far"), hours=(-5, 48)):
    start, end = (world.START + hour * HOUR for hour in hours)
    return teller.compare(replica, sources, start, end)


def test_what_is_the_same_differs_nowhere(world, filled, told):
    assert compared(told, filled, world).is_empty()
    assert compared(told, filled, world, sources=()).is_empty()


def test_what_was_changed_added_or_taken_away_is_found_and_nothing_else(world, filled, told, store):
    points = store.of("figures")
    mine = sorted((key for key in points if ("source", "plain") in key[0]), key=lambda key: (key[1], sorted(key[0])))
    points[mine[0]]["co2e_kg"] += 1e-9
    del points[mine[1]]
    tags, at = mine[2]
    points[tags, at + int(400 * 3600 * 1e6)] = dict(points[mine[2]])  # beyond the range
    points[tags, at + int(20 * 3600 * 1e6) + 60_000_000] = dict(points[mine[2]])  # at an instant that is no interval's
    other = next(key for key in points if ("source", "net") in key[0])
    points[other]["co2e_kg"] = -1.0  # of a source that is not asked for
    found = compared(told, filled, world)
    assert found.columns == [*FIGURE_KEY, "lost"] or set(found.columns) == {*FIGURE_KEY, "lost"}
    assert sorted(found["lost"]) == [False, True, True], "what is wrong or too much is deleted before it is written"
    assert set(found["source"]) == {"plain"}
    told.figures(filled, found.select(*FIGURE_KEY, "lost"))
    assert compared(told, filled, world).is_empty(), "telling what was found puts it right"
    assert compared(told, filled, world, sources=["net"]).height == 1


def test_a_range_is_half_open(world, filled, told, store):
    store.points["figures"].clear()
    whole = compared(told, filled, world)
    parts = [compared(told, filled, world, hours=hours) for hours in ((-5, 7), (7, 48))]
    assert whole.height and pl.concat(parts).sort(FIGURE_KEY).equals(whole.sort(FIGURE_KEY))
    assert not whole["lost"].any(), "what is missing is only written"


def test_a_refused_point_is_counted_named_and_the_rest_is_stored(world, filled, store, caplog):
    store.refuse = lambda line: "field type conflict" if line.startswith("figures,") and "source=far" in line else None
    teller = Teller(store, world.INFLUX)
    teller.figures(filled, changed(filled))
    figures = world.figures(filled)
    refused = figures.filter(source="far").height
    assert refused and teller.counts["refused"] == refused == len(teller.refusals)
    assert "InfluxDB refuses a point (field type conflict): figures," in teller.refusals[0]
    assert teller.refusals[0] in caplog.text
    assert len(store.of("figures")) == figures.height - refused
    store.refuse = lambda line: None
    teller.figures(filled, changed(filled))
    assert len(store.of("figures")) == figures.height and teller.counts["refused"] == refused


def test_refusals_are_remembered_in_bounded_memory(world, filled, store):
    store.refuse = lambda line: "no"
    teller = Teller(store, world.INFLUX)
    for _ in range(3):
        teller.figures(filled, changed(filled))
    assert teller.counts["refused"] > 300 and len(teller.refusals) == 100 and not store.of("figures")


def test_meters_beyond_the_bound_are_no_series_and_counted(world, filled, store, caplog):
    teller = Teller(store, world.INFLUX.model_copy(update={"max_series": 1}))
    readings = readings_since(filled, 0)
    readings = readings.with_columns(observed_at=pl.col("observed_at") + timedelta(days=3650))  # no retention in the way
    teller.readings(readings)
    meters = {dict(tags)["meter"] for tags, _ in store.of("readings")}
    assert meters == {"works/a:plain", "far/a:plain"}, "one of each feed"
    assert teller.counts["over_bound"] == 1
    assert "max_series" in teller.refusals[0] and "works/b:plain" in teller.refusals[0]
    teller.readings(readings.filter(meter="works/a:plain"))
    assert teller.counts["over_bound"] == 1, "who was admitted stays"
    teller.readings(readings.clear())
