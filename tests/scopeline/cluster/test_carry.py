"""What is carried over the horizon: enough readings of each meter, however slow it is, and no more than needed."""

from datetime import timedelta

import polars as pl
import pytest

from schemas.frames import READINGS
from scopeline import pipeline, windows
from scopeline.catalogue import catalogue
from scopeline.cluster import carry
from scopeline.cluster.horizon import horizon
from scopeline.cluster.replica import AHEAD, Replica

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def made(world, tmp_path):
    found = []

    def make(name, rows=(), history=None, of=None):
        one = Replica(tmp_path / f"{name}.duckdb", pipeline.configure(of or world.plant(), catalogue(), {}), history)
        found.append(one)
        if rows:
            one.start(0, None)
            one.apply(world.frame(list(rows)).drop("message"), {"raw": len(rows)})
        return one

    yield make
    for one in found:
        one.close()


def every(world, step, count, topic="t/a", channel="plain"):
    at = [world.START + n * step for n in range(count)]
    return [world.message(topic, t, t + timedelta(seconds=1), **{channel: n}) for n, t in enumerate(at)]


def carried(one, at):
    return carry.parsed(value for _, value in carry.Carrier(0).records(one.log, at))


def test_more_instants_are_kept_than_any_rule_looks_at():
    assert carry.KEPT > windows.ASIDE


def test_the_last_instants_of_each_meter_before_the_horizon_and_no_others(world, made):
    rows = [*every(world, HOUR, 60), *every(world, HOUR, 3, channel="shaky"), *every(world, HOUR, 60, "grid", "g")]
    again = [world.message("t/a", row["at"], row["received_at"] + DAY, plain=99) for row in rows[44:46]]
    found = carried(made("r", rows + again), world.START + 50 * HOUR).readings
    by = {meter: some["observed_at"] for (meter,), some in found.partition_by("meter", as_dict=True).items()}
    assert set(by) == {"works/a:plain", "works/a:shaky"}, "references are read whole by everybody"
    hours = [world.START + n * HOUR for n in range(18, 50)]
    assert sorted(by["works/a:plain"].unique()) == hours and len(hours) == carry.KEPT
    assert len(by["works/a:plain"]) == carry.KEPT + 2, "every version of an instant: which one counts follows from all of them"
    assert by["works/a:shaky"].len() == 3, "a meter that has spoken less often is carried whole"
    assert found.columns == list(READINGS) and (found["message"] < 0).all() and found["message"].is_unique().all()


def test_what_has_not_changed_is_not_sent_again(world, made):
    one, carrier = made("r", every(world, HOUR, 30)), carry.Carrier(3)
    at = world.START + 20 * HOUR
    (first,) = carrier.records(one.log, at)
    assert first[0] == b"3/works/a:plain"
    assert not [*carrier.records(one.log, at)]
    assert not [*carrier.records(one.log, at, ["works/b:plain"])], "of other meters nothing is asked"
    late = world.message("t/a", at - 30 * timedelta(minutes=1), at + 40 * HOUR, plain=19)
    one.apply(world.frame([late]).drop("message"), {"raw": 31})
    assert [key for key, _ in carrier.records(one.log, at, ["works/a:plain"])] == [b"3/works/a:plain"]


STEPS = [31 * DAY, 7 * DAY, DAY, 5 * HOUR, HOUR, timedelta(minutes=20), timedelta(minutes=3)]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_meter_however_slow_goes_on_without_the_archive(world, made, step):
    """A meter that is read once a month has no reading within the horizon: its counter goes on from what was carried."""
    plant, count = world.plant(base="1h"), max(36, 5 * DAY // step)
    channel = {"channel": "quarter" if step > timedelta(minutes=15) else "power"}
    rows = [row for more in ({}, channel, {"topic": "g/a"}) for row in every(world, step, count, **more)]
    rows.sort(key=lambda row: row["received_at"])
    before = rows[:-3]

    def none(first, since):
        raise AssertionError("the archive is read")
        yield

    at = horizon(before[-1]["received_at"], timedelta(hours=48))
    known = carried(made("before", before, of=plant), at)
    first = next((n for n, row in enumerate(before) if row["received_at"] >= at), len(before))
    assert first > 0, "there is something before the horizon"
    fresh = made("fresh", history=none, of=plant)
    fresh.start(first, at + AHEAD, known)
    fresh.apply(world.frame(before[first:]).drop("message"), {"raw": len(before)}, noting=False)
    fresh.apply(world.frame(rows[-3:]).drop("message"), {"raw": len(rows)})
    noted = fresh.log.changes(0).select(world.FIGURE_KEY)
    whole, _ = world.whole(rows, plant)
    assert {"plain", channel["channel"], "far"} <= set(noted["source"])

    def of(figures):
        return figures.join(noted, on=world.FIGURE_KEY, how="semi", nulls_equal=True).sort(world.FIGURE_KEY)

    world.assert_same(of(world.figures(fresh)), of(whole))
    newest = whole.filter(pl.col("interval_start") >= before[-1]["at"], source="plain").select(world.FIGURE_KEY)
    assert newest.join(noted, on=world.FIGURE_KEY, how="anti", nulls_equal=True).is_empty(), "up to the newest reading"
