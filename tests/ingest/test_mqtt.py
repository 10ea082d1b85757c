"""A subscriber against a broker that says what the test says, byte by byte: what is taken, what is acknowledged, what ends it."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import waiting

from ingest import connecting
from ingest.mqtt import Received, Subscriber
from schemas.connections import Broker

CONNACK = {"3.1.1": b"\x20\x02\x00\x00", "5": b"\x20\x03\x00\x00\x00"}
SUBACK = {"3.1.1": b"\x90\x03%b\x01", "5": b"\x90\x04%b\x00\x01"}


until = partial(waiting.until, seconds=10)


class Scripted:
    """A broker of one client at a time: greets it, grants its subscription, answers pings, and keeps what it says."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.connections, self.pings, self.mute = 0, 0, False
        self.said, self.subscribed = list[bytes](), threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._client: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client, self.connections = client, self.connections + 1
            with contextlib.suppress(OSError, IndexError):
                self._listen(client)

    def _listen(self, client: socket.socket) -> None:
        with client.makefile("rb") as stream:
            while kind := stream.read(1):
                length = shift = 0
                while (byte := stream.read(1)[0]) > 0x7F:
                    length, shift = length | (byte & 0x7F) << shift, shift + 7
                body = stream.read(length | byte << shift)
                if self.mute:
                    continue
                if kind == b"\x10":
                    client.sendall(CONNACK[self.version])
                elif kind == b"\x82":
                    client.sendall(SUBACK[self.version] % body[:2])
                    self.subscribed.set()
                elif kind == b"\xc0":
                    self.pings += 1
                    client.sendall(b"\xd0\x00")
                else:
                    self.said.append(kind + body)

    def send(self, data: bytes) -> None:
        assert self._client
        self._client.sendall(data)

    def drop(self) -> None:
        assert self._client
        self.subscribed.clear()
        self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        if self._client:
            self._client.close()


class Scene:
    """A scripted broker and a subscriber; `taken` are its messages."""

    def __init__(self, version: str, **more: Any) -> None:
        self.broker, self.taken = Scripted(version), list[Received]()
        settings = Broker.model_validate({"host": "127.0.0.1", "port": self.broker.port, "version": version})
        self.subscriber = Subscriber(settings, ["t/#"], self.taken.extend, name="c", **more)
        self.subscriber.start()
        assert self.broker.subscribed.wait(10)

    @property
    def payloads(self) -> list[bytes]:
        return [one.payload for one in self.taken]

    def has(self, count: int) -> bool:
        return bool(until(lambda: len(self.taken) >= count)) and len(self.taken) == count

    def acknowledge(self, *places: int) -> None:
        self.subscriber.acknowledge([receipt for place in places if (receipt := self.taken[place].receipt)])

    def close(self) -> None:
        self.subscriber.stop()
        self.broker.close()


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scene]]:
    monkeypatch.setattr("ingest.mqtt.random.uniform", lambda low, high: 0.1)
    made: list[Scene] = []

    def make(version: str = "3.1.1", **more: Any) -> Scene:
        made.append(Scene(version, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_packet_may_be_split_at_any_byte(scenes: Any, publish: Any) -> None:
    """A message, a ping's answer and the next message, in two pieces, at every place."""
    scene = scenes()
    stream = publish("t/one", b"first", 258) + b"\xd0\x00" + publish("t/two", b"x" * 130, 65_535)
    for cut in range(1, len(stream)):
        scene.broker.send(stream[:cut])
        time.sleep(0.003)
        scene.broker.send(stream[cut:])
        assert scene.has(2 * cut), cut
        scene.acknowledge(-2, -1)
    assert scene.payloads == [b"first", b"x" * 130] * (len(stream) - 1)
    assert until(lambda: len(scene.broker.said) == 2 * (len(stream) - 1))
    assert set(scene.broker.said[::2]) == {b"\x40\x01\x02"}
    assert set(scene.broker.said[1::2]) == {b"\x40\xff\xff"}
    assert scene.subscriber.in_flight == 0
    assert scene.broker.connections == 1


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_many_packets_in_one_read(scenes: Any, publish: Any, version: str) -> None:
    """Any flags, any quality, with and without properties; acknowledged in the order of receipt, whatever is committed first."""
    scene = scenes(version)
    five, note = version == "5", b"\x26\x00\x01k\x00\x01v"
    kinds = [(0x00, None), (0x01, None), (0x00, 1), (0x01, 1), (0x08, 1), (0x09, 1)]
    sent = [
        publish(
            f"t/{n % 7}", b"%d" % n, n + 1 if qos else None, flags=flags, properties=(note if n % 2 else b"") if five else None
        )
        for n, (flags, qos) in enumerate(kinds * 500)
    ]
    scene.broker.send(b"".join(sent))
    assert until(lambda: len(scene.taken) == 3000)
    assert [(one.topic, one.payload) for one in scene.taken] == [(f"t/{n % 7}", b"%d" % n) for n in range(3000)]
    assert [one.retained for one in scene.taken] == [bool(flags & 1) for flags, _ in kinds * 500]
    assert [one.receipt is None for one in scene.taken] == [qos is None for _, qos in kinds * 500]
    stamps = [one.received_us for one in scene.taken]
    assert all(a < b for a, b in itertools.pairwise(stamps)), "equal messages of one instant would be one"
    assert abs(stamps[-1] / 1e6 - time.time()) < 60
    assert scene.subscriber.in_flight == 2000
    scene.acknowledge(*range(1500, 3000))
    time.sleep(0.1)
    assert scene.broker.said == []
    scene.acknowledge(*range(1500))
    assert until(lambda: len(scene.broker.said) == 2000)
    ids = [n + 1 for n, (_, qos) in enumerate(kinds * 500) if qos]
    assert scene.broker.said == [b"\x40" + one.to_bytes(2, "big") for one in ids]


def test_quality_2_is_acknowledged_when_it_is_committed(scenes: Any, publish: Any) -> None:
    """Nothing asks for it, but a session may hold it; it is left to paho, in order with the rest."""
    scene = scenes()
    scene.broker.send(publish("t/a", b"1", 1) + publish("t/b", b"2", 2, flags=0x04) + publish("t/c", b"3", 3))
    assert until(lambda: scene.payloads == [b"1", b"3"])
    assert until(lambda: scene.broker.said == [b"\x50\x00\x02"]), "PUBREC"
    scene.broker.send(b"\x62\x02\x00\x02" + publish("t/d", b"4", 4))
    assert until(lambda: scene.payloads == [b"1", b"3", b"2", b"4"])
    scene.acknowledge(3, 2, 1, 0)
    acknowledged = [b"\x40\x00\x01", b"\x40\x00\x03", b"\x70\x00\x02", b"\x40\x00\x04"]
    assert until(lambda: scene.broker.said[1:] == acknowledged), scene.broker.said


def test_a_topic_that_is_no_utf_8_is_passed_over(scenes: Any, publish: Any) -> None:
    scene = scenes()
    scene.broker.send(publish("t/a", b"1", 1) + publish(b"t/\xff", b"?", 2) + publish("t/a", b"3", 3))
    assert until(lambda: scene.payloads == [b"1", b"3"])
    assert scene.subscriber.count["unreadable"] == 1
    scene.acknowledge(0, 1)
    assert until(lambda: scene.broker.said == [b"\x40\x00\x01", b"\x40\x00\x02", b"\x40\x00\x03"])
    assert scene.broker.connections == 1


def test_the_connection_is_kept_alive_under_load_and_in_silence(
    scenes: Any, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paho sees no message, and yet neither thinks that the broker is gone nor lets it think so of us."""
    monkeypatch.setattr(connecting, "KEEPALIVE_S", 2)
    monkeypatch.setattr("ingest.mqtt.TICK_S", 0.2)
    scene = scenes()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        scene.broker.send(publish("t/a", b"1", 1))
        time.sleep(0.01)
    assert scene.broker.pings >= 1
    pings = scene.broker.pings
    assert until(lambda: scene.broker.pings > pings), "silence"
    assert scene.broker.connections == 1
    assert scene.subscriber.count["disconnects"] == 0


def test_a_broker_that_says_nothing_more_is_left(scenes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "KEEPALIVE_S", 1)
    monkeypatch.setattr("ingest.mqtt.TICK_S", 0.2)
    scene = scenes()
    scene.broker.subscribed.clear()
    scene.broker.mute = True
    assert until(lambda: scene.broker.connections == 3, seconds=20), "neither an answer to a ping nor a greeting"
    scene.broker.mute = False
    assert scene.broker.subscribed.wait(20)
    assert until(lambda: scene.subscriber.problem is None)


def test_what_came_before_the_end_is_taken_and_old_receipts_count_for_nothing(scenes: Any, publish: Any) -> None:
    scene = scenes()
    scene.broker.send(b"".join(publish("t/a", b"%d" % n, n + 1) for n in range(1200)) + publish("t/a", b"cut", 9)[:-1])
    scene.broker.drop()
    assert until(lambda: len(scene.taken) == 1200)
    assert scene.broker.subscribed.wait(10), "it comes back"
    assert until(lambda: scene.subscriber.count["disconnects"] == 1)
    assert scene.subscriber.in_flight == 0
    scene.broker.send(publish("t/a", b"new", 1))
    assert until(lambda: scene.payloads[-1] == b"new")
    scene.acknowledge(*range(1200))
    time.sleep(0.1)
    assert scene.broker.said == [], "packet id 1 is another message now"
    scene.acknowledge(1200)
    assert until(lambda: scene.broker.said == [b"\x40\x00\x01"])


@pytest.mark.parametrize(
    "fault", [b"\x00\x00", b"\x30\xff\xff\xff\xff\x01", b"\xf0\x00", b"\x30\x03\x00\x00!", b"\x32\x02\x00\x09"]
)
def test_a_fault_of_the_protocol_ends_the_connection_not_the_thread(scenes: Any, publish: Any, fault: bytes) -> None:
    scene = scenes()
    scene.broker.send(publish("t/a", b"1", 1) + fault)
    assert until(lambda: scene.broker.connections == 2), "connected anew"
    assert scene.payloads == [b"1"], "what came before is taken"
    assert scene.broker.subscribed.wait(10)
    assert until(lambda: scene.subscriber.problem is None)
    scene.broker.send(publish("t/a", b"2", 1))
    assert until(lambda: scene.payloads == [b"1", b"2"])


def test_mqtt_5_says_why_it_disconnects(scenes: Any, publish: Any) -> None:
    scene = scenes("5")
    scene.broker.send(publish("t/a", b"1", 1, properties=b"") + b"\xe0\x01\x8e" + publish("t/a", b"2", 2, properties=b""))
    assert until(lambda: "another client" in (scene.subscriber.problem or "")), scene.subscriber.problem
    assert scene.payloads == [b"1"], "nothing is read after the end"


def test_nothing_is_read_while_the_taker_is_not_ready_but_acknowledgements_leave(scenes: Any, publish: Any) -> None:
    ready = threading.Event()
    ready.set()
    scene = scenes(ready=ready.is_set)
    scene.broker.send(publish("t/a", b"1", 1))
    assert until(lambda: scene.payloads == [b"1"])
    ready.clear()
    time.sleep(1.2)  # the select that still waits for messages ends
    scene.broker.send(b"".join(publish("t/a", b"%d" % n, n) for n in range(2, 2000)))
    scene.acknowledge(0)
    assert until(lambda: scene.broker.said == [b"\x40\x00\x01"])
    time.sleep(0.2)
    assert len(scene.taken) == 1
    ready.set()
    assert until(lambda: len(scene.taken) == 1999)


def test_no_burst_is_longer_than_it_may_be(scenes: Any, publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes may stop the reading after each burst: so much is held at most beyond its bound."""
    monkeypatch.setattr("ingest.intake.BURST", 10)
    scene = scenes()
    sizes: list[int] = []
    scene.subscriber._intake._take = lambda messages: sizes.append(len(messages))
    scene.broker.send(b"".join(publish("t/a", b"", n) + (b"\xd0\x00" if n % 7 == 0 else b"") for n in range(1, 1001)))
    assert until(lambda: sum(sizes) == 1000)
    assert max(sizes) == 10


def test_stopping_sends_the_last_acknowledgements(scenes: Any, publish: Any) -> None:
    scene = scenes()
    scene.broker.send(b"".join(publish("t/a", b"", n) for n in range(1, 101)))
    assert until(lambda: len(scene.taken) == 100)
    scene.acknowledge(*range(100))
    scene.subscriber.stop()
    assert until(lambda: len(scene.broker.said) == 101)
    assert scene.broker.said[-2:] == [b"\x40\x00\x64", b"\xe0"], "and says good-bye"
