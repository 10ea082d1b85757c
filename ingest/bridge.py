"""Which receipts of an MQTT connection may be acknowledged now: in receipt order, and only on the connection they came on.

Acknowledgements must leave in the order in which the messages came (MQTT 3.1.1, 4.6 [MQTT-4.6.0-2]). After a reconnect packet
ids begin anew: an acknowledgement of before could then confirm a message that was never committed, so it is dropped; the broker
delivers those messages again.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple


class Receipt:
    """One received QoS 1 message: the connection it came on, its packet id there, and whether it is committed."""

    __slots__ = ("committed", "connection", "packet_id")

    def __init__(self, connection: int, packet_id: int) -> None:
        self.connection, self.packet_id, self.committed = connection, packet_id, False


class Receipts:
    """The receipts of one client, for one thread.

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
        self._connection = 0
        self._open: deque[Receipt] = deque()

    def __len__(self) -> int:
        """Messages received on this connection and not yet acknowledged."""
        return len(self._open)

    def receive(self, packet_id: int) -> Receipt:
        receipt = Receipt(self._connection, packet_id)
        self._open.append(receipt)
        return receipt

    def settle(self, receipts: Iterable[Receipt]) -> list[int]:
        """These are committed: the packet ids to acknowledge now, in order."""
        for receipt in receipts:
            receipt.committed = True  # one of a lost connection is in no queue any more
        waiting, ready = self._open, []
        while waiting and waiting[0].committed:
            ready.append(waiting.popleft().packet_id)
        return ready

    def reconnected(self) -> None:
        """The connection is gone: nothing received on it will be acknowledged."""
        self._connection += 1
        self._open.clear()


class Received(NamedTuple):
    """A message as it came from a broker."""

    topic: str
    payload: bytes
    received_us: int
    retained: bool
    receipt: Receipt | None  # None: QoS 0, nobody waits
