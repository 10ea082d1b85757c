"""Many messages in one piece of bytes: what is read is what was written, wherever it is cut, and nothing else is touched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import packets
from ingest.packets import PUBACK, messages

PINGRESP = b"\xd0\x00"
SUBACK = b"\x90\x03\x00\x07\x01"
EXPIRY = b"\x02\x00\x00\x0e\x10"
NOTE = b"\x26\x00\x01k\x00\x01v"

one_message = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_characters="+#\0"), min_size=1, max_size=40),
    st.binary(max_size=300),
    st.none() | st.integers(1, 65_535),
    st.sampled_from([0x00, 0x01, 0x08, 0x09]),
    st.sampled_from([b"", EXPIRY, NOTE * 30]),
)


def told(found: packets.Read) -> list[tuple[str, bytes, bool, bool]]:
    return [(one.topic, one.payload, one.retained, one.receipt is not None) for one in found.messages]


@given(st.lists(one_message, max_size=12), st.booleans(), st.integers(1, 5), st.data())
def test_messages_are_read_as_they_were_written(
    publish: Any, sent: list[tuple[Any, ...]], five: bool, most: int, data: st.DataObject
) -> None:
    """In whatever portions they come and are asked for; an unfinished one waits."""
    stream = b"".join(publish(t, p, i, flags=f, properties=x if five else None) for t, p, i, f, x in sent)
    cut = data.draw(st.integers(0, len(stream)))
    held, rest = stream[:cut], stream[cut:]
    read, replies, at_us, receipt = list[Any](), list[int](), 1_000, 1
    while True:
        found = messages(held, most, receipt, at_us, {}, five)
        assert len(found.messages) <= most
        read += found.messages
        replies += found.replies
        receipt += len(found.replies)
        at_us += len(found.messages)
        held = held[found.end :]
        if not found.messages:
            assert packets.end(held) is None or packets.end(held) > len(held)  # type: ignore[operator]  # None is dealt with
            if not rest:
                break
            held, rest = held + rest, b""
    assert [(r.topic, r.payload, r.retained) for r in read] == [(t, p, bool(f & 1)) for t, p, _, f, _ in sent]
    assert replies == [PUBACK | i for _, _, i, _, _ in sent if i is not None], "in the order of receipt"
    assert [r.receipt for r in read if r.receipt] == list(range(1, len(replies) + 1))
    assert [r.receipt is None for r in read] == [i is None for _, _, i, _, _ in sent], "nobody waits for QoS 0"
    assert [r.received_us for r in read] == list(range(1_000, 1_000 + len(read))), "no two of one instant"


@pytest.mark.parametrize("size", [0, 1, 120, 121, 122, 127, 128, 16_375, 16_376, 16_377, 16_384, 2_097_150, 2_097_152])
def test_lengths_of_one_to_four_bytes(publish: Any, size: int) -> None:
    payload = b"x" * size
    stream = publish("t", payload, 7) + PINGRESP
    found = messages(stream, 9, 1, 0, {})
    assert [(one.topic, one.payload) for one in found.messages] == [("t", payload)]
    assert found.end == len(stream) - 2 == packets.end(stream)
    assert messages(stream[:-3], 9, 1, 0, {}).messages == [], "one byte is missing"


def test_the_longest_topic(publish: Any) -> None:
    topic = "t" * 65_535
    assert told(messages(publish(topic, b"1"), 9, 1, 0, {})) == [(topic, b"1", False, True)]


@pytest.mark.parametrize(
    "other",
    [
        PINGRESP,
        SUBACK,
        b"\x20\x02\x00\x00",  # CONNACK
        b"\xe0\x00",  # DISCONNECT
        b"\x34\x06\x00\x01t\x00\x01!",  # QoS 2: paho confirms it in two steps
        b"\x36\x06\x00\x01t\x00\x01!",  # QoS 3 does not exist
        b"\x32\x06\x00\x01t\x00\x00!",  # packet id 0
        b"\x32\x06\x00\x02\xff\xfe\x00\x01",  # a topic that is no UTF-8
        b"\x32\x06\x00\x00\x00\x01ab",  # an empty topic
        b"\x32\x07\x00\x02a#\x00\x01!",  # a filter
        b"\x32\x07\x00\x02a\x00\x00\x01!",  # a topic with U+0000
        b"\x32\x03\x00\x09t",  # a topic longer than its packet
        b"\x32\x04\x00\x01t\x00",  # half a packet id
        b"\x30\x00",
        b"\x30\x01\x00",
        b"\x30\xff\xff\xff\xff\x01",  # a length that MQTT forbids
    ],
)
def test_whatever_is_no_ordinary_message_is_left_alone(publish: Any, other: bytes) -> None:
    before, after = publish("a", b"1", 1), publish("b", b"2", 2)
    found = messages(before + other + after, 9, 1, 0, {})
    assert [one.payload for one in found.messages] == [b"1"]
    assert found.end == len(before)
    assert packets.end(other + after) == len(other)


@pytest.mark.parametrize("properties", [b"\x05", b"\xff\xff\xff\xff\x01", b""])
def test_properties_longer_than_their_packet_are_left_alone(properties: bytes) -> None:
    body = b"\x00\x01t\x00\x01" + properties
    packet = bytes([0x32, len(body)]) + body
    assert messages(packet + b"\x00" * 200, 9, 1, 0, {}, True).messages == []


@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_do_harm(data: bytes, five: bool) -> None:
    """Nor does one packet reach into the next."""
    found = messages(data, 9, 1, 0, {}, five)
    assert found.end <= len(data)
    at = 0
    for _ in found.messages:
        at += packets.end(data[at:]) or 99
    assert at == found.end


def test_where_a_packet_ends_is_told_as_soon_as_it_can_be() -> None:
    assert [packets.end(b"\x30\x80\x80\x01"[:n]) for n in range(5)] == [None, None, None, None, 4 + 16_384]
    assert [packets.end(b"\x30\xff\xff\xff\xff\xff"[:n]) for n in (5, 6)] == [None, 6], "paho gets to see the fault"


def test_known_topics_are_bounded(publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.packets.MOST_TOPICS", 10)
    known: dict[bytes, str] = {}
    for number in range(35):
        assert told(messages(publish(f"t/{number}", b""), 9, 1, 0, known)) == [(f"t/{number}", b"", False, True)]
        assert len(known) <= 10
