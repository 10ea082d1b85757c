"""Messages read by us are those that paho would have read, from faultless bytes and from damaged ones."""

import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import connecting
from ingest.bridge import Received
from ingest.intake import Intake
from schemas.connections import Broker

WITHIN = 10.0


def read(data: bytes, wired: bool) -> tuple[list[tuple[Any, ...]], list[int]]:
    """What is taken out of these bytes until the connection ends, and the replies that are owed."""
    taken: list[Received] = []
    intake = Intake("here", taken.extend, Counter())
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        broker = Broker.model_validate({"host": host, "port": port})
        client = connecting.client(broker, "c", None, Path(), wired=wired)
        client.on_message = intake.received
        client.on_socket_register_write = lambda *_: None
        connecting.connect(client, broker)
        with server.accept()[0] as far:
            far.sendall(data)
            far.shutdown(socket.SHUT_WR)
            end = time.monotonic() + WITHIN
            while client.socket() is not None:
                assert time.monotonic() < end
                assert intake.read(client)
    intake.settled.append([one.receipt for one in taken if one.receipt])
    owed = intake._receipts.settle([one for some in intake.settled for one in some])
    return [(one.topic, one.payload, one.retained, one.receipt) for one in taken], list(owed)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=8), st.none() | st.integers(0, 3)), max_size=6),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=2),
)
def test_what_paho_reads(publish: Any, sent: list[tuple[Any, ...]], damage: list[tuple[int, int]]) -> None:
    data = bytearray(b"".join(publish(topic, payload, packet_id) for topic, payload, packet_id in sent))
    for place, byte in damage:
        if place < len(data):
            data[place] = byte
    assert read(bytes(data), True) == read(bytes(data), False)


def test_messages_that_nobody_takes_are_said_to_be(publish: Any, caplog: pytest.LogCaptureFixture) -> None:
    def take(messages: list[Received]) -> None:
        raise RuntimeError("full")

    intake = Intake("here", take, Counter())
    client: Any = type("Client", (), {"socket": lambda self: None, "loop_read": lambda self: 1})()
    assert intake.read(client), "nothing came"
    message = type("Message", (), {"topic": "t", "payload": b"", "qos": 1, "mid": 1, "retain": False})()
    intake.received(None, None, message)
    assert not intake.read(client)
    assert "messages of here not taken" in caplog.text
    assert len(intake) == 1, "not acknowledged"


def test_stamps_follow_a_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second they only rise; a clock that was set back by more is right."""
    intake = Intake("here", lambda messages: None, Counter())
    now = [1_000_000_000_000_000_000]
    monkeypatch.setattr("ingest.bridge.time.time_ns", lambda: now[0])
    message = type("Message", (), {"topic": "t", "payload": b"", "qos": 0, "mid": 0, "retain": False})()

    def stamp() -> int:
        intake.received(None, None, message)
        return intake._burst[-1].received_us - 1_000_000_000_000_000

    assert [stamp(), stamp()] == [0, 1]
    now[0] -= 500_000_000
    assert stamp() == 2
    now[0] -= 3_600_000_000_000
    assert stamp() == -3_600_500_000
    now[0] += 7_200_000_000_000
    assert stamp() == 3_599_500_000
