"""A worker without servers: what it tells when a partition or an edit comes, and when it dies between two steps."""

from contextlib import suppress
from datetime import timedelta

import pytest
from kafka.errors import CommitFailedError

from scopeline import reprice, upkeep
from scopeline.cluster.replica import Stopping

HOUR = timedelta(hours=1)


def said(world, hour, value, received=None, channel="plain"):
    at = world.START + hour * HOUR
    body = value if isinstance(value, dict) else {channel: value}
    return world.message("t/a", at, world.START + (hour if received is None else received) * HOUR + 0.01 * HOUR, **body)


def agrees(world, model, plant):
    figures, configuration = world.whole(model.sent, plant)
    assert model.store.of("figures") == world.expected(figures, configuration)


def test_a_new_worker_tells_only_what_the_committed_offset_does_not_say(world, start):
    plant = world.plant()
    model = world.World(plant)
    model.say([said(world, n, n) for n in range(200)])
    first = start(model)
    first.settle()
    first.die(state_too=True)
    told = dict(model.store.of("figures"))
    model.store.points["figures"].clear()
    model.say([said(world, 200, 200)])
    second = start(model)
    second.settle()
    assert model.loaded == 0  # the horizon and what was carried over suffice
    assert second.replica.store.fact("first_offset") > 0
    again = model.store.of("figures")
    assert again and max(at for _, at in again) > max(at for _, at in told)
    assert min(at for _, at in again) > max(at for _, at in told) - 4 * 3600 * 1e6
    model.store.points["figures"] = told | again
    agrees(world, model, plant)


def test_what_was_told_and_undone_before_it_was_committed_is_found_by_the_second_look(world, start):
    plant = world.plant()
    model = world.World(plant)
    model.say([said(world, n, n) for n in range(4)])
    first = start(model)
    first.settle()
    model.say([said(world, 2, {"ticket": 10, "id": "x"}, received=4)])
    model.store.fails = model.store.operations + 2
    with suppress(world.Crash):
        first.settle()
    model.store.fails = None
    first.die(state_too=True)
    model.say([said(world, 3, {"ticket": 11, "id": "x"}, received=5)])  # the event was at another time
    second = start(model, fence=0.0)
    second.settle()
    agrees(world, model, plant)


def test_readings_that_were_committed_to_the_file_and_not_told_are_told_after_a_crash(world, start):
    model = world.World(world.plant())
    model.say([said(world, n, n) for n in range(3)])
    first = start(model)
    model.store.fails = model.store.operations + 1
    with suppress(world.Crash):
        first.settle()
    model.store.fails = None
    assert len(model.store.of("readings")) < 3
    first.die(state_too=False)
    start(model).settle()
    assert len(model.store.of("readings")) == 3


def test_reference_readings_come_before_what_they_price(world, start):
    plant = world.plant()
    model = world.World(plant)
    for n in range(40):
        at = world.START + n * HOUR / 4
        model.say([world.message("grid", at, at, g=100 + n), said(world, n / 4, n)])
    first = start(model)
    first.settle()
    first.die(state_too=True)
    model.say([said(world, 11, 60)])
    second = start(model, pace=200)
    second.reference.pace = 3
    second.settle()
    agrees(world, model, plant)


def test_references_that_came_before_the_data_was_caught_up_are_not_skipped_by_one_that_follows(world, start):
    plant = world.plant()
    model = world.World(plant)
    model.say([said(world, n / 4, n) for n in range(1, 12)])
    first = start(model)
    first.settle()
    first.die(state_too=True)
    at = world.START + HOUR
    model.say([world.message("grid", at, at + 2 * HOUR, g=100)])
    second = start(model)
    second.turn()  # it opens the partition
    while not second.part.caught_up:
        second.turn()
    assert second.part.ref_position == 0, "it came too early, and waits"
    at += HOUR / 4
    model.say([world.message("grid", at, at + 2 * HOUR, g=200)])
    second.settle()
    agrees(world, model, plant)


def test_a_partition_given_back_without_state_reads_the_references_again(world, start):
    plant = world.plant()
    model = world.World(plant)
    at = world.START + HOUR
    model.say([said(world, n / 4, n) for n in range(1, 12)])
    model.say([world.message("grid", at + n * HOUR / 4, at + 2 * HOUR, g=100 + n) for n in range(3)])
    worker = start(model)
    worker.settle()
    file = worker.replica.log.path
    worker.process.lose([0])
    file.unlink()
    worker.process.assigner.wanted = {0}
    model.say([world.message("grid", at + HOUR, at + 3 * HOUR, g=200), said(world, 3, 60)])
    worker.reference.pace = 2
    worker.settle()
    agrees(world, model, plant)


@pytest.mark.parametrize("fate", ["alive", "dies", "loses all"])
@pytest.mark.parametrize("edit", [{"line": "b"}, {"line": ""}, {"factor": "0.7"}, {"scale": 2}])
def test_an_edit_is_told_wherever_it_finds_the_worker(world, start, fate, edit):
    model = world.World(world.plant())
    model.say([said(world, n, n) for n in range(6)])
    worker = start(model)
    worker.settle()
    if fate != "alive":
        worker.die(fate == "loses all")
    new = world.plant(**edit)
    model.plants.append(("000002", new))
    if fate != "alive":
        worker = start(model)
    worker.settle()
    agrees(world, model, new)
    assert '"plant":"000002"' in model.committed.metadata


def without(plant, source):
    return plant.model_copy(update={"sources": tuple(one for one in plant.sources if one.source != source)})


def series(model, source):
    """Measurement -> the tag `line` of each of its points of a source."""
    named = {
        name: [dict(tags) for tags, _ in points] for name, points in model.store.points.items() if name.startswith("figures")
    }
    return {name: {tags.get("tag_line") for tags in some if tags["source"] == source} for name, some in named.items()}


def silences(model, source):
    """The hours of a source in which nothing was known of it."""
    return {
        at for (tags, at), fields in model.store.of("figures_1h").items() if ("source", source) in tags and not fields["known"]
    }


def spoken(model):
    """The sums that hold figures."""
    return {
        name: {key: said for key, said in model.store.of(name).items() if said["known"]} for name in ("figures_1h", "figures_1d")
    }


@pytest.mark.parametrize("fate", ["alive", "dies", "loses all"])
@pytest.mark.parametrize("edit", ["gone", "b", ""])
def test_nothing_stays_of_a_source_that_is_gone_or_tagged_otherwise(world, start, fate, edit):
    """Not even the sums of the hours in which it was silent, though no figure leads to them."""
    model = world.World(world.plant())
    worker = start(model)
    for hour in (0, 40, 260):  # silent for a day and a half, and for longer than is expected
        model.say([said(world, hour + minute / 60, 10, channel="power") for minute in (0, 5, 9)])
        worker.settle()
    model.say([said(world, hour, hour) for hour in range(263, 290)])
    worker.settle()
    before = silences(model, "power")
    assert len(before) > 48
    assert series(model, "power") == {"figures": {"a"}, "figures_1h": {"a"}, "figures_1d": {"a"}}
    if fate != "alive":
        worker.die(fate == "loses all")
    new = without(world.plant(), "power") if edit == "gone" else world.plant(line=edit)
    model.plants.append(("000002", new))
    if fate != "alive":
        worker = start(model)
    worker.settle()
    agrees(world, model, new)
    wanted = set() if edit == "gone" else {edit or None}
    assert series(model, "power") == dict.fromkeys(("figures", "figures_1h", "figures_1d"), wanted)
    unexpected = (world.START + 88 * HOUR).timestamp() * 1e6, (world.START + 260 * HOUR).timestamp() * 1e6
    expected = {at for at in before if not unexpected[0] < at < unexpected[1]}
    assert len(expected) > 48 and silences(model, "power") >= (set() if edit == "gone" else expected)
    fresh = world.World(new)
    fresh.say(model.sent)
    start(fresh, name="fresh").settle()
    assert spoken(model) == spoken(fresh)


def test_a_commit_that_is_refused_loses_nothing(world, start):
    model = world.World(world.plant())
    model.say([said(world, n, n) for n in range(3)])
    worker = start(model)
    worker.consumer.fails = [CommitFailedError()]
    worker.settle()
    assert model.committed.offset == 3
    agrees(world, model, world.plant())


def test_a_partition_that_goes_amid_work_is_told_no_further(world, start):
    model = world.World(world.plant())
    model.say([said(world, n, n) for n in range(3)])
    worker = start(model)
    worker.turn()
    model.say([said(world, 3, 3)])
    committed = model.committed
    write = model.store.write

    def revoked(*more):
        found = write(*more)
        worker.consumer.mine = False
        worker.process.lose([0])
        worker.process.breathe()
        return found

    model.store.write = revoked
    worker.turn(2)
    assert model.committed == committed
    assert not worker.process.parts


@pytest.mark.parametrize("edit", [{"scale": 2}, {"factor": "0.7"}, {"base": "1h"}])
def test_a_stop_amid_a_long_recomputation_ends_it_and_loses_nothing(world, start, edit, monkeypatch):
    """It is heard between two parts of the work; whatever is left is computed by the next start, and told then."""
    model = world.World(world.plant())
    model.say([said(world, hour, {"plain": hour, "power": hour % 7}) for hour in range(24 * 12)])
    worker = start(model)
    worker.settle()
    monkeypatch.setattr(upkeep, "AT_ONCE", 100)  # what is more is computed part by part
    monkeypatch.setattr(reprice, "_ROWS", 500)
    told, committed = dict(model.store.of("figures")), model.committed
    new = world.plant(**edit)
    model.plants.append(("000002", new))
    adopt = worker.process.adopt

    def edited(part):
        worker.process.stop()  # as SIGTERM does, while `adopt` computes
        adopt(part)
        raise AssertionError("all of it was computed, and the stop was not heard")

    worker.process.adopt = edited
    with pytest.raises(Stopping):
        worker.turn()
    assert model.committed == committed and model.store.of("figures") == told, "nothing half is told"
    assert worker.replica.upkeep.state.pending.height, "it was heard amid the work"
    worker.die(False)
    worker = start(model)
    worker.settle()
    agrees(world, model, new)
    assert '"plant":"000002"' in model.committed.metadata
