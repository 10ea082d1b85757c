"""Which messages of an MQTT connection may be acknowledged now: in receipt order, and only on the connection they came on.

Acknowledgements must leave in the order in which the messages came (MQTT 3.1.1, 4.6 [MQTT-4.6.0-2]). After a reconnect packet
ids begin anew: an acknowledgement of before could then confirm a message that was never committed, so it is dropped; the broker
delivers those messages again.
"""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_ASTRAY_US = 1_000_000
"""A clock that was set back by more is followed."""

Receipt = int
"""Of a message that waits to be acknowledged: its number, from 1 on, which no other message of this client ever has."""


class Receipts:
    """The receipts of one client, for one thread. A reply is whatever acknowledges a message; see ingest.packets.

    >>> r = Receipts()
    >>> a, b = r.receive(7), r.receive(8)
    >>> r.settle([b]), r.settle([a])
    ([], [7, 8])
    >>> c = r.receive(9)
    >>> r.reconnected()
    >>> r.settle([c])
    []
    """

    def __init__(self) -> None:
        self._first = 1
        self._replies: list[int] = []  # of the messages from _first on
        self._committed = bytearray()

    def __len__(self) -> int:
        """Messages received on this connection and not yet acknowledged."""
        return len(self._committed)

    @property
    def next(self) -> Receipt:
        """The number that the next message gets."""
        return self._first + len(self._committed)

    def receive(self, *replies: int) -> Receipt:
        """Messages have come, whose acknowledgements these are; the receipt of the first."""
        first = self.next
        self._replies += replies
        self._committed += bytes(len(replies))
        return first

    def settle(self, receipts: Iterable[Receipt]) -> Sequence[int]:
        """These are committed: the replies to send now, in order."""
        first, committed = self._first, self._committed
        for receipt in receipts:
            if receipt >= first:  # else of a lost connection, or settled
                committed[receipt - first] = 1
        done = committed.find(0)
        done = len(committed) if done < 0 else done
        ready = self._replies[:done]
        del self._replies[:done], committed[:done]
        self._first += done
        return ready

    def reconnected(self) -> None:
        """The connection is gone: nothing received on it will be acknowledged."""
        self._first = self.next
        self._replies.clear()
        self._committed.clear()


class Received(NamedTuple):
    """A message as it came from a broker."""

    topic: str
    payload: bytes
    received_us: int
    retained: bool
    receipt: Receipt | None  # None: QoS 0, nobody waits


class Stamps:
    """Microseconds of receipt, never twice the same: two equal messages of one instant would be one."""

    def __init__(self) -> None:
        self._next = 0

    def now(self) -> int:
        """The instant of the next message; `used` says how many were given instants from there on."""
        now = time.time_ns() // 1000
        if not now <= self._next <= now + _ASTRAY_US:
            self._next = now
        return self._next

    def used(self, count: int) -> None:
        self._next += count
