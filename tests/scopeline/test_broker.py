"""The embedded broker: acknowledges when told to, takes what a broker must take, lets in whom it should."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version

import paho.mqtt.client as mqtt
import pytest
import waiting
from paho.mqtt.enums import CallbackAPIVersion

from scopeline.broker import BrokerStart, EmbeddedBroker
from scopeline.inbox import Delivery, Inbox


@contextmanager
def broker(inbox: Inbox, **options: object) -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(inbox, port=0, **options)  # type: ignore[arg-type]  # options by name
    made.start()
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def client(port: int, name: str = "c", **options: object) -> Iterator[mqtt.Client]:
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, **options)  # type: ignore[arg-type]  # options by name
    made.max_inflight_messages_set(1000)
    up = threading.Event()
    made.on_connect = lambda *_: up.set()
    made.connect("127.0.0.1", port)
    made.loop_start()
    assert up.wait(60)
    try:
        yield made
    finally:
        made.disconnect()
        made.loop_stop()


until = partial(waiting.until, seconds=60)


def taken(inbox: Inbox, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    assert until(lambda: bool(found.extend(inbox.take(100, 0, 0.05)) or len(found) >= count))
    return found


def settle(deliveries: list[Delivery]) -> None:
    for one in deliveries:
        if one.token is not None and one.origin is not None:
            one.origin.settle([one.token], [1])


def test_the_version_it_hooks_into() -> None:
    assert version("amqtt") == "0.12.1", "private names are used: read scopeline/broker.py again for another version"


@pytest.mark.parametrize("qos", [1, 2])
def test_no_acknowledgement_before_the_commit(qos: int) -> None:
    inbox = Inbox()
    with broker(inbox) as made, client(made.port) as sender:
        infos = [sender.publish("a/b", str(n), qos=qos) for n in range(5)]
        got = taken(inbox, 5)
        time.sleep(0.2)
        assert not any(info.is_published() for info in infos)
        settle(got)
        assert until(lambda: all(info.is_published() for info in infos))
        assert [(d.topic, d.payload) for d in got] == [("a/b", str(n).encode()) for n in range(5)]


def test_unacknowledged_messages_come_again_after_a_reconnect() -> None:
    inbox = Inbox()
    with broker(inbox) as made, client(made.port, clean_session=False) as sender:
        info = sender.publish("a/b", "1", qos=1)
        taken(inbox, 1)
        sock = sender.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)  # the line breaks before the commit
        again = taken(inbox, 1)
        settle(again)
        assert until(info.is_published)


def test_qos_0_is_taken_and_nobody_waits() -> None:
    inbox = Inbox()
    with broker(inbox) as made, client(made.port) as sender:
        sender.publish("a/b", "1", qos=0)
        assert taken(inbox, 1)[0].token is None


def test_a_live_message_with_retain_is_live() -> None:
    inbox = Inbox()
    with broker(inbox) as made, client(made.port) as sender:
        sender.publish("a/b", "1", qos=1, retain=True)
        got = taken(inbox, 1)
        assert not got[0].retained
        settle(got)
        seen: list[tuple[str, bool]] = []
        with client(made.port, "later") as watcher:
            watcher.on_message = lambda _c, _d, m: seen.append((m.topic, m.retain))
            watcher.subscribe("a/#")
            assert until(lambda: bool(seen))
        assert seen == [("a/b", True)]


def test_a_last_will_is_a_message() -> None:
    inbox = Inbox()
    with broker(inbox) as made:
        dying = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="dying")
        dying.will_set("a/LWT", "Offline", qos=1)
        dying.connect("127.0.0.1", made.port)
        dying.loop_start()
        assert until(dying.is_connected)
        sock = dying.socket()
        assert sock is not None
        dying.loop_stop()
        sock.shutdown(socket.SHUT_RDWR)
        assert [(d.topic, d.payload) for d in taken(inbox, 1)] == [("a/LWT", b"Offline")]


def test_a_full_inbox_stops_reading_and_goes_on() -> None:
    inbox = Inbox(max_messages=10)
    with broker(inbox) as made, client(made.port) as sender:
        infos = [sender.publish("a/b", str(n), qos=1) for n in range(200)]
        time.sleep(0.5)
        assert inbox.waiting <= 40, "bounded, whatever the client sends"
        got = 0
        end = time.monotonic() + 60
        while got < 200 and time.monotonic() < end:
            batch = inbox.take(100, 0, 0.05)
            settle(batch)
            inbox.release(batch)
            got += len(batch)
        assert got == 200 and until(lambda: all(info.is_published() for info in infos))


@pytest.mark.parametrize("topic", ["$SYS/x", "$share/g/x"])
def test_reserved_topics_are_not_taken(topic: str) -> None:
    inbox = Inbox()
    with broker(inbox) as made, client(made.port) as sender:
        sender.publish(topic, "1", qos=0)
        time.sleep(0.2)
        assert inbox.waiting == 0


def test_password() -> None:
    inbox = Inbox()
    with broker(inbox, username="works", password="right") as made:
        for user, password, welcome in (("works", "right", True), ("works", "wrong", False), (None, None, False)):
            answers: list[bool] = []
            asking = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"p{password}")
            if user:
                asking.username_pw_set(user, password)
            asking.on_connect = lambda _c, _d, _f, reason, _p, answers=answers: answers.append(not reason.is_failure)
            asking.connect("127.0.0.1", made.port)
            asking.loop_start()
            assert until(lambda answers=answers: bool(answers))
            asking.disconnect()
            asking.loop_stop()
            assert answers[0] is welcome


def test_no_sys_topics() -> None:
    inbox = Inbox()
    seen: list[str] = []
    with broker(inbox) as made, client(made.port) as watcher:
        watcher.on_message = lambda _c, _d, m: seen.append(m.topic)
        watcher.subscribe("$SYS/#")
        time.sleep(0.5)
    assert seen == []


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BrokerStart, match="--mqtt-port"):
            EmbeddedBroker(Inbox(), port=other.getsockname()[1]).start()


def test_open_to_the_network_only_with_a_password() -> None:
    with pytest.raises(BrokerStart, match="password_file"):
        EmbeddedBroker(Inbox(), host="0.0.0.0", port=0).start()


def test_messages_of_all_kinds_in_one_go_are_taken_and_acknowledged_in_order(publish: Callable[..., bytes]) -> None:
    inbox = Inbox()
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01r"
    with broker(inbox) as made, socket.create_connection(("127.0.0.1", made.port), 60) as line:
        line.sendall(connect)
        assert line.recv(100) == b"\x20\x02\x00\x00"
        twice = publish("t", b"2", 2, flags=0x04)
        line.sendall(publish("t", b"1", 1) + twice + publish("t", b"0", None) + publish("t", b"3", 3) + b"\xc0\x00")
        got = taken(inbox, 4)
        assert [(one.payload, one.token is None) for one in got] == [(b"1", False), (b"2", False), (b"0", True), (b"3", False)]
        assert line.recv(100) == b"\xd0\x00", "answered, while nothing is committed"
        origin = got[0].origin
        assert origin is not None
        origin.settle([one.token for one in got if one.token], [1, 2, 4])
        wanted = bytes.fromhex("40020001 50020002 40020003")
        answer = b""
        while len(answer) < len(wanted):
            answer += line.recv(100)
        assert answer == wanted
        line.sendall(twice)  # again, before it is released: it is in the log, and not taken twice
        assert line.recv(100) == bytes.fromhex("50020002")
        line.sendall(b"\x62\x02\x00\x02")
        assert line.recv(100) == bytes.fromhex("70020002")
        assert not inbox.take(1, 0, 0.1)


def test_one_client_s_faults_harm_no_other(publish: Callable[..., bytes]) -> None:
    inbox = Inbox()
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01r"
    with broker(inbox) as made, client(made.port) as good:
        for wrong in (publish("a/+", b"1"), publish("$x", b"1"), b"\x36\x03\x00\x01t", b"\x30\xff\xff\xff\x7f", b"\xf0\x00"):
            with socket.create_connection(("127.0.0.1", made.port), 60) as line:
                line.sendall(connect)
                assert line.recv(100) == b"\x20\x02\x00\x00"
                line.sendall(wrong)
                assert line.recv(100) == b"", wrong
        info = good.publish("a/b", "1", qos=1)
        settle(taken(inbox, 1))
        assert until(info.is_published)


def test_silent_clients_are_disconnected_and_those_that_wait_for_us_are_not(publish: Callable[..., bytes]) -> None:
    inbox = Inbox(max_messages=1)
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x01\x00\x01"  # keep-alive of one second
    with (
        broker(inbox) as made,
        socket.create_connection(("127.0.0.1", made.port), 60) as silent,
        socket.create_connection(("127.0.0.1", made.port), 60) as waits,
    ):
        silent.sendall(connect + b"s")
        assert silent.recv(4, socket.MSG_WAITALL) == b"\x20\x02\x00\x00"
        assert silent.recv(100) == b"", "the connection is closed"
        waits.sendall(connect + b"w" + publish("t", b"1", 1) + publish("t", b"2", 2) + publish("t", b"3", 3))
        assert waits.recv(4, socket.MSG_WAITALL) == b"\x20\x02\x00\x00"
        got = taken(inbox, 1)
        time.sleep(3)  # nothing is committed: what the client sends is not read, so that its silence is ours
        for number in (1, 2, 3):
            settle(got)
            inbox.release(got)
            assert waits.recv(4, socket.MSG_WAITALL) == bytes([0x40, 2, 0, number])
            got = taken(inbox, 1) if number < 3 else []
