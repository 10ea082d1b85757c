"""The console's follower without servers: all partitions in one file, nothing skipped after an error, a log that is gone."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError

from ingest.records import pack
from schemas.connections import Archive
from scopeline.cluster import follower
from scopeline.cluster.follower import RECORDS, Follower, NotPublished
from scopeline.cluster.plant_topic import KafkaProblem
from scopeline.cluster.replica import Stopping

HOUR = timedelta(hours=1)


class Log:
    """A Kafka of two raw partitions and the references: its records, and a consumer of all of them."""

    def __init__(self, names):
        self.names = names
        self.places = [TopicPartition(names.raw, 0), TopicPartition(names.raw, 1), TopicPartition(names.ref, 0)]
        self.records = {place: [] for place in self.places}
        self.starts = dict.fromkeys(self.places, 0)
        self.at: dict[TopicPartition, int] = {}
        self.pace, self.closed = 5, False

    def say(self, place, rows):
        for row in rows:
            us = round(row["received_at"].timestamp() * 1_000_000)
            (value, headers), *_ = pack([row["topic"]], [row["payload"]], [us], [row["retained"]])
            offset = len(self.records[place])
            self.records[place].append(
                SimpleNamespace(offset=offset, value=value, headers=headers, timestamp=us // 1000, key=b"k")
            )

    def partitions_for_topic(self, name):
        return {place.partition for place in self.places if place.topic == name}

    def assign(self, places):
        assert sorted(places) == sorted(self.places)

    def beginning_offsets(self, places):
        return {place: self.starts[place] for place in places}

    def end_offsets(self, places):
        return {place: len(self.records[place]) for place in places}

    def seek(self, place, offset):
        self.at[place] = offset

    def poll(self, timeout_ms=0, max_records=0):
        found = {}
        for place in self.places:
            some = self.records[place][self.at[place] : self.at[place] + self.pace]
            self.at[place] += len(some)
            if some:
                found[place] = some
        return found

    def close(self, timeout_ms=0):
        self.closed = True


@pytest.fixture
def made(world, tmp_path, monkeypatch):
    """made(log, plants=[(version, plant), ...]): a Follower that is not running; `_step` is one turn of its thread."""
    found = []

    def make(log, plants, state="state"):
        topic = SimpleNamespace(problem=None, close=lambda: None, seen=len(plants))

        def current():
            return SimpleNamespace(version=plants[-1][0], plant=plants[-1][1]) if plants else None

        def poll():
            fresh, topic.seen = len(plants) > topic.seen, len(plants)
            return current() if fresh else None

        topic.current, topic.poll = current, poll
        monkeypatch.setattr(follower, "PlantTopic", lambda *_: topic)
        monkeypatch.setattr(follower, "KafkaConsumer", lambda **_: log)
        monkeypatch.setattr(follower, "columnar", lambda _: None)
        monkeypatch.setattr(follower, "History", lambda *_: SimpleNamespace(before=lambda *_: iter(())))
        monkeypatch.setattr(follower, "_PLANT_EVERY", -1.0)
        monkeypatch.setattr(follower, "_END_EVERY", -1.0)
        settings = {"kafka": world.KAFKA, "archive": Archive(path=str(tmp_path / "archive"))}
        local = world.plant()
        local = local.model_copy(update={"settings": local.settings.model_copy(update=settings)})
        one = Follower(tmp_path, local, tmp_path / state)
        found.append(one)
        one.start(listen=False)
        return one

    yield make
    for one in found:
        one.stop()


def turns(one, log):
    while any(one._replica.offsets.get(name, 0) < len(log.records[place]) for name, place in one._places.items()):
        one._step()


def filled(world):
    log = Log(world.NAMES)
    at = [world.START + n * HOUR for n in range(30)]
    rows = {topic: [world.message(topic, t, t, plain=n) for n, t in enumerate(at)] for topic in ("t/a", "t/b", "g/a")}
    grid = [world.message("grid", t, t, g=100 + n) for n, t in enumerate(at)]
    log.say(log.places[0], rows["t/a"] + rows["t/b"])
    log.say(log.places[1], rows["g/a"])
    log.say(log.places[2], grid)
    return log, [*rows["t/a"], *rows["t/b"], *rows["g/a"], *grid]


def agrees(world, one, rows, plant):
    world.assert_same(world.figures(one._replica), world.whole(rows, plant)[0])


def test_it_says_what_compute_says_and_goes_on_where_it_was(world, made):
    log, rows = filled(world)
    one = made(log, [("1", world.plant())])
    turns(one, log)
    agrees(world, one, rows, world.plant())
    assert one.problems == [] and one.store.position() == len(rows)
    one.stop()
    again = made(log, [("1", world.plant())])
    assert log.closed and [log.at[place] for place in log.places] == [len(log.records[place]) for place in log.places]
    agrees(world, again, rows, world.plant())


def test_what_was_polled_and_not_applied_comes_again(world, made, monkeypatch):
    log, rows = filled(world)
    one = made(log, [("1", world.plant())])
    apply, left = one._replica.apply, [3]

    def breaks(*given, **more):
        left[0] -= 1
        if left[0] == 0:
            raise OSError("no room")
        return apply(*given, **more)

    monkeypatch.setattr(one._replica, "apply", breaks)
    for _ in range(2):
        try:
            one._step()
        except OSError:
            assert [log.at[place] for place in one._places.values()] == [one._replica.offsets.get(n, 0) for n in one._places]
    assert left[0] <= 0
    turns(one, log)
    agrees(world, one, rows, world.plant())
    assert one.store.position() == len(rows), "each once"


def test_an_edit_that_is_published_is_followed(world, made):
    log, rows = filled(world)
    plants = [("1", world.plant())]
    one = made(log, plants)
    turns(one, log)
    plants.append(("2", world.plant(factor="0.7")))
    one._step()
    assert one.store.fact("plant") == "2"
    agrees(world, one, rows, plants[-1][1])


def test_a_log_that_begins_after_the_state_is_refused_with_the_remedy(world, made):
    log, _ = filled(world)
    one = made(log, [("1", world.plant())])
    one._step()
    one.stop()
    log.starts[log.places[0]] = 50
    with pytest.raises(KafkaProblem, match=r"ends at 5 of .* the log begins at 50: remove .* and start again"):
        made(log, [("1", world.plant())])


def test_without_a_published_plant_folder_or_a_topic_it_says_what_to_do(world, made):
    log, _ = filled(world)
    with pytest.raises(NotPublished, match="scopeline apply"):
        made(log, [])
    log.places = log.places[2:]
    with pytest.raises(KafkaProblem, match="scopeline setup"):
        made(log, [("1", world.plant())])


def test_how_far_it_is_behind_is_told_and_errors_of_kafka_too(world, made):
    log, _ = filled(world)
    one = made(log, [("1", world.plant())])
    log.end_offsets = lambda places: dict.fromkeys(places, RECORDS)
    one._step()
    assert [(found.severity, "records behind the log" in found.message) for found in one.problems] == [("note", True)]
    one._stop.wait = lambda _: one._stop.set()  # the thread's loop: once, and out

    def fails(**_):
        raise KafkaError("away")

    log.poll = fails
    one._run()
    assert [found.key for found in one.problems if found.severity == "error"] == ["kafka"] and not one.running


def test_a_stop_amid_work_ends_it(world, made):
    log, rows = filled(world)
    one = made(log, [("1", world.plant())])
    one._stop.set()
    with pytest.raises(Stopping):
        one._step()
    one.stop()
    again = made(log, [("1", world.plant())])
    turns(again, log)
    agrees(world, again, rows, world.plant())
