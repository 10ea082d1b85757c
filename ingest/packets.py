"""MQTT packets as bytes: where one ends, the messages of many at once, and the acknowledgements of many.

Only ordinary messages are read here: PUBLISH of QoS 0 or 1 on a named topic. Whatever else comes, faulty packets too, is left to
the library whose connection it is, which needs ten times as long for a message: several calls to receive it, and the objects that
it makes of it.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from ingest.bridge import Received

PUBACK, PUBREC, PUBCOMP = 0x4002_0000, 0x5002_0000, 0x7002_0000
"""With the packet id added: four bytes that acknowledge a message of QoS 1, or of QoS 2 in two steps, in either MQTT version."""
MOST_TOPICS = 100_000
_NO_NAME = frozenset("+#\0")


class Read(NamedTuple):
    """Messages, what acknowledges those of QoS 1, and where in the bytes the first packet begins that is none of them."""

    messages: list[Received]
    replies: list[int]
    end: int


def end(data: bytes | bytearray) -> int | None:
    """Where the packet at the beginning of `data` ends; None where that is not told yet.

    A length that MQTT forbids ends after so many bytes that paho sees it.
    """
    told = _number(data, 1)
    if told is None:
        return 6 if len(data) > 5 else None
    length, after = told
    return after + length


def messages(data: bytes, most: int, receipt: int, at_us: int, topics: dict[bytes, str], five: bool = False) -> Read:
    """The messages that `data` begins with, at most so many, up to the first packet that is not whole or no ordinary message.

    `receipt` is the number of the first acknowledgement, `at_us` the time of the first message: each of the next came a
    microsecond later, since two equal messages of one instant would be one. `topics` are names that are known; it grows.

    >>> messages(b"\\x32\\x06\\x00\\x01t\\x00\\x07!\\xd0\\x00", 9, 1, 0, {})
    Read(messages=[Received(topic='t', payload=b'!', received_us=0, retained=False, receipt=1)], replies=[1073872903], end=8)
    """
    found: list[Received] = []
    replies: list[int] = []
    size, at = len(data), 0
    make = tuple.__new__  # of a named tuple: half the time of its own constructor
    while len(found) < most and at + 4 < size:
        first, length, start = data[at], data[at + 1], at + 2
        if first & 0xF4 != 0x30:  # another packet, or QoS 2
            break
        if length > 0x7F:
            told = _number(data, at + 1)
            if told is None:
                break
            length, start = told
        stop = start + length
        if stop > size or length < 3:
            break
        named = after = start + 2 + (data[start] << 8 | data[start + 1])
        number = None
        if first & 2:
            after += 2
            if after > stop or not (packet := data[named] << 8 | data[named + 1]):
                break
            number = receipt
        if five:
            told = _number(data, after)
            if told is None:
                break
            after = sum(told)
        if after > stop:
            break
        name = data[start + 2 : named]
        topic = topics.get(name) or _named(name, topics)
        if not topic:
            break
        if number:
            replies.append(PUBACK | packet)
            receipt += 1
        found.append(make(Received, (topic, data[after:stop], at_us, first & 1 == 1, number)))
        at_us += 1
        at = stop
    return Read(found, replies, at)


def acknowledgements(replies: Sequence[int]) -> bytes:
    """
    >>> acknowledgements([PUBACK | 7, PUBCOMP | 258]).hex(" ")
    '40 02 00 07 70 02 01 02'
    """
    return struct.pack(f">{len(replies)}I", *replies)


def _number(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A number of one to four bytes, seven bits each, the lowest first, and where it ends; None where it does not."""
    found = 0
    for place in range(at, min(at + 4, len(data))):
        found |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            return found, place + 1
    return None


def _named(name: bytes, topics: dict[bytes, str]) -> str | None:
    """A topic seen for the first time; nothing where it is empty (it would stand for an earlier one) or faulty."""
    try:
        topic = name.decode()
    except UnicodeDecodeError:
        return None
    if not topic or not _NO_NAME.isdisjoint(topic):
        return None
    if len(topics) >= MOST_TOPICS:  # topics come from devices
        topics.clear()
    topics[name] = topic
    return topic


class Buffer:
    """Bytes of a connection, as they came, from the beginning of a packet on: messages are taken out many at a time, and other
    packets granted, one by one, to the library whose connection it is."""

    def __init__(self, five: bool) -> None:
        self._five = five
        self._held = bytearray()
        self._topics: dict[bytes, str] = {}
        self.need = 2
        """Bytes of the first packet, as far as they are told."""
        self.granted = 0
        """Bytes that may be taken."""

    @property
    def whole(self) -> bool:
        """True where a packet is here."""
        return len(self._held) >= self.need

    @property
    def first(self) -> int:
        """The byte that says what packet it is, where one is here."""
        return self._held[0]

    def feed(self, came: bytes) -> None:
        self._held += came
        if self.whole:
            self._measure()

    def messages(self, most: int, receipt: int, at_us: int) -> Read:
        """Take out messages, at most so many, up to a packet of another kind; see `messages`."""
        if not self.whole:
            return Read([], [], 0)
        found = messages(bytes(self._held), most, receipt, at_us, self._topics, self._five)
        self._drop(found.end)
        return found

    def grant(self) -> bool:
        """Let one packet be taken; False where none is here."""
        self.granted = self.need if self.whole else 0
        return self.granted > 0

    def take(self, size: int) -> bytes:
        """Bytes of what was granted."""
        found = bytes(self._held[: min(size, self.granted)])
        self.granted -= len(found)
        self._drop(len(found), self.granted == 0)
        return found

    def clear(self) -> None:
        self.granted = 0
        self._drop(len(self._held))

    def _drop(self, count: int, complete: bool = True) -> None:
        del self._held[:count]
        if complete:
            self._measure()

    def _measure(self) -> None:
        self.need = end(self._held) or max(2, len(self._held) + 1)
