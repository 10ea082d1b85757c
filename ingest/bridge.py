"""Which receipts of an MQTT connection may be acknowledged now: in receipt order, and only on the connection they came on.

Acknowledgements must leave in the order in which the messages came (MQTT 3.1.1, 4.6 [MQTT-4.6.0-2]). After a reconnect packet
ids begin anew: an acknowledgement of before could then confirm a message that was never committed, so it is dropped; the broker
delivers those messages again.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple


class Receipt(NamedTuple):
    """One received QoS 1 message: the connection it came on, its place there, its packet id."""

    connection: int
    place: int
    packet_id: int


class Receipts:
    """The receipts of one client.

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
        self._connection = self._place = 0
        self._open: OrderedDict[int, tuple[int, bool]] = OrderedDict()

    def __len__(self) -> int:
        """Messages received on this connection and not yet acknowledged."""
        return len(self._open)

    def receive(self, packet_id: int) -> Receipt:
        self._place += 1
        self._open[self._place] = (packet_id, False)
        return Receipt(self._connection, self._place, packet_id)

    def settle(self, receipts: Iterable[Receipt]) -> list[int]:
        """These are committed: the packet ids to acknowledge now, in order."""
        for receipt in receipts:
            if receipt.connection == self._connection and receipt.place in self._open:
                self._open[receipt.place] = (receipt.packet_id, True)
        ready = []
        while self._open:
            place, (packet_id, committed) = next(iter(self._open.items()))
            if not committed:
                break
            del self._open[place]
            ready.append(packet_id)
        return ready

    def reconnected(self) -> None:
        """The connection is gone: nothing received on it will be acknowledged."""
        self._connection += 1
        self._open.clear()
