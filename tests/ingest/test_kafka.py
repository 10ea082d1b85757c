"""The publisher against a producer that fails in every way: nothing is given up, nothing is reported before it is confirmed."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import waiting

import ingest
from ingest import records
from ingest.bridge import Received
from ingest.kafka import Publisher
from ingest.routing import Routes

CHANNELS = [{"channel": "e", "value": "$.e"}]


class Sent:
    """A send of a producer, which the test confirms or fails."""

    def __init__(self, topic: str, value: bytes, key: bytes, headers: Any) -> None:
        self.topic, self.key = topic, key
        record = SimpleNamespace(offset=0, value=value, headers=headers, timestamp=0)
        self.payloads = records.decode([record]).messages["payload"].to_list()
        self._confirmed = False
        self._callbacks: list[Callable[[Any], None]] = []
        self._errbacks: list[Callable[[Any], None]] = []

    def add_callback(self, call: Callable[[Any], None]) -> None:
        self._callbacks.append(call)
        if self._confirmed:
            call(None)

    def add_errback(self, call: Callable[[Any], None]) -> None:
        self._errbacks.append(call)

    def confirm(self) -> None:
        self._confirmed = True
        for call in self._callbacks:
            call(None)

    def fail(self) -> None:
        for call in self._errbacks:
            call(TimeoutError("no answer"))


class Kafka:
    """Makes producers; each keeps what it was given."""

    def __init__(self) -> None:
        self.producers: list[list[Sent]] = []
        self.refuse = self.break_send = 0
        self.confirming = False

    def connect(self) -> Any:
        if self.refuse:
            self.refuse -= 1
            raise ConnectionError("nobody is there")
        mine: list[Sent] = []
        self.producers.append(mine)

        def send(topic: str, *, value: bytes, key: bytes, headers: Any) -> Sent:
            if self.break_send:
                self.break_send -= 1
                raise BufferError("cannot")
            mine.append(Sent(topic, value, key, headers))
            if self.confirming:
                threading.Timer(0.001, mine[-1].confirm).start()
            return mine[-1]

        return SimpleNamespace(send=send, close=lambda timeout=None: None)

    @property
    def sent(self) -> list[Sent]:
        return [one for producer in self.producers for one in producer]


class Broker:
    """An origin that remembers what it may acknowledge."""

    label: str | None = None

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self._place = 0

    def acknowledge(self, receipts: Any) -> None:
        self.acknowledged += receipts

    def messages(self, count: int, topic: str = "t/york/p", size: int = 0) -> list[Received]:
        found = []
        for _ in range(count):
            self._place += 1
            payload = str(self._place).encode().ljust(size)
            found.append(Received(topic, payload, 1, False, self._place))
        return found


until = partial(waiting.until, seconds=60)


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def routes(plant: Any) -> Callable[..., Routes]:
    def make(*feeds: dict[str, Any]) -> Routes:
        made = plant(*({"decoder": "json", "channels": CHANNELS} | feed for feed in feeds))
        return Routes(ingest.compile(made), made)

    return make


@pytest.fixture
def publisher(kafka: Kafka, routes: Any) -> Iterator[Publisher]:
    """One site by its topic; messages on two/... belong to two sites; ref/... to the reference log."""
    feeds = [
        {"feed": "a", "topic": "t/{site}/{device}"},
        {"feed": "b", "topic": "two/{device}", "site": "york"},
        {"feed": "c", "topic": "two/{device}", "site": "howe"},
        {"feed": "d", "topic": "ref/{device}", "site": "ref"},
    ]
    made = Publisher(kafka.connect, routes(*feeds), "x.raw", "x.ref", largest=1024 * 1024)
    made.start()
    yield made
    made.stop(0.1)


def test_acknowledged_only_when_confirmed(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    publisher.offer(broker, broker.messages(100))
    assert until(lambda: sum(len(one.payloads) for one in kafka.sent) == 100)
    assert broker.acknowledged == []
    assert publisher.in_flight == 100
    for one in kafka.sent:
        assert (one.topic, one.key) == ("x.raw", b"york")
        one.confirm()
    assert broker.acknowledged == list(range(1, 101))
    assert publisher.in_flight == 0
    for one in kafka.sent:
        one.confirm()
    assert len(broker.acknowledged) == 100, "twice is once"


def test_a_message_of_two_sites_waits_for_both(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    publisher.offer(broker, broker.messages(10, "two/p"))
    assert until(lambda: len(kafka.sent) == 2)
    first, second = kafka.sent
    assert {first.key, second.key} == {b"york", b"howe"}
    second.confirm()
    assert broker.acknowledged == []
    first.confirm()
    assert broker.acknowledged == list(range(1, 11))
    assert publisher.in_flight == 0


def test_references_have_a_log_of_their_own(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    publisher.offer(broker, broker.messages(1, "ref/grid"))
    assert until(lambda: kafka.sent)
    assert (kafka.sent[0].topic, kafka.sent[0].key) == ("x.ref", b"ref")


def test_after_an_error_what_is_not_confirmed_is_sent_again(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    for topic in ("t/york/p", "t/howe/p", "t/duisburg/p"):
        publisher.offer(broker, broker.messages(10, topic))
    assert until(lambda: len(kafka.sent) == 3)
    one, two, three = kafka.sent
    one.confirm()
    kafka.refuse = 2  # and nobody answers for a while
    two.fail()
    assert until(lambda: len(kafka.producers) == 2 and len(kafka.producers[1]) == 2)
    assert [again.payloads for again in kafka.producers[1]] == [two.payloads, three.payloads]
    assert "TimeoutError" in (publisher.problem or "") or "ConnectionError" in (publisher.problem or "")
    three.confirm()  # the old producer's word counts
    three.fail()
    time.sleep(0.3)
    assert len(kafka.producers) == 2, "an error of a producer that was given up is none"
    for again in kafka.producers[1]:
        again.confirm()
    assert sorted(broker.acknowledged) == list(range(1, 31))
    assert until(lambda: publisher.problem is None)


def test_a_send_that_raises_loses_nothing(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    kafka.break_send, kafka.confirming = 3, True
    publisher.offer(broker, broker.messages(50))
    assert until(lambda: len(broker.acknowledged) == 50)
    assert publisher.count["errors"] == 3


def test_whatever_fails_each_message_is_acknowledged_once(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    random.seed(7)
    settled: set[int] = set()
    for _ in range(30):
        publisher.offer(broker, broker.messages(random.randrange(1, 30), random.choice(["t/york/p", "t/howe/p", "two/p"])))
        time.sleep(0.01)
        for one in kafka.sent:
            if id(one) not in settled and random.random() < 0.5:
                settled.add(id(one))
                one.confirm() if random.random() < 0.8 else one.fail()

    def finish() -> bool:
        for one in kafka.sent:
            one.confirm()
        return not publisher.in_flight

    assert until(finish)
    assert sorted(broker.acknowledged) == list(range(1, broker._place + 1))


def test_large_messages_are_not_joined_beyond_the_bound(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    publisher.offer(broker, broker.messages(20, size=100_000))
    assert until(lambda: sum(len(one.payloads) for one in kafka.sent) == 20)
    assert all(sum(map(len, one.payloads)) <= 512 * 1024 for one in kafka.sent)
    publisher.offer(broker, broker.messages(1, size=2 * 1024 * 1024))
    assert until(lambda: publisher.count["oversize"] == 1), "what no record holds is logged without its payload"
    for one in kafka.sent:
        one.confirm()
    assert publisher.in_flight == 0 == publisher._bytes


def test_what_no_feed_reads_any_more_goes_where_it_went(publisher: Publisher, kafka: Kafka, broker: Broker, routes: Any) -> None:
    publisher.configure(routes({"feed": "n", "topic": "new/{site}/{device}"}))
    publisher.offer(broker, broker.messages(1, "t/howe/p") + broker.messages(1, "new/york/p") + broker.messages(1, "who/p"))
    assert until(lambda: len(kafka.sent) == 3)
    assert {one.payloads[0]: one.key for one in kafka.sent} == {b"1": b"howe", b"2": b"york", b"3": b"duisburg"}


def test_full_says_so(publisher: Publisher, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.kafka.FULL_MESSAGES", 10)
    assert not publisher.full
    publisher.offer(broker, broker.messages(10))
    assert publisher.full


def test_stop_waits_for_kafka_and_says_what_is_left(publisher: Publisher, kafka: Kafka, broker: Broker) -> None:
    publisher.offer(broker, broker.messages(3))
    assert not publisher.stop(0.2), "nothing was confirmed"
    assert broker.acknowledged == []
    kafka.confirming = True
    other = Publisher(kafka.connect, publisher._batches._routes, "x.raw", "x.ref", largest=1024 * 1024)
    other.start()
    other.offer(broker, broker.messages(3))
    assert other.stop(5)
    assert sorted(broker.acknowledged) == [4, 5, 6]
