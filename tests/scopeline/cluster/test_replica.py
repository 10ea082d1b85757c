"""What a replica does when something is in its way: an archive that is away, a poisonous message, a crash amid a batch."""

from datetime import timedelta

import polars as pl
import pytest

from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster import carry, replica
from scopeline.cluster.history import HistoryMissing
from scopeline.cluster.keep import alike
from scopeline.cluster.replica import AHEAD, Replica

HOUR = timedelta(hours=1)


@pytest.fixture
def made(world, tmp_path):
    """made(history=..., name=...): a Replica under the plant of the World; closed at the end."""
    found = []

    def make(history=None, name="r", of=None, **more):
        one = Replica(tmp_path / f"{name}.duckdb", pipeline.configure(of or world.plant(), catalogue(), {}), history, **more)
        found.append(one)
        return one

    yield make
    for one in found:
        one.close()


def hourly(world, hours, channel="plain", device="a", start=0):
    at = [world.START + n * HOUR for n in range(start, start + hours)]
    return [world.message(f"t/{device}", t, t + timedelta(seconds=1), **{channel: n}) for n, t in enumerate(at, start)]


def of(world, rows):
    return world.frame(rows).drop("message")


def rebuilt(world, made, rows, first, history, horizon):
    """A replica that begins at a place of the log with what one before it carried over the horizon."""
    before = made(name="before")
    before.start(0, None)
    before.apply(of(world, rows[:first]), {"raw": first})
    carrier = carry.Carrier(0)
    carried = [value for _, value in [*carrier.records(before.log, horizon), *carrier.events(before.log, 0)]]
    fresh = made(history, name="fresh")
    fresh.start(first, horizon + AHEAD, carry.parsed(carried))
    return fresh


def test_an_archive_that_cannot_be_read_makes_no_message_poison(world, made):
    rows = hourly(world, 100)
    late = world.message("t/a", world.START + 10.5 * HOUR, rows[-1]["received_at"], plain=10)

    def missing(first, since):
        raise HistoryMissing("the archive is away")
        yield

    fresh = rebuilt(world, made, rows, 60, missing, world.START + 60 * HOUR)
    fresh.apply(of(world, rows[60:]), {"raw": 100})
    with pytest.raises(HistoryMissing):
        fresh.apply(of(world, [late]), {"raw": 101})
    assert fresh.offsets == {"raw": 100}
    assert fresh.store.quarantine().filter(reason="malformed").is_empty()
    fresh._history = lambda first, since: iter([of(world, rows[:first]).filter(pl.col("received_at") >= since)])
    fresh.apply(of(world, [late]), {"raw": 101})
    whole, _ = world.whole([*rows, late], world.plant())
    noted = fresh.log.changes(0).select(world.FIGURE_KEY)
    assert noted.height
    world.assert_same(fresh_at(world, fresh, noted), whole.join(noted, on=world.FIGURE_KEY, how="semi", nulls_equal=True))


def fresh_at(world, one, keys):
    return world.figures(one).join(keys, on=world.FIGURE_KEY, how="semi", nulls_equal=True).sort(world.FIGURE_KEY)


def test_what_is_extended_again_and_again_is_loaded_once_even_after_a_crash_amid_it(world, made):
    rows = hourly(world, 120)
    asked = []

    def history(first, since):
        asked.append(since)
        some = of(world, rows[:first]).filter(pl.col("received_at") >= since)
        for start in range(0, some.height, 7):
            if crash and start > 20:
                raise HistoryMissing("cut off")
            yield some[start : start + 7]

    crash = True
    fresh = rebuilt(world, made, rows, 90, history, world.START + 90 * HOUR)
    fresh.apply(of(world, rows[90:]), {"raw": 120})
    lates = [world.message("t/a", world.START + h * HOUR, rows[-1]["received_at"], plain=h) for h in (50.5, 30.5, 10.5)]
    with pytest.raises(HistoryMissing):
        fresh.apply(of(world, lates[:1]), {"raw": 121})
    crash = False
    fresh.apply(of(world, lates[:1]), {"raw": 121})
    fresh.apply(of(world, lates[1:]), {"raw": 123})
    assert len(asked) >= 3
    counted = fresh.log.asked("SELECT topic, payload, received_at, count(*) AS n FROM messages GROUP BY ALL")
    assert counted["n"].max() == 1
    whole, _ = world.whole(rows + lates, world.plant())
    noted = fresh.log.changes(0).select(world.FIGURE_KEY)
    assert noted.height
    world.assert_same(fresh_at(world, fresh, noted), whole.join(noted, on=world.FIGURE_KEY, how="semi", nulls_equal=True))


def test_a_poisonous_message_goes_into_quarantine_alone(world, made, monkeypatch):
    rows = hourly(world, 20)
    one = made()
    one.start(0, None)
    real = one.upkeep.steps.read

    def read(messages, configuration):
        if (messages["received_at"] == rows[7]["received_at"]).any():
            raise ArithmeticError("boom")
        return real(messages, configuration)

    steps = type("Steps", (), {"__getattr__": lambda _, name: getattr(pipeline, name)})()
    steps.read = read
    monkeypatch.setattr(one.upkeep, "steps", steps)
    one.apply(of(world, rows), {"raw": 20})
    assert one.offsets == {"raw": 20}
    assert one.store.quarantine().filter(reason="malformed").height == 1
    whole, _ = world.whole(rows[:7] + rows[8:], world.plant())
    world.assert_same(world.figures(one), whole)


def test_a_batch_cut_off_by_a_crash_goes_on_where_it_was(world, made, monkeypatch):
    rows = hourly(world, 30)
    monkeypatch.setattr(replica, "_MOST", 10)
    breaths = iter([None])

    def breathe():
        if next(breaths, 0) == 0:
            raise KeyboardInterrupt

    one = made(breathe=breathe)
    one.start(0, None)
    with pytest.raises(KeyboardInterrupt):
        one.apply(of(world, rows), {"raw": 30})
    assert one.offsets == {"raw": 0}
    one.close()
    again = made()
    again.apply(of(world, rows[:15]), {"raw": 15})  # the log gives it in other batches now
    again.apply(of(world, rows[15:]), {"raw": 30})
    assert again.store.position() == 30
    assert again.offsets == {"raw": 30}
    world.assert_same(world.figures(again), world.whole(rows, world.plant())[0])


def test_only_its_own_sites_and_the_references_are_kept(world, made):
    far = [world.message("g/a", row["at"], row["received_at"], plain=1) for row in hourly(world, 3)]
    grid = [world.message("grid", row["at"], row["received_at"], g=100) for row in hourly(world, 3)]
    one = made(sites=lambda plant: ["works"])
    one.start(0, None)
    one.apply(of(world, hourly(world, 3) + far + grid), {"raw": 9})
    assert set(one.store.meters()["site"]) == {"works", "ref"}
    assert set(world.figures(one)["site"]) == {"works"}


def test_a_tag_that_changes_moves_all_figures_to_other_series(world, made):
    one = made()
    one.start(0, None)
    one.apply(of(world, hourly(world, 5)), {"raw": 5})
    one.log.told(6)
    one.close()
    moved = made(of=world.plant(line="b"))  # as a worker that starts after the edit finds the file
    moved.configure(world.plant(line="b"), "2")
    noted = moved.log.changes(0)
    mine = world.figures(moved).filter(source="plain")
    assert noted["lost"].all()
    assert noted.filter(source="plain").height == mine.height > 0
    assert set(noted["source"]) == {"plain"}  # `all` has no tag


def test_a_tag_that_changes_moves_figures_of_before_the_horizon_too(world, made):
    rows = hourly(world, 120)

    def history(first, since):
        yield of(world, rows[:first]).filter(pl.col("received_at") >= since)

    fresh = rebuilt(world, made, rows, 90, history, world.START + 90 * HOUR)
    fresh.apply(of(world, rows[90:]), {"raw": 120})
    new = world.plant(line="b")
    assert world.figures(fresh).height < world.whole(rows, new)[0].height
    fresh.configure(new, "2")
    noted = fresh.log.changes(0).filter(pl.col("source") == "plain", pl.col("lost")).select(world.FIGURE_KEY)
    whole, _ = world.whole(rows, new)
    world.assert_same(noted.sort(world.FIGURE_KEY), whole.filter(source="plain").select(world.FIGURE_KEY).sort(world.FIGURE_KEY))


def test_nothing_is_noted_while_the_store_has_it(world, made):
    one = made()
    one.start(0, None)
    one.apply(of(world, hourly(world, 5)), {"raw": 5}, noting=False)
    assert one.log.changes(0).is_empty()
    assert one.log.touched(0).is_empty()
    one.apply(of(world, hourly(world, 2, start=5)), {"raw": 7})
    assert one.log.changes(0).height and one.log.touched(0).height
    assert one.log.changes(6).is_empty()
    one.log.told(7)
    assert one.log.changes(0).is_empty() and one.log.touched(0).is_empty()


def test_what_is_too_much_for_one_transaction_is_cut_into_like_parts(world):
    messages = of(world, hourly(world, 21))
    assert [part.height for part in alike(messages, 10)] == [7, 7, 7]
    assert [part.height for part in alike(messages, 20)] == [11, 10]
    assert [part.height for part in alike(messages, 21)] == [21]
    assert not any(part.height for part in alike(messages[:0], 10))
    assert pl.concat(alike(messages, 4)).equals(messages)
