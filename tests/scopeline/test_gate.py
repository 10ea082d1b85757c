"""The stream into the embedded broker: messages are taken out of it whatever the pieces it comes in, and nothing else is."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from ingest.bridge import Received, Stamps
from ingest.packets import Read
from scopeline.gate import LARGEST, Gate

PING, SUBSCRIBE = b"\xc0\x00", b"\x82\x06\x00\x09\x00\x01t\x00"


def passed(pieces: list[bytes], most: int = 100, taken: bool = True) -> tuple[list[Received], bytes, list[int]]:
    """The messages taken, the bytes that amqtt got, and how many messages each burst had; the stream ends after its pieces."""

    async def through() -> tuple[list[Received], bytes, list[int]]:
        stream, messages, rest, bursts = asyncio.StreamReader(), list[Received](), bytearray(), list[int]()

        async def room() -> int:
            return most

        async def take(found: Read) -> None:
            messages.extend(found.messages)
            bursts.append(len(found.messages))

        async def feed() -> None:
            for piece in pieces:
                stream.feed_data(piece)
                await asyncio.sleep(0)
            stream.feed_eof()

        gate = Gate(stream, Stamps(), room)
        gate.take = take if taken else None
        feeding = asyncio.create_task(feed())
        try:
            while True:
                rest += await gate.read(1)
        except ConnectionResetError:
            await feeding
            return messages, bytes(rest), bursts

    return asyncio.run(through())


def test_any_pieces_say_the_same(publish: Callable[..., bytes]) -> None:
    sent = [publish("a/b", b"%d" % n, n + 1) for n in range(50)]
    sent[7], sent[20] = PING, SUBSCRIBE
    sent[30] = publish("a/b", b"large" * 5000)
    sent[40] = publish("a/b", b"twice", 7, flags=0x04)  # QoS 2 is amqtt's
    stream = b"".join(sent)
    whole = passed([stream])
    assert len(whole[0]) == 47
    assert whole[1] == PING + SUBSCRIBE + sent[40]
    assert len({one.received_us for one in whole[0]}) == 47
    rng = random.Random(5)
    for _ in range(20):
        cuts = sorted(rng.sample(range(len(stream)), 12))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        found = passed(pieces)
        assert [one[:2] for one in found[0]] == [one[:2] for one in whole[0]]
        assert found[1] == whole[1]


def test_no_more_at_once_than_there_is_room_for(publish: Callable[..., bytes]) -> None:
    messages, _, bursts = passed([b"".join(publish("t", b"%d" % n) for n in range(25))], most=10)
    assert bursts == [10, 10, 5]
    assert [one.payload for one in messages] == [b"%d" % n for n in range(25)]


@pytest.mark.parametrize("topic", ["", "$SYS/x", "a/+", "a/#", "a\0b", b"\xff"])
def test_a_topic_that_publishers_may_not_use_ends_the_connection(publish: Callable[..., bytes], topic: Any) -> None:
    messages, rest, _ = passed([publish("good", b"1") + publish(topic, b"2") + publish("good", b"3")])
    assert [one.payload for one in messages] == [b"1"]
    assert rest == b""


def test_a_packet_that_is_too_large_ends_the_connection_before_it_is_read() -> None:
    length = LARGEST + 1
    announced = bytes(length >> 7 * n & 0x7F | (0x80 if n < 3 else 0) for n in range(4))
    assert passed([b"\x30" + announced])[:2] == ([], b"")


def test_who_is_not_let_in_publishes_nothing(publish: Callable[..., bytes]) -> None:
    assert passed([PING + publish("t", b"1")], taken=False)[:2] == ([], PING)


def test_a_read_never_reaches_into_the_next_packet(publish: Callable[..., bytes]) -> None:
    async def through() -> list[bytes]:
        stream = asyncio.StreamReader()
        stream.feed_data(PING + SUBSCRIBE)

        async def room() -> int:
            return 9

        gate = Gate(stream, Stamps(), room)
        return [await gate.read(100), await gate.read(0), await gate.read(3), await gate.read(100)]

    assert asyncio.run(through()) == [PING, b"", SUBSCRIBE[:3], SUBSCRIBE[3:]]
